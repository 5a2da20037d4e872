"""What the modules of slayer become: read, and made with the functions beside this."""

from __future__ import annotations

from typing import Any

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.quantise import LARGEST
from neurojax.converters._registry import Converted, kind_of, refuse, register
from neurojax.converters._values import per_neuron, weight
from neurojax.converters.slayer._blocks import (
    Block,
    affine,
    average,
    container,
    conv,
    dense,
    input,
    pool,
    recurrent,
    sum_pool,
)
from neurojax.converters.slayer._neurons import (
    cuba_lif_node,
    cuba_neuron,
    decay,
)
from neurojax.converters.slayer._synapses import SPIKINGJELLY_LARGEST
from neurojax.layers.dropout import Dropout
from neurojax.layers.shape import Flatten, Identity
from neurojax.surrogate import Sigmoid, Surrogate, by_name

LAYOUT = "inputs [batch, ..., time] of slayer are [time, batch, ...] here"
NEURONS = "only CUBA neurons and their blocks are known; others come with the Loihi chip model"
PLAIN_GRADIENT = "gradients to decays are the true ones, which slayer's are not"


# lava-dl


@register("lava.Neuron")
def _neuron(module: Any, in_shape: Shape) -> Converted:
    neuron, notes = _read_neuron(module, in_shape)
    return _block({"neuron": neuron}, module, notes)


@register("lava.Dense", "lava.Affine")
def _dense(module: Any, in_shape: Shape) -> Converted:
    if not hasattr(module, "neuron"):
        return _synapse_alone(module, in_shape)
    out_shape = (1,) * len(in_shape)  # one channel or neuron an output; decays are one a channel
    neuron, notes = _read_neuron(module.neuron, out_shape, spikes=hasattr(module, "delay_shift"))
    options = {"in_shape": in_shape, **_weight(module.synapse, neuron), "mask": _mask(module)}
    if hasattr(module, "delay_shift"):
        block = dense(neuron=neuron, **options, **_delays(module))
    else:
        block = affine(neuron=neuron, **options, dynamics=module.dynamics)
    return _block(block, module, notes)


@register("lava.Conv")
def _conv(module: Any, in_shape: Shape) -> Converted:
    if not hasattr(module, "neuron"):
        return _synapse_alone(module, in_shape)
    neuron, notes = _read_neuron(module.neuron, in_shape)
    options = _weight(module.synapse, neuron) | _window(module.synapse)
    block = conv(neuron=neuron, groups=module.synapse.groups, **options, **_delays(module))
    return _block(block, module, notes)


@register("lava.Pool")
def _pool(module: Any, in_shape: Shape) -> Converted:
    if not hasattr(module, "neuron"):
        return _synapse_alone(module, in_shape)
    neuron, notes = _read_neuron(module.neuron, in_shape)
    read = _weight(module.synapse, neuron)
    if read.pop("gain") is not None:
        raise ValueError("a pool with weight_norm=True is not supported; make it without")
    options = read | _window(module.synapse) | _delays(module)
    block = pool(neuron=neuron, in_shape=in_shape, **options)
    padded, steps = any(module.synapse.padding), tuple(module.synapse.stride)[:2]
    window = tuple(module.synapse.weight.shape)[2:4]
    if padded or steps != window or any(k > 2 and n % k for n, k in _sizes(in_shape, window)):
        notes += ("pools each channel; slayer's windows reach into the next one here",)
    return _block(block, module, notes)


@register("lava.Recurrent")
def _recurrent(module: Any, in_shape: Shape) -> Converted:
    neuron, notes = _read_neuron(module.neuron, in_shape[:1])
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
    neuron, notes = _read_neuron(module.neuron, in_shape)
    numbers = {
        name: None if given is None else per_neuron(given, ())
        for name, given in (("weight", module.weight), ("bias", module.bias))
    }
    return _block(input(neuron, **numbers, delay_shift=module.delay_shift), module, notes)


@register("lava.Flatten")
def _flatten(module: Any, in_shape: Shape) -> Converted:
    return _block({"flatten": Flatten()}, module, ())


@register("lava.Average")
def _average(module: Any, in_shape: Shape) -> Converted:
    return _block(average(module.num_outputs, in_shape=in_shape), module, ())


