"""Values measured on a device in the place of those that a simulation computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Num

OUTPUT = ""
"""Name of a layer's output among its measured values; the others are fields of its state."""


@jax.custom_jvp
def inject(computed: Num[Array, "*shape"], measured: Num[Array, "*shape"]) -> Num[Array, "*shape"]:
    """The measured value, with the derivative of the computed one.

    What training in the loop rests on: a run goes on from what the device did, and gradients are
    those of the model at that place.

    Args:
        computed: What the model says; gradients go here.
        measured: What the device did, of the same shape; no gradient.

    Returns:
        `measured`, in the type of `computed`.

    References:
        B. Cramer et al., "Surrogate gradients for analog neuromorphic computing", PNAS 119(4),
        2022; hxtorch, `hxtorch.spiking.functional.Unterjubel`.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> value, slope = jax.value_and_grad(lambda w: nj.inject(3.0 * w, jnp.array(7.0)))(1.0)
        >>> print(value, slope)
        7.0 3.0
    """
    return jnp.asarray(measured).astype(jnp.result_type(computed))


@inject.defjvp
def _inject_jvp(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Array, Array]:
    return inject(*primals), tangents[0]


def as_measured(computed: Array, measured: Mapping[str, Array], field: str) -> Array:
    """The measured value of a field, if there is one, with the derivative of the computed one."""
    return inject(computed, measured[field]) if field in measured else computed


def inject_all(state: Any, output: Array, measured: Mapping[str, Array]) -> tuple[Any, Array]:
    """The state and the output of a layer after a step, with what was measured of them.

    Args:
        state: State of the layer.
        output: Its output.
        measured: Measured values by field of the state, dots going deeper; `OUTPUT` for the output.
    """
    for path, value in measured.items():
        if path == OUTPUT:
            output = inject(output, value)
        else:
            state = _injected(state, path.split("."), value)
    return state, output


def inner(measured: Mapping[str, Array], name: str) -> dict[str, Array]:
    """The measured values of a layer inside another one, whose fields begin with its name."""
    start = f"{name}."
    return {path[len(start) :]: v for path, v in measured.items() if path.startswith(start)}


def is_output(field: str, measured: Mapping[str, Array]) -> dict[str, Array]:
    """The measured values of a layer that gives out a field of its state: one stands for both."""
    of_both = [measured[name] for name in (field, OUTPUT) if name in measured]
    return ({OUTPUT: of_both[0], field: of_both[-1]} if of_both else {}) | dict(measured)


def _injected(state: Any, path: list[str], value: Array) -> Any:
    name, *deeper = path
    old = getattr(state, name)
    new = _injected(old, deeper, value) if deeper else inject(old, value)
    return eqx.tree_at(lambda s: getattr(s, name), state, new)
