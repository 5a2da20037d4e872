"""A recorded case of the area lava: what is said of it, its arrays, and what was compared."""

from __future__ import annotations

import functools as ft
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from tests.conformance._result import QUICK, NotCovered, Result, compare

GRADIENT = 1e-5
"""Gradients agree to this part of the largest one."""

FLOAT = 1e-6
"""States that are no integers agree to this part of the largest one."""

TRIES = 24
"""How many ways to read a recording that leaves something open are tried."""


class Case:
    """A recording. What is compared is noted; an array that nobody asks for is a difference.

    Attributes:
        name: Its name, that of the file.
        about: Its entry in the description.
        arrays: The recorded arrays.
        path: The file, without its ending.
    """

    def __init__(
        self, name: str, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path
    ) -> None:
        self.name, self.about, self.arrays, self.path = name, about, arrays, path
        self.params: dict[str, Any] = dict(about.get("params") or {})
        self.outcomes: list[tuple[float, str]] = []
        self.expectations: list[str] = []
        self._used: set[str] = set()

    def __getitem__(self, array: str) -> np.ndarray:
        if array not in self.arrays:
            raise KeyError(array)
        self._used.add(array)
        return self.arrays[array]

    def __contains__(self, array: str) -> bool:
        return array in self.arrays

    def get(self, array: str) -> np.ndarray | None:
        """The array, or None."""
        if array not in self:
            return None
        return self[array]

    def param(self, *names: str, default: Any = KeyError) -> Any:
        """The parameter that has one of these names."""
        for name in names:
            if name in self.params:
                return self.params[name]
        if default is KeyError:
            raise KeyError(f"parameter {names[0]}")
        return default

    def equal(self, array: str, got: Any, **tolerance: float) -> None:
        """Compares a recorded array, with == unless there is a tolerance (see `compare`)."""
        self.outcomes.append(compare(array, self[array], got, **tolerance))

    def gradient(self, array: str, got: Any, *, terms: float = 0.0) -> None:
        """Compares a recorded gradient.

        Args:
            array: Its name.
            got: Ours.
            terms: What the magnitudes of the terms add up to of which it is the sum, if they may
                cancel out: float32 rounds relative to these.
        """
        self.equal(array, got, rtol=GRADIENT, atol=FLOAT * terms + 1e-12)

    def said(self, what: str, recorded: Any, got: Any) -> None:
        """Compares what the description says with ==."""
        if np.asarray(recorded).dtype.kind in "biuf":
            self.outcomes.append(compare(what, recorded, got))
        else:
            text = "" if recorded == got else f"{what}: recorded {recorded!r}, got {got!r}"
            self.outcomes.append((np.inf if text else 0.0, text))

    def expect(self, defect: str) -> None:
        """The case shows a documented defect of the peer."""
        if defect not in self.expectations:
            self.expectations.append(defect)

    @property
    def differs(self) -> bool:
        """Whether anything that was compared so far differs."""
        return any(text for _, text in self.outcomes)

    def results(self, group: str) -> Iterator[Result]:
        """One result for all that was compared."""
        outcomes = list(self.outcomes)
        for array in sorted(self.arrays.keys() - self._used):
            outcomes.append((np.inf, f"recorded array '{array}' has no counterpart"))
        if not outcomes:
            raise NotCovered("there is nothing to compare with")
        difference = next((text for _, text in outcomes if text), "")
        error = max(error for error, _ in outcomes)
        expectation = "; ".join(self.expectations)
        yield Result(group, self.name, not difference, error, difference, expectation)


def first_that_fits(case: Case, ways: Iterable[tuple[str, Callable[[], None]]]) -> None:
    """Compares in the way that fits; the recording does not say which one it was.

    Args:
        case: What is compared. If no way fits, it shows the differences of the first.
        ways: What is assumed, in words ("" for what is usual), and a function that compares.
    """
    outcomes, expectations = list(case.outcomes), list(case.expectations)
    first: list[tuple[float, str]] | None = None
    for assumed, attempt in itertools.islice(ways, TRIES):
        case.outcomes, case.expectations = list(outcomes), list(expectations)
        attempt()
        if not case.differs:
            if assumed and first is not None:
                case.expect(f"not said in the recording, and found: {assumed}")
            return
        first = first or case.outcomes
    if first is None:
        raise ValueError("no way to read it fits its shapes")
    case.outcomes, case.expectations = first, expectations


