"""What neurons of a network ask of the chip's: decays, threshold, gains; and what it can't do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurojax._layer import Constant, Layer
from neurojax.chips._mapped import Problem
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.float import FloatLIF
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.spec import FULL, LoihiSpec
from neurojax.neurons import IAF, LI, CubaIAF, CubaLI, CubaLIF
from neurojax.surrogate import Surrogate

READ_OUTS = (LI, CubaLI)
CURRENTS = (CubaLIF, CubaIAF, CubaLI)
UNLEAKY = (IAF, CubaIAF)


@dataclass
class Wanted:
    """A population in real numbers. Arrays are one value, or broadcast to the neurons' shape."""

    current_lost: np.ndarray  # part of the current lost in a step; 1: no memory
    voltage_lost: np.ndarray
    threshold: np.ndarray | None
    strict: bool = True
    gain: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(()))
    bias_gain: np.ndarray = dataclasses.field(default_factory=lambda: np.ones(()))
    threshold_low: np.ndarray | None = None  # of negative spikes
    offset: np.ndarray | None = None  # added to the membrane in each step, beside biases
    late: int = 0  # steps by which the synapses act later
    refractory: int = 1
    graded: bool = False
    reset_gradient: str = "full"
    surrogate: Surrogate | None = None
    scale: float | None = None  # the only one possible
    arrays: tuple[str, ...] = ()  # which fields of the chip's neuron are parameters
    notes: tuple[str, ...] = ()


class Options:
    """Of the caller, as far as neurons are concerned."""

    def __init__(self, reset: str, bias: str, ndim: int) -> None:
        self.reset, self.bias = reset, bias
        self.ndim = ndim  # of the neurons' shape


def wanted(
    name: str,
    neuron: Any,
    options: Options,
    has_bias: bool,
    feedback: bool,
    chip: LoihiSpec,
    problems: list[Problem],
) -> Wanted | None:
    """What a neuron asks for, or None with at least one problem."""
    count = len(problems)

    def refuse(found: str, legal: str, remedy: str) -> None:
        problems.append(Problem(name, found, legal, remedy))

    if isinstance(neuron, CUBA):
        result = _of_chip(neuron, options, has_bias, refuse)
    elif isinstance(neuron, FloatLIF):
        result = _of_float(neuron, options, has_bias, refuse)
    else:
        result = _of_real(name, neuron, options, has_bias, feedback, refuse)
    if result is not None and result.refractory > chip.largest_refractory:
        refuse(
            f"a refractory period of {result.refractory - 1} steps",
            f"it is at most {chip.largest_refractory - 1}",
            "use a shorter one",
        )
    return result if len(problems) == count else None


Refuse = Callable[[str, str, str], None]


def _of_chip(neuron: CUBA, options: Options, has_bias: bool, refuse: Refuse) -> Wanted | None:
    """A neuron that computes in the chip's integers already."""
    held = neuron.integers()
    scale = float(neuron.scale)
    if np.log2(scale) % 1:
        refuse(
            f"scale {scale:g}",
            "states are exact where the scale is a power of two",
            "train with scale=64",
        )
    if has_bias and np.any(held["iDecay"] != FULL) and options.bias != "steady":
        _no_bias(refuse)
    if neuron.graded and scale != 64:
        refuse(
            f"graded spikes with scale {scale:g}",
            "graded messages count in units of 64 weight steps",
            "use scale=64",
        )
    if neuron.norm_feedback and neuron.norm is not None:
        refuse(
            "norm_feedback=True: the normalised current is the one that is kept",
            "the chip keeps the current that has arrived",
            "use norm_feedback=False, as slayer",
        )
    offset = None
    if neuron.norm is not None:
        if not isinstance(neuron.norm, ShiftNorm):
            refuse(f"norm={neuron.norm.describe()}", "the mean of a ShiftNorm is a bias", "use one")
            return None
        mean = np.asarray(neuron.norm.offset, np.float64)
        offset = -mean.reshape(-1, *(1,) * (options.ndim - 1))
        shift = int(np.asarray(neuron.norm.exponent)[0])
        if shift:
            refuse(
                f"a ShiftNorm that divides by 2^{shift}",
                "the chip has no shift between current and membrane",
                "use ShiftNorm without var (slayer: MeanOnlyBatchNorm)",
            )
    threshold = held.get("vThMant")
    lost = np.asarray(held["iDecay"], np.float64) / FULL
    steady = np.ones(()) if not has_bias else 1 / np.maximum(lost, 1 / FULL)
    fields = {"current_decay": "du", "voltage_decay": "dv", "threshold": "vth"}
    return Wanted(
        current_lost=lost,
        voltage_lost=np.asarray(held["vDecay"], np.float64) / FULL,
        threshold=None if threshold is None else np.asarray(threshold, np.float64) / scale,
        bias_gain=steady,
        offset=offset,
        graded=neuron.graded,
        reset_gradient=neuron.reset_gradient,
        surrogate=neuron.surrogate,
        scale=scale,
        arrays=tuple(to for name, to in fields.items() if _is_array(getattr(neuron, name))),
    )


