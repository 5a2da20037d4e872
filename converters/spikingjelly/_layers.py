"""Neurons and layers of SpikingJelly from plain numbers.

Its neurons share one order of events and differ in how they charge. With x the input of a step, v
what the step before has left, and r = v_reset (0 if that is None):

| node                | charge                                                      |
|---------------------|-------------------------------------------------------------|
| `IFNode`            | h = v + x                                                   |
| `LIFNode`           | h = v + (x - (v - r)) / tau; decay_input=False: x undivided |
| `ParametricLIFNode` | the same with sigmoid(w) for 1 / tau                        |
| `CUBALIFNode`       | c = c_decay c + x, h = v_decay v + c                        |

Then s = [h >= v_threshold], and a spike sets v to v_reset or, if that is None, subtracts the
threshold from h.

References:
    W. Fang et al., "SpikingJelly: an open-source machine learning infrastructure platform for
    spike-based intelligence", Science Advances 9, 2023; its source, `activation_based/neuron` and
    `activation_based/layer`.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, parameter
from neurojax.layers.chain import Chain
from neurojax.layers.pooling import AvgPool1d
from neurojax.layers.shape import Flatten, Reshape
from neurojax.neurons import IAF, LI, LIF, CubaLIF
from neurojax.neurons._neuron import Parameter
from neurojax.surrogate import Rect, Sigmoid, Surrogate


def if_node(
    *,
    v_threshold: Parameter = 1.0,
    v_reset: Parameter | None = 0.0,
    detach_reset: bool = False,
    surrogate: Surrogate = Sigmoid(4.0),
    strict: bool = False,
    v_init: Parameter | None = None,
) -> IAF:
    """`IFNode`: h = v + x.

    Args:
        v_threshold: Spikes at h >= v_threshold.
        v_reset: What a spike sets v to, and where v starts; None: the threshold is subtracted.
        detach_reset: Whether no gradient passes the reset.
        surrogate: Derivative of the spike.
        strict: Spikes at h > v_threshold instead. No surrogate of SpikingJelly does.
        v_init: Where v starts, if not at `v_reset`.

    Example:
        >>> from neurojax.converters.spikingjelly import if_node
        >>> if_node(v_reset=None).reset
        'subtract'
    """
    return IAF(v_init=v_init, **_spiking(v_threshold, v_reset, detach_reset, surrogate, strict))


def lif_node(
    *,
    tau: Parameter = 2.0,
    decay_input: bool = True,
    v_threshold: Parameter = 1.0,
    v_reset: Parameter | None = 0.0,
    detach_reset: bool = False,
    surrogate: Surrogate = Sigmoid(4.0),
    strict: bool = False,
    v_init: Parameter | None = None,
) -> LIF:
    """`LIFNode`: h = v + (x - (v - r)) / tau, or h = v - (v - r) / tau + x.

    Args:
        tau: Time constant in steps, at least 1.
        decay_input: Whether the input is divided by `tau` too.
        v_threshold: See `if_node`, and the arguments after it too.

    Example:
        >>> from neurojax.converters.spikingjelly import lif_node
        >>> lif_node(tau=4.0).describe()
        'LIF tau 4'
    """
    return LIF(
        tau=tau,
        method="euler",
        normalize_input=decay_input,
        v_rest=0.0 if v_reset is None else v_reset,
        v_init=v_init,
        **_spiking(v_threshold, v_reset, detach_reset, surrogate, strict),
    )


def parametric_lif_node(
    *,
    w: Parameter,
    decay_input: bool = True,
    v_threshold: Parameter = 1.0,
    v_reset: Parameter | None = 0.0,
    detach_reset: bool = False,
    surrogate: Surrogate = Sigmoid(4.0),
    strict: bool = False,
    v_init: Parameter | None = None,
) -> LIF:
    """`ParametricLIFNode`: `LIFNode` with 1 / tau = sigmoid(w).

    The parameter here is the decay, 1 - sigmoid(w), not w.

    Args:
        w: The trained number; -log(tau - 1) gives the time constant tau.
        decay_input: Whether the input is multiplied with sigmoid(w) too.
        v_threshold: See `if_node`, and the arguments after it too.

    References:
        W. Fang et al., "Incorporating learnable membrane time constant to enhance learning of
        spiking neural networks", ICCV 2021.

    Example:
        >>> from neurojax.converters.spikingjelly import parametric_lif_node
        >>> parametric_lif_node(w=0.0).describe()
        'LIF decay 0.5'
    """
    return LIF(
        decay=_kept(w),
        normalize_input=decay_input,
        v_rest=0.0 if v_reset is None else v_reset,
        v_init=v_init,
        **_spiking(v_threshold, v_reset, detach_reset, surrogate, strict),
    )


def cuba_lif_node(
    *,
    c_decay: Parameter = 0.5,
    v_decay: Parameter = 0.75,
    v_threshold: Parameter = 0.5,
    v_reset: Parameter | None = 0.0,
    detach_reset: bool = False,
    surrogate: Surrogate = Rect(1.0),
    strict: bool = False,
    v_init: Parameter | None = None,
) -> CubaLIF:
    """`CUBALIFNode`: c = c_decay c + x, h = v_decay v + c.

    The membrane decays to 0, whatever `v_reset` is, which it starts from.

    Args:
        c_decay: What is left of the current after one step.
        v_decay: The same of the membrane potential.
        v_threshold: See `if_node`, and the arguments after it too.

    Example:
        >>> from neurojax.converters.spikingjelly import cuba_lif_node
        >>> cuba_lif_node().describe()
        'CubaLIF decay 0.75, decay_syn 0.5'
    """
    start = v_reset if v_init is None else v_init
    return CubaLIF(
        decay=v_decay,
        decay_syn=c_decay,
        v_init=start,
        **_spiking(v_threshold, v_reset, detach_reset, surrogate, strict),
    )


def non_spiking_lif_node(*, tau: Parameter = 2.0) -> LI:
    """`NonSpikingLIFNode`: v = v + (x - v) / tau; the output is v in every step.

    Example:
        >>> from neurojax.converters.spikingjelly import non_spiking_lif_node
        >>> non_spiking_lif_node().describe()
        'LI tau 2'
    """
    return LI(tau=tau, method="euler", normalize_input=True)


def non_spiking_if_node() -> LI:
    """`NonSpikingIFNode`: v = v + x; the output is v in every step.

    Example:
        >>> from neurojax.converters.spikingjelly import non_spiking_if_node
        >>> non_spiking_if_node().describe()
        'LI decay 1'
    """
    return LI(decay=1.0)


class SynapseFilter(Layer):
    """`SynapseFilter`: i = i - (1 - x) i / tau + x, a current that does not decay under a spike.

    Args:
        decay: 1 - 1 / tau, what is left of the current after a step without a spike.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.converters.spikingjelly import SynapseFilter
        >>> net = nj.Sequential((1,), SynapseFilter(decay=0.5))
        >>> print(nj.simulate(net, jnp.array([1.0, 0, 1]).reshape(3, 1, 1)).outputs.ravel())
        [1.  0.5 1.5]
    """

    decay: Parameter = eqx.field(converter=parameter, kw_only=True)

    def init(self, in_shape: Shape) -> Array:
        return jnp.zeros(in_shape)

    def step(
        self, state: Array, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[Array, Array]:
        del key
        current = state - (1 - x) * state * (1 - self.decay) + x
        return current, current

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def equations(self) -> tuple[str, ...]:
        lost = "(1 - decay)" if eqx.is_array(self.decay) else f"{1 - float(self.decay):.7g}"
        leak = f"current, which no spike lets decay: i <- i - {lost} (1 - x) i + x"
        return (leak, "output: y <- i")


def synapse_filter(*, tau: Parameter = 100.0, w: Parameter | None = None) -> SynapseFilter:
    """`SynapseFilter` with a time constant, or with sigmoid(w) for 1 / tau (`learnable=True`).

    The parameter here is the decay, not w.

    Example:
        >>> from neurojax.converters.spikingjelly import synapse_filter
        >>> synapse_filter(tau=4.0).decay
        0.75
    """
    return SynapseFilter(decay=1 - 1 / tau if w is None else _kept(w))


def voting_layer(neurons: int, *, voting_size: int = 10) -> Chain:
    """`VotingLayer`: the mean of every `voting_size` neurons that follow one another.

    Args:
        neurons: How many there are.
        voting_size: How many vote for one class.

    Example:
        >>> from neurojax.converters.spikingjelly import voting_layer
        >>> voting_layer(100, voting_size=10).out_shape((100,))
        (10,)
    """
    return Chain(row=Reshape((1, neurons)), mean=AvgPool1d(voting_size), flat=Flatten())


def _kept(w: Parameter) -> Parameter:
    """1 - sigmoid(w)."""
    return jax.nn.sigmoid(-w) if eqx.is_array(w) else 1 / (1 + math.exp(w))


def _spiking(
    v_threshold: Parameter,
    v_reset: Parameter | None,
    detach_reset: bool,
    surrogate: Surrogate,
    strict: bool,
) -> dict[str, Any]:
    """The options that all spiking nodes share."""
    reset = {} if v_reset is None else {"reset": "value", "reset_value": v_reset}
    common = {"threshold": v_threshold, "detach_reset": detach_reset, "surrogate": surrogate}
    return common | {"strict": strict} | reset