_LATER = (
    "comes with the Loihi chip model; the blocks that are known are Dense, Conv, Pool, Affine, "
    "Recurrent, Input, Flatten and Average of CUBA neurons"
)
refuse(
    "lava",
    "lava-dl's",
    dict.fromkeys(("ConvT", "Unpool", "KWTA", "TimeDecimation", "Output"), _LATER),
)


def _block(block: Block, module: Any, notes: tuple[str, ...]) -> Converted:
    if getattr(module, "count_log", False):
        raise ValueError(
            "count_log=True returns the mean rate, too; make the block with count_log=False and "
            "take the mean of the outputs"
        )
    drop = getattr(getattr(module, "neuron", module), "drop", None)
    if drop is not None and "neuron" in block:
        behind = block.pop("delay", None)
        block["dropout"] = Dropout(float(drop.p), inference=True)
        block |= {} if behind is None else {"delay": behind}
    # A single layer bears the name of the module.
    block = block or {"": Identity()}
    layers = {"": next(iter(block.values()))} if len(block) == 1 else block
    return Converted(layers, (LAYOUT, *notes), sequence=True)


def _read_neuron(
    module: Any, in_shape: Shape, *, spikes: bool = True
) -> tuple[CUBA, tuple[str, ...]]:
    """The neuron of a block, without its threshold if it doesn't spike."""
    adapts = hasattr(module, "threshold_step")
    if adapts or not (hasattr(module, "current_decay") and hasattr(module, "voltage_decay")):
        where = ".".join(type(module).__module__.split(".")[-2:])
        raise ValueError(f"its neuron is {where}.{type(module).__name__}; {NEURONS}")
    if hasattr(module, "current_decay_min"):
        raise ValueError(
            "shared_param=False draws the decays in the first call; run the module once before"
        )
    if spikes and module._threshold is None:
        raise ValueError("its threshold is None, which only the neuron of an Affine block may have")
    threshold = float(module._threshold) if spikes else 1.0
    learned = bool(module.requires_grad)
    spatial = len(in_shape) > 1
    neuron = cuba_neuron(
        threshold=threshold,
        current_decay=decay(module.current_decay, learned=learned, spatial=spatial),
        voltage_decay=decay(module.voltage_decay, learned=learned, spatial=spatial),
        tau_grad=module.tau_rho / threshold if spikes and threshold else 1.0,
        scale_grad=float(module.scale_rho),
        scale=module.s_scale / 64,
        norm=_norm(module.norm, module.w_scale, LARGEST),
        graded_spike=bool(module.graded_spike),
    )
    notes: tuple[str, ...] = (PLAIN_GRADIENT,) if learned else ()
    if module.norm is not None:
        notes += ("the statistics of its norm are fixed",)
    if module.persistent_state:
        notes += ("starts from state 0; to go on from a run, pass its state on",)
    return neuron, notes


def _norm(module: Any, scale: int, largest: int) -> ShiftNorm | None:
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


