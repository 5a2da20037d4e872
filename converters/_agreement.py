"""Whether a layer computes what was recorded of the module that it stands for."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network
from neurojax._simulate import simulate
from neurojax.layers import Recurrent

TOLERANCE = 1e-5
"""Largest error within rounding, as a part of the largest magnitude of the outputs."""

TIES = 1e-3
"""Part of the neurons (but at least one) whose spikes rounding may decide."""

LEVELS = 16
"""Most different values of outputs that are spikes, if they are no integers (graded spikes)."""


class Agreement(NamedTuple):
    """What comparing a layer with recordings of its original found.

    Attributes:
        ok: Whether the layer computes the same.
        note: What was found, in a sentence.
        outputs: How many outputs were compared.
        differing: How many of them differ (by more than rounding, where they are not spikes).
        error: Largest absolute difference.
    """

    ok: bool
    note: str
    outputs: int
    differing: int
    error: float


def agreement(
    layer: Layer | Mapping[str, Layer], inputs: Any, outputs: Any, *, in_shape: Any
) -> Agreement:
    """Run a layer over recorded inputs and compare with the recorded outputs.

    Equal numbers agree, and so do numbers within TOLERANCE. Where a membrane meets the threshold
    exactly, rounding decides whether the neuron spikes, and from there on its numbers differ. So a
    few neurons (TIES) may differ if such a tie explains it: if inputs that are larger or smaller by
    TOLERANCE make our layer spike as recorded. Feedback carries a tie to other neurons.

    Args:
        layer: What to run: a layer, or a chain of layers by name.
        inputs: What the original got, `[time, batch, *in_shape]`; a tuple of such arrays for a
            layer that takes a tuple.
        outputs: What the original gave, `[time, batch, ...]`.
        in_shape: Shape of the input of one sample at one step; a tuple of shapes for a tuple.

    Raises:
        ValueError: The layer can't take the inputs.
    """
    recorded = np.asarray(outputs)
    got = _run(layer, inputs, in_shape)
    steps, batch = recorded.shape[:2] if recorded.ndim >= 2 else (0, 0)
    where = f"checked on {_count(steps, 'step')} x {_count(batch, 'sample')}"
    if got.shape != recorded.shape:
        note = f"{where}: outputs of shape {got.shape}, recorded {recorded.shape}"
        return Agreement(False, note, recorded.size, recorded.size, float("inf"))
    if not np.isfinite(recorded).all():
        bad = int((~np.isfinite(recorded)).sum())
        note = f"{where}: {bad} of {recorded.size} recorded outputs are NaN or infinite"
        return Agreement(False, note, recorded.size, bad, float("inf"))
    difference = np.abs(got.astype(np.float64) - recorded)
    error = float(difference.max(initial=0.0))
    largest = float(np.abs(recorded).max(initial=0.0))
    if error == 0:
        return Agreement(True, f"{where}: all {recorded.size} outputs equal", recorded.size, 0, 0.0)
    differs = ~(difference <= TOLERANCE * largest)
    bad = int(differs.sum())
    if not bad:
        note = f"{where}: all {recorded.size} outputs equal within rounding"
        note += f" (largest difference {error:.2g} of {largest:.2g})"
        return Agreement(True, note, recorded.size, 0, error)
    place = tuple(int(i) for i in np.argwhere(differs)[0])
    note = f"{where}: {bad} of {recorded.size} outputs differ, {_first(place, recorded, got)}"
    if not _spikes(recorded) or not _remembers(layer, in_shape):
        return Agreement(False, note, recorded.size, bad, error)

    neurons, wrong = int(np.prod(recorded.shape[1:])), differs.any(axis=0)
    first = np.where(wrong, differs.argmax(axis=0), steps)
    ties = wrong & _decided_by_rounding(layer, inputs, in_shape, recorded, first)
    explained = ties
    if _feeds_back(layer):
        axes = tuple(range(1, first.ndim))
        begins = np.where(ties, first, steps).min(axis=axes, keepdims=True, initial=steps)
        explained = ties | (wrong & (first > begins))
        ties = ties & (first == begins)
    ok = bool((explained == wrong).all()) and ties.sum() <= max(1, TIES * neurons)
    note += f"; {int(wrong.sum())} of {neurons} neurons, "
    if ok:
        note += f"of which {int(ties.sum())} were at the threshold, where rounding decides"
    else:
        note += f"and rounding at the threshold explains {int((explained & wrong).sum())} of them"
    return Agreement(ok, note, recorded.size, bad, error)


def _decided_by_rounding(
    layer: Layer | Mapping[str, Layer],
    inputs: Any,
    in_shape: Any,
    recorded: np.ndarray,
    first: np.ndarray,
) -> np.ndarray:
    """Which neurons give what was recorded at a step if the inputs are a little different."""
    at = np.minimum(first, len(recorded) - 1)[None]
    wanted = np.take_along_axis(recorded, at, axis=0)[0]
    found = np.zeros(first.shape, bool)
    for factor in (1 + TOLERANCE, 1 - TOLERANCE):
        changed = [_floats(x) * np.float32(factor) for x in _each(layer, inputs)]
        got = _run(layer, changed if _takes_many(layer) else changed[0], in_shape)
        found |= np.isclose(np.take_along_axis(got, at, axis=0)[0], wanted, rtol=TOLERANCE)
    return found


def _first(index: tuple[int, ...], recorded: np.ndarray, got: np.ndarray) -> str:
    step, sample, *rest = index
    place = f"step {step}, sample {sample}" + (f", neuron {tuple(rest)}" if rest else "")
    return f"first at {place}: recorded {recorded[index]:g}, got {got[index]:g}"


def _spikes(outputs: np.ndarray) -> bool:
    return bool((outputs == np.round(outputs)).all()) or np.unique(outputs).size <= LEVELS


def _layers(layer: Layer | Mapping[str, Layer]) -> dict[str, Layer]:
    if isinstance(layer, Mapping):
        return {name or "layer": one for name, one in layer.items()}
    return {"layer": layer}


def _takes_many(layer: Layer | Mapping[str, Layer]) -> bool:
    return next(iter(_layers(layer).values())).many_inputs


def _each(layer: Layer | Mapping[str, Layer], inputs: Any) -> list[Any]:
    return list(inputs) if _takes_many(layer) else [inputs]


def _feeds_back(layer: Layer | Mapping[str, Layer]) -> bool:
    """Whether the output of a neuron reaches others of the layer."""
    is_recurrent = lambda node: isinstance(node, Recurrent)  # noqa: E731
    return any(map(is_recurrent, jax.tree.leaves(_layers(layer), is_leaf=is_recurrent)))


def _remembers(layer: Layer | Mapping[str, Layer], in_shape: Any) -> bool:
    shape = in_shape
    for one in _layers(layer).values():
        if one.init(shape) is not None:
            return True
        shape = one.out_shape(shape)
    return False


def _run(layer: Layer | Mapping[str, Layer], inputs: Any, in_shape: Any) -> np.ndarray:
    layers = _layers(layer)
    first, *others = layers
    if _takes_many(layer):
        shapes = {f"input{n}": tuple(shape) for n, shape in enumerate(in_shape)}
        arrays: Any = dict(zip(shapes, map(_floats, inputs), strict=True))
    else:
        shapes, arrays = {"input": tuple(in_shape)}, _floats(inputs)
    edges = [Edge(name, first) for name in shapes]
    edges += [Edge(a, b) for a, b in itertools.pairwise(layers)]
    network = Network(layers, edges, inputs=shapes, outputs=[others[-1] if others else first])
    if _takes_many(layer) and len(shapes) == 1:
        (arrays,) = arrays.values()
    key = jax.random.key(0) if any(one.needs_key for one in layers.values()) else None
    return np.asarray(simulate(network, arrays, key=key).outputs)


def _floats(x: Any) -> np.ndarray:
    return np.asarray(x, np.float32)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