def _of_float(neuron: FloatLIF, options: Options, has_bias: bool, refuse: Refuse) -> Wanted | None:
    """The chip's equations in real numbers."""
    value = lambda name: np.asarray(getattr(neuron, name), np.float64)  # noqa: E731
    if has_bias and np.any(value("du") != 1) and options.bias != "steady":
        _no_bias(refuse)
    if neuron.vth is not None and np.any(value("vth") <= 0):
        refuse(f"a threshold of {_text(value('vth'))}", "thresholds are above 0", "raise it")
    fields = {"du": "du", "dv": "dv", "vth": "vth", "vth_lo": "vth_lo", "bias": "bias_mant"}
    has_offset = _is_array(neuron.bias) or bool(np.any(value("bias")))
    return Wanted(
        current_lost=value("du"),
        voltage_lost=value("dv"),
        threshold=None if neuron.vth is None else value("vth"),
        threshold_low=None if neuron.vth_lo is None else value("vth_lo"),
        bias_gain=1 / np.maximum(value("du"), 1 / FULL) if has_bias else np.ones(()),
        offset=value("bias") if has_offset else None,
        refractory=neuron.refractory,
        reset_gradient=neuron.reset_gradient,
        surrogate=neuron.surrogate,
        arrays=tuple(to for name, to in fields.items() if _is_array(getattr(neuron, name))),
    )


