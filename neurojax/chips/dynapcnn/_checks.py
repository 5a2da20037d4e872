"""Does a block fit a core? Every rule of the chip, one problem each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from neurojax._layer import Shape
from neurojax._table import shape_text
from neurojax.chips._checks import check_finite as check_finite
from neurojax.chips._mapped import Problem
from neurojax.chips.dynapcnn._blocks import Block
from neurojax.chips.dynapcnn.dvs import DVS
from neurojax.chips.dynapcnn.memory import bits_for
from neurojax.chips.dynapcnn.spec import ChipSpec
from neurojax.layers import Conv2d, Linear


def check_weights(block: Block, chip: ChipSpec) -> Iterator[Problem]:
    """Shapes and options of the convolution."""
    name, layer = block.weights_name, block.weights
    channels, height, width = block.in_shape
    features, out_height, out_width = block.neuron_shape
    for what, count in (("input", channels), ("output", features)):
        if count > chip.max_features:
            yield Problem(
                name,
                f"{count} {what} features",
                f"a core has at most {chip.max_features}",
                "use fewer features",
            )
    if max(height, width) > chip.max_input_size:
        yield Problem(
            name,
            f"its input map is {height}x{width}",
            f"a core takes at most {chip.max_input_size}x{chip.max_input_size}",
            "pool or crop the input",
        )
    if max(out_height, out_width) > chip.max_neuron_size:
        yield Problem(
            name,
            f"its map of neurons is {out_height}x{out_width}",
            f"a core has at most {chip.max_neuron_size}x{chip.max_neuron_size}",
            "use a larger stride, or a smaller input",
        )
    address = sum(map(bits_for, block.neuron_shape))
    if address > chip.address_bits:
        yield Problem(
            name,
            f"its {shape_text(block.neuron_shape)} neurons take addresses of {address} bits",
            f"an event's address has {chip.address_bits} bits for feature, row and column",
            "use fewer features or a smaller map",
        )
    if isinstance(layer, Linear):
        yield from _check_linear(block, chip)
    else:
        yield from _check_conv(name, layer, chip)


def _check_linear(block: Block, chip: ChipSpec) -> Iterator[Problem]:
    _, height, width = block.in_shape
    if height != width:
        yield Problem(
            block.weights_name,
            f"a Linear layer on a map of {height}x{width}",
            "it becomes a convolution whose kernel is the map, and kernels are square",
            "pad, crop or pool so that the map is square",
        )
    if max(height, width) > chip.max_kernel:
        yield Problem(
            block.weights_name,
            f"a Linear layer on a map of {height}x{width}",
            "it becomes a convolution whose kernel is the map, and kernels are at most "
            f"{chip.max_kernel}x{chip.max_kernel}",
            "pool or stride before it",
        )


def _check_conv(name: str, layer: Conv2d, chip: ChipSpec) -> Iterator[Problem]:
    kernel = layer.kernel_size
    if kernel[0] != kernel[1]:
        size = max(kernel)
        yield Problem(
            name,
            f"a kernel of {shape_text(kernel)}",
            "kernels are square",
            f"fill it up with zeros to {size}x{size}",
        )
    if max(kernel) > chip.max_kernel:
        yield Problem(
            name,
            f"a kernel of {shape_text(kernel)}",
            f"kernels are at most {chip.max_kernel}x{chip.max_kernel}",
            "split the kernel, or stride the input",
        )
    if not set(layer.stride) <= set(chip.strides):
        yield Problem(
            name,
            f"stride {shape_text(layer.stride)}",
            f"strides are {_list(chip.strides)}",
            "use one of those",
        )
    if any(before != after for before, after in layer.padding):
        yield Problem(
            name,
            f"padding {layer.padding}, which differs before and after",
            "padding is the same on both sides",
            "use an odd kernel, or pad explicitly",
        )
    elif max(before for before, _ in layer.padding) > chip.max_padding:
        yield Problem(
            name,
            f"padding {shape_text([before for before, _ in layer.padding])}",
            f"padding is 0 to {chip.max_padding}",
            "pad less, or pad the input before the simulation",
        )
    if set(layer.dilation) != {1}:
        yield Problem(
            name,
            f"dilation {shape_text(layer.dilation)}",
            "kernels have no dilation",
            "put zeros between the weights of a larger kernel",
        )
    if layer.groups != 1:
        yield Problem(
            name,
            f"{layer.groups} groups",
            "every neuron of a core sees all input features",
            "use groups=1; a dense kernel with zeros computes the same",
        )


def check_neurons(block: Block) -> Iterator[Problem]:
    """Options of the neurons. Their numbers are checked by `scalar`."""
    neuron, name = block.neuron, block.name
    assert neuron is not None
    if neuron.strict:
        yield Problem(
            name,
            "strict=True (fires at v > threshold)",
            "the chip fires at v >= threshold",
            "use strict=False",
        )
    if neuron.reset == "none" or (neuron.reset == "value" and not is_zero(neuron.reset_value)):
        value = f" {neuron.reset_value}" if neuron.reset == "value" else ""
        yield Problem(
            name,
            f"reset '{neuron.reset}'{value}",
            "the chip subtracts the threshold or resets to zero",
            "use reset='subtract' or 'zero'",
        )
    if neuron.reset_delay is not False:
        yield Problem(
            name,
            f"reset_delay={neuron.reset_delay!r}",
            "the chip resets a neuron in the moment when it fires",
            "use reset_delay=False",
        )
    if neuron.refractory is not None and not is_zero(neuron.refractory):
        yield Problem(
            name,
            "a refractory period",
            "the chip's neurons have none",
            "use refractory=None",
        )
    if neuron.amplitude is not None and np.any(np.asarray(neuron.amplitude) != 1):
        yield Problem(
            name,
            "spikes with an amplitude",
            "an event has no size",
            "use amplitude=None, and put the factor into the next weights",
        )
    if neuron.winner_take_all:
        yield Problem(
            name,
            "winner_take_all=True",
            "the neurons of a core don't see each other",
            "use winner_take_all=False",
        )
    if neuron.v_init is not None and not is_zero(neuron.v_init):
        yield Problem(
            name,
            "a first membrane potential v_init other than 0",
            "a mapped network starts from 0",
            "use v_init=None",
        )


def is_zero(value: Any) -> bool:
    """True for numbers and arrays of zeros."""
    return not np.any(np.asarray(value))


def scalar(what: str, value: Any, block: Block, problems: list[Problem]) -> float | None:
    """A number that all neurons of a core share; None (and a problem) if there is none."""
    values = np.unique(np.asarray(value, np.float32))
    if values.size == 1 and np.isfinite(values[0]):
        return float(values[0])
    found = "NaN or infinite" if not np.all(np.isfinite(values)) else f"{values.size} values"
    problems.append(
        Problem(
            block.name,
            f"{what} is {found}" if values.size == 1 else f"{what} has {found}",
            "the neurons of a core share one finite number",
            f"use one {what} for the layer",
        )
    )
    return None


def gain_of(block: Block, problems: list[Problem]) -> np.ndarray:
    """The input gain of the neurons, `(f,)`; it goes into the weights."""
    ones = np.ones(block.neuron_shape[0], np.float32)
    if block.neuron is None:
        return ones
    shape = block.neuron_shape[:1] if block.flat else block.neuron_shape
    gains = np.broadcast_to(np.asarray(block.neuron.gain, np.float32), shape)
    gains = gains.reshape(len(ones), -1)
    if np.all(gains == gains[:, :1]):
        return gains[:, 0]
    problems.append(
        Problem(
            block.name,
            "an input gain that differs within a feature",
            "the neurons of a feature share their weights, into which the gain goes",
            "use one gain for each feature",
        )
    )
    return ones


def check_camera(name: str, camera: DVS, in_shape: Shape, chip: ChipSpec) -> Iterator[Problem]:
    """What the camera's block can do, and what it can see."""
    if len(in_shape) != 3:
        yield Problem(
            "network",
            f"its input has shape {in_shape}",
            "the camera sends (polarities, height, width)",
            "use dvs_input=False, or reshape the input",
        )
        return
    features, height, width = in_shape
    if features > chip.dvs_features:
        yield Problem(
            name,
            f"{features} features for the camera's block, which alone pools or crops an input",
            f"it has {chip.dvs_features} polarities",
            "pool the input before the simulation, or start with a strided Conv2d",
        )
    if max(height, width) > chip.dvs_size:
        yield Problem(
            name,
            f"an input of {height}x{width}",
            f"the camera has {chip.dvs_size}x{chip.dvs_size} pixels",
            "pool or crop the input before the simulation",
        )
    if not set(camera.pool) <= set(chip.poolings):
        yield Problem(
            name,
            f"pooling over {shape_text(camera.pool)} in all",
            f"the camera's block pools over {_list(chip.poolings)} in each axis",
            "use one of those, or a stride in the convolution",
        )


def _list(values: Sequence[int]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} or {last}" if most else last
