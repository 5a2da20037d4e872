"""Reading of sums and concatenations: several sources of one destination."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from neurojax._layer import Layer
from neurojax._table import shape_text
from neurojax.chips.dynapcnn._plan import Plan, as_map
from neurojax.chips.dynapcnn._signal import Signal, summed, unscaled
from neurojax.layers import Add, Concat


def added(plan: Plan, name: str, layer: Layer, signals: Sequence[Signal]) -> Signal:
    """The sum of signals, which an `Add` or any other layer with several sources makes."""
    closed = _closed(plan, name, "the sum", signals)
    if closed is not None:
        return closed
    shapes = {signal.shape for signal in signals}
    if len(shapes) > 1:
        plan.problem(
            name,
            f"a sum of maps of {' and '.join(sorted(map(shape_text, shapes)))}",
            "a core has one input map, in which its sources add up",
            "make the maps equal before they are flattened",
        )
        return signals[0]
    merge = name if isinstance(layer, Add) else plan.free(f"{name}.sum")
    merged = plan.merge(merge, Add(), signals)
    signals = [signal.without_scales() for signal in signals]
    return dataclasses.replace(merged, rescale=summed([signal.rescale for signal in signals]))


def concatenated(plan: Plan, name: str, layer: Concat, signals: Sequence[Signal]) -> Signal:
    """Signals side by side."""
    closed = _closed(plan, name, "the concatenation", signals)
    if closed is not None:
        return closed
    axis = layer.axis % len(plan.network.out_shape(name))
    sizes = {signal.shape[1:] for signal in signals}
    if axis or len(sizes) > 1:
        found = (
            f"it concatenates along axis {axis}"
            if axis
            else f"it concatenates maps of {' and '.join(sorted(map(shape_text, sizes)))}"
        )
        plan.problem(
            name,
            found,
            "features of maps of equal size come side by side, by a shift of the feature",
            "concatenate along the features, before a Flatten",
        )
        return dataclasses.replace(
            signals[0],
            shape=as_map(plan.network.out_shape(name)),
            rescale=unscaled(plan.network.out_shape(name)[0]),
        )
    merged = plan.merge(name, Concat(), signals)
    signals = [signal.without_scales() for signal in signals]
    rescale = tuple(some for signal in signals for some in signal.rescale)
    return dataclasses.replace(merged, shape=(len(rescale), *signals[0].shape[1:]), rescale=rescale)


def _closed(plan: Plan, name: str, what: str, signals: Sequence[Signal]) -> Signal | None:
    """A problem if what weights give is merged before it gets to neurons."""
    blocks = [signal.block for signal in signals if signal.block is not None]
    if not blocks:
        return None
    names = ", ".join(f"'{block.weights_name}'" for block in blocks)
    plan.problem(
        name,
        f"{what} of what weights give ({names}), before it gets to neurons",
        "a core has one convolution in front of its neurons",
        "put neurons behind each of the weights, or concatenate what goes into the weights",
    )
    for block in blocks:
        block.excused = True
    return next(signal for signal in signals if signal.block is not None)
