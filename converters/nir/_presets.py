"""What a NIR file leaves to its reader, as the libraries that write such files do it.

NIR describes neurons in continuous time. The time step, the discretisation, whether the threshold
itself is a spike, when the reset comes and whether it subtracts are not in the file, and the
libraries disagree; some also write numbers that mean something else than NIR says. A `Preset` holds
all of these choices.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

from neurojax.converters.snntorch._neurons import reset_options
from neurojax.surrogate import ATan, SuperSpike, by_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """How the numbers of a NIR file become time steps.

    The defaults are NIR's own text (threshold exceeded, reset to v_reset), stepped by forward
    Euler. `dataclasses.replace(preset, ...)` makes a variant.

    Attributes:
        name: For messages and for the provenance of layers.
        dt: Time step in seconds that the library assumes; None: the caller has to say it.
        time_unit: Unit of the times in the file: `"s"`, `"ms"`, `"us"` or `"steps"`; None: `"s"`.
        tau_is_times_dt: The file holds tau multiplied by dt (in seconds).
        method: `"euler"`, decay = 1 - dt/tau, or `"exact"`, decay = exp(-dt/tau).
        uses_r: Leaky membranes take r (1 - decay) of their input; False: the input as it is.
        input_is_rate: `IF` and `I` add r dt x in a step; False: r x.
        synapse: What an input adds to the current of `CubaLIF` and `CubaLI`: `"filter"`, as NIR
            says, w_in (1 - decay); `"jump"`, w_in; `"one"`, 1.
        order: Which current drives the membrane, see `neurojax.neurons.cuba`.
        v_min: Lower bound of membrane potentials.
        late_spikes: Spikes leave a population one step late.
        spiking: Options of spiking neurons: `strict`, `reset` (None: to v_reset), `reset_delay`...
        special: More options, by what they are for: `"LIF"`, `"recurrent LIF"`, ...
        refuses: Kinds of nodes that can't be imported this way, with the reason.
        unknown: What the file does not say and this preset has assumed.
    """

    name: str
    dt: float | None = None
    time_unit: str | None = None
    tau_is_times_dt: bool = False
    method: str = "euler"
    uses_r: bool = True
    input_is_rate: bool = True
    synapse: str = "filter"
    order: str = "new"
    v_min: float | None = None
    late_spikes: bool = False
    spiking: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    special: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    refuses: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unknown: str = ""

    def options(self, kind: str, recurrent: bool = False) -> dict[str, Any]:
        """Options of a spiking neuron: NIR's own, and what this preset says instead.

        Args:
            kind: Kind of the node, such as `"LIF"`.
            recurrent: Whether the node is part of a cycle.
        """
        options = {"strict": True, "reset": None, "surrogate": ATan(), **self.spiking}
        options |= self.special.get(kind, {})
        if recurrent:
            options |= self.special.get(f"recurrent {kind}", {})
        return options


def nir() -> Preset:
    """NIR's own text: spike above the threshold, reset to v_reset in the same step."""
    return Preset(name="nir")


def spikingjelly() -> Preset:
    """SpikingJelly's `export_to_nir`: dt 0.1 ms, spike at the threshold."""
    surrogate = by_name("spikingjelly.Sigmoid")
    return Preset(name="spikingjelly", dt=1e-4, spiking={"strict": False, "surrogate": surrogate})


def snntorch(*, reset_mechanism: str = "subtract", reset_delay: bool = True) -> Preset:
    """snnTorch's `export_to_nir`: dt 0.1 ms.

    Args:
        reset_mechanism: `"subtract"`, `"zero"` or `"none"`, as the neurons had it; the file does
            not say it.
        reset_delay: The same.
    """
    usual = reset_options(reset_mechanism, reset_delay)
    return Preset(
        name="snntorch",
        dt=1e-4,
        input_is_rate=False,
        spiking={"surrogate": by_name("snntorch.atan"), **usual},
        special={
            "LIF": reset_options(reset_mechanism, reset_delay, before_input=True),
            "recurrent LIF": usual,
            # `RSynaptic` ignores reset_delay=False.
            "recurrent CubaLIF": reset_options(reset_mechanism),
        },
        unknown=f"reset_mechanism={reset_mechanism!r} and reset_delay={reset_delay} are assumed",
    )


