"""Whether a layer computes what was recorded of the module that it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network
from neurojax._simulate import simulate

TOLERANCE = 1e-5
"""Largest error within rounding, as a part of the largest magnitude of the outputs."""

TIES = 1e-3
"""Part of the neurons that may spike otherwise because rounding decides ties at the threshold."""


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

    Equal numbers agree, and so do numbers within TOLERANCE. A layer with a memory whose recorded
    outputs are spikes may differ in a few neurons (TIES) from a first difference on: where a
    membrane meets the threshold exactly, the order of additions decides.

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
    if error == 0:
        note = f"{where}: all {recorded.size} outputs equal"
        return Agreement(True, note, recorded.size, 0, 0.0)
    largest = float(np.abs(recorded).max(initial=0.0))
    if _spikes(recorded) and _remembers(layer, in_shape):
        return _compare_spikes(where, got, recorded, error)
    bad = int((~(difference <= TOLERANCE * largest)).sum())
    if not bad:
        note = f"{where}: all {recorded.size} outputs equal within rounding"
        note += f" (largest difference {error:.2g} of {largest:.2g})"
        return Agreement(True, note, recorded.size, 0, error)
    first = tuple(int(i) for i in np.argwhere(~(difference <= TOLERANCE * largest))[0])
    note = f"{where}: {bad} of {recorded.size} outputs differ, {_first(first, recorded, got)}"
    return Agreement(False, note, recorded.size, bad, error)


def _compare_spikes(where: str, got: np.ndarray, recorded: np.ndarray, error: float) -> Agreement:
    differs = got != recorded
    bad, neurons = int(differs.sum()), int(np.prod(recorded.shape[1:]))
    wrong = int(differs.any(axis=0).sum())
    ok = wrong <= TIES * neurons
    first = tuple(int(i) for i in np.argwhere(differs)[0])
    note = f"{where}: {bad} of {recorded.size} outputs differ, in {wrong} of {neurons} neurons, "
    note += _first(first, recorded, got)
    note += "; so few are ties at the threshold that rounding decides" if ok else ""
    return Agreement(ok, note, recorded.size, bad, error)


def _first(index: tuple[int, ...], recorded: np.ndarray, got: np.ndarray) -> str:
    step, sample, *rest = index
    place = f"step {step}, sample {sample}" + (f", neuron {tuple(rest)}" if rest else "")
    return f"first at {place}: recorded {recorded[index]:g}, got {got[index]:g}"


def _spikes(outputs: np.ndarray) -> bool:
    return bool((outputs == np.round(outputs)).all())


def _layers(layer: Layer | Mapping[str, Layer]) -> dict[str, Layer]:
    if isinstance(layer, Mapping):
        return {name or "layer": one for name, one in layer.items()}
    return {"layer": layer}


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
    if layers[first].many_inputs:
        shapes = {f"input{n}": tuple(shape) for n, shape in enumerate(in_shape)}
        arrays: Any = dict(zip(shapes, (_floats(x) for x in inputs), strict=True))
    else:
        shapes, arrays = {"input": tuple(in_shape)}, _floats(inputs)
    edges = [Edge(name, first) for name in shapes]
    edges += [Edge(a, b) for a, b in zip([first, *others], others, strict=False)]
    network = Network(layers, edges, inputs=shapes, outputs=[others[-1] if others else first])
    if len(shapes) == 1 and isinstance(arrays, dict):
        arrays = next(iter(arrays.values()))
    key = jax.random.key(0) if any(one.needs_key for one in layers.values()) else None
    return np.asarray(simulate(network, arrays, key=key).outputs)


def _floats(x: Any) -> np.ndarray:
    return np.asarray(x, np.float32)


def _count(n: int, what: str) -> str:
    return f"{n} {what}" + ("" if n == 1 else "s")
