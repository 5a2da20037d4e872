"""What the modules of slayer become: read, and made with the functions beside this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurojax._layer import Shape
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.sigma_delta import SigmaDelta
from neurojax.converters._registry import Converted, refuse, register
from neurojax.converters._values import per_neuron, weight
from neurojax.converters.slayer._blocks import (
    affine,
    conv,
    conv_transpose,
    dense,
    input,
    recurrent,
)
from neurojax.converters.slayer._neurons import array
from neurojax.converters.slayer._pools import average, pool, unpool
from neurojax.converters.slayer._reading import read_neuron
from neurojax.converters.slayer._sigma_delta import sigma_delta_input, sigma_delta_output
from neurojax.converters.slayer._synapses import Block, steps_per_unit, window_of
from neurojax.layers.dropout import Dropout
from neurojax.layers.shape import Flatten, Identity

FIXED_DELAYS = "its axonal delays are fixed; put an AxonalDelay in their place to train them on"
LAYOUT = "inputs [batch, ..., time] of slayer are [time, batch, ...] here"
COMPLEX = "a pair (real, imag) of slayer is the first axis of a sample here"


@register("lava.Neuron")
def _neuron(module: Any, in_shape: Shape) -> Converted:
    neuron, notes = read_neuron(module, in_shape[1:] if _is_complex(module) else in_shape)
    return _block({"neuron": neuron}, module, (*notes, *(COMPLEX,) * _is_complex(module)))


@register("lava.Dense", "lava.Affine")
def _dense(module: Any, in_shape: Shape) -> Converted:
    if not hasattr(module, "neuron"):
        return _synapse_alone(module, in_shape)
    out_shape = (1,) * len(in_shape)  # one channel or neuron an output; decays are one a channel
    neuron, notes = read_neuron(module.neuron, out_shape, spikes=hasattr(module, "delay_shift"))
    options = {"in_shape": in_shape, **_weight(module.synapse, neuron), "mask": _mask(module)}
    if hasattr(module, "delay_shift"):
        block = dense(neuron=neuron, **options, **_delays(module))
    else:
        block = affine(neuron=neuron, **options, dynamics=module.dynamics)
    return _block(block, module, notes)


@register("lava.Conv")
def _conv(module: Any, in_shape: Shape) -> Converted:
    return _over_windows(conv, module, in_shape)


@register("lava.ConvT", "lava.ConvTranspose")
def _conv_transpose(module: Any, in_shape: Shape) -> Converted:
    return _over_windows(conv_transpose, module, in_shape)


def _over_windows(make: Callable[..., Block], module: Any, in_shape: Shape) -> Converted:
    if not hasattr(module, "neuron"):
        return _synapse_alone(module, in_shape)
    neuron, notes = read_neuron(module.neuron, in_shape)
    options = _weight(module.synapse, neuron) | _window(module.synapse) | _groups(module.synapse)
    return _block(make(neuron=neuron, **options, **_delays(module)), module, notes)


@register("lava.Pool")
def _pool(module: Any, in_shape: Shape) -> Converted:
    if not hasattr(module, "neuron"):
        return _synapse_alone(module, in_shape)
    neuron, notes = read_neuron(module.neuron, in_shape)
    window = _window(module.synapse)
    options = _window_weight(module.synapse, neuron) | window | _delays(module)
    block = pool(neuron=neuron, in_shape=in_shape, **options)
    size = _window_size(module.synapse)
    uneven = any(k > 2 and n % k for n, k in zip(in_shape[1:], size, strict=True))
    if any(window["padding"]) or window["stride"] != size or uneven:
        notes += (
            "pools each channel; slayer's windows reach into the next one here "
            "(slayer.pool(stacked_channels=True))",
        )
    return _block(block, module, notes)


@register("lava.Unpool")
def _unpool(module: Any, in_shape: Shape) -> Converted:
    if not hasattr(module, "neuron"):
        return _synapse_alone(module, in_shape)
    neuron, notes = read_neuron(module.neuron, in_shape)
    window = _window(module.synapse)
    options = _window_weight(module.synapse, neuron) | window | _delays(module)
    if any(window["padding"]) or window["stride"] != _window_size(module.synapse):
        notes += ("unpools each channel; slayer's windows reach into the next one here",)
    return _block(unpool(neuron=neuron, **options), module, notes)


@register("lava.Recurrent")
def _recurrent(module: Any, in_shape: Shape) -> Converted:
    neuron, notes = read_neuron(module.neuron, in_shape[:1])
    into = _weight(module.input_synapse, neuron)
    back = _weight(module.recurrent_synapse, neuron)
    block = recurrent(
        neuron=neuron,
        recurrent_weight=back["weight"],
        recurrent_gain=back["gain"],
        **into,
        **_delays(module),
    )
    notes += ("gradients go through states too; slayer's go through the feedback only",)
    return _block(block, module, notes)


@register("lava.Input")
def _input(module: Any, in_shape: Shape) -> Converted:
    if module.neuron is None:
        return _block(input(delay_shift=module.delay_shift), module, ())
    complex_input = _is_complex(module.neuron)
    neuron, notes = read_neuron(module.neuron, in_shape[1:] if complex_input else in_shape)
    numbers = {
        name: None if given is None else per_neuron(given, ())
        for name, given in (("weight", module.weight), ("bias", module.bias))
    }
    if isinstance(neuron, SigmaDelta):
        return _block(sigma_delta_input(neuron, **numbers), module, notes)
    block = input(neuron, **numbers, delay_shift=module.delay_shift)
    return _block(block, module, notes + (COMPLEX,) * complex_input)


@register("lava.Output")
def _output(module: Any, in_shape: Shape) -> Converted:
    neuron, notes = read_neuron(module.neuron, in_shape)
    if not isinstance(neuron, SigmaDelta):
        raise ValueError("an Output block has a sigma-delta neuron, but this one has not")
    options = _weight(module.synapse, neuron)
    if not options.pop("quantise"):
        raise ValueError("its pre_hook_fx is None; slayer's Output blocks quantise their weights")
    block = sigma_delta_output(neuron=neuron, in_shape=in_shape, **options)
    return _block(block, module, notes, drops=False)


@register("lava.Flatten")
def _flatten(module: Any, in_shape: Shape) -> Converted:
    return _block({"flatten": Flatten()}, module, ())


@register("lava.Average")
def _average(module: Any, in_shape: Shape) -> Converted:
    return _block(average(module.num_outputs, in_shape=in_shape), module, ())


refuse(
    "lava",
    "lava-dl's",
    {
        "KWTA": (
            "is not supported: its documentation and its code disagree on the bias, and there is "
            "no recording to decide by; write it as a Recurrent block, with the inhibition in its "
            "recurrent weight"
        ),
        "TimeDecimation": (
            "gives fewer time steps than it takes, which no layer of a network does; take it out "
            "and apply slayer.time_decimation to the outputs"
        ),
    },
)


def _block(block: Block, module: Any, notes: tuple[str, ...], *, drops: bool = True) -> Converted:
    if getattr(module, "count_log", False):
        raise ValueError(
            "count_log=True returns the mean rate, too; make the block with count_log=False and "
            "take the mean of the outputs"
        )
    if getattr(module, "delay", None) is not None:
        notes += (FIXED_DELAYS,)
    drop = getattr(getattr(module, "neuron", module), "drop", None)
    if drop is not None and "neuron" in block and drops:
        behind = block.pop("delay", None)
        block["dropout"] = Dropout(float(drop.p), inference=True)
        block |= {} if behind is None else {"delay": behind}
    # A single layer bears the name of the module.
    block = block or {"": Identity()}
    layers = {"": next(iter(block.values()))} if len(block) == 1 else block
    return Converted(layers, (LAYOUT, *notes), sequence=True)


def _weight(synapse: Any, neuron: Any) -> dict[str, Any]:
    """The weight of a synapse, its normalisation, and whether it is quantised."""
    if _is_complex(synapse):
        real, imag = (_weight(part, neuron) for part in (synapse.real, synapse.imag))
        if real["quantise"] != imag["quantise"]:
            raise ValueError("one part of its complex weight is quantised, the other is not")
        gain = None if real["gain"] is None else (real["gain"], imag["gain"])
        return real | {"weight": (real["weight"], imag["weight"]), "gain": gain}
    hook = synapse._pre_hook_fx
    if hook is not None and (
        getattr(hook, "__name__", "") != "quantize_8bit"
        or getattr(hook, "__self__", None) is None
        or hook.__self__.w_scale != steps_per_unit(neuron)
    ):
        raise ValueError(
            f"its pre_hook_fx is {hook!r}; the hooks that are known are the quantize_8bit of its "
            "neuron and None"
        )
    normalised = hasattr(synapse, "weight_g")
    return {
        "weight": weight(synapse.weight_v if normalised else synapse.weight),
        "gain": weight(synapse.weight_g) if normalised else None,
        "quantise": hook is not None,
    }


def _window_weight(synapse: Any, neuron: Any) -> dict[str, Any]:
    """The weight of a pool, which can't be normalised."""
    read = _weight(synapse, neuron)
    if read.pop("gain") is not None:
        raise ValueError("a pool with weight_norm=True is not supported; make it without")
    return read


