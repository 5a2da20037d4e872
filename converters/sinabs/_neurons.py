"""Neurons of sinabs from plain numbers.

Its neurons charge, fire, reset and are bounded in this order, with x the input of a step:

| step   | what happens                                                                        |
|--------|-------------------------------------------------------------------------------------|
| charge | i = alpha_syn (i + x) if there is tau_syn, else x; `LIF` and `ALIF` with norm_input |
|        | multiply it with 1 - alpha_mem; then v = alpha_mem v + i (`IAF`: alpha_mem = 1)      |
| fire   | `MultiSpike`: s = whole thresholds in v; `MaxSpike(n)`: at most n of them;          |
|        | `SingleSpike`: s = [v >= threshold]                                                 |
| reset  | `MembraneSubtract`: v - s threshold; `MembraneReset`: v [s = 0] + value             |
| bound  | v = max(v, min_v_mem)                                                               |

with alpha = exp(-1/tau) and time constants in steps. `ALIF` takes threshold + adapt_scale b for the
threshold, and b = alpha_adapt b + (1 - alpha_adapt) s after the reset.

Two things there may be unintended, and come in as they compute: `MembraneReset(value)` adds its
value to all neurons, spikes or not; `ALIF` with tau_syn and norm_input keeps the normalised
current, so that 1 - alpha_mem acts on it in every step again.

References:
    sinabs, `sinabs/layers/functional/lif.py`, `alif.py` and `sinabs/activation`,
    https://sinabs.readthedocs.io; for `ALIF`: G. Bellec et al., 2018,
    https://arxiv.org/abs/1803.09574.
"""

from __future__ import annotations

from typing import Any

from neurojax._layer import Layer
from neurojax.converters._values import is_number
from neurojax.converters.sinabs._layers import AdaptiveCubaLIF, Feedback, OwnReset
from neurojax.layers.linear import Linear
from neurojax.layers.recurrent import Recurrent
from neurojax.neurons import IAF, LI, LIF, AdaptiveLIF, CubaIAF, CubaLI, CubaLIF
from neurojax.neurons._neuron import Parameter
from neurojax.surrogate import Exponential, Surrogate


def iaf(
    *,
    spike_threshold: Parameter = 1.0,
    max_spikes: int | None = None,
    reset: str = "subtract",
    reset_value: Parameter | None = None,
    tau_syn: Parameter | None = None,
    alpha_syn: Parameter | None = None,
    min_v_mem: Parameter | None = None,
    surrogate: Surrogate = Exponential(0.5),
) -> Layer:
    """`IAF`: v = v + i.

    Args:
        spike_threshold: Potential of the first spike.
        max_spikes: None: `MultiSpike`. 1: `SingleSpike`. n: `MaxSpike(n)`.
        reset: `"subtract"` for `MembraneSubtract`, `"value"` for `MembraneReset`.
        reset_value: What is subtracted for each spike (default: the threshold), or what
            `MembraneReset` adds (default: 0).
        tau_syn: Time constant of a synaptic current, or
        alpha_syn: what is left of it after one step; both None: no such current.
        min_v_mem: Lower bound of v.
        surrogate: Derivative of the spike. No gradient reaches the threshold through it.

    Example:
        >>> from neurojax.converters import sinabs
        >>> sinabs.iaf().max_spikes, sinabs.iaf(tau_syn=5.0).describe()
        (None, 'CubaIAF tau_syn 5')
    """
    spiking = _spiking(spike_threshold, max_spikes, reset, reset_value, min_v_mem, surrogate)
    if tau_syn is None and alpha_syn is None:
        return _with_reset(IAF(**spiking), reset, reset_value, min_v_mem)
    neuron = CubaIAF(**_synapse(tau_syn, alpha_syn), **spiking)
    return _with_reset(neuron, reset, reset_value, min_v_mem)


def lif(
    *,
    tau_mem: Parameter | None = None,
    alpha_mem: Parameter | None = None,
    norm_input: bool = True,
    spike_threshold: Parameter = 1.0,
    max_spikes: int | None = None,
    reset: str = "subtract",
    reset_value: Parameter | None = None,
    tau_syn: Parameter | None = None,
    alpha_syn: Parameter | None = None,
    min_v_mem: Parameter | None = None,
    surrogate: Surrogate = Exponential(0.5),
) -> Layer:
    """`LIF`: v = alpha_mem v + (1 - alpha_mem) i, or alpha_mem v + i.

    Args:
        tau_mem: Time constant of the membrane in steps, or
        alpha_mem: what is left of v after one step.
        norm_input: Whether the current is multiplied with 1 - alpha_mem.
        spike_threshold: See `iaf`, and the arguments after it too.

    Example:
        >>> from neurojax.converters import sinabs
        >>> sinabs.lif(tau_mem=20.0, tau_syn=5.0).describe()
        'CubaLIF tau 20, tau_syn 5'
    """
    options = _spiking(spike_threshold, max_spikes, reset, reset_value, min_v_mem, surrogate)
    options |= {"tau": tau_mem, "decay": alpha_mem, "normalize_input": norm_input}
    if tau_syn is None and alpha_syn is None:
        return _with_reset(LIF(**options), reset, reset_value, min_v_mem)
    neuron = CubaLIF(**_synapse(tau_syn, alpha_syn), **options)
    return _with_reset(neuron, reset, reset_value, min_v_mem)


