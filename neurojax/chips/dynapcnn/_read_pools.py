"""Reading of poolings, and of what the camera's block does in front of all cores."""

from __future__ import annotations

import dataclasses

from neurojax._table import shape_text
from neurojax.chips.dynapcnn._blocks import between
from neurojax.chips.dynapcnn._plan import Plan, as_map
from neurojax.chips.dynapcnn._signal import Signal, composed, trimmed, unscaled
from neurojax.chips.dynapcnn.dvs import DVS
from neurojax.layers import AvgPool2d, SumPool2d


def pooled(plan: Plan, name: str, layer: AvgPool2d | SumPool2d, signal: Signal) -> Signal:
    """Events behind a pooling."""
    if signal.block is not None:
        plan.excuse(signal.block, between(name, "pooling", signal.block))
    _check_pool(plan, name, layer)
    height, width = layer.kernel_size
    if isinstance(layer, AvgPool2d):
        signal = signal.scaled(1 / (height * width))
    shape = as_map(plan.network.out_shape(name))
    if signal.node in plan.inputs:
        return front_end(plan, name, DVS(pool=(height, width)), signal)
    return dataclasses.replace(
        signal,
        shape=shape,
        pools=(*signal.pools, name),
        size=(signal.size[0] * height, signal.size[1] * width),
    )


def _check_pool(plan: Plan, name: str, pool: AvgPool2d | SumPool2d) -> None:
    if pool.stride != pool.kernel_size:
        plan.problem(
            name,
            f"a window of {shape_text(pool.kernel_size)} with stride {shape_text(pool.stride)}",
            "pooling windows don't overlap",
            "use a stride equal to the size",
        )
    if any(pads != (0, 0) for pads in pool.padding):
        plan.problem(
            name,
            f"padding {shape_text([before for before, _ in pool.padding])}",
            "pooling has no padding",
            "pad in the convolution before it",
        )


def front_end(plan: Plan, name: str, layer: DVS, signal: Signal) -> Signal:
    """The camera's block, or a pooling that becomes a part of it."""
    shape = plan.network.out_shape(name)
    if signal.node not in plan.inputs or signal.block is not None:
        plan.problem(
            name,
            "a DVS block behind other layers",
            "the camera's block is the first thing on the chip",
            "put it directly behind the input",
        )
        return dataclasses.replace(signal, shape=as_map(shape), rescale=unscaled(shape[0]))
    layer = trimmed(layer, plan.network.in_shape(name))
    camera = layer if signal.camera is None else composed(signal.camera, layer)
    if camera is None:
        plan.problem(
            name,
            f"it comes after what '{signal.parts[-1]}' does",
            "the camera's block merges polarities, pools, crops, flips and swaps in this order",
            "bring the steps into this order",
        )
        camera = layer
    return dataclasses.replace(
        signal,
        shape=as_map(shape),
        rescale=signal.rescale[: shape[0]],  # both polarities have the same factor
        camera=camera,
        parts=(*signal.parts, name),
    )
