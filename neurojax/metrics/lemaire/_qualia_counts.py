"""Operations and memory accesses of one layer exactly as the Qualia plug-in counts them.

Every formula is written in the order in which the plug-in computes it, so that the floating-point
numbers are the same. What is wrong with them is listed in docs/costs.md; `compat=None` mends it.
Rates are those of an inference: T times the share of values that are not zero in a step.
"""

from __future__ import annotations

from typing import NamedTuple

from neurojax.metrics.lemaire._nodes import Node


class FormalCounts(NamedTuple):
    """A layer of a formal network, for one inference."""

    read_in: int
    read_weights: int
    read_bias: int  # as if there were one; see `Node.bias`
    write_out: int
    syn_mac: int
    syn_acc: int
    addr_mac: int
    addr_acc: int


class SpikingCounts(NamedTuple):
    """A layer of a spiking network together with the neurons behind it, for one inference."""

    read_in: float
    read_weights: float
    read_bias: float  # as if there were one
    read_pot: float  # as many as writes
    write_out: float
    syn_mac: float
    syn_acc: float
    addr_mac: float
    addr_acc: float


def formal(node: Node) -> FormalCounts | None:
    """The counts of a layer of a formal network; None for kinds without a row."""
    if node.kind == "conv":
        macs = node.outputs * node.in_channels * node.taps  # whatever the groups
        addresses = node.inputs + node.outputs + node.out_channels * node.taps
        out = node.outputs
        return FormalCounts(macs, macs, out, out, macs, out, 0, addresses)
    if node.kind == "dense":
        macs, out = node.inputs * node.outputs, node.outputs
        return FormalCounts(node.inputs, macs, out, out, macs, out, 0, macs)
    if node.kind == "add":
        sums = [sum(shape) for shape in node.in_shapes]  # sums of sizes, where products are meant
        adds = min(sums) * (len(sums) - 1)
        return FormalCounts(sum(sums), 0, 0, node.out_channels, 0, adds, 0, min(sums))
    return None


def spiking(
    node: Node, rate_in: float, rate_out: float, steps: int, *, leak: bool
) -> SpikingCounts:
    """The counts of a convolution or dense layer on binary inputs, borders and groups ignored."""
    events = rate_in * node.inputs
    updates = events * node.out_channels * node.taps
    every_step = node.outputs * steps
    out = rate_out * node.outputs
    if node.kind == "conv":
        adds = events * node.targets_with_stride * node.out_channels
        addr_mac, addr_acc = events * 2, events * node.taps
    else:
        adds = events * node.out_channels
        addr_mac, addr_acc = 0, rate_in * node.out_channels  # for one input instead of all
    return SpikingCounts(
        read_in=events,
        read_weights=updates,
        read_bias=every_step,
        read_pot=updates + every_step,
        write_out=out,
        syn_mac=every_step if leak else 0,
        syn_acc=adds + every_step + out,
        addr_mac=addr_mac,
        addr_acc=addr_acc,
    )


def dense_macs(node: Node) -> int:
    """Multiplications of a layer with graded inputs that are all different from zero."""
    if node.kind == "conv":
        return node.outputs * node.in_channels * node.taps
    return node.inputs * node.outputs
