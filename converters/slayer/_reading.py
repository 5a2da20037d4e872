"""What the neurons and norms of slayer and of SpikingJelly's lava_exchange hold, read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.quantise import LARGEST
from neurojax.converters._registry import kind_of
from neurojax.converters._values import weight
from neurojax.converters.slayer._neurons import array, cuba_lif_node, cuba_neuron, decay
from neurojax.converters.slayer._sigma_delta import sigma_delta_neuron
from neurojax.converters.slayer._synapses import SPIKINGJELLY_LARGEST
from neurojax.converters.slayer._zoo import (
    adrf_iz_neuron,
    adrf_neuron,
    alif_neuron,
    rf_iz_neuron,
    rf_neuron,
)
from neurojax.surrogate import Sigmoid, Surrogate, by_name

PLAIN_GRADIENT = "gradients to decays are the true ones, which slayer's are not"
FIXED_NORM = "the statistics of its norm are fixed"

Read = tuple[Layer, tuple[str, ...]]

CURRENT = ("current_decay", "voltage_decay")
ROTATION = ("sin_decay", "cos_decay")
ADAPTATION = ("threshold_decay", "refractory_decay")

FAMILIES: dict[str, tuple[Callable[..., Layer], tuple[str, ...], tuple[str, ...]]] = {
    "cuba": (cuba_neuron, CURRENT, ("norm",)),
    "alif": (alif_neuron, (*CURRENT, *ADAPTATION), ("norm",)),
    "rf": (rf_neuron, ROTATION, ("real_norm", "imag_norm")),
    "rf_iz": (rf_iz_neuron, ROTATION, ("real_norm", "imag_norm")),
    "adrf": (adrf_neuron, (*ROTATION, *ADAPTATION), ("real_norm", "imag_norm")),
    "adrf_iz": (adrf_iz_neuron, (*ROTATION, *ADAPTATION), ("real_norm", "imag_norm")),
    "sigma_delta": (sigma_delta_neuron, (), ("norm",)),
}
"""slayer's neurons by the name of their file: who makes them, their decays, their norms."""


def read_neuron(module: Any, in_shape: Shape, *, spikes: bool = True) -> Read:
    """The neuron of a block, and notes on it.

    Args:
        module: slayer's module.
        in_shape: Of the population, to know whether there are axes behind the channels.
        spikes: False for the neuron of an Affine block, which has lost its threshold.
    """
    family = _family(module)
    if family == "sigma_delta":
        return _read_sigma_delta(module)
    make, decays, norms = FAMILIES[family]
    if any(hasattr(module, name) for name in ("current_decay_min", "period_min")):
        raise ValueError(
            "shared_param=False draws the decays in the first call; run the module once before"
        )
    if spikes and module._threshold is None:
        raise ValueError("its threshold is None, which only the neuron of an Affine block may have")
    threshold = float(module._threshold) if spikes else 1.0
    learned, along = bool(module.requires_grad), len(in_shape) > 1
    options: dict[str, Any] = {
        name: decay(getattr(module, name), learned=learned, spatial=along) for name in decays
    }
    options |= {
        name: read_norm(getattr(module, name, None), module.w_scale, LARGEST) for name in norms
    }
    if "threshold_decay" in decays:
        options["threshold_step"] = float(module.threshold_step)
    neuron = make(
        threshold=threshold,
        tau_grad=module.tau_rho / threshold if spikes and threshold else 1.0,
        scale_grad=float(module.scale_rho),
        scale=module.s_scale / 64,
        graded_spike=bool(module.graded_spike),
        **options,
    )
    notes: tuple[str, ...] = (PLAIN_GRADIENT,) if learned else ()
    if any(options[name] is not None for name in norms):
        notes += (FIXED_NORM,)
    return neuron, notes + _state_notes(module)


