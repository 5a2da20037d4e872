"""From real numbers to Loihi's integers: one scale for a population, chosen for the least error.

All that reaches a population of neurons is multiplied by one number, the scale s, in weight steps
per unit: weights w s = mantissa 2^exponent, threshold s, bias s. The decays need no scale. What a
scale costs is measured by

    error(s)^2 = sum (w' - w)^2 / sum w^2 + mean ((threshold' - threshold) / threshold)^2

where primes are what the chip holds, divided by s; clipping counts like rounding. The sums run over
the weights of all synapses of the population, the mean over its thresholds. Since s and the
exponent together leave the mantissas alone, s is searched near limit / max |w| for every exponent.

Exponents here are >= 0: a negative one rounds the sum down, and a larger scale does without.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from neurojax.chips.loihi.spec import FULL, LARGEST_STATE, STATE_SHIFT, WEIGHT_BITS, LoihiSpec
from neurojax.chips.loihi.weights import mantissa_range

FACTORS = np.geomspace(0.55, 1.25, 48)
"""Candidates, relative to the scale at which the largest weight has the largest mantissa. Above 1
the largest weights are clipped; below 1 / 2 a step of the exponent would give the same."""

TOLERANCE = 1.01
"""A smaller exponent, which leaves more headroom, is taken if its error is at most this larger."""


class Scaling(NamedTuple):
    """A scale, and what the weights of each synapse become."""

    scale: float  # weight steps per unit
    exponents: tuple[int, ...]  # of each synapse
    signs: tuple[str, ...]
    mantissas: tuple[np.ndarray, ...]  # float64 that hold integers
    error: float  # as above, the root


class Demand(NamedTuple):
    """What a population asks for, in real numbers."""

    weights: Sequence[Float[np.ndarray, ...]]  # of each synapse
    threshold: Float[np.ndarray, ...] | None  # None: it does not spike
    on_grid: bool = False  # the membrane is a whole number of weight steps: no rounding error
    largest_bias: float = 0.0  # absolute, as the membrane gets it in one step
    largest_sum: float = 0.0  # of absolute weights that meet at one neuron
    memory: float = 1.0  # what a current that flows in all steps adds up to, relative to one step


def round_weights(
    values: Float[np.ndarray, "*shape"], bits: int, sign: str
) -> Float[np.ndarray, "*shape"]:
    """The nearest legal mantissas, ties to the even multiple of the step, limits included."""
    low, high, step = mantissa_range(bits, sign)
    return np.clip(np.rint(np.asarray(values, np.float64) / step) * step, low, high) + 0.0


def round_decay(
    decay: Float[np.ndarray, "*shape"], limits: tuple[int, int], *, offset: int = 0
) -> Float[np.ndarray, "*shape"]:
    """What a decay register holds for what is left after a step: round(4096 (1 - decay)) - offset.

    Ties go to even. Limited to the register's range.
    """
    lost = np.rint(FULL * (1 - np.asarray(decay, np.float64)))
    return np.clip(lost - offset, *limits)


def round_threshold(
    threshold: Float[np.ndarray, "*shape"], *, strict: bool, on_grid: bool
) -> Float[np.ndarray, "*shape"]:
    """The mantissa that makes `v > mantissa` come nearest to the wanted comparison.

    Args:
        threshold: In weight steps, a real number.
        strict: Spikes are wanted at v > threshold; else at v >= threshold.
        on_grid: v is always a whole number of weight steps: then the comparison is met exactly.
    """
    wanted = np.asarray(threshold, np.float64)
    whole = np.rint(wanted)
    wanted = np.where(np.abs(wanted - whole) < 1e-6 * np.maximum(1, np.abs(wanted)), whole, wanted)
    if on_grid:
        return np.floor(wanted) if strict else np.ceil(wanted) - 1
    # One state step lower is 1 / 64 of a weight step: it decides only ties.
    return np.rint(wanted if strict else wanted - 1 / (1 << STATE_SHIFT))


def round_bias(
    bias: Float[np.ndarray, "*shape"], chip: LoihiSpec, exponent: int | None = None
) -> tuple[Float[np.ndarray, "*shape"], int]:
    """Mantissas and their common exponent for a bias in state steps.

    The exponent with the smallest error; of several, 6 (which makes the mantissa count weight
    steps, as in slayer's files), then the largest below, then 7.
    """
    low, high = chip.bias_exponents
    order = sorted(range(low, high + 1), key=lambda e: (e > STATE_SHIFT, abs(e - STATE_SHIFT)))
    bias = np.asarray(bias, np.float64)

    def mantissas(e: int) -> np.ndarray:
        return np.clip(np.rint(bias / 2.0**e), -chip.largest_bias, chip.largest_bias) + 0.0

    if exponent is None:
        exponent = min(order, key=lambda e: float(np.sum((mantissas(e) * 2.0**e - bias) ** 2)))
    return mantissas(exponent), exponent


def choose_scale(
    demand: Demand,
    chip: LoihiSpec,
    *,
    bits: int = WEIGHT_BITS,
    scale: float | None = None,
    exponent: int | None = None,
) -> Scaling:
    """The scale of a population with the least error, see above.

    Of exponents whose errors differ by less than 1 % the smallest is taken. An exponent above 0
    must leave room for all inputs at once.

    Args:
        demand: Weights, thresholds and biases of the population.
        chip: Its limits.
        bits: Width of the weights.
        scale: Fix the scale; only the exponents are chosen.
        exponent: Fix the exponent of all weights.

    Raises:
        ValueError: A given scale or exponent can't hold thresholds or biases.
    """
    weights = [np.asarray(w, np.float64) for w in demand.weights]
    signs = tuple(_sign_of(w) for w in weights)
    errors = _WeightErrors(weights, signs, bits)
    highest = _largest_scale(demand, chip)
    if scale is not None:
        if scale > highest * (1 + 1e-9):
            raise ValueError(
                f"the scale {scale:g} makes the threshold or the bias too large; at most "
                f"{highest:.6g} is possible"
            )
        exponents = errors.exponents(scale, chip, exponent)
        return _made(weights, signs, bits, scale, exponents, errors, demand)
    best: dict[int, tuple[float, float]] = {}  # exponent of the largest weights: error, scale
    for anchor, s in _candidates(demand, weights, signs, bits, highest, chip, exponent):
        found = _total_error(s, errors.exponents(s, chip, exponent, anchor), errors, demand)
        # Of equal ones the larger scale: states have more bits then.
        if anchor not in best or (found, -s) < (best[anchor][0], -best[anchor][1]):
            best[anchor] = found, s
    least = min(error for error, _ in best.values())
    anchor = min(e for e, (error, _) in best.items() if error <= least * TOLERANCE)
    exponents = errors.exponents(best[anchor][1], chip, exponent, anchor)
    return _made(weights, signs, bits, best[anchor][1], exponents, errors, demand)


def _sign_of(weight: np.ndarray) -> str:
    if weight.size == 0 or weight.min() >= 0:
        return "excitatory"
    return "inhibitory" if weight.max() <= 0 else "mixed"


def _largest_scale(demand: Demand, chip: LoihiSpec) -> float:
    limits = [math.inf]
    if demand.threshold is not None and np.max(demand.threshold) > 0:
        limits.append(chip.largest_threshold / float(np.max(demand.threshold)))
    if demand.largest_bias > 0:
        largest = chip.largest_bias * 2.0 ** (chip.bias_exponents[1] - STATE_SHIFT)
        limits.append(largest / demand.largest_bias)
    return min(limits)


def _candidates(
    demand: Demand,
    weights: Sequence[np.ndarray],
    signs: Sequence[str],
    bits: int,
    highest: float,
    chip: LoihiSpec,
    exponent: int | None,
) -> Iterator[tuple[int, float]]:
    """Exponents (of the largest weights) and scales to try."""
    largest = [float(np.max(np.abs(w), initial=0)) for w in weights]
    if not any(largest):
        yield 0, min(64.0, highest)
        return
    i = int(np.argmax(largest))
    low, high, _ = mantissa_range(bits, signs[i])
    naive = min(
        abs(limit) / extreme
        for limit, extreme in ((high, weights[i].max()), (low, -weights[i].min()))
        if extreme > 0
    )
    base = np.concatenate([[naive], naive * FACTORS])
    base = np.concatenate([base, _exact(weights[i], signs[i], bits, naive, demand.threshold)])
    whole = _whole_threshold(demand.threshold)
    if whole is not None:  # the nearest scales that keep the threshold without error
        base = np.concatenate([base, np.rint(base * whole) / whole])
    base = np.unique(base[base > 0])
    room = highest
    if demand.largest_sum > 0:
        steps = LARGEST_STATE / demand.memory
        if chip.accumulator_bits is not None:
            steps = min(steps, 1 << (chip.accumulator_bits - 1))
        room = min(room, steps / (1 << STATE_SHIFT) / demand.largest_sum)
    exponents = range(chip.weight_exponents[1] + 1) if exponent is None else [exponent]
    found = False
    for e in exponents:
        for s in base * 2.0**e:
            if s <= (highest if e <= 0 or exponent is not None else room):
                found = True
                yield e, float(s)
    if not found:  # the threshold is many times the weights: it decides
        for s in highest * np.linspace(0.5, 1, len(FACTORS)):
            yield (0 if exponent is None else exponent), float(s)
        if whole is not None:
            for k in np.floor(highest * whole) - np.arange(8):
                if k > 0:
                    yield (0 if exponent is None else exponent), float(k / whole)


def _whole_threshold(threshold: np.ndarray | None) -> float | None:
    """The threshold, if all neurons have the same one above 0."""
    values = np.unique([] if threshold is None else np.asarray(threshold, np.float64))
    return float(values[0]) if values.size == 1 and values[0] > 0 else None


def _exact(
    weight: np.ndarray, sign: str, bits: int, naive: float, threshold: np.ndarray | None
) -> np.ndarray:
    """Scales at which weights that are multiples of one number are integers, if there are any.

    Of many the 16 whose thresholds are nearest to whole numbers.
    """
    step = mantissa_range(bits, sign).step
    unit = _common_divisor(np.abs(weight), 2 * (1 << WEIGHT_BITS) / step)
    if unit is None:
        return np.zeros(0)
    count = int(naive * unit / step * (1 + 1e-9))
    scales = np.arange(1, count + 1) * step / unit
    if threshold is not None and scales.size > 16:
        steps = np.multiply.outer(scales, np.unique(threshold))
        off = np.sum((np.rint(steps) - steps) ** 2, axis=-1)
        # The larger ones first: lexsort's last key counts most.
        scales = scales[np.lexsort((-scales, np.round(off, 12)))[:16]]
    return scales[-16:]


def _common_divisor(values: np.ndarray, largest_ratio: float) -> float | None:
    """The largest number of which all values are multiples up to float32's rounding, by Euclid."""
    values = np.unique(values[values > 0])
    # Beyond these many values there can't be a common divisor that is large enough.
    if values.size == 0 or values.size > largest_ratio:
        return None
    rounding = 1e-6 * values[-1]
    unit = values[0]
    while True:
        if values[-1] / unit > largest_ratio:
            return None
        rest = np.mod(values + rounding, unit)
        rest = rest[rest > 2 * rounding]
        if rest.size == 0:
            return float(values[-1] / np.rint(values[-1] / unit))
        unit = rest.min() - rounding


class _WeightErrors:
    """Sums of squared errors of a synapse at w steps per unit, each computed once."""

    def __init__(self, weights: Sequence[np.ndarray], signs: Sequence[str], bits: int) -> None:
        self.weights = [np.ravel(w) for w in weights]
        self.limits = [mantissa_range(bits, sign) for sign in signs]
        self.total = sum(float(w @ w) for w in self.weights) or 1.0
        self.largest = [float(np.max(np.abs(w), initial=0)) for w in self.weights]
        self._known: dict[tuple[int, float], float] = {}

    def at(self, i: int, steps: float) -> float:
        if (i, steps) not in self._known:
            self._known[i, steps] = self._compute(i, steps)
        return self._known[i, steps]

    def _compute(self, i: int, steps: float) -> float:
        low, high, step = self.limits[i]
        error = 0.0
        for block in _blocks(self.weights[i]):
            x = block * (steps / step)
            held = np.rint(x)
            np.clip(held, low / step, high / step, out=held)
            held -= x
            error += float(held @ held)
        return error * (step / steps) ** 2

    def exponents(
        self, s: float, chip: LoihiSpec, fixed: int | None, anchor: int | None = None
    ) -> tuple[int, ...]:
        """The exponents with the least error; that of the largest weights may be given."""
        first = int(np.argmax(self.largest)) if self.largest else 0

        def one(i: int) -> int:
            if fixed is not None:
                return fixed
            if anchor is not None and i == first:
                return anchor
            if not self.largest[i]:
                return 0
            low, high, _ = self.limits[i]
            # The first without clipping, or one of its neighbours.
            needed = math.ceil(math.log2(max(1e-30, s * self.largest[i] / max(-low, high))))
            last = chip.weight_exponents[1]
            options = sorted({min(max(0, needed + k), last) for k in (-1, 0, 1)})
            return min(options, key=lambda e: self.at(i, s / 2.0**e))

        return tuple(one(i) for i in range(len(self.weights)))


def _blocks(values: np.ndarray, size: int = 1 << 15) -> Iterator[np.ndarray]:
    """Pieces that stay in the cache."""
    for start in range(0, values.size, size):
        yield values[start : start + size]


def _total_error(
    s: float, exponents: Sequence[int], errors: _WeightErrors, demand: Demand
) -> float:
    squares = sum(errors.at(i, s / 2.0**e) for i, e in enumerate(exponents))
    total = squares / errors.total
    if demand.threshold is not None and not demand.on_grid:
        steps = np.asarray(demand.threshold, np.float64) * s
        total += float(np.mean(((np.rint(steps) - steps) / np.maximum(steps, 1e-30)) ** 2))
    return math.sqrt(total) if total > 1e-13 else 0.0  # the rest is rounding of the arithmetic


def _made(
    weights: Sequence[np.ndarray],
    signs: tuple[str, ...],
    bits: int,
    scale: float,
    exponents: tuple[int, ...],
    errors: _WeightErrors,
    demand: Demand,
) -> Scaling:
    mantissas = tuple(
        round_weights(w * (scale / 2.0**e), bits, sign)
        for w, e, sign in zip(weights, exponents, signs, strict=True)
    )
    return Scaling(
        scale, exponents, signs, mantissas, _total_error(scale, exponents, errors, demand)
    )
