"""What the modules of Norse become: read, and made with the functions beside this."""

from __future__ import annotations

from typing import Any

from neurojax._layer import Layer, Shape
from neurojax.converters._registry import OUTPUT, Converted, refuse, register
from neurojax.converters._values import per_neuron, weight
from neurojax.converters.norse._neurons import (
    iaf,
    li,
    li_box,
    lif,
    lif_box,
    lif_recurrent,
)
from neurojax.layers.convolution import Conv2d
from neurojax.layers.linear import Linear

_REFRACTORY = ["no gradient passes a refractory period; in Norse the surrogate's does"]
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
    sequence = any(cls.__name__ in ("SNN", "SNNRecurrent") for cls in type(module).__mro__)
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

refuse("norse", "Norse's", {f"{n}{twin}": why for n, why in _REFUSED.items() for twin in _TWINS})
