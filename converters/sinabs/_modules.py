"""What the modules of sinabs become: read, and made with the functions beside this."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from neurojax._layer import Layer, Shape
from neurojax.chips.dynapcnn import DVS
from neurojax.converters._nested import nested
from neurojax.converters._registry import Converted, kind_of, refuse, register
from neurojax.converters._values import is_number, per_neuron
from neurojax.converters.sinabs._layers import Crop, Rounded
from neurojax.converters.sinabs._neurons import (
    alif,
    exp_leak,
    iaf,
    lif,
    recurrent,
)
from neurojax.layers.activation import ReLU
from neurojax.layers.chain import Chain
from neurojax.layers.pooling import SumPool2d
from neurojax.layers.shape import Add, Identity, Pad, Reshape
from neurojax.surrogate import Exponential, by_name

_NEURONS: dict[str, Callable[..., Layer]] = {
    "IAF": iaf,
    "IAFSqueeze": iaf,
    "IAFRecurrent": iaf,
    "LIF": lif,
    "LIFSqueeze": lif,
    "LIFRecurrent": lif,
    "ExpLeak": exp_leak,
    "ExpLeakSqueeze": exp_leak,
    "ALIF": alif,
    "ALIFRecurrent": alif,
}


@register(*(f"sinabs.{name}" for name in _NEURONS))
def _neuron(module: Any, in_shape: Shape) -> Converted:
    kind = next(c.__name__ for c in type(module).__mro__ if c.__name__ in _NEURONS)
    maker = _NEURONS[kind]
    read = {name: getattr(module, name, None) for name in ("min_v_mem", *_decays(module, maker))}
    options = {k: per_neuron(v, in_shape) for k, v in read.items() if v is not None}
    if maker is not iaf:
        options["norm_input"] = bool(module.norm_input)
    notes: list[str] = []
    if module.spike_fn is None and maker is not alif:
        maker = exp_leak  # a LIF without spikes; without a leak, what is left after a step is 1
        options |= {"alpha_mem": 1.0} if "norm_input" not in options else {}
    else:
        threshold = module.b0 if maker is alif else module.spike_threshold
        options["spike_threshold"] = per_neuron(threshold, in_shape)
        options |= _firing(module, in_shape, notes)
    if maker is alif:
        options["adapt_scale"] = per_neuron(module.adapt_scale, in_shape)
        if options["norm_input"] and {"tau_syn", "alpha_syn"} & set(options):
            notes.append(
                "1 - alpha_mem acts on the synaptic current that is kept, in every step again, as "
                "sinabs computes it"
            )
    layer = maker(**options)
    if hasattr(module, "rec_connect"):
        layer = recurrent(layer, _feedback(module, in_shape, notes))
    return Converted({"": layer}, tuple(notes), sequence=True)


def _decays(module: Any, maker: Any) -> list[str]:
    """Names of the time constants, or of the decays if those are what is trained."""
    prefix = "alpha" if module.train_alphas else "tau"
    names = ["syn"] if maker is iaf else ["mem", "syn"]
    return [f"{prefix}_{name}" for name in [*names, *(["adapt"] if maker is alif else [])]]


def _firing(module: Any, in_shape: Shape, notes: list[str]) -> dict[str, Any]:
    """Spike function, reset and surrogate of a neuron."""
    name = _name(module.spike_fn)
    if name not in ("SingleSpike", "MultiSpike", "MaxSpike"):
        raise ValueError(
            f"spike_fn {module.spike_fn!r} is not known; use SingleSpike, MultiSpike or MaxSpike"
        )
    at_most = 1 if name == "SingleSpike" else None
    if name == "MaxSpike":
        at_most = module.spike_fn.max_num_spikes_per_bin
    reset = _name(module.reset_fn)
    if reset not in ("MembraneSubtract", "MembraneReset"):
        raise ValueError(
            f"reset_fn {module.reset_fn!r} is not known; use MembraneSubtract or MembraneReset"
        )
    subtract = reset == "MembraneSubtract"
    amount = module.reset_fn.subtract_value if subtract else module.reset_fn.reset_value
    amount = None if amount is None else per_neuron(amount, in_shape)
    if not subtract and not is_number(amount, 0):
        notes.append(
            f"{module.reset_fn!r} adds its value to every neuron in every step, spikes or not, as "
            "sinabs computes it"
        )
    surrogate = module.surrogate_grad_fn
    try:
        known = by_name(f"sinabs.{_name(surrogate)}", **dataclasses.asdict(surrogate))
    except (TypeError, ValueError):
        known = Exponential(0.5)
        notes.append(
            f"the surrogate {surrogate!r} is not known; the derivative is that of "
            "SingleExponential(), sinabs' default"
        )
    return {
        "max_spikes": at_most,
        "reset": "subtract" if subtract else "value",
        "reset_value": amount,
        "surrogate": known,
    }


def _name(function: Any) -> str:
    """Name of one of sinabs' functions, whether a class or an object; "" for another's."""
    cls = function if isinstance(function, type) else type(function)
    return cls.__name__ if kind_of(cls).startswith("sinabs.") else ""


def _feedback(module: Any, in_shape: Shape, notes: list[str]) -> Layer:
    layer, inner = nested(module.rec_connect, in_shape, "rec_connect")
    notes += inner
    notes.append("sinabs forgets the last spikes between two calls; a run that goes on does not")
    if layer.out_shape(in_shape) != in_shape:  # sinabs reshapes what comes back
        layer = Chain(feedback=layer, shape=Reshape(in_shape))
    return layer


@register("sinabs.SumPool2d")
def _sum_pool(module: Any, in_shape: Shape) -> Converted:
    if module.ceil_mode:
        raise ValueError("SumPool2d: ceil_mode=True is not supported; pad the input instead")
    layer = SumPool2d(module.kernel_size, stride=module.stride)
    layer.out_shape(in_shape)
    note = "where a window sums to exactly 0 sinabs passes no gradient, this layer does"
    return Converted({"": layer}, (note,))


@register("sinabs.Merge")
def _merge(module: Any, in_shape: Any) -> Converted:
    del module
    if any(shape != in_shape[0] for shape in in_shape):
        raise ValueError(
            f"Merge of different shapes, {', '.join(map(str, in_shape))}, is not supported; pad "
            "the smaller one first"
        )
    return Converted({"": Add()})


@register("sinabs.NeuromorphicReLU")
def _neuromorphic_relu(module: Any, in_shape: Shape) -> Converted:
    del in_shape
    if not module.quantize:
        return Converted({"": ReLU()})
    if not module.stochastic_rounding:
        return Converted({"relu": ReLU(), "": Rounded("floor")})
    note = "in training sinabs rounds at random, this layer always to the nearest"
    return Converted({"relu": ReLU(), "": Rounded("nearest")}, (note,))


@register("sinabs.QuantizeLayer")
def _quantize(module: Any, in_shape: Shape) -> Layer:
    del in_shape
    return Rounded("floor") if module.quantize else Identity()


@register("sinabs.Cropping2dLayer")
def _crop(module: Any, in_shape: Shape) -> Layer:
    rows, columns = (module.top_crop, module.bottom_crop), (module.left_crop, module.right_crop)
    layer = Crop((rows, columns))
    layer.out_shape(in_shape)
    return layer


@register("sinabs.ChannelShift")
def _channel_shift(module: Any, in_shape: Shape) -> Layer:
    del in_shape
    return Pad([(module.channel_shift, 0)] + [(0, 0)] * (-module.channel_axis - 1))


@register("sinabs.DVSLayer")
def _dvs(module: Any, in_shape: Shape) -> Layer:
    height, width = module.get_output_shape_after_pooling()[1:]
    crop = module.get_roi()
    layer = DVS(
        pool=module.get_pooling(),
        crop=None if crop == ((0, height), (0, width)) else crop,
        merge_polarities=module.merge_polarities,
        flip_x=module.flip_layer.flip_x,
        flip_y=module.flip_layer.flip_y,
        swap_xy=module.flip_layer.swap_xy,
        pixel_array=not module.disable_pixel_array,
    )
    layer.out_shape(in_shape)
    return layer


@register("sinabs.Crop2d")
def _crop_to(module: Any, in_shape: Shape) -> Layer:
    # Slices end where the map ends, whatever they say.
    rows, columns = (
        (first, min(last, size))
        for (first, last), size in zip(
            (
                (module.top_crop, module.bottom_crop),
                (module.left_crop, module.right_crop),
            ),
            in_shape[1:],
            strict=True,
        )
    )
    return DVS(crop=(rows, columns))


@register("sinabs.FlipDims")
def _flip(module: Any, in_shape: Shape) -> Layer:
    del in_shape
    return DVS(flip_x=module.flip_x, flip_y=module.flip_y, swap_xy=module.swap_xy)


_REFUSED = {
    "DynapcnnLayer": "is a core of the chip already; import the model that it was made from",
    "DynapcnnNetworkModule": "is on the chip already; import the model that it was made from",
    "DynapcnnNetwork": "is on the chip already; import the model that it was made from",
    "FlattenTime": "moves time and batch; use torch.nn.Flatten(0, 1), which does the same",
    "SpikingMaxPooling2dLayer": "chooses by all spikes so far; use SumPool2d, which chips have",
    "Img2SpikeLayer": "draws input spikes; use neurojax.encode in front of the network",
    "Sig2SpikeLayer": "draws input spikes; use neurojax.encode in front of the network",
}

refuse("sinabs", "sinabs'", _REFUSED)
