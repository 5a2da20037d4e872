"""CRI: what hs_api's converter, its quantiser and its folding of norms make of torch modules."""

from __future__ import annotations

import ast
import importlib
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from neurojax.chips.cri.mapping import run
from neurojax.converters.cri import BN_Folder, CRI_Converter, Quantize_Network
from tests.conformance._result import Result, compare

Facts = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]

THRESHOLDS_OFF = "neurons have the threshold of the next layer, and biases end before the flush"


def conversion(name: str, facts: Facts, arrays: Arrays) -> Iterator[Result]:
    """The dictionaries as recorded, and in the right mode every frame of the torch model."""
    if "w_alpha" in facts:
        yield from flow(name, facts, arrays)
        return
    if "layers" not in facts:
        return
    yield from _both_modes(name, facts, arrays, _model(facts, arrays))


def _both_modes(name: str, facts: Facts, arrays: Arrays, model: Any) -> Iterator[Result]:
    peers = _converter(facts, arrays, "main")
    peers.layer_converter(model)
    wrong = "; ".join(_different(peers, facts, arrays))
    yield Result("converter", f"{name} as main", not wrong, 0.0, wrong, THRESHOLDS_OFF)
    ours = _converter(facts, arrays, None)
    ours.layer_converter(model)
    frames = run(ours.mapped, jnp.asarray(arrays["X"].swapaxes(0, 1), jnp.float32))
    error, wrong = compare("spikes", arrays["S_torch"], np.asarray(frames).swapaxes(0, 1))
    yield Result("converter", f"{name} frame by frame", not wrong, error, wrong)


def flow(name: str, facts: Facts, arrays: Arrays) -> Iterator[Result]:
    """A convolution with a norm and a linear layer: folded, quantised, converted.

    Stride and padding follow from the sizes; neurons of the float model have SpikingJelly's default
    threshold, which the quantiser scales.
    """
    torch = importlib.import_module("torch")
    node = _neurons().IFNode
    weight, fc, side = arrays["w_conv"], arrays["w_fc"], arrays["X"].shape[-1]
    features, channels, kernel, _ = weight.shape
    stride = side // math.isqrt(fc.shape[1] // features)
    conv = torch.nn.Conv2d(channels, features, kernel, stride, kernel // 2, bias=False)
    conv.weight.data = torch.tensor(weight)
    linear = torch.nn.Linear(fc.shape[1], len(fc), bias=False)
    linear.weight.data = torch.tensor(fc)
    norm = _norm(arrays, "bn", "2d")
    layers = (conv, norm, node(), torch.nn.Flatten(), linear, node())
    folded = BN_Folder().fold(torch.nn.Sequential(*layers).eval())
    model = Quantize_Network(facts["w_alpha"], compat="main").quantize(folded)
    thresholds = [model[2].v_threshold, model[5].v_threshold]
    found = [
        compare("weights of conv", arrays["wq_conv"], model[0].weight.detach()),
        compare("bias of conv", arrays["bq_conv"], model[0].bias.detach()),
        compare("weights of fc", arrays["wq_fc"], model[4].weight.detach()),
        compare("thresholds", arrays["thr"], np.array(thresholds)),
    ]
    wrong = "; ".join(words for _, words in found if words)
    error = max(error for error, _ in found)
    yield Result("converter", f"{name} folded and quantised", not wrong, error, wrong)
    known = {"input_layer": 0, "output_layer": -1, "input_shape": arrays["X"].shape[2:]}
    yield from _both_modes(name, {**facts, **known, "thresholds": thresholds}, arrays, model)


def _converter(facts: Facts, arrays: Arrays, compat: str | None) -> CRI_Converter:
    return CRI_Converter(
        arrays["X"].shape[1],
        facts["input_layer"],
        facts["output_layer"],
        tuple(facts["input_shape"]),
        facts["thresholds"][-1],
        0,
        dvs=True,
        compat=compat,
    )


def _different(made: CRI_Converter, facts: Facts, arrays: Arrays) -> Iterator[str]:
    """Names of what is not as recorded, order of the entries included."""
    listed = lambda synapses: [list(pair) for pair in synapses]  # noqa: E731
    axons = [(key, listed(synapses)) for key, synapses in made.axon_dict.items()]
    neurons = {
        key: {"syn": listed(synapses), "model": model.get_neuronModel(),
              "threshold": model.threshold, "shift": model.shift, "leak": model.leak}
        for key, (synapses, model) in made.neuron_dict.items()
    }  # fmt: skip
    for name, got, recorded in (
        ("axons", axons, list(facts["axons"].items())),
        ("neurons", neurons, facts["neurons"]),
        ("neuron_order", list(neurons), facts["neuron_order"]),
        ("outputs", list(made.output_neurons), facts["outputs"]),
        ("bias_dict", [list(ends) for ends in made.bias_dict.values()], facts["bias_dict"]),
        ("snn_layers", made.snn_layers, facts["snn_layers"]),
        ("input_axons", made.input_converter(arrays["X"]), facts["input_axons"]),
    ):
        if got != recorded:
            yield f"{name} differ"


def _model(facts: Facts, arrays: Arrays) -> Any:
    """The torch model of which each layer is described as torch prints it."""
    torch, neuron = importlib.import_module("torch"), _neurons()
    thresholds = iter(facts["thresholds"])
    layers = []
    for i, text in enumerate(facts["layers"]):
        kind = re.match(r"\w+", text)
        if kind is None:
            raise ValueError(f"can't read layer {text!r}")
        if kind[0] == "IFNode":
            layers.append(neuron.IFNode(v_threshold=float(next(thresholds))))
            continue
        layer = getattr(torch.nn, kind[0])(*_arguments(text)[0], **_arguments(text)[1])
        if f"w{i}" in arrays:
            weight = torch.tensor(arrays[f"w{i}"].astype(np.float32))
            layer.weight = torch.nn.Parameter(weight)
            bias = arrays.get(f"b{i}")
            bias = None if bias is None else torch.tensor(bias.astype(np.float32))
            layer.bias = None if bias is None else torch.nn.Parameter(bias)
        layers.append(layer)
    return torch.nn.Sequential(*layers)


def _neurons() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("spikingjelly.activation_based.neuron")


def _norm(arrays: Arrays, name: str, kind: str) -> Any:
    """A recorded batch norm: arrays `name_m` (mean), `_v` (variance), `_g` and `_b`."""
    torch = importlib.import_module("torch")
    norm = getattr(torch.nn, f"BatchNorm{kind}")(len(arrays[f"{name}_m"]))
    fields = ("running_mean", "running_var", "weight", "bias")
    for key, field in zip("mvgb", fields, strict=True):
        getattr(norm, field).data = torch.tensor(arrays[f"{name}_{key}"])
    return norm


def _arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call):
        raise ValueError(f"can't read layer {text!r}")
    words = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    return [ast.literal_eval(value) for value in call.args], words