def _family(module: Any) -> str:
    """Which of slayer's neurons it is, or is derived from."""
    for cls in type(module).__mro__:
        package, _, file = cls.__module__.rpartition(".")
        if package.endswith("slayer.neuron") and file in FAMILIES:
            return file
    where = ".".join(type(module).__module__.split(".")[-2:])
    raise ValueError(
        f"its neuron is {where}.{type(module).__name__}; the neurons that are known are those of "
        f"slayer.neuron: {', '.join(FAMILIES)}"
    )


def _read_sigma_delta(module: Any) -> Read:
    delta, learned = module.delta, bool(module.requires_grad)
    threshold = array(delta.threshold)
    steps = threshold * module.w_scale
    neuron = sigma_delta_neuron(
        threshold=(
            jnp.asarray(threshold)
            if learned or threshold.size > 1
            else float(threshold.reshape(()))
        ),
        activation=module.activation,
        tau_grad=float(delta.tau_grad),
        scale_grad=float(delta.scale_grad),
        scale=module.s_scale / 64,
        cum_error=bool(delta.cum_error),
        norm=read_norm(module.norm, module.w_scale, LARGEST),
        bias=weight(module.bias) if getattr(module, "bias_is_set", False) else 0.0,
    )
    notes: tuple[str, ...] = () if module.norm is None else (FIXED_NORM,)
    if not np.array_equal(steps, np.trunc(steps)):
        notes += ("its threshold is cut to weight steps, as slayer exports it",)
    return neuron, notes + _state_notes(module)


def _state_notes(module: Any) -> tuple[str, ...]:
    if not module.persistent_state:
        return ()
    return ("starts from state 0; to go on from a run, pass its state on",)


def read_norm(module: Any, scale: int, largest: int) -> ShiftNorm | None:
    """The norm of a neuron, or None."""
    if module is None:
        return None
    if not hasattr(module, "running_mean"):
        raise ValueError(
            f"its norm is {kind_of(type(module))}; the norms that are known are MeanOnlyBatchNorm, "
            "WgtScaleBatchNorm and lava_exchange.BatchNorm2d"
        )
    quantised = getattr(module.pre_hook_fx, "__name__", "") == "quantize_8bit"
    var = getattr(module, "running_var", None)
    return ShiftNorm(
        weight(module.running_mean),
        None if var is None else weight(var),
        eps=getattr(module, "eps", 0.0),
        exponent_bits=getattr(module, "weight_exp_bits", 0),
        scale=scale if quantised else None,
        largest=largest,
    )


def surrogate_of(function: Any) -> tuple[Surrogate, tuple[str, ...]]:
    """The surrogate that SpikingJelly's stands for, or one of ours; and notes."""
    if isinstance(function, Surrogate):
        return function, ()
    if not getattr(function, "spiking", True):
        raise ValueError("its surrogate has spiking=False, so it emits no spikes; set it to True")
    try:
        params = dict(getattr(function, "_sg_params", {}))
        return by_name(f"spikingjelly.{type(function).__name__}", **params), ()
    except (ValueError, TypeError):
        return Sigmoid(4.0), (f"the surrogate {function!r} is not known; Sigmoid(4) stands for it",)


def read_node(module: Any) -> tuple[CUBA, tuple[str, ...]]:
    """The neuron of `lava_exchange.CubaLIFNode`, and notes on it."""
    learned = bool(module.requires_grad)
    surrogate, notes = surrogate_of(module.surrogate_function)
    neuron = cuba_lif_node(
        current_decay=_node_decay(module.current_decay, learned),
        voltage_decay=_node_decay(module.voltage_decay, learned),
        v_threshold=float(module.v_threshold),
        scale=module.s_scale / 64,
        surrogate=surrogate,
        norm=read_norm(module.norm, module.scale, SPIKINGJELLY_LARGEST),
        detach_reset=bool(module.detach_reset),
    )
    if learned:
        notes += ("decays are in units of 1: gradients are 4096 times SpikingJelly's",)
    if module.norm is not None:
        notes += (FIXED_NORM,)
    return neuron, notes


def _node_decay(steps: Any, learned: bool) -> Any:
    """Several decays go along the last axes of the input, as torch broadcasts."""
    return decay(steps, learned=learned, spatial=False)
