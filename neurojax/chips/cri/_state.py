"""What a population of CRI's neurons keeps between steps: membranes of 35 bits, and counters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from neurojax._measured import inject_all
from neurojax.chips.cri import _wide
from neurojax.chips.cri._wide import Wide


class CRIState(NamedTuple):
    """State of a population. The membrane is high 2^20 + low; see `membrane`."""

    v: Array  # the membrane as the nearest float32, which carries its gradient
    high: Array  # int32
    low: Array  # int32, 0..2^20 - 1
    refractory: Array | None = None  # int32, steps that are left
    saturated: Array | None = None  # steps in which the membrane has left its range
    time: Array | None = None  # int32, steps so far, where draws are given
    history: Array | None = None  # spikes of the steps before, latest first, of delayed synapses


class Fired(NamedTuple):
    """Between the test for spikes and the integration of what arrives."""

    v: Array  # real-valued, for the gradient
    exact: Wide
    refractory: Array | None
    silent: Any  # what arrives in this step is lost
    over: Any  # the membrane has left its range already
    before: CRIState


def membrane(state: Any) -> np.ndarray:
    """The membranes as int64, of a state or of whatever has `high` and `low`. Not under jit.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.cri import Neuron, membrane, with_membrane
        >>> state = Neuron(theta=5).init((2,))
        >>> membrane(with_membrane(state, [2**34 - 1, -7])).tolist()
        [17179869183, -7]
    """
    return _wide.to_integers(state)


def with_membrane(state: CRIState, values: Any) -> CRIState:
    """The state with other membranes: integers that broadcast to its shape. Not under jit.

    Raises:
        ValueError: An integer of more than 51 bits.
    """
    exact = _wide.from_integers(np.broadcast_to(np.asarray(values, np.int64), state.v.shape))
    return state._replace(v=_wide.to_float(exact), high=exact.high, low=exact.low)


def injected(
    state: CRIState, spikes: Array, measured: Mapping[str, Array]
) -> tuple[CRIState, Array]:
    """State and output with what was measured: membranes as floats, or as `high` and `low`."""
    told = dict(measured)
    if "high" in told and "low" in told:
        told.setdefault("v", _wide.to_float(Wide(told["high"], told["low"])))
    elif "v" in told:
        told["high"], told["low"] = _wide.from_float(told["v"].astype(jnp.float32))
    return inject_all(state, spikes, told)
