"""Norse 1.1: `LIF`, `LIFBox`, `LIFRefrac`, `IAF`, `LI` and `LIBox`, as cells and over time.

One explicit Euler step of dt seconds; parameters are rates in 1/s. With x the input (Box neurons
have no current: i + x is x):

    v' = v + dt tau_mem_inv (v_leak - v + i + x)
    i' = (i + x) - dt tau_syn_inv (i + x)
    z = [v' > v_th], and v' is v_reset where z

Each function here makes the neuron from plain numbers; the converters below them read a module.

References:
    C. Pehle and J. E. Pedersen, "Norse - a deep learning library for spiking neural networks",
    2021, https://doi.org/10.5281/zenodo.4422025; the source of Norse 1.1.0, `norse/torch`.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax import surrogate as surrogates
from neurojax._layer import Layer, Shape
from neurojax.converters._registry import OUTPUT, Converted, register
from neurojax.converters._values import per_neuron, weight
from neurojax.layers.convolution import Conv2d
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
        recurrent_weights = recurrent_weights * (1 - jnp.eye(*recurrent_weights.shape))
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


# ---- Parts that the functions share.


def _leak(tau_mem_inv: Parameter, v_leak: Parameter, dt: float) -> dict[str, Any]:
    options = _decay("tau", "decay", tau_mem_inv, dt)
    return options | {"method": "euler", "v_rest": v_leak, "normalize_input": True, "dt": dt}


def _synapse(tau_syn_inv: Parameter, dt: float) -> dict[str, Any]:
    return _decay("tau_syn", "decay_syn", tau_syn_inv, dt) | {"order": "jump_then_decay"}


def _decay(tau: str, decay: str, rate: Parameter, dt: float) -> dict[str, Parameter]:
    """A time constant; or the decay if there is none, or if it is shorter than a step."""
    if not hasattr(rate, "dtype") and not 0 < dt * rate <= 1:
        return {decay: 1 - dt * rate}
    return {tau: 1 / rate}


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


# ---- Modules. Cells take one step, the others a sequence, time first.

_LIF = ("tau_syn_inv", "tau_mem_inv", "v_leak", "v_th", "v_reset")


def _numbers(p: Any, names: tuple[str, ...], in_shape: Shape) -> dict[str, Any]:
    return {name: per_neuron(getattr(p, name), in_shape) for name in names}


def _options(p: Any, names: tuple[str, ...], in_shape: Shape) -> dict[str, Any]:
    """Parameters of a spiking neuron by our functions' names."""
    return _numbers(p, names, in_shape) | {"method": p.method, "alpha": float(p.alpha)}


def _notes(options: dict[str, Any], dt: float | None = None) -> list[str]:
    notes = []
    if dt is not None:
        notes.append(f"explicit Euler steps of {dt:g} s, as in Norse; time constants are in s")
    if options.get("method") == "super" and options["alpha"] != 1:
        notes.append("the surrogate does not use its alpha, as in Norse 1.1")
    if any(hasattr(options.get(name), "dtype") for name in ("tau_mem_inv", "tau_syn_inv")):
        notes.append("parameters are time constants here, not their inverses")
    return notes


def _result(module: Any, layers: dict[str, Layer], notes: list[str]) -> Converted:
    if getattr(module, "record_states", False):
        raise ValueError(
            f"Norse's {type(module).__name__} has record_states=True; set it to False and read the "
            'states of every step by a probe, as in simulate(..., probes=["name.v"])'
        )
    sequence = not type(module).__name__.endswith("Cell")
    return Converted(layers, tuple(notes), (OUTPUT, "state"), sequence)


@register("norse.LIFCell", "norse.LIF")
def _lif(module: Any, in_shape: Shape) -> Converted:
    options = _options(module.p, _LIF, in_shape)
    return _result(module, {"": lif(**options, dt=module.dt)}, _notes(options, module.dt))


@register("norse.LIFRefracCell")
def _lif_refrac(module: Any, in_shape: Shape) -> Converted:
    options = _options(module.p.lif, _LIF, in_shape) | _rho(module, in_shape)
    notes = _notes(options, module.dt) + _REFRACTORY
    return _result(module, {"": lif(**options, dt=module.dt)}, notes)