def quantised(name: str, arrays: Arrays) -> Iterator[Result]:
    """Weights and thresholds of the quantiser for each alpha; ours are the nearest integers."""
    torch = importlib.import_module("torch")
    for key in arrays:
        if not key.startswith("w_"):
            continue
        alpha = key[2:]
        model = torch.nn.Sequential(torch.nn.Linear(arrays[key].size, 1))
        model[0].weight.data = torch.tensor(arrays[key])[None]
        model[0].bias.data = torch.tensor(arrays[f"bias_{alpha}"])
        layer = Quantize_Network(float(alpha), compat="main").quantize(model)[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights beyond alpha
            right = Quantize_Network(float(alpha)).quantize(model)[0]
        found = [
            compare("weights", arrays[f"wq_{alpha}"], layer.weight[0].detach()),
            compare("bias", arrays[f"bq_{alpha}"], layer.bias.detach()),
            compare("int", arrays[f"wint_{alpha}"], np.trunc(layer.weight[0].detach().numpy())),
            compare("nearest", arrays[f"wround_{alpha}"], right.weight[0].detach()),
        ]
        wrong = "; ".join(words for _, words in found if words)
        lost = (arrays[f"wint_{alpha}"] != arrays[f"wround_{alpha}"]).any()
        defect = "int() of weights that are nearly integers" if lost else ""
        error = max(error for error, _ in found)
        yield Result("quantiser", f"{name} alpha {alpha}", not wrong, error, wrong, defect)


def folded(name: str, arrays: Arrays) -> Iterator[Result]:
    """A norm behind a convolution, and one behind a linear layer."""
    torch = importlib.import_module("torch")
    for layer, norm, kind in (("conv", "bn", "2d"), ("fc", "bn1", "1d")):
        weight, bias = arrays[f"{layer}_w"], arrays.get(f"{layer}_b")
        if kind == "2d":
            module = torch.nn.Conv2d(weight.shape[1], len(weight), weight.shape[2:])
        else:
            module = torch.nn.Linear(weight.shape[1], len(weight))
        module.weight.data = torch.tensor(weight)
        module.bias = None if bias is None else torch.nn.Parameter(torch.tensor(bias))
        both = torch.nn.Sequential(module, _norm(arrays, norm, kind))
        out = BN_Folder().fold(both.eval())[0]
        # Last bits depend on the order of the products: three roundings of 2^-24 on either side.
        found = [
            compare("weights", arrays[f"out_{layer}_w"], out.weight.detach(), rtol=4e-7),
            compare("bias", arrays[f"out_{layer}_b"], out.bias.detach(), rtol=1e-6),
        ]
        wrong = "; ".join(words for _, words in found if words)
        yield Result("folded norms", f"{name} {layer}", not wrong, max(e for e, _ in found), wrong)
