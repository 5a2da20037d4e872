"""Norse's neurons as ours, from plain numbers: LIF, LIFBox, LIFRefrac, IAF, LI and LIBox.

One explicit Euler step of dt seconds; parameters are rates in 1/s. With x the input (Box neurons
have no current: i + x is x):

    v' = v + dt tau_mem_inv (v_leak - v + i + x)
    i' = (i + x) - dt tau_syn_inv (i + x)
    z = [v' > v_th], and v' is v_reset where z

Every neuron spikes at v' > v_th, strictly; the reset comes in the step of the spike.

References:
    C. Pehle and J. E. Pedersen, "Norse - a deep learning library for spiking neural networks",
    2021, https://doi.org/10.5281/zenodo.4422025; the source of Norse 1.1.0, `norse/torch`.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax import surrogate as surrogates
from neurojax.layers.linear import Linear
from neurojax.layers.recurrent import Recurrent
from neurojax.neurons import IAF, LI, LIF, CubaLI, CubaLIF
from neurojax.neurons._neuron import Parameter
from neurojax.surrogate import Surrogate

DT = 0.001
"""Norse's default time step, in seconds."""

METHODS = ("super", "heaviside", "triangle", "tanh", "circ", "heavi_erfc")


def lif(
    *,
    tau_syn_inv: Parameter = 200.0,
    tau_mem_inv: Parameter = 100.0,
    v_leak: Parameter = 0.0,
    v_th: Parameter = 1.0,
    v_reset: Parameter = 0.0,
    method: str = "super",
    alpha: float = 100.0,
    rho_reset: Parameter | None = None,
    detach_reset: bool = False,
    dt: float = DT,
) -> CubaLIF:
    """`norse.torch.LIFCell` and `LIF`; with `rho_reset`, `LIFRefracCell`.

    Args:
        tau_syn_inv, tau_mem_inv: Inverse time constants of current and membrane, in 1/s.
        v_leak, v_th, v_reset: Resting potential, threshold, and the potential after a spike.
        method: Name of the surrogate in Norse.
        alpha: Its parameter; `"super"` does not use it, as in Norse 1.1.
        rho_reset: Steps after a spike in which the neuron is silent and v stays where it is. Norse
            also differentiates the counter and what it holds back; no gradient passes here.
        detach_reset: Whether the derivative of the reset by the spike is dropped, as in Norse's
            recurrent cells.
        dt: Duration of a time step in s.

    Example:
        >>> from neurojax.converters import norse
        >>> norse.lif(tau_mem_inv=50.0).describe()
        'CubaLIF tau 0.02, tau_syn 0.005'
    """
    return CubaLIF(
        **_leak(tau_mem_inv, v_leak, dt),
        **_synapse(tau_syn_inv, dt),
        **_spike(v_th, v_reset, method, alpha),
        refractory=None if rho_reset is None else rho_reset * dt,
        detach_reset=detach_reset,
    )


def lif_recurrent(
    *,
    recurrent_weights: Float[Array, "out out"],
    autapses: bool = False,
    tau_syn_inv: Parameter = 200.0,
    tau_mem_inv: Parameter = 100.0,
    v_leak: Parameter = 0.0,
    v_th: Parameter = 1.0,
    v_reset: Parameter = 0.0,
    method: str = "super",
    alpha: float = 100.0,
    rho_reset: Parameter | None = None,
    dt: float = DT,
) -> Recurrent:
    """`norse.torch.LIFRecurrentCell` and its kin, without their input weights: a `Linear` before.

    The spikes of the step before come back with the input. The reset is detached.

    Args:
        recurrent_weights: From the neurons in their last step to the neurons.
        autapses: Whether neurons see themselves; if not, the diagonal is cleared.
        tau_syn_inv, tau_mem_inv, ...: See `lif`.
    """
    if not autapses:
        recurrent_weights = recurrent_weights * (1 - jnp.eye(recurrent_weights.shape[0]))
    neuron = lif(
        tau_syn_inv=tau_syn_inv,
        tau_mem_inv=tau_mem_inv,
        v_leak=v_leak,
        v_th=v_th,
        v_reset=v_reset,
        method=method,
        alpha=alpha,
        rho_reset=rho_reset,
        detach_reset=True,
        dt=dt,
    )
    return Recurrent(neuron, Linear.from_weights(recurrent_weights))


