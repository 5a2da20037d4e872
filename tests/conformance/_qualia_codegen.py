"""Recorded runs of Qualia's generated code: every feature map of sixteen networks.

The networks are built from the recorded parameters before quantisation, mapped with the recorded
scales, and run. Integers must be equal; of floats, spikes are, and other values to the six decimals
that were recorded.
"""

from __future__ import annotations

import functools as ft
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import neurojax as nj
from neurojax.chips import mcu
from neurojax.chips.mcu.spec import ROUNDINGS
from tests.conformance._result import QUICK, Result, attempt, compare

GROUP = "codegen"
DECIMALS = 1e-6  # floats were printed with six decimals


def run(directory: Path) -> Iterator[Result]:
    """The results of all cases of `codegen.{json,npz}`."""
    with np.load(directory / "codegen.npz") as stored:
        arrays = dict(stored)
    for case in json.loads((directory / "codegen.json").read_text())["cases"]:
        prefix = f"{case['key']}/"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        yield from attempt(GROUP, case["key"], ft.partial(_case, case, own))


def _case(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Iterator[Result]:
    mapped = map_case(case, arrays)
    names = [name for name in mapped.network.names if name != "quantise"]
    x = _channels_first(np.moveaxis(arrays["x_float"], 1, 0))
    compiled = jax.jit(lambda net, x: nj.simulate(net, x, probes=["quantise", *names]))
    run = compiled.lower(mapped.network, x).compile(QUICK)(mapped.network, x)

    found = [compare("inputs", _time_first(arrays["x_in"]), run["quantise"])]
    found += _parameters(mapped, arrays)
    spiking = {part["name"] for part in case["spec"] if part["kind"] == "neuron"}
    for name in names:
        exact = case["quantize"] != "float32" or name in spiking
        recorded = arrays[f"fm/{name}"]
        if recorded.ndim == 3 and name in _flattened(case):
            recorded = _flat_channels_first(recorded, mapped.network.in_shape(name))
        recorded = _time_first(recorded)
        found.append(compare(f"values of {name}", recorded, run[name], atol=0 if exact else 2e-6))
    exact = case["quantize"] != "float32" or case["spec"][-1]["kind"] == "neuron"
    tolerance = 0 if exact else DECIMALS
    found.append(compare("outputs", _time_first(arrays["out"]), run.outputs, rtol=tolerance))
    difference = next((text for _, text in found if text), "")
    yield Result(GROUP, case["key"], not difference, max(e for e, _ in found), difference)


def map_case(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> nj.chips.MappedNetwork:
    """The recorded network, mapped with the recorded scales."""
    ranges = None if case["quantize"] == "float32" else _ranges(case)
    return mcu.map(
        _network(case, arrays), quantize=case["quantize"], ranges=ranges, compat="qualia"
    )


def _ranges(case: dict[str, Any]) -> dict[str, mcu.LayerRange]:
    """The recorded scales of layers with parameters; the input's are those of the first."""
    scales = case["quantization"]
    before = scales["input"]
    found = {}
    for part in case["spec"]:
        if part["kind"] in ("flatten", "maxpool2d", "avgpool1d"):
            continue  # copy the format of the layer before
        own = scales[part["name"]]
        bits, bias = own["width"], own["bias_q"]
        rounds = [s["output_round_mode"] for s in (before, own)] + [own["weights_round_mode"]]
        rounds = [mode if mode in ROUNDINGS else "floor" for mode in rounds]
        found[part["name"]] = mcu.LayerRange(
            bits, bits, bits, None if bias is None else bits,
            before["output_q"], own["output_q"], own["weights_q"], bias, *rounds,
        )  # fmt: skip
        before = own
    return found


def _network(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> nj.Network:
    """The recorded network, channels first."""
    in_shape = (case["input_shape"][-1], *case["input_shape"][:-1])
    layers: dict[str, nj.Layer] = {}
    shape: tuple[int, ...] = in_shape
    flattened: tuple[int, ...] | None = None
    for part in case["spec"]:
        prefix = f"float/{part['name']}/"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        if part["kind"] == "flatten":
            flattened = shape
        layer = _layer(part, own, flattened)
        layers[part["name"]] = layer
        shape = layer.out_shape(shape)
        if part["kind"] == "fc":
            flattened = None
    return nj.Sequential(in_shape, **layers)


def _layer(
    part: dict[str, Any], own: dict[str, np.ndarray], flattened: tuple[int, ...] | None
) -> nj.Layer:
    kind = part["kind"]
    if kind == "fc":
        weight = own["kernel"]
        if flattened is not None:
            weight = _flat_channels_first(weight, flattened)
        return nj.Linear.from_weights(weight, own.get("bias"))
    if kind in ("conv1d", "conv2d"):
        return (nj.Conv1d if kind == "conv1d" else nj.Conv2d).from_weights(
            np.moveaxis(own["kernel"], -1, 1),
            own.get("bias"),
            stride=part.get("s", 1),
            padding=part.get("p", 0),
            groups=part.get("g", 1),
        )
    if kind == "neuron":
        return _neuron(part, own)
    pools = {"maxpool2d": nj.MaxPool2d, "avgpool1d": nj.AvgPool1d, "avgpool2d": nj.AvgPool2d}
    return nj.Flatten() if kind == "flatten" else pools[kind](part["k"])


def _neuron(part: dict[str, Any], own: dict[str, np.ndarray]) -> nj.Layer:
    numbers = {key: float(value) for key, value in own.items()}
    options: dict[str, Any] = {"threshold": numbers["v_threshold"]}
    if "v_reset" in numbers:
        options |= {"reset": "value", "reset_value": numbers["v_reset"]}
    if part["n"] == "IF":
        return nj.IAF(**options)
    return nj.LIF(
        decay=1 - numbers["reciprocal_tau"],
        normalize_input=part.get("decay_input", True),
        v_rest=numbers.get("v_reset", 0.0),
        **options,
    )


def _parameters(
    mapped: nj.chips.MappedNetwork, arrays: dict[str, np.ndarray]
) -> Iterator[tuple[float, str]]:
    """What the code holds: recorded arrays `quant/<layer>/<parameter>`."""
    network = mapped.network
    names = {"v_threshold": "threshold", "reciprocal_tau": "rtau", "kernel": "weight"}
    for key, recorded in arrays.items():
        if not key.startswith("quant/"):
            continue
        _, layer, name = key.split("/")
        held: Any = getattr(network[layer].integers(), names.get(name, name))  # type: ignore[attr-defined]
        if name == "kernel":
            before = network.incoming(layer)[0].source
            if recorded.ndim > 2:
                recorded = np.moveaxis(recorded, -1, 1)
            elif isinstance(network[before], nj.Flatten):
                recorded = _flat_channels_first(recorded, network.in_shape(before))
        yield compare(f"{name} of {layer}", recorded, held)


def _flattened(case: dict[str, Any]) -> set[str]:
    return {part["name"] for part in case["spec"] if part["kind"] == "flatten"}


def _flat_channels_first(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Flat values, channels last, in the order of channels first; `shape` is (C, ...)."""
    order = np.arange(math.prod(shape)).reshape(*shape[1:], shape[0])
    return values[..., np.moveaxis(order, -1, 0).ravel()]


def _time_first(values: np.ndarray) -> np.ndarray:
    """`[batch, time, ..., C]` to `[time, batch, C, ...]`."""
    return _channels_first(np.moveaxis(values, 1, 0))


def _channels_first(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, -1, 2)