def norse(*, v_reset: float | None = None) -> Preset:
    """Norse's `to_nir`: dt 1 ms, tau written as tau dt, input jumps the current.

    Args:
        v_reset: As the neurons had it, if not 0; Norse does not write it. None: as in the file.
    """
    reset = {} if v_reset is None else {"reset": "value", "reset_value": v_reset}
    assumed = (
        "what the file says, which Norse does not write" if v_reset is None else f"{v_reset:g}"
    )
    return Preset(
        name="norse",
        dt=1e-3,
        tau_is_times_dt=True,
        input_is_rate=False,
        synapse="jump",
        order="jump_then_decay",
        spiking={"surrogate": by_name("norse.super"), **reset},
        unknown=f"v_reset is assumed to be {assumed}",
    )


def sinabs(
    *,
    norm_input: bool = True,
    min_v_mem: float | None = None,
    max_spikes: int | None = None,
    reset: str = "subtract",
) -> Preset:
    """sinabs' `to_nir`: times in steps, several spikes in a step, reset by subtraction.

    Args:
        norm_input: As the `LIF` and `ExpLeak` layers had it; the file does not say it.
        min_v_mem: The same, of all layers.
        max_spikes: Spikes in a step: 1 for `SingleSpike`, n for `MaxSpike(n)`, None (no limit) for
            `MultiSpike`.
        reset: `"subtract"` for `MembraneSubtract()`, `"zero"` for `MembraneReset()`.
    """
    if reset not in ("subtract", "zero"):
        raise ValueError(f"presets.sinabs: reset is {reset!r}; it must be 'subtract' or 'zero'")
    return Preset(
        name="sinabs",
        time_unit="steps",
        method="exact",
        uses_r=norm_input,
        v_min=min_v_mem,
        spiking={
            "strict": False,
            "reset": reset,
            # Which neurons spiked is a truth value in MembraneReset: no gradient passes.
            "detach_reset": reset == "zero",
            "max_spikes": max_spikes,
            "detach_threshold": True,
            "surrogate": by_name("sinabs.SingleExponential"),
        },
        unknown=f"norm_input={norm_input}, min_v_mem={min_v_mem}, max_spikes={max_spikes} and "
        f"reset={reset!r} are assumed",
    )


def spyx() -> Preset:
    """spyx' `to_nir` with dt=1: r without meaning, spikes one step late, reset by subtraction."""
    return Preset(
        name="spyx",
        time_unit="steps",
        uses_r=False,
        input_is_rate=False,
        synapse="one",
        late_spikes=True,
        spiking={"reset": "subtract", "reset_delay": True, "surrogate": SuperSpike(alpha=25.0)},
        special={"recurrent CubaLIF": {"reset_delay": "before"}},
        refuses={
            "CubaLIF": "spyx' CuBaLIF subtracts its reset twice, before and after the leak; "
            "preset='nir' imports it as NIR describes it"
        },
    )


def rockpool() -> Preset:
    """Rockpool's `to_nir`: several spikes in a step, reset by subtraction, exponential decays."""
    return Preset(
        name="rockpool",
        method="exact",
        uses_r=False,
        input_is_rate=False,
        synapse="one",
        order="decay_input",
        spiking={"strict": False, "reset": "subtract", "max_spikes": None},
    )


def jaxsnn() -> Preset:
    """jaxsnn's export: times in milliseconds; the current before the input drives the membrane."""
    return Preset(name="jaxsnn", time_unit="ms", synapse="jump", order="old")


PRESETS = {
    make.__name__: make
    for make in (nir, spikingjelly, snntorch, norse, sinabs, spyx, rockpool, jaxsnn)
}


def preset_of(value: Preset | str) -> Preset:
    """A preset from itself or its name.

    Raises:
        ValueError: No preset has this name.
        TypeError: It is neither.
    """
    if isinstance(value, Preset):
        return value
    if not isinstance(value, str):
        raise TypeError(f"from_nir: preset is {value!r}; give a name or a Preset")
    if value not in PRESETS:
        close = difflib.get_close_matches(value, PRESETS, n=1)
        hint = f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(PRESETS)
        raise ValueError(f"from_nir: there is no preset '{value}'; {hint}")
    return PRESETS[value]()
