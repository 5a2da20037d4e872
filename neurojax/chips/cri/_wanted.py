"""A neuron of real numbers, as what the chip is asked for.

The chip's neuron: S = V > theta; a spike resets V to 0 (or subtracts theta), otherwise V loses
V / 2^leak; then the input is added. That is the network's order (leak, input, spike, reset), looked
at between its input and its spike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import numpy as np

from neurojax.neurons import IAF, LIF
from neurojax.surrogate import Surrogate

NEURONS = (IAF, LIF)
LARGEST_LEAK = 33
"""Membranes have 35 bits: a shift by more leaves nothing but the sign."""

Refuse = Callable[[str, str, str], None]


class Wanted(NamedTuple):
    """What a population needs, in the network's unit."""

    threshold: np.ndarray  # at an input gain of 1; broadcasts to the neurons
    gain: float  # of the input, on average
    strict: bool  # fires at v > threshold
    model: str  # "IF", "LIF" or "ANN"
    leak: np.ndarray  # shifts
    decay_error: float  # largest relative error of 1 - decay
    reset: str  # "zero" or "subtract"
    refractory: int
    surrogate: Surrogate
    arrays: tuple[str, ...]  # which of theta and leak come from parameters
    notes: tuple[str, ...]


def wanted(name: str, neuron: Any, refuse: Refuse) -> Wanted | None:
    """What `neuron` needs, or None after `refuse(found, legal, remedy)` has been told why not."""
    refused = False

    def no(found: str, legal: str, remedy: str) -> None:
        nonlocal refused
        refused = True
        refuse(found, legal, remedy)

    held = neuron.prepare(None)
    value = lambda field: np.asarray(getattr(held, field), np.float64)  # noqa: E731
    _check_options(neuron, held, no)
    notes: list[str] = []
    kept = value("decay") if isinstance(neuron, LIF) else np.ones(())
    if np.any(kept < 0):
        no(
            f"a membrane of which {kept.min():g} is left after a step",
            "decays are within 0..1",
            "use a longer time constant, or method='exact'",
        )
        kept = np.clip(kept, 0, 1)
    model, leak, error = _leak(kept)
    if error > 0.01:
        notes.append(
            f"'{name}': a step keeps 1 - 2^-leak of the membrane; that changed what is lost by up "
            f"to {error:.0%}"
        )
    gain = value("gain")
    if np.any(gain <= 0):
        no(f"an input gain of {_text(gain)}", "a gain is > 0", "put it into the weights")
        gain = np.ones(())
    threshold = value("threshold")
    if np.any(threshold <= 0):
        no(
            f"a threshold of {_text(threshold)}",
            "neurons that spike without input would do so before the first input has arrived",
            "use a threshold > 0",
        )
    reset = "subtract" if neuron.reset == "subtract" else "zero"
    refractory = 0
    if neuron.refractory is not None:
        periods = np.unique(value("refractory"))
        refractory = int(periods[0])
        if periods.size > 1:
            no("several refractory periods", "the neurons of a layer share one", "use one")
    if neuron.reset_delay is True and reset == "zero":
        # The late reset discards the input of the step after a spike.
        refractory = max(refractory, 1)
    if reset == "subtract" and model == "LIF":
        notes.append(
            f"'{name}': in the step after a spike the chip subtracts the threshold and does not "
            "leak, the network also leaks"
        )
    if refused:
        return None
    return Wanted(
        threshold / gain,
        float(np.mean(gain)),
        neuron.strict,
        model,
        leak,
        error,
        reset,
        refractory,
        neuron.surrogate,
        tuple(
            to
            for to, fields in (("theta", ("threshold", "gain")), ("leak", ("tau", "decay")))
            if any(eqx.is_array(getattr(neuron, name, None)) for name in fields)
        ),
        tuple(notes),
    )


def _check_options(neuron: Any, held: Any, no: Refuse) -> None:
    zero = lambda x: not np.any(np.asarray(x))  # noqa: E731
    if neuron.reset == "none":
        no("reset='none'", "a spike resets the membrane", "use reset='zero' or 'subtract'")
    if neuron.reset == "value" and not zero(held.reset_value):
        no(
            f"a reset to {_text(np.asarray(held.reset_value))}",
            "a spike resets the membrane to 0, or subtracts the threshold",
            "shift potentials so that the reset is at 0",
        )
    if neuron.refractory is not None and not zero(held.reset_value):
        no("a potential during silence other than 0", "it is 0", "use reset_value=0")
    if isinstance(neuron, LIF) and not zero(held.v_rest):
        no(
            f"v_rest {_text(np.asarray(held.v_rest))}",
            "membranes decay to 0",
            "shift potentials and threshold by v_rest, so that it is 0",
        )
    if neuron.v_init is not None and not zero(neuron.v_init):
        no("a first membrane potential v_init", "neurons start at 0", "use v_init=None")
    if neuron.v_min is not None:
        no("a lower bound v_min", "membranes have none (but for 35 bits)", "use v_min=None")
    if neuron.max_spikes != 1:
        no(f"max_spikes={neuron.max_spikes}", "a neuron spikes once in a step", "use max_spikes=1")
    late_subtract = neuron.reset_delay is True and neuron.reset == "subtract"
    late_zero = neuron.reset_delay is True and neuron.reset in ("zero", "value")
    if not (neuron.reset_delay in (False, "before") or late_subtract or late_zero):
        no(
            f"reset_delay={neuron.reset_delay!r}",
            "the reset comes with the spike",
            "use reset_delay=False",
        )
    if neuron.winner_take_all:
        no(
            "winner_take_all=True",
            "neurons see each other through synapses only",
            "use winner_take_all=False, or negative weights between them",
        )
    if neuron.amplitude is not None and np.any(np.asarray(neuron.amplitude) != 1):
        no("spikes with an amplitude", "a spike is 1", "put the factor into the next weights")


def _leak(kept: np.ndarray) -> tuple[str, np.ndarray, float]:
    """Model, shift, and the largest relative error of what a step loses."""
    if np.all(kept == 1):
        return "IF", np.asarray(63), 0.0
    if np.all(kept == 0):
        return "ANN", np.asarray(0), 0.0
    lost = 1 - kept
    with np.errstate(divide="ignore"):
        exact = -np.log2(lost)
    shift = np.where(lost == 0, 63, np.clip(np.rint(exact), 0, LARGEST_LEAK)).astype(int)
    # Between 0 (all is lost) and 1 (half of it) the nearer one by what is left.
    shift = np.where((shift <= 1) & (lost > 0), np.where(kept < 0.25, 0, 1), shift)
    error = np.where(lost == 0, 0, np.abs(2.0**-shift - lost) / np.maximum(lost, 1e-300))
    return "LIF", shift, float(error.max())


def _text(values: np.ndarray) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:g}" if math.isclose(low, high) else f"{low:g}..{high:g}"
