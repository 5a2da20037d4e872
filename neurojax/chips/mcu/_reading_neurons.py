"""Neurons of any network as the two that the code knows: what differs is refused or rescaled."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from neurojax._layer import Constant, constants_to_floats
from neurojax.chips._mapped import Problem
from neurojax.neurons import IAF, LIF

PLAIN = {
    "strict": (False, "neurons fire at v >= threshold", "use strict=False"),
    "max_spikes": (1, "a neuron fires once a step", "use max_spikes=1"),
    "reset_delay": (False, "the reset is in the step of the spike", "use reset_delay=False"),
    "refractory": (None, "neurons have no refractory period", "leave it out"),
    "v_min": (None, "membranes have no lower bound but their width", "leave it out"),
    "winner_take_all": (False, "neurons don't compete", "leave it out"),
}
"""Options that the code does not have: the value it computes with, why, what to do."""


def neuron_options(
    name: str, neuron: IAF | LIF, problems: list[Problem], notes: list[str]
) -> dict[str, Any] | None:
    """The options of `mcu.IF` or `mcu.LIF`; None if there is a problem."""
    count = len(problems)

    def refuse(found: str, legal: str, remedy: str) -> None:
        problems.append(Problem(name, found, legal, remedy))

    for option, (only, legal, remedy) in PLAIN.items():
        value = getattr(neuron, option)
        same = value is only or (only is not None and value == only)
        if not same:
            refuse(f"{option}={value!r}", legal, remedy)
    if neuron.amplitude is not None and one_number(neuron.amplitude) != 1:
        refuse("an amplitude", "a spike is 1", "put it into the weights behind")
    if neuron.reset == "none":
        refuse("reset='none'", "a spike resets the membrane", "use 'subtract', 'zero' or 'value'")

    steps = constants_to_floats(neuron.prepare(None))
    names = ["threshold", "gain", "reset_value", "v_init"]
    names += ["decay", "v_rest"] if isinstance(neuron, LIF) else []
    numbers: dict[str, Any] = {}
    for key in names:
        value = getattr(steps, key)
        numbers[key] = one_number(value)
        if value is not None and numbers[key] is None:
            refuse(f"{key} differs between neurons", "it is one number a layer", "make it one")
    if len(problems) > count:
        return None

    gain = numbers["gain"]
    if isinstance(neuron, LIF) and neuron.normalize_input:
        gain = one_number(neuron.gain)
    if not gain > 0:
        refuse(f"gain {gain:g}", "gains are > 0", "put the sign into the weights")
        return None
    if gain != 1:
        notes.append(
            f"'{name}': its gain {gain:g} is in the unit of the membrane, which is 1/gain here"
        )
    reset = "subtract" if neuron.reset == "subtract" else "value"
    v_reset = numbers["reset_value"] if neuron.reset == "value" else 0.0
    start = v_reset
    options: dict[str, Any] = {
        "threshold": _rescaled(neuron.threshold, gain),
        "reset": reset,
        "v_reset": _rescaled(neuron.reset_value, gain) if neuron.reset == "value" else v_reset,
        "detach_reset": neuron.detach_reset,
        "surrogate": neuron.surrogate,
    }
    if reset == "subtract":
        options["v_reset"] = None
    if isinstance(neuron, LIF):
        if numbers["v_rest"] != v_reset:
            refuse(
                f"v_rest {numbers['v_rest']:g}, and v_reset {v_reset:g}",
                "the membrane leaks to where a spike resets it, or to 0 if that subtracts",
                "make both equal",
            )
        if not 0 <= numbers["decay"] < 1:
            refuse(f"decay {numbers['decay']:g}", "decays are within 0..1", "use IAF if it is 1")
        options |= {"rtau": _rate(neuron, steps), "decay_input": neuron.normalize_input}
    if numbers["v_init"] is not None and numbers["v_init"] != start:
        refuse(
            f"v_init {numbers['v_init']:g}",
            f"membranes start at {start:g}, where a spike resets them",
            "leave it out",
        )
    return None if len(problems) > count else options


def one_number(value: Any) -> float | None:
    """The number that a parameter holds for all neurons, if it is one."""
    if value is None:
        return None
    values = np.unique(np.asarray(value))
    return float(values[0]) if values.size == 1 else None


def _rescaled(value: Any, gain: float) -> Any:
    """value / gain, one number: a constant where it was one, else a trainable scalar."""
    if isinstance(value, Constant):
        return float(value) / gain
    return jnp.ravel(jnp.asarray(value))[0] / jnp.float32(gain)


def _rate(neuron: LIF, steps: Any) -> Any:
    """1 / tau in time steps."""
    if neuron.method == "euler" and isinstance(neuron.tau, Constant):
        return float(neuron.dt) / float(neuron.tau)
    if isinstance(steps.decay, float):
        return 1 - steps.decay
    return 1 - jnp.ravel(steps.decay)[0]
