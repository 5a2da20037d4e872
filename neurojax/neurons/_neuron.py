"""What all neurons share: a membrane with an input gain, a lower bound and a first value."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._broadcast import check_shapes
from neurojax._layer import Constant, Layer, Shape, constants_to_floats, parameter

N = TypeVar("N", bound="AbstractNeuron")

Parameter = float | Array
"""A number is a constant, an array (one value, or one a neuron) is a parameter that is learned."""


def number(default: float | None) -> Any:
    """A keyword-only field that takes a number or an array."""
    return eqx.field(converter=parameter, default=default, kw_only=True)


def option(default: Any) -> Any:
    """A keyword-only field that selects what is computed: no number, no parameter."""
    return eqx.field(static=True, default=default, kw_only=True)


class AbstractNeuron(Layer):
    """Base of the neurons. Sub-classes add their parameters and `init` and `step`.

    Users give time constants in the unit of `dt`. `prepare`, which `simulate` calls once a run,
    turns them into factors a step: a prepared neuron is the same neuron in steps.
    """

    gain: Parameter = number(1.0)
    v_min: Parameter | None = number(None)
    v_init: Parameter | None = number(None)
    dt: Parameter = number(1.0)

    def __check_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.metadata.get("static", False):
                continue
            value = getattr(self, field.name)
            if not (value is None or isinstance(value, Constant) or eqx.is_array(value)):
                raise TypeError(
                    f"{self.name}: {field.name} is {value!r}; give a number (a constant) or an "
                    "array (a parameter)"
                )
        check_range(self, "dt", 0.0, inclusive=False)

    @property
    def name(self) -> str:
        """Name of the class, for messages."""
        return type(self).__name__

    def resolved(self) -> dict[str, Any]:
        """The fields of the neuron in steps: what `prepare` replaces."""
        return {"dt": 1.0}

    def prepare(self: N, key: PRNGKeyArray | None) -> N:
        del key
        # Plain floats first: a `Constant` would not take the dtype of an array that it meets.
        return dataclasses.replace(self, **constants_to_floats(self).resolved())

    def first_v(self, in_shape: Shape, default: Parameter) -> Array:
        """Membrane potential before the first step."""
        return filled(in_shape, default if self.v_init is None else self.v_init)

    def bounded(self, v: Array) -> Array:
        """The membrane potential, not below `v_min`; no gradient passes at or below it."""
        return v if self.v_min is None else jnp.where(v > self.v_min, v, self.v_min)

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shapes(self, in_shape)
        return in_shape

    def describe(self) -> str:
        given = []
        for name in ("tau", "decay", "tau_syn", "decay_syn"):
            value = getattr(self, name, None)
            if isinstance(value, Constant):
                given.append(f"{name} {value:g}")
            elif value is not None:
                given.append(f"{name} learned")
        return " ".join([self.name, ", ".join(given)]).rstrip()


def filled(shape: Shape, value: Parameter) -> Array:
    """An array of a shape from a number, or from an array that broadcasts to it."""
    return jnp.broadcast_to(value if eqx.is_array(value) else jnp.float32(value), shape)


def check_choice(owner: str, name: str, value: Any, legal: tuple[Any, ...]) -> None:
    """Raise ValueError unless an option has one of its values."""
    # `1 in (False, True)` is true: an option that is no bool must not pass for one.
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in legal):
        raise ValueError(
            f"{owner}: {name} is {value!r}; it must be one of "
            + ", ".join(repr(choice) for choice in legal)
        )


def check_range(
    neuron: AbstractNeuron,
    name: str,
    low: float,
    high: float = np.inf,
    *,
    inclusive: bool = True,
    remedy: str = "",
) -> None:
    """Raise ValueError if a parameter that is a number lies outside its range."""
    value = getattr(neuron, name)
    if not isinstance(value, Constant):
        return
    if not ((low <= value if inclusive else low < value) and value <= high):
        sign = ">=" if inclusive else ">"
        upper = "" if high == np.inf else f" and <= {high:g}"
        raise ValueError(
            f"{neuron.name}: {name} is {value:g}; it must be {sign} {low:g}{upper}{remedy}"
        )
