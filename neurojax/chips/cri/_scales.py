"""How many weight steps a unit has: one scale for a population and all synapses that feed it.

Numbers that are on a grid (integers, multiples of a power of two) stay exact if 16 bits hold them;
in front of neurons that leak in the largest power of two that does, since the leak rounds.
Otherwise the scale is the largest one that keeps weights within 16 bits, and sums of weights within
2^24, so that they are exact in floating point.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurojax.chips._checks import check_finite
from neurojax.chips._mapped import Problem
from neurojax.chips.cri._plan import Link, Part, Plan, Population, two_factors
from neurojax.chips.cri.spec import MEMBRANE_BITS, WEIGHT_BITS
from neurojax.fixed_point import integer_range

SMALLEST_WEIGHT, LARGEST_WEIGHT = integer_range(WEIGHT_BITS)
EXACT = 2**24
"""Largest integer up to which floats hold all of them."""

LARGEST_THRESHOLD = 2 ** (MEMBRANE_BITS - 1) - 1
FINEST_GRID = 30
EXACT_AND_FINE = "power of two"
"""What limits the scale of numbers on a grid where the leak rounds: they stay exact."""

SNAP = 1e-9
"""Part of a number by which rounding of its factors may have moved it off an integer."""


class Held(NamedTuple):
    """Integers of some synapses, and what rounding to them did, in the network's unit."""

    weight: np.ndarray
    bias: np.ndarray | None
    rms_error: float  # relative to the root mean square of the weights
    largest_error: float
    bias_error: float
    vanished: int  # weights that were not 0 and are
    clipped: int


class Scale(NamedTuple):
    """The scale of a population."""

    population: str
    steps: float  # weight steps per unit
    theta: np.ndarray  # what the chip compares with
    threshold_error: float  # relative
    limited_by: str
    worst: float  # largest sum of weights that one step can bring


def choose(
    plan: Plan,
    scale: float | Mapping[str, float] | None,
    *,
    strict: bool,
    unlimited: bool,
    problems: list[Problem],
) -> tuple[dict[str, Scale], dict[str, Held]]:
    """Scales of the populations and integers of the synapses, by name.

    Args:
        plan: The mapped network without numbers.
        scale: Steps per unit, for all populations or by name; None: chosen.
        strict: Neurons fire at V > theta.
        unlimited: Sums may be larger than floats hold exactly.
        problems: Gets what is impossible.
    """
    scales: dict[str, Scale] = {}
    held: dict[str, Held] = {}
    for group in _groups(plan):
        given = _given(group, scale, problems)
        if not _agree(group, problems):
            continue
        parts = {key: part for population in group for key, part in population.parts.items()}
        # The smallest factor is the unit, so that averages leave whole numbers whole.
        factors = [abs(part.factor) for part in parts.values() if part.factor]
        base = min(factors, default=1.0)
        values = {key: _values(plan, key, part, base) for key, part in parts.items()}
        if _not_finite(values, problems):
            continue
        worst = {
            population.name: sum(
                _worst(*values[key], part) for key, part in population.parts.items()
            )
            for population in group
        }
        sums = {} if unlimited else worst
        steps, limit = _steps(group, parts, values, base, sums, given)
        for key, (weight, bias) in values.items():
            held[key] = _round(weight, bias, steps, steps / base)
        for population in group:
            theta, error = _theta(population, steps / base, strict)
            most = worst[population.name] * steps
            name = population.name
            scales[name] = Scale(name, steps / base, theta, error, limit, most)
            if most > EXACT and not unlimited:
                problems.append(_too_large(name, most, steps / base))
            largest = EXACT if "theta" in population.wanted.arrays else LARGEST_THRESHOLD
            if np.any(theta > largest):
                problems.append(
                    Problem(
                        name,
                        f"a threshold of {theta.max():.3g} weight steps",
                        f"thresholds are at most {largest:,}",
                        "lower the threshold, or map with a smaller scale",
                    )
                )
            if population.wanted.reset == "subtract" and np.any(theta < 1):
                problems.append(
                    Problem(
                        name,
                        f"a threshold that becomes {theta.min():.0f} weight steps",
                        "what is subtracted at a spike is at least 1",
                        f"map with a scale of more than {steps / base:.4g}",
                    )
                )
    return scales, held


def _groups(plan: Plan) -> list[list[Population]]:
    """Populations that share synapses share their scale."""
    groups: list[list[Population]] = []
    for population in plan.populations:
        same = [g for g in groups if any(set(p.parts) & set(population.parts) for p in g)]
        groups = [g for g in groups if g not in same]
        groups.append([*(p for g in same for p in g), population])
    return groups


def _given(group: list[Population], scale: Any, problems: list[Problem]) -> float | None:
    if not isinstance(scale, Mapping):
        return scale
    values = {scale[p.name] for p in group if p.name in scale}
    if len(values) > 1:
        problems.append(
            Problem(
                group[0].name,
                f"scales {sorted(values)} for populations that share synapses",
                "shared weights have one scale",
                "give one",
            )
        )
    return next(iter(values), None)


def _agree(group: list[Population], problems: list[Problem]) -> bool:
    known: dict[str, Part] = {}
    wrong = False
    for population in group:
        for key, part in population.parts.items():
            if known.setdefault(key, part)[:2] != part[:2]:
                wrong = True
                problems.append(two_factors(key))
    return not wrong


