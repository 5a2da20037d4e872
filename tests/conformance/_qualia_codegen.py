"""Recorded runs of Qualia's generated code: every feature map of every network.

The networks are built from the recorded parameters before quantisation, mapped with the recorded
scales, and run. Integers must be equal; of floats, spikes are, and other values to the six decimals
that were recorded.
"""

from __future__ import annotations

import functools as ft
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import neurojax as nj
from neurojax.chips import mcu
from neurojax.chips.mcu.spec import ROUNDINGS
from tests.conformance._qualia_graph import (
    as_indexed,
    flat_channels_first,
    flattened,
    network_of,
    nodes_of,
)
from tests.conformance._result import (
    QUICK,
    NotCovered,
    Result,
    attempt,
    compare,
    not_covered,
)

GROUP = "codegen"
DECIMALS = 1e-6  # floats were printed with six decimals


def run(directory: Path) -> Iterator[Result]:
    """The results of all cases of `codegen.{json,npz}`."""
    yield from all_cases(GROUP, directory, _case)


def all_cases(
    group: str, directory: Path, one: Callable[[dict[str, Any], dict[str, np.ndarray]], Result]
) -> Iterator[Result]:
    """What a comparison gives for each case, with its arrays."""
    with np.load(directory / "codegen.npz") as stored:
        arrays = dict(stored)
    for case in json.loads((directory / "codegen.json").read_text())["cases"]:
        prefix = f"{case['key']}/"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        yield from attempt(group, case["key"], ft.partial(_covered, group, one, case, own))


def _covered(group: str, one: Any, case: dict[str, Any], own: Any) -> Iterator[Result]:
    try:
        yield one(case, own)
    except NotCovered as reason:
        yield not_covered(group, case["key"], str(reason))


def _case(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Result:
    mapped, nodes = map_case(case, arrays), nodes_of(case)
    network = mapped.network
    recorded = {name: values for name, values in recorded_maps(arrays).items() if name in nodes}
    x = _channels_first(np.moveaxis(arrays["x_float"], 1, 0))
    compiled = jax.jit(lambda net, x: nj.simulate(net, x, probes=["quantise", *recorded]))
    run = compiled.lower(network, x).compile(QUICK)(network, x)

    found = [compare("inputs", _time_first(arrays["x_in"]), run["quantise"])]
    found += _parameters(mapped, nodes, arrays)
    for name, values in recorded.items():
        image = flattened(nodes, name)
        if image is not None and values.ndim == 3:
            values = flat_channels_first(values, network.in_shape(image))
        values = _time_first(values)
        got = np.asarray(run[name])
        got = got.reshape(values.shape) if got.size == values.size else got  # (C, 1, 1) as (C,)
        found.append(compare(f"values of {name}", values, got, atol=tolerance(case, nodes, name)))
    outputs = _time_first(arrays["out"])
    rtol = tolerance(case, nodes, network.outputs[0]) / 2
    found.append(compare("outputs", outputs, run.outputs, rtol=rtol))
    return result_of(GROUP, case, found)


def result_of(group: str, case: dict[str, Any], found: list[tuple[float, str]]) -> Result:
    """One result of all comparisons of a case."""
    difference = next((text for _, text in found if text), "")
    return Result(group, case["key"], not difference, max(e for e, _ in found), difference)


def recorded_maps(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Recorded values by layer, `[batch, time, ..., channels]`."""
    return {k.removeprefix("fm/"): v for k, v in arrays.items() if k.startswith("fm/")}


def tolerance(case: dict[str, Any], nodes: Any, name: str) -> float:
    """Of a layer's values: floats were printed, and printed again; spikes are 0 or 1."""
    exact = case["quantize"] != "float32" or (name in nodes and nodes[name].kind in ("if", "lif"))
    return 0.0 if exact else 2 * DECIMALS


def map_case(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> nj.chips.MappedNetwork:
    """The recorded network, mapped with the recorded scales."""
    real = case["quantize"] == "float32"
    return mcu.map(
        network_of(case, arrays),
        quantize=case["quantize"],
        ranges=None if real else _ranges(case),
        long_width=None if real else case["quantization"]["input"].get("long_width"),
        fold_batch_norm=False,
        compat="qualia",
    )


def _ranges(case: dict[str, Any]) -> dict[str, mcu.LayerRange]:
    """The recorded scales of layers; the input's are those of the first."""
    scales = case["quantization"]
    before = scales["input"]
    found = {}
    for name, node in nodes_of(case).items():
        if name not in scales or node.kind in ("input", "flatten"):
            continue
        own = scales[name]
        bits, bias = own["width"], own["bias_q"]
        rounds = [s["output_round_mode"] for s in (before, own)] + [own["weights_round_mode"]]
        rounds = [mode if mode in ROUNDINGS else "floor" for mode in rounds]
        found[name] = mcu.LayerRange(
            bits, bits, bits, None if bias is None else bits,
            before["output_q"], own["output_q"], own["weights_q"], bias, *rounds,
        )  # fmt: skip
        before = own
    return found


def _parameters(
    mapped: nj.chips.MappedNetwork, nodes: Any, arrays: dict[str, np.ndarray]
) -> Iterator[tuple[float, str]]:
    """What the code holds: recorded arrays `quant/<layer>/<parameter>`."""
    network = mapped.network
    names = {"v_threshold": "threshold", "reciprocal_tau": "rtau", "kernel": "weight"}
    for key, recorded in arrays.items():
        if not key.startswith("quant/"):
            continue
        _, layer, name = key.split("/")
        held: Any = getattr(network[layer].integers(), names.get(name, name))  # type: ignore[attr-defined]
        if held is None:
            continue  # the reset value of neurons that subtract their threshold
        if name == "kernel":
            image = flattened(nodes, nodes[layer].sources[0])
            if recorded.ndim > 2:
                recorded = np.moveaxis(as_indexed(recorded), -1, 1)
            elif image is not None:
                recorded = flat_channels_first(recorded, network.in_shape(image))
        yield compare(f"{name} of {layer}", recorded, held)


def _time_first(values: np.ndarray) -> np.ndarray:
    """`[batch, time, ..., C]` to `[time, batch, C, ...]`."""
    return _channels_first(np.moveaxis(values, 1, 0))


def _channels_first(values: np.ndarray) -> np.ndarray:
    return np.moveaxis(values, -1, 2)
