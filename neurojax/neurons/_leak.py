"""The leak of a membrane: back to rest with a time constant."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from neurojax._layer import Constant
from neurojax.neurons._neuron import (
    AbstractNeuron,
    Parameter,
    check_choice,
    check_range,
    number,
    option,
)

METHODS = ("exact", "euler")


class AbstractLeak(AbstractNeuron):
    """A membrane that decays to `v_rest`: v = v_rest + decay (v - v_rest) + gain x."""

    tau: Parameter | None = number(None)
    decay: Parameter = number(None)  # None only until `prepare`
    method: str = option("exact")
    v_rest: Parameter = number(0.0)
    normalize_input: bool = option(False)

    def __check_init__(self) -> None:
        check_choice(self.name, "method", self.method, METHODS)
        check_choice(self.name, "normalize_input", self.normalize_input, (False, True))
        check_one_given(self, "tau", "decay")

    def resolved(self) -> dict[str, Any]:
        decay = decay_factor(self.tau, self.decay, self.dt, self.method)
        gain = self.gain * (1 - decay) if self.normalize_input else self.gain
        return super().resolved() | {
            "tau": None,
            "decay": decay,
            "gain": gain,
            "normalize_input": False,
        }

    def integrate(self, v: Array, x: Array) -> Array:
        """Leak and input of one step."""
        return self.v_rest + self.decay * (v - self.v_rest) + self.gain * x


def check_one_given(neuron: AbstractNeuron, tau: str, decay: str) -> None:
    """Raise ValueError unless exactly one of time constant and decay is given, in its range."""
    given = [name for name in (tau, decay) if getattr(neuron, name) is not None]
    if len(given) != 1:
        raise ValueError(
            f"{neuron.name}: give either {tau} (a time constant in the unit of dt) or {decay} "
            f"(what is left after one step), not {'both' if given else 'neither'}"
        )
    check_range(neuron, tau, 0.0, inclusive=False)
    # Below 0: explicit Euler with a step longer than the time constant, which other libraries run.
    check_range(neuron, decay, -1.0, 1.0, remedy=", or the potential grows without bound")
    value, dt = getattr(neuron, tau), neuron.dt
    euler = getattr(neuron, "method", "exact") == "euler"
    if euler and isinstance(value, Constant) and isinstance(dt, Constant) and dt > value:
        raise ValueError(
            f"{neuron.name}: dt is {dt:g} and {tau} is {value:g}; an explicit Euler step longer "
            "than the time constant oscillates: use a smaller dt, or method='exact'"
        )


def decay_factor(
    tau: Parameter | None, decay: Parameter | None, dt: Parameter, method: str
) -> Parameter:
    """What is left of a deviation after one step: `decay`, or exp(-dt/tau), or 1 - dt/tau."""
    if tau is None:
        assert decay is not None  # construction sees to it that one of them is given
        return decay
    ratio = dt / tau
    if method == "euler":
        return 1 - ratio
    return jnp.exp(-ratio) if eqx.is_array(ratio) else math.exp(-ratio)