def _of_real(
    name: str, neuron: Any, options: Options, has_bias: bool, feedback: bool, refuse: Refuse
) -> Wanted | None:
    held = neuron.prepare(None)
    notes = []
    value = lambda field: np.asarray(getattr(held, field), np.float64)  # noqa: E731
    kept_v = np.ones(()) if isinstance(neuron, UNLEAKY) else value("decay")
    kept_i = value("decay_syn") if isinstance(neuron, CURRENTS) else np.zeros(())
    for what, kept in (("membrane", kept_v), ("current", kept_i)):
        if np.any(kept < 0):
            refuse(
                f"a {what} of which {kept.min():g} is left after a step",
                "decays are within 0..1",
                "use a longer time constant, or method='exact'",
            )
    rest = np.zeros(()) if isinstance(neuron, UNLEAKY) else value("v_rest")
    gain = value("gain")
    order = neuron.order if isinstance(neuron, CURRENTS) else "new"
    if order == "decay_input":
        gain = gain * kept_i
    if order == "old" and feedback:
        refuse(
            "order='old' in a Recurrent",
            "the chip's membrane takes the new current; the old one takes a delay before the "
            "synapses, and feedback has no room for it",
            "use order='new'",
        )
    if order == "old":
        notes.append(
            f"'{name}': order='old' is a delay of one step before its synapses; its current is "
            "one step late in the probes"
        )
    has_memory = bool(np.any(kept_i != 0))
    if has_bias and has_memory and options.bias != "steady":
        _no_bias(refuse)
    bias_gain = gain / np.maximum(1 - kept_i, 1 / FULL) if has_bias else np.ones(())
    if has_bias and has_memory and options.bias == "steady":
        notes.append(
            f"'{name}': the bias is at once what the current would rise to (bias='steady'), so "
            "the first time constants differ"
        )
    if neuron.v_min is not None:
        refuse("a lower bound v_min", "the membrane has none (but for 24 bits)", "use v_min=None")
    if isinstance(neuron, READ_OUTS):
        if np.any(rest != 0):
            refuse("v_rest other than 0", "a read-out decays to 0", "add v_rest to the outputs")
        _no_start(neuron, rest, refuse)
        return Wanted(
            1 - kept_i,
            1 - kept_v,
            None,
            gain=gain,
            bias_gain=bias_gain,
            late=order == "old",
            arrays=_arrays(neuron),
            notes=tuple(notes),
        )
    reset_to = value("reset_value") if neuron.reset == "value" else np.zeros(())
    if options.reset == "zero":
        if neuron.reset != "zero" and not np.any(rest):
            notes.append(f"'{name}': reset='{neuron.reset}' became 'zero', as you asked")
        reset_to = rest if neuron.reset != "value" else reset_to
    elif neuron.reset in ("subtract", "none"):
        refuse(
            f"reset='{neuron.reset}'",
            "a spike resets the membrane to zero",
            "train with reset='zero', or map with reset='zero' and see what it costs",
        )
        reset_to = rest
    if np.any(reset_to != rest):
        refuse(
            f"a reset to {_text(reset_to)} with v_rest {_text(rest)}",
            "the membrane is reset to where it decays to",
            "use the same value for both",
        )
    if np.any(value("threshold") <= rest):
        refuse(
            f"a threshold of {_text(value('threshold'))} with v_rest {_text(rest)}",
            "a threshold is above the resting potential",
            "raise it",
        )
    _no_start(neuron, rest, refuse)
    for ok, found, legal, remedy in (
        (
            neuron.max_spikes == 1,
            f"max_spikes={neuron.max_spikes}",
            "a neuron spikes at most once in a step",
            "use max_spikes=1",
        ),
        (
            neuron.reset_delay in (False, "before"),
            f"reset_delay={neuron.reset_delay!r}",
            "the reset comes in the step of the spike",
            "use reset_delay=False",
        ),
        (
            not neuron.winner_take_all,
            "winner_take_all=True",
            "neurons of the chip don't see each other",
            "use winner_take_all=False",
        ),
        (
            neuron.amplitude is None or not np.any(value("amplitude") != 1),
            "spikes with an amplitude",
            "a spike is 1",
            "use amplitude=None, and put the factor into the next weights",
        ),
    ):
        if not ok:
            refuse(found, legal, remedy)
    refractory = np.zeros(1) if neuron.refractory is None else np.unique(value("refractory"))
    if refractory.size != 1:
        refuse(
            f"a refractory period with {refractory.size} values",
            "the neurons of a layer share one",
            "use one",
        )
    return Wanted(
        current_lost=1 - kept_i,
        voltage_lost=1 - kept_v,
        threshold=value("threshold") - rest,
        strict=neuron.strict,
        gain=gain,
        bias_gain=bias_gain,
        late=int(order == "old"),
        refractory=int(refractory[0]) + 1,
        reset_gradient="detached" if neuron.detach_reset else "full",
        surrogate=neuron.surrogate,
        arrays=_arrays(neuron),
        notes=tuple(notes),
    )


def _no_bias(refuse: Refuse) -> None:
    refuse(
        "a bias in front of a current that decays",
        "the chip's bias goes into the membrane, past the current",
        "remove it, use neurons without a current, feed it from an input that always spikes, or "
        "map with bias='steady', which is right once the current has settled",
    )


def _no_start(neuron: Any, rest: np.ndarray, refuse: Refuse) -> None:
    if neuron.v_init is not None and np.any(np.asarray(neuron.v_init) != rest):
        refuse(
            "a first membrane potential v_init",
            "neurons start at rest",
            "use v_init=None",
        )


def _arrays(neuron: Layer) -> tuple[str, ...]:
    """Which of du, dv, vth come from parameters."""
    given = {
        "du": ("tau_syn", "decay_syn"),
        "dv": ("tau", "decay"),
        "vth": ("threshold", "v_rest"),
    }
    return tuple(
        to
        for to, names in given.items()
        if any(_is_array(getattr(neuron, name, None)) for name in names)
    )


def _is_array(value: Any) -> bool:
    return value is not None and not isinstance(value, Constant | float | int)


def _text(values: np.ndarray) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:g}" if low == high else f"{low:g}..{high:g}"