class Evaluated(NamedTuple):
    """A run, and what it gives back for the weights of each loss."""

    run: nj.Run
    to_network: tuple[Any, ...]
    to_x: tuple[jax.Array, ...]


def evaluate(
    network: nj.Network,
    x: Any,
    *,
    probes: Sequence[str] = (),
    losses: Sequence[Mapping[str, Any]] = (),
    state: Any = None,
) -> Evaluated:
    """Runs a network on `[time, batch, ...]`, and differentiates weighted sums of its values.

    Args:
        network: What runs; inside `jit`, compiled for this call.
        x: Its input.
        probes: What is recorded.
        losses: For each loss its weights by name, `"outputs"` or a probe's.
        state: Where to start.
    """
    floats, rest = eqx.partition(network, eqx.is_inexact_array)
    # Arrays that are no parameters go along as constants: they are part of what is compiled.

    @ft.partial(jax.jit, compiler_options=QUICK)
    def compute(floats: Any, x: jax.Array, losses: Any, state: Any) -> Evaluated:
        def values(floats: Any, x: jax.Array) -> tuple[dict[str, jax.Array], nj.Run]:
            run = nj.simulate(
                eqx.combine(floats, rest), x, probes=probes, state=state, schedule="step"
            )
            return {"outputs": run.outputs, **run.traces}, run

        if not losses:
            return Evaluated(values(floats, x)[1], (), ())
        made, pull, run = jax.vjp(values, floats, x, has_aux=True)
        zeros = jax.tree.map(jnp.zeros_like, made)
        pulled = [pull({**zeros, **weights}) for weights in losses]
        return Evaluated(run, tuple(g for g, _ in pulled), tuple(g for _, g in pulled))

    weights = [{k: jnp.asarray(v, jnp.float32) for k, v in loss.items()} for loss in losses]
    return compute(floats, jnp.asarray(x, jnp.float32), weights, state)


def first(x: Any) -> np.ndarray:
    """slayer's and Lava's time, the last axis, to the front."""
    return np.moveaxis(np.asarray(x), -1, 0)


def last(y: Any) -> np.ndarray:
    """Time back to where slayer and Lava have it."""
    return np.moveaxis(np.asarray(y), 0, -1)


def windows(
    sizes: Sequence[int], kernel: Sequence[int], out: Sequence[int], *, transposed: bool = False
) -> list[dict[str, tuple[int, ...]]]:
    """Strides, paddings and dilations with which windows give the recorded shape.

    The shapes say nearly all. What deviates least from a plain window comes first.
    """
    axes = []
    for size, length, wanted in zip(sizes, kernel, out, strict=True):
        found = []
        for dilation, stride in itertools.product(range(1, 4), range(1, 6)):
            reach = dilation * (length - 1)
            for padding in range(reach + 1):
                if transposed:
                    got = (size - 1) * stride - 2 * padding + reach + 1
                else:
                    got = (size + 2 * padding - reach - 1) // stride + 1
                if got == wanted and size + 2 * padding > reach:
                    odd = (dilation > 1) * 2 + (stride > 1) + (padding > 0)
                    found.append(((odd, dilation, stride + padding), stride, padding, dilation))
        axes.append(sorted(found))
    rank = lambda way: [sum(n) for n in zip(*(axis[0] for axis in way), strict=True)]  # noqa: E731
    ways = sorted(itertools.product(*axes), key=rank)
    names = ("stride", "padding", "dilation")
    return [
        {name: tuple(axis[1 + i] for axis in way) for i, name in enumerate(names)} for way in ways
    ]


def in_words(options: Mapping[str, Any]) -> str:
    """Options as they are written in a call."""
    return ", ".join(f"{name}={value}" for name, value in options.items())
