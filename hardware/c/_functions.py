"""The C function of each layer: its template, and what is filled in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from neurojax.chips.mcu import IF, LIF, Add, BatchNorm, Conv, Dense, Pool
from neurojax.hardware.c._arithmetic import ROUND_MODES, types, with_products
from neurojax.hardware.c._constants import Constants, enum
from neurojax.hardware.c._neurons import neuron
from neurojax.hardware.c._plan import Call
from neurojax.hardware.c._text import fill, real, template
from neurojax.layers import Upsample

LOWEST_FLOAT = "-0x1.fffffep+127f"


class Function(NamedTuple):
    """What is written for a call."""

    code: str
    weights: str  # its constants, if it has any
    weight_bytes: int


def function_of(call: Call, name: str) -> Function:
    """The C function of a call.

    Args:
        call: What it computes.
        name: What it is called in C.
    """
    number = call.output.format.number
    constants = Constants(name, number)
    text, values = _WRITERS[type(call.layer)](call, constants)
    values = types(number) | {"name": name, "values": call.output.layout.size} | values
    values["rounding"] = ROUND_MODES[call.output.format.output_round]
    inputs = [f"const {values['number_t']} *input"]
    if len(call.inputs) > 1:
        inputs = [f"{inputs[0]}{k}" for k in range(len(call.inputs))]
    values["inputs_declared"] = ", ".join(inputs)
    code = fill(with_products(text, number), values)
    return Function(code, "\n\n".join(constants.parts), constants.bytes)


def _dense(call: Call, constants: Constants) -> tuple[str, dict[str, object]]:
    layer: Any = call.layer
    weight, bias = layer.integers()
    # Features that were flattened from an image lie channels last.
    constants.array("kernel", weight[:, call.inputs[0].layout.order], weight.shape[1])
    text, finish = _affine_end(layer, constants, bias)
    values = {"outputs": weight.shape[0], "inputs": weight.shape[1]}
    return text + template("dense.c"), values | finish


def _conv(call: Call, constants: Constants) -> tuple[str, dict[str, object]]:
    layer: Any = call.layer
    weight, bias = layer.integers()
    group_out, group_in = weight.shape[0] // layer.groups, weight.shape[1]
    constants.array("kernel", np.moveaxis(weight, 1, -1), math.prod(weight.shape[2:]) * group_in)
    text, finish = _affine_end(layer, constants, bias)
    values = _plane(call) | _window(layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    groups = {"group_in": group_in, "group_out": group_out}
    return text + template("conv.c"), values | groups | finish


def _batch_norm(call: Call, constants: Constants) -> tuple[str, dict[str, object]]:
    layer: Any = call.layer
    scale, offset = layer.integers()
    layout = call.output.layout
    if len(layout.shape) == 1:
        scale, offset = scale[layout.order], offset[layout.order]
    constants.array("kernel", scale, 16)
    text, finish = _affine_end(layer, constants, offset)
    values = {"channels": len(scale), "positions": layout.size // len(scale)}
    return text + template("batch_norm.c"), values | finish


def _pool(call: Call, constants: Constants) -> tuple[str, dict[str, object]]:
    layer: Any = call.layer
    number = constants.number
    if layer.kind == "max":
        pooled_t = "@number_t@"
        start = LOWEST_FLOAT if number.real else str(number.limits[0])
        take = "if (value > pooled) {\n  pooled = value;\n}"
    else:
        pooled_t, start = "@long_t@", "0"
        take = "pooled += value;" if number.real else "pooled = nj@long@_add(pooled, value);"
    text, finish = _end(layer, pooled_t)
    if layer.kind == "average":
        count = math.prod(layer.kernel)
        finish["finish_average"] = (
            f"value /= {real(count)};"
            if number.real
            else f"value = (@long_t@)(value / {count}); /* towards zero */"
        )
    values = _plane(call) | _window(layer.kernel, layer.stride, layer.padding, ())
    values |= {"pooled_t": pooled_t, "start": start, "take": take}
    return text + template("pool.c"), values | finish


def _add(call: Call, constants: Constants) -> tuple[str, dict[str, object]]:
    layer: Any = call.layer
    additions, scales = [], {}
    for k, q in enumerate(layer.input_qs):
        scales[f"INPUT{k}_Q"] = q
        if constants.number.real:
            additions.append(f"sum += input{k}[i];")
        else:
            additions.append(
                f"sum = nj@long@_add(sum, nj@long@_scale(input{k}[i], INPUT{k}_Q - SUM_Q, ROUND));"
            )
    text, finish = _end(layer, "@long_t@")
    scales["SUM_Q"] = layer.result_q()
    values = {
        "additions": "\n".join(additions),
        "add_scales": enum(scales, True),
    }
    return text + template("add.c"), values | finish


def _upsample(call: Call, constants: Constants) -> tuple[str, dict[str, object]]:
    layer: Any = call.layer
    factors = (1,) * (2 - len(layer.factor)) + layer.factor
    return template("upsample.c"), _plane(call) | {"factor_y": factors[0], "factor_x": factors[1]}


def _move(call: Call, constants: Constants) -> tuple[str, dict[str, object]]:
    assert call.taken is not None
    constants.index(call.taken)
    return template("move.c"), {}


def _affine_end(
    layer: Any, constants: Constants, bias: np.ndarray | None
) -> tuple[str, dict[str, object]]:
    """The end of a sum of products, whose bias is looked up by channel."""
    text, values = _end(layer, "@sum_t@")
    form, lines = layer.format, []
    scales = {"INPUT_Q": layer.input_q, "WEIGHTS_Q": form.weights_q, "BIAS_Q": form.bias_scale}
    if form.weights_q != form.sum_q:
        # Weights and bias meet at the finer of their scales.
        lines = ["value = nj@long@_scale(value, WEIGHTS_Q + INPUT_Q - SUM_Q, ROUND);"]
    if bias is None:
        del scales["BIAS_Q"]
    else:
        constants.array("bias", bias, 16)
        values |= {"finish_arguments": "sum, channel", "finish_more": ", int32_t channel"}
        scaled = "nj@long@_scale(@name@_bias[channel], BIAS_Q - SUM_Q, ROUND)"
        lines.append(f"value = nj@long@_add(value, {scaled});")
        if constants.number.real:
            lines = ["value += @name@_bias[channel];"]
    if lines:
        values["finish_bias"] = "\n".join(lines)
        values["finish_scales"] = enum(scales) + "\n" + str(values["finish_scales"])
    return text, values


def _end(layer: Any, sum_t: str) -> tuple[str, dict[str, object]]:
    """The function that ends a sum, as text and as places to fill."""
    real_numbers = layer.number.real
    lines = []
    if layer.activation:
        zero = "0.0f" if real_numbers else "0"
        lines.append(f"if (value < {zero}) {{\n  value = {zero};\n}}")
    limited = layer.activation == "relu6"
    if limited and (real_numbers or layer.relu6_limit() < layer.number.long_limits[1]):
        limit = "6.0f" if real_numbers else str(layer.relu6_limit())
        lines.append(f"if (value > {limit}) {{\n  value = {limit};\n}}")
    scales = {"SUM_Q": layer.result_q(), "OUTPUT_Q": layer.format.output_q}
    text = template("finish_real.c" if real_numbers else "finish_integer.c") + "\n"
    return text, {
        "finish_sum_t": sum_t,
        "finish_arguments": "sum",
        "finish_more": "",
        "finish_scales": enum(scales, True),
        "finish_average": "",
        "finish_bias": "",
        "finish_activation": "\n".join(lines),
        "sum_to_long": "nj@long@_wrap(sum)" if sum_t == "@sum_t@" else "sum",
    }


def _plane(call: Call) -> dict[str, object]:
    """Sizes of input and output; a sequence is an image of one row."""
    before, after = call.inputs[0].layout.shape, call.output.layout.shape
    heights = [shape[-2] if len(shape) == 3 else 1 for shape in (before, after)]
    return {
        "in_channels": before[0],
        "in_height": heights[0],
        "in_width": before[-1],
        "out_channels": after[0],
        "out_height": heights[1],
        "out_width": after[-1],
    }


def _window(kernel: Any, stride: Any, padding: Any, dilation: Any) -> dict[str, object]:
    pad = [before for before, _ in padding]
    result: dict[str, object] = {"padded": int(any(map(any, padding)))}
    for axis, place in (("y", -2), ("x", -1)):
        there = len(kernel) >= -place
        result[f"kernel_{axis}"] = kernel[place] if there else 1
        result[f"stride_{axis}"] = stride[place] if there else 1
        result[f"pad_{axis}"] = pad[place] if there else 0
        result[f"dilation_{axis}"] = dilation[place] if there and dilation else 1
    return result


_Writer = Callable[[Call, Constants], tuple[str, dict[str, object]]]
_WRITERS: dict[type, _Writer] = {
    Dense: _dense,
    Conv: _conv,
    BatchNorm: _batch_norm,
    Pool: _pool,
    Add: _add,
    IF: neuron,
    LIF: neuron,
    Upsample: _upsample,
    type(None): _move,
}