def lif_box(
    *,
    tau_mem_inv: Parameter = 100.0,
    v_leak: Parameter = 0.0,
    v_th: Parameter = 1.0,
    v_reset: Parameter = 0.0,
    method: str = "super",
    alpha: float = 100.0,
    reset_method: str = "reset_value",
    dt: float = DT,
) -> LIF:
    """`norse.torch.LIFBoxCell`: no synaptic current.

    Args:
        reset_method: `"reset_value"`, or `"reset_subtract"`: v' - v_th where z, and `v_reset` has
            no effect.
        tau_mem_inv, v_leak, v_th, v_reset, method, alpha, dt: See `lif`.
    """
    spiking = _spike(v_th, v_reset, method, alpha)
    if reset_method == "reset_subtract":
        spiking |= {"reset": "subtract", "reset_value": 0.0}
    elif reset_method != "reset_value":
        raise ValueError(
            f"Norse's LIFBoxCell: reset_method is {reset_method!r}; supported are reset_value and "
            "reset_subtract"
        )
    return LIF(**_leak(tau_mem_inv, v_leak, dt), **spiking)


def iaf(
    *,
    v_th: Parameter = 1.0,
    v_reset: Parameter = 0.0,
    method: str = "super",
    alpha: float = 100.0,
) -> IAF:
    """`norse.torch.IAFCell` and `IAF`: v' = v + x, without leak and dt; v starts at v_reset.

    Args:
        v_th, v_reset, method, alpha: See `lif`.
    """
    return IAF(**_spike(v_th, v_reset, method, alpha))


def li(
    *,
    tau_syn_inv: Parameter = 200.0,
    tau_mem_inv: Parameter = 100.0,
    v_leak: Parameter = 0.0,
    dt: float = DT,
) -> CubaLI:
    """`norse.torch.LICell` and `LI`: a leaky integrator whose output is v'.

    Args:
        tau_syn_inv, tau_mem_inv, v_leak, dt: See `lif`.
    """
    return CubaLI(**_leak(tau_mem_inv, v_leak, dt), **_synapse(tau_syn_inv, dt))


def li_box(*, tau_mem_inv: Parameter = 100.0, v_leak: Parameter = 0.0, dt: float = DT) -> LI:
    """`norse.torch.LIBoxCell`: a leaky integrator without synaptic current.

    Args:
        tau_mem_inv, v_leak, dt: See `lif`.
    """
    return LI(**_leak(tau_mem_inv, v_leak, dt))


def _leak(tau_mem_inv: Parameter, v_leak: Parameter, dt: float) -> dict[str, Any]:
    options = _decay("tau_mem_inv", tau_mem_inv, dt, "tau", "decay")
    return options | {"method": "euler", "v_rest": v_leak, "normalize_input": True, "dt": dt}


def _synapse(tau_syn_inv: Parameter, dt: float) -> dict[str, Any]:
    options = _decay("tau_syn_inv", tau_syn_inv, dt, "tau_syn", "decay_syn")
    return options | {"order": "jump_then_decay"}


def _decay(name: str, rate: Parameter, dt: float, tau: str, decay: str) -> dict[str, Parameter]:
    """A time constant; or the decay if there is none, or if it is shorter than a step."""
    if hasattr(rate, "dtype") or 0 < dt * rate <= 1:
        return {tau: 1 / rate}
    if not 0 <= dt * rate <= 2:
        raise ValueError(
            f"Norse: dt is {dt:g} s and {name} is {rate:g}/s; outside 0 <= dt {name} <= 2 the "
            "explicit Euler steps grow without bound: use a smaller dt"
        )
    return {decay: 1 - dt * rate}


def _spike(v_th: Parameter, v_reset: Parameter, method: str, alpha: float) -> dict[str, Any]:
    return {
        "threshold": v_th,
        "strict": True,
        "reset": "value",
        "reset_value": v_reset,
        "surrogate": surrogate_of(method, alpha),
    }


def surrogate_of(method: str, alpha: float = 100.0) -> Surrogate:
    """Our surrogate for a `method` of Norse and its `alpha`."""
    if method not in METHODS:
        also = "; Norse's own forward pass fails with it" if method == "adjoint" else ""
        raise ValueError(f"Norse: method is {method!r}{also}. Known: {', '.join(METHODS)}")
    return surrogates.by_name(f"norse.{method}", alpha=alpha)
