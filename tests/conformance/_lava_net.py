"""The .net files of slayer, what slayer computed with them, and what netx made of them."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips.loihi import weights
from neurojax.chips.loihi.adaptive_resonator import AdRF, AdRFIzhikevich
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.resonator import RF, RFIzhikevich
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.chips.loihi.synapse import Synapse
from neurojax.hardware.loihi import configure, load
from tests.conformance._lava_case import Case, evaluate, first, last
from tests.conformance._result import Result, compare

NO_WEIGHT_EXP = "netx does not apply the exponent of a norm (neuron/weight_exp)"
INPUT_UNIT = 64
"""Weight steps in one unit of slayer's input."""


def slayers(case: Case) -> Iterator[Result]:
    """A file of slayer: what each block computes, and that it is written again as it was."""
    path = case.path.with_name(case.about.get("hdf5", f"{case.path.name}.net"))
    x = first(case["x"]) if "x" in case else None
    shape = None if x is None else x.shape[2:]
    mapped = load(path, input_shape=shape, timing="slayer")
    net = mapped.network
    if x is not None:
        fed = x * INPUT_UNIT if "0.input" in net.names else x
        ends = {int(name.split(".")[0]): name for name in net.names}
        run = evaluate(net, fed, probes=list(ends.values())).run
        for number, end in ends.items():
            if f"out{number}" in case:
                case.equal(f"out{number}", last(run[end]) / _unit(net, end))
        if "preshift_out" in case:  # a step in front of each synapse instead of behind each neuron
            late = load(path, input_shape=shape, timing="chip").network
            outputs = evaluate(late, fed).run.outputs
            case.equal("preshift_out", last(outputs) / _unit(net, net.names[-1]))
    _written_again(case, path, mapped)
    yield from case.results("net")


def _unit(net: nj.Network, end: str) -> int:
    """What our numbers behind a layer are in one unit of slayer's."""
    number = end.split(".")[0]
    layers = [net[name] for name in net.names if name.split(".")[0] == number]
    neuron = next((layer for layer in layers if _is_neuron(layer)), None)
    if neuron is None:  # a layer that only moves values: those of the layer in front
        before = [name for name in net.names if int(name.split(".")[0]) < int(number)]
        return _unit(net, before[-1]) if before else 1
    if isinstance(neuron, Sigma):
        return 1 << 18
    if isinstance(neuron, Delta | SigmaDelta):
        return 1 << 12
    if isinstance(neuron, LIF):
        return 1 << 12 if neuron.vth is None else 1
    spikes = neuron.threshold is not None and not neuron.graded
    return 1 if spikes else INPUT_UNIT


def _is_neuron(layer: Any) -> bool:
    kinds = (LIF, Delta, Sigma, SigmaDelta, RF, RFIzhikevich, AdRF, AdRFIzhikevich)
    return isinstance(layer, kinds)


def _written_again(case: Case, path: Path, mapped: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        again = Path(folder) / "again.net"
        configure(mapped).save(again)
        recorded, ours = _datasets(path), _datasets(again)
    case.said("datasets", sorted(recorded), sorted(ours))
    for name in recorded.keys() & ours.keys():
        kind, value = recorded[name]
        case.said(f"type of {name}", kind, ours[name][0])
        if value.dtype.kind in "biuf":
            case.outcomes.append(compare(name, value, ours[name][1]))
        else:
            case.said(name, value.tolist(), ours[name][1].tolist())


def _datasets(path: Path) -> dict[str, tuple[str, np.ndarray]]:
    found: dict[str, tuple[str, np.ndarray]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (f"{item.dtype} {item.shape}", np.asarray(item[()]))

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def netx(case: Case) -> Iterator[Result]:
    """The same file in Lava, by netx: one step in front of each synapse, integers."""
    path = case.path.with_name(f"{case.path.name.removeprefix('netx_')}.net")
    # (width, height, channels, time) there.
    x = case["x"].T[:, None]
    net = load(path, input_shape=x.shape[2:], timing="chip").network
    for name in net.names:
        neuron = net[name]
        if isinstance(neuron, LIF) and neuron.shift:
            net = net.replace(**{name: dataclasses.replace(neuron, shift=0)})
            case.expect(NO_WEIGHT_EXP)
    case.equal("y", np.asarray(evaluate(net, jnp.asarray(x)).run.outputs)[:, 0].T)
    _processes(case, net)
    yield from case.results("netx")


def _processes(case: Case, net: nj.Network) -> None:
    """The numbers of Lava's processes, as the description has them."""
    said = case.about.get("layers")
    if not said:
        return
    numbers = dict.fromkeys(int(n.split(".")[0]) for n in net.names if _is_neuron(net[n]))
    for number, entry in zip(numbers, said, strict=False):
        names = [name for name in net.names if name.startswith(f"{number}.")]
        neurons = [net[name] for name in names if isinstance(net[name], LIF)]
        synapses = [net[name] for name in names if isinstance(net[name], Synapse)]
        for field in ("du", "dv", "vth"):
            if field in entry and neurons:
                ours = np.ravel(getattr(neurons[0], field)).tolist()
                case.said(f"{field} of layer {number}", entry[field], ours)
        bits = entry.get("proc_params") or {}
        if entry.get("type") == "Dense" and len(synapses) == 1 and "weight_exp" in bits:
            found = weights.optimise_weight_bits(synapses[0].integers(), inhibitory_limit=-256)
            case.said(f"weight_exp of layer {number}", int(bits["weight_exp"]), found.exponent)
            case.said(f"bits of layer {number}", int(bits["num_weight_bits"]), found.bits)