def _values(plan: Plan, key: str, part: Part, base: float) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights and bias, with their factors relative to the group's."""
    layer = plan.layers[key]
    if isinstance(layer, Link):
        return np.asarray(_snapped(part.factor / base)), None
    weight = np.asarray(layer.weight, np.float64) * _snapped(part.factor / base)
    if layer.bias is None:
        return weight, None
    return weight, np.asarray(layer.bias, np.float64) * _snapped(part.outer / base)


def _not_finite(values: Mapping[str, Any], problems: list[Problem]) -> bool:
    count = len(problems)
    for key, pair in values.items():
        for what, array in zip(("weights", "bias"), pair, strict=True):
            problems.extend(check_finite(what, array, key))
    return len(problems) > count


def _worst(weight: np.ndarray, bias: np.ndarray | None, part: Part) -> float:
    """Largest magnitude that one step can bring through some synapses, per step of scale."""
    flat = weight.reshape(len(weight), -1) if weight.ndim else weight.reshape(1, 1)
    up = np.maximum(flat, 0).sum(axis=1) * part.before
    down = np.maximum(-flat, 0).sum(axis=1) * part.before
    if bias is not None:
        up, down = up + np.maximum(bias, 0), down + np.maximum(-bias, 0)
    return float(max(up.max(), down.max())) * part.after


def _steps(
    group: list[Population],
    parts: Mapping[str, Part],
    values: Mapping[str, tuple[np.ndarray, np.ndarray | None]],
    base: float,
    worst: Mapping[str, float],
    given: float | None,
) -> tuple[float, str]:
    """Steps per unit times `base`, and what limited them."""
    if given is not None:
        return given * base, "given"
    on_grid = [array for pair in values.values() for array in pair if array is not None]
    for population in group:
        if population.wanted.reset == "subtract":
            on_grid.append(_snapped(population.wanted.threshold / base))
    threshold = max(float(p.wanted.threshold.max()) for p in group) / base
    limits = {
        "16-bit weights": min(_fits(population, values) for population in group),
        "exact sums": EXACT / max([*worst.values(), 1e-300]),
        "exact thresholds": EXACT / threshold,
    }
    limit = min(limits, key=lambda name: limits[name])
    for places in range(FINEST_GRID + 1):
        if 2.0**places > limits[limit]:
            break
        if all(np.array_equal(x * 2.0**places, np.rint(x * 2.0**places)) for x in on_grid):
            if any(population.wanted.model == "LIF" for population in group):
                # A leak loses up to a step in every time step: many steps make that little.
                return 2.0 ** math.floor(math.log2(limits[limit])), EXACT_AND_FINE
            return 2.0**places, "nothing: exact"
    return limits[limit], limit


def _fits(
    population: Population, values: Mapping[str, tuple[np.ndarray, np.ndarray | None]]
) -> float:
    """Largest scale at which every synapse of a population has 16 bits.

    Windows that overlap, and branches from one source, put several weights into one synapse.
    """
    ways: dict[str, int] = {}
    sums: dict[str, float] = {}
    for key, part in population.parts.items():
        weight, bias = values[key]
        parts = [(source, part.ways, weight) for source in part.sources]
        parts += [] if bias is None else [(f"bias of {key}", part.after, bias)]
        for source, many, array in parts:
            ways[source] = ways.get(source, 0) + many
            sums[source] = sums.get(source, 0.0) + many * float(np.abs(array).max())
    # Each of several is rounded, by half a step at most.
    return min(
        (LARGEST_WEIGHT - (ways[key] // 2 if ways[key] > 1 else 0)) / max(sums[key], 1e-300)
        for key in sums
    )


def _round(weight: np.ndarray, bias: np.ndarray | None, steps: float, unit: float) -> Held:
    def rounded(x: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(x * steps), SMALLEST_WEIGHT, LARGEST_WEIGHT)

    whole = rounded(weight)
    error = np.abs(whole - weight * steps)
    size = math.sqrt(float(np.mean((weight * steps) ** 2)))
    whole_bias = None if bias is None else rounded(bias)
    bias_error = 0.0
    if bias is not None and whole_bias is not None:
        bias_error = float(np.abs(whole_bias - bias * steps).max()) / unit
    return Held(
        whole,
        whole_bias,
        math.sqrt(float(np.mean(error**2))) / size if size else 0.0,
        float(error.max()) / unit,
        bias_error,
        int(np.sum((weight != 0) & (whole == 0))),
        int(np.sum(error > 0.5 + 1e-9)),
    )


def _theta(population: Population, steps: float, strict: bool) -> tuple[np.ndarray, float]:
    """What the chip compares with, and its relative error.

    Membranes are integers, so V >= t is V > ceil(t) - 1: no error, if what a spike subtracts is not
    the same number.
    """
    want = population.wanted
    exact = _snapped(want.threshold * steps)
    near = np.rint(exact)
    if want.reset == "subtract":
        return near, float(np.max(np.abs(near - want.threshold * steps) / exact))
    if strict:
        return np.floor(exact) if want.strict else np.ceil(exact) - 1, 0.0
    return np.floor(exact) + 1 if want.strict else np.ceil(exact), 0.0


def _snapped(values: Any) -> np.ndarray:
    """Numbers, whole where only the rounding of their factors has moved them off an integer."""
    near = np.rint(values)
    return np.where(np.abs(values - near) <= SNAP * np.abs(values), near, values)


def _too_large(name: str, most: float, scale: float) -> Problem:
    return Problem(
        name,
        f"sums of up to {most:,.0f} weight steps in one step",
        f"sums up to {EXACT:,} are exact in layers",
        f"map with a scale of {scale * EXACT / most:.4g} or less, or with sums='unlimited' and "
        "compute with describe_network(mapped), which has no such limit",
    )
