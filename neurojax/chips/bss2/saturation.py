"""Limits of the analog circuits: of the synaptic current, and of the membrane."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax.neurons._neuron import Parameter


def saturated_current(i: Float[Array, "*shape"], largest: Parameter) -> Float[Array, "*shape"]:
    """largest tanh(i / largest): what the synaptic input makes of a large current.

    The amplifier between a synaptic input and the membrane is a differential pair, whose output
    saturates like this. What it amplifies decays as before.

    Args:
        i: Synaptic current.
        largest: The current that it can't exceed.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import saturated_current
        >>> print(saturated_current(jnp.array([0.01, 100.0]), 2.0).round(4))
        [0.01 2.  ]
    """
    return largest * jnp.tanh(i / largest)


def headroom(
    v: Float[Array, "*shape"],
    drive: Float[Array, "*shape"],
    *,
    rest: Parameter,
    linear: Parameter,
    limit: Parameter,
) -> Float[Array, "*shape"]:
    """How much of a current still gets onto the membrane: 1 around rest, 0 at the limit.

    Between the end of the linear range and the limit it falls in a straight line. A current away
    from the limit is not weakened. So a membrane approaches its limit slowly, whatever the time
    step, and leaves it as fast as ever.

    Args:
        v: Membrane potential.
        drive: Current onto it; its sign says which way it goes.
        rest: Middle of the linear range.
        linear: Distance from there to the end of the linear range.
        limit: Distance from there that the membrane can't exceed.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import headroom
        >>> print(headroom(jnp.array([0.0, 1.5, 1.5, 3.0]), jnp.array([1.0, 1.0, -1.0, 1.0]),
        ...                rest=0.0, linear=1.0, limit=2.0))
        [1.  0.5 1.  0. ]
    """
    away = (v - rest) * jnp.sign(drive)
    return jnp.clip((limit - away) / (limit - linear), 0.0, 1.0)