@register(
    "norse.LIFRecurrentCell",
    "norse.LIFRecurrent",
    "norse.LIFRefracRecurrentCell",
    "norse.LIFRefracRecurrent",
)
def _lif_recurrent(module: Any, in_shape: Shape) -> Converted:
    shape = (int(module.hidden_size),)
    refractory = hasattr(module.p, "rho_reset")
    options = _options(module.p.lif if refractory else module.p, _LIF, shape)
    notes = _notes(options, module.dt)
    if refractory:
        options |= _rho(module, shape)
        notes += _REFRACTORY
    if not module.autapses:
        notes.append(
            "neurons do not see themselves; Norse keeps these weights at 0 in training, here they "
            "are weights like the others"
        )
    # The module cleared the diagonal when it was made; what is there now is what it computes with.
    layers = {
        "input_weights": Linear.from_weights(weight(module.input_weights)),
        "": lif_recurrent(
            recurrent_weights=weight(module.recurrent_weights),
            autapses=True,
            dt=module.dt,
            **options,
        ),
    }
    return _result(module, layers, notes)


_REFRACTORY = ["no gradient passes a refractory period; in Norse the surrogate's does"]


def _rho(module: Any, in_shape: Shape) -> dict[str, Any]:
    rho = per_neuron(module.p.rho_reset, in_shape)
    return {} if isinstance(rho, float) and rho <= 0 else {"rho_reset": rho}


@register("norse.LIFBoxCell")
def _lif_box(module: Any, in_shape: Shape) -> Converted:
    options = _options(module.p, _LIF[1:], in_shape)
    reset = getattr(module.p.reset_method, "__name__", str(module.p.reset_method))
    layer = lif_box(**options, reset_method=reset, dt=module.dt)
    return _result(module, {"": layer}, _notes(options, module.dt))


@register("norse.IAFCell", "norse.IAF")
def _iaf(module: Any, in_shape: Shape) -> Converted:
    options = _options(module.p, ("v_th", "v_reset"), in_shape)
    return _result(module, {"": iaf(**options)}, _notes(options))


@register("norse.LICell", "norse.LI")
def _li(module: Any, in_shape: Shape) -> Converted:
    options = _numbers(module.p, ("tau_syn_inv", "tau_mem_inv", "v_leak"), in_shape)
    return _result(module, {"": li(**options, dt=module.dt)}, _notes(options, module.dt))


@register("norse.LILinearCell")
def _li_linear(module: Any, in_shape: Shape) -> Converted:
    shape = (int(module.hidden_size),)
    options = _numbers(module.p, ("tau_syn_inv", "tau_mem_inv", "v_leak"), shape)
    layers = {
        "input_weights": Linear.from_weights(weight(module.input_weights)),
        "": li(**options, dt=module.dt),
    }
    return _result(module, layers, _notes(options, module.dt))


@register("norse.LIBoxCell")
def _li_box(module: Any, in_shape: Shape) -> Converted:
    options = _numbers(module.p, ("tau_mem_inv", "v_leak"), in_shape)
    return _result(module, {"": li_box(**options, dt=module.dt)}, _notes(options, module.dt))


@register("norse.LConv2d")
def _conv(module: Any, in_shape: Shape) -> Converted:
    # A Conv3d whose kernel is one step long; it stands for a Conv2d of every step.
    del in_shape
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise ValueError(
            f"Norse's LConv2d: padding is {module.padding!r} ({module.padding_mode}); use numbers "
            "and padding_mode='zeros'"
        )
    layer = Conv2d.from_weights(
        weight(module.weight)[..., 0],
        None if module.bias is None else weight(module.bias),
        stride=module.stride[:2],
        padding=module.padding[:2],
        dilation=module.dilation[:2],
        groups=module.groups,
    )
    return Converted({"": layer}, sequence=True)


_REFUSED = {
    "LSNN": "has an adaptive threshold behind a current that acts one step late; the nearest is "
    "neurojax.AdaptiveLIF, which has no current",
    "LIFAdEx": "has an exponential spike and an adaptation current; the nearest is LIF",
    "LIFAdExRefrac": "has an exponential spike and an adaptation current; the nearest is LIFRefrac",
    "LIFEx": "has an exponential spike; the nearest is LIF",
    "LIFMC": "has conductances between compartments; the nearest is LIFRecurrent",
    "LIFMCRefrac": "has conductances between compartments; the nearest is LIFRefracRecurrent",
    "LIFCorrelation": "has correlation sensors at its synapses; the nearest is LIFRecurrent",
    "CobaLIF": "has synaptic conductances, not currents; the nearest is LIF",
    "Izhikevich": "has a quadratic membrane; the nearest is LIF",
}
_TWINS = ("", "Cell", "Recurrent", "RecurrentCell")


@register(*(f"norse.{name}{twin}" for name in _REFUSED for twin in _TWINS))
def _refuse(module: Any, in_shape: Shape) -> Layer:
    del in_shape
    kind = type(module).__name__
    name = max((name for name in _REFUSED if kind.startswith(name)), key=len, default="")
    raise ValueError(f"Norse's {kind} {_REFUSED.get(name, 'is not supported; the nearest is LIF')}")
