"""What comes after the last layer: outputs, and notes on what is gone."""

from __future__ import annotations

from collections.abc import Mapping

from neurojax._table import shape_text
from neurojax.chips.dynapcnn._blocks import no_neurons
from neurojax.chips.dynapcnn._plan import Plan
from neurojax.chips.dynapcnn._signal import Signal, resolve
from neurojax.layers import (
    Add,
    BatchDropout,
    Concat,
    Dropout,
    Flatten,
    Identity,
    Reshape,
)

WITHOUT_EFFECT = (Dropout, BatchDropout, Identity, Flatten, Reshape, Add, Concat)


def finish(plan: Plan, signals: Mapping[str, Signal]) -> None:
    """What comes after the last layer: outputs, and what is missing."""
    for block in plan.blocks:
        if block.neuron is None:
            plan.excuse(block, no_neurons(block))
    for name in plan.network.outputs:
        if name in signals:
            _output(plan, name, signals[name])
    direct = [e for e in plan.edges if e.source in plan.inputs]
    if plan.camera is not None and any(e.target != plan.camera for e in direct):
        others = [e.target for e in direct if e.target != plan.camera]
        plan.problem(
            "network",
            f"the input goes through '{plan.camera}' ({plan.described(plan.camera)}), and "
            f"past it to {', '.join(others)}",
            "the camera's block treats the events for all its destinations alike",
            "use one pooling of the input, and pool behind the cores",
        )
    if not plan.blocks and plan.camera is None and not plan.problems:
        plan.problem("network", "it has no weights", "a core is a convolution", "add a layer")
    _note_dropped(plan)


def _output(plan: Plan, name: str, signal: Signal) -> None:
    if signal.block is not None:
        return
    for scale, left in signal.scales:
        plan.problem(
            scale,
            f"a factor {left:g} with no weights behind it",
            "an event has no size; factors go into weights",
            "remove it, and scale the outputs of the run",
        )
    node = plan.place(signal, output=True)
    if signal.pools and signal.size[0] not in plan.chip.poolings:
        plan.notes.append(
            f"{node!r} pools the output over {shape_text(signal.size)} for you; no core does that, "
            "so add up the device's events"
        )
    factor = resolve(signal.rescale, None)
    if factor is None or len(set(factor)) > 1:
        plan.problem(
            name,
            "an output that merges averages over windows of different sizes",
            "the chip sums over windows",
            "use equal poolings, or SumPool2d",
        )
    elif factor[0] != 1 and not plan.blocks:
        plan.problem(
            name,
            "an average of the camera's events, and no weights",
            "the camera's block sums over windows",
            "use SumPool2d, and scale the outputs of the run",
        )
    elif factor[0] != 1:
        plan.notes.append(
            f"the output {f'{node!r} ' if len(plan.network.outputs) > 1 else ''}is a sum over "
            f"the last pooling window, {1 / factor[0]:.6g} times the average"
        )
    if signal.flatten is not None:
        node = plan.flat(signal.flatten, node)
        plan.notes.append(f"'{signal.flatten}' shapes the output for you; it takes no core")
    if isinstance(plan.layers.get(node), Add | Concat):
        plan.notes.append(
            f"'{node}' merges outputs of several cores for you; the device reports them apart"
        )
    if node in plan.inputs:
        plan.problem(
            "network", f"its output '{name}' is its input", "outputs are spikes of cores",
            "remove the output",
        )  # fmt: skip
    elif node not in plan.outputs:
        plan.outputs.append(node)


def _note_dropped(plan: Plan) -> None:
    held = {part for parts in plan.made_of.values() for part in parts}
    held |= {part for block in plan.blocks for part in block.made_of}
    gone = [
        name
        for name in plan.network.names
        if name not in held and isinstance(plan.network[name], WITHOUT_EFFECT)
    ]
    if gone:
        names = ", ".join(f"'{name}'" for name in gone)
        plan.notes.insert(0, f"without an effect on the chip, dropped: {names}")