def _weight(synapse: Any, neuron: CUBA) -> dict[str, Any]:
    """The weight of a synapse, its normalisation, and whether it is quantised."""
    if getattr(synapse, "complex", False):
        raise ValueError(f"its synapses are complex; {NEURONS}")
    hook = synapse._pre_hook_fx
    if hook is not None and (
        getattr(hook, "__name__", "") != "quantize_8bit"
        or getattr(hook, "__self__", None) is None
        or hook.__self__.w_scale != neuron.w_scale
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


def _synapse_alone(module: Any, in_shape: Shape) -> Converted:
    """A synapse that is no part of a block."""
    hook = getattr(module, "_pre_hook_fx", None)
    scale = getattr(getattr(hook, "__self__", None), "w_scale", 64)
    neuron = CUBA(current_decay=1.0, voltage_decay=0.0, scale=scale)  # only says the scale
    options = _weight(module, neuron)
    kind = type(module).__name__
    if kind == "Pool":
        options.pop("gain")
        block = pool(neuron=neuron, in_shape=in_shape, **options, **_window(module))
    elif kind == "Conv":
        block = conv(neuron=neuron, groups=module.groups, **options, **_window(module))
    else:
        block = dense(neuron=neuron, in_shape=in_shape, **options)
    return Converted({"": block["synapse"]}, (LAYOUT,), sequence=True)


def _window(synapse: Any) -> dict[str, Any]:
    return {name: tuple(getattr(synapse, name))[:2] for name in ("stride", "padding", "dilation")}


def _mask(module: Any) -> Any:
    mask = getattr(module, "mask", None)
    return None if mask is None else weight(mask)


def _delays(module: Any) -> dict[str, Any]:
    if module.delay is not None and not getattr(module.delay, "init", True):
        raise ValueError("axonal delays are drawn in the first call; run the block once before")
    delay = None if module.delay is None else weight(module.delay.delay)
    return {"delay_shift": bool(module.delay_shift), "delay": delay}


def _sizes(in_shape: Shape, window: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(in_shape[1:], window, strict=True))


# SpikingJelly


@register("spikingjelly.CubaLIFNode")
def _cuba_lif_node(module: Any, in_shape: Shape) -> Converted:
    neuron, notes = _read_node(module)
    return Converted({"": neuron}, notes, sequence=module.step_mode == "m")


@register("spikingjelly.BlockContainer")
def _container(module: Any, in_shape: Shape) -> Converted:
    synapse, sequence = module.synapse, module.step_mode == "m"
    kind = kind_of(type(synapse))
    if kind == "torch.Flatten":
        return Converted({"": Flatten()}, sequence=sequence)
    neuron, notes = _read_node(module.neuron)
    if kind == "spikingjelly.SumPool2d":
        block: Block = {"synapse": _read_sum_pool(synapse, in_shape), "neuron": neuron}
    elif kind == "torch.Linear":
        block = container(weight(synapse.weight), neuron)
    elif kind == "torch.Conv2d":
        if isinstance(synapse.padding, str) or synapse.padding_mode != "zeros":
            raise ValueError(
                f"its convolution has padding {synapse.padding!r}, {synapse.padding_mode}; only "
                "numbers of zeros are supported"
            )
        window = _window(synapse)
        block = container(weight(synapse.weight), neuron, groups=synapse.groups, **window)
    else:
        raise ValueError(
            f"its synapse is {kind}, which BlockContainer can't run; use Linear, Conv2d, "
            "lava_exchange.SumPool2d or Flatten"
        )
    return Converted(block, notes, sequence=sequence)


@register("spikingjelly.SumPool2d")
def _sum_pool(module: Any, in_shape: Shape) -> Converted:
    return Converted({"": _read_sum_pool(module, in_shape)}, sequence=False)


# Not SpikingJelly's layer of that name.
@register("spikingjelly.activation_based.lava_exchange.BatchNorm2d")
def _shift_norm(module: Any, in_shape: Shape) -> Converted:
    layer = _norm(module, 64, SPIKINGJELLY_LARGEST)
    assert layer is not None
    return Converted({"": layer}, ("the statistics of the norm are fixed",), sequence=False)


def _read_sum_pool(module: Any, in_shape: Shape) -> Layer:
    return sum_pool(tuple(module.kernel_size), in_shape=in_shape, **_window(module))


def _read_node(module: Any) -> tuple[CUBA, tuple[str, ...]]:
    learned = bool(module.requires_grad)
    surrogate: Surrogate = Sigmoid(4.0)
    notes: tuple[str, ...] = ()
    function = module.surrogate_function
    try:
        params = dict(getattr(function, "_sg_params", {}))
        surrogate = by_name(f"spikingjelly.{type(function).__name__}", **params)
    except (ValueError, TypeError):
        notes = (f"the surrogate {function!r} is not known; Sigmoid(4) stands for it",)
    if not getattr(function, "spiking", True):
        raise ValueError("its surrogate has spiking=False, so it emits no spikes; set it to True")
    neuron = cuba_lif_node(
        current_decay=_node_decay(module.current_decay, learned),
        voltage_decay=_node_decay(module.voltage_decay, learned),
        v_threshold=float(module.v_threshold),
        scale=module.s_scale / 64,
        surrogate=surrogate,
        norm=_norm(module.norm, module.scale, SPIKINGJELLY_LARGEST),
        detach_reset=bool(module.detach_reset),
    )
    if learned:
        notes += ("decays are in units of 1: gradients are 4096 times SpikingJelly's",)
    if module.norm is not None:
        notes += ("the statistics of its norm are fixed",)
    return neuron, notes


def _node_decay(steps: Any, learned: bool) -> Any:
    """Several decays go along the last axes of the input, as torch broadcasts."""
    return decay(steps, learned=learned, spatial=False)