def exp_leak(
    *,
    tau_mem: Parameter | None = None,
    alpha_mem: Parameter | None = None,
    norm_input: bool = False,
    tau_syn: Parameter | None = None,
    alpha_syn: Parameter | None = None,
    min_v_mem: Parameter | None = None,
) -> Layer:
    """`ExpLeak`: the charge of `LIF`, whose result is the output, before its bound.

    Args:
        tau_mem: See `lif`, and the arguments after it too. sinabs' `ExpLeak` has no `tau_syn`; its
            `LIF` with `spike_fn=None` has.

    Example:
        >>> from neurojax.converters import sinabs
        >>> sinabs.exp_leak(tau_mem=20.0).describe()
        'LI tau 20'
    """
    options: dict[str, Any] = {"tau": tau_mem, "decay": alpha_mem, "v_min": min_v_mem}
    options["normalize_input"] = norm_input
    if tau_syn is None and alpha_syn is None:
        return LI(**options)
    return CubaLI(**_synapse(tau_syn, alpha_syn), **options)


def alif(
    *,
    tau_mem: Parameter | None = None,
    alpha_mem: Parameter | None = None,
    tau_adapt: Parameter | None = None,
    alpha_adapt: Parameter | None = None,
    adapt_scale: Parameter = 1.8,
    norm_input: bool = True,
    spike_threshold: Parameter = 1.0,
    max_spikes: int | None = 1,
    reset: str = "subtract",
    reset_value: Parameter | None = None,
    tau_syn: Parameter | None = None,
    alpha_syn: Parameter | None = None,
    min_v_mem: Parameter | None = None,
    surrogate: Surrogate = Exponential(0.5),
) -> Layer:
    """`ALIF`: `LIF` with the threshold spike_threshold + adapt_scale b.

    Args:
        tau_mem: Time constant of the membrane in steps, or
        alpha_mem: what is left of v after one step.
        tau_adapt: Time constant of the adaptation b, or
        alpha_adapt: what is left of it after one step.
        adapt_scale: How much the threshold rises with b.
        norm_input: Whether the current is multiplied with 1 - alpha_mem (and kept so).
        spike_threshold: See `iaf`, and the arguments after it too.

    Example:
        >>> from neurojax.converters import sinabs
        >>> sinabs.alif(tau_mem=20.0, tau_adapt=50.0).describe()
        'AdaptiveLIF tau 20'
    """
    synapse = tau_syn is not None or alpha_syn is not None
    options = _spiking(spike_threshold, max_spikes, reset, reset_value, min_v_mem, surrogate)
    options |= {"tau": tau_mem, "decay": alpha_mem, "normalize_input": norm_input and not synapse}
    options |= {"tau_adapt": tau_adapt, "decay_adapt": alpha_adapt, "adaptation": adapt_scale}
    layer: Layer = AdaptiveLIF(**options)
    if synapse:
        layer = AdaptiveCubaLIF(layer, tau_syn, alpha_syn, compounding=norm_input)
    return _with_reset(layer, reset, reset_value, min_v_mem)


def recurrent(neuron: Layer, rec_connect: Layer) -> Layer:
    """`IAFRecurrent`, `LIFRecurrent`, `ALIFRecurrent`: the spikes come back one step late.

    In the first step nothing comes back, not even a bias.

    Args:
        neuron: The population, from `iaf`, `lif` or `alif`.
        rec_connect: What the spikes pass.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.converters import sinabs
        >>> from neurojax.layers import Linear
        >>> sinabs.recurrent(sinabs.iaf(), Linear.from_weights(jnp.ones((2, 2)))).describe()
        'Recurrent(IAF, Linear 2->2)'
    """
    no_bias = isinstance(rec_connect, Linear) and rec_connect.bias is None
    return (Recurrent if no_bias else Feedback)(neuron, rec_connect)


def _synapse(tau_syn: Parameter | None, alpha_syn: Parameter | None) -> dict[str, Any]:
    return {"tau_syn": tau_syn, "decay_syn": alpha_syn, "order": "decay_input"}


def _native(reset: str, reset_value: Parameter | None) -> bool:
    """Whether our neurons have this reset."""
    if reset not in ("subtract", "value"):
        raise ValueError(f"reset is {reset!r}; it must be 'subtract' or 'value'")
    return reset_value is None or (reset == "value" and is_number(reset_value, 0))


def _spiking(
    threshold: Parameter,
    max_spikes: int | None,
    reset: str,
    reset_value: Parameter | None,
    min_v_mem: Parameter | None,
    surrogate: Surrogate,
) -> dict[str, Any]:
    """The options that all spiking neurons share."""
    options: dict[str, Any] = {
        "threshold": threshold,
        "max_spikes": max_spikes,
        "detach_threshold": True,
        "surrogate": surrogate,
    }
    if not _native(reset, reset_value):
        return options | {"reset": "none"}
    # Which neurons spiked is a truth value in MembraneReset: no gradient passes.
    kind = {"reset": "zero", "detach_reset": True} if reset == "value" else {"reset": "subtract"}
    return options | kind | {"v_min": min_v_mem}


def _with_reset(
    neuron: Layer, reset: str, reset_value: Parameter | None, min_v_mem: Parameter | None
) -> Layer:
    if _native(reset, reset_value):
        return neuron
    assert reset_value is not None
    return OwnReset(neuron, reset_value, reset == "subtract", min_v_mem)