def _synapse_alone(module: Any, in_shape: Shape) -> Converted:
    """A synapse that is no part of a block."""
    one = _real_part(module)
    hook = getattr(one, "_pre_hook_fx", None)
    scale = getattr(getattr(hook, "__self__", None), "w_scale", 64)
    neuron = CUBA(current_decay=1.0, voltage_decay=0.0, scale=scale)  # only says the scale
    kind = type(module).__name__
    if kind in ("Pool", "Unpool"):
        options = _window_weight(module, neuron) | _window(module)
        block = (
            pool(neuron=neuron, in_shape=in_shape, **options)
            if kind == "Pool"
            else unpool(neuron=neuron, **options)
        )
    elif kind in ("Conv", "ConvTranspose"):
        options = _weight(module, neuron) | _window(module) | _groups(module)
        block = (conv if kind == "Conv" else conv_transpose)(neuron=neuron, **options)
    else:
        block = dense(neuron=neuron, in_shape=in_shape, **_weight(module, neuron))
    return Converted({"": block["synapse"]}, (LAYOUT,), sequence=True)


def _window(synapse: Any) -> dict[str, Any]:
    return window_of(_real_part(synapse))


def _window_size(synapse: Any) -> tuple[int, ...]:
    return tuple(_real_part(synapse).weight.shape)[2:4]


def _groups(synapse: Any) -> dict[str, int]:
    return {"groups": _real_part(synapse).groups}


def _is_complex(module: Any) -> bool:
    """Whether a synapse has complex weights, or a neuron takes complex inputs."""
    return bool(getattr(module, "complex", False))


def _real_part(synapse: Any) -> Any:
    return synapse.real if _is_complex(synapse) else synapse


def _mask(module: Any) -> Any:
    mask = getattr(module, "mask", None)
    return None if mask is None else weight(mask)


def _delays(module: Any) -> dict[str, Any]:
    if module.delay is not None and not getattr(module.delay, "init", True):
        raise ValueError("axonal delays are drawn in the first call; run the block once before")
    delay = None if module.delay is None else array(module.delay.delay)
    return {"delay_shift": bool(module.delay_shift), "delay": delay}
