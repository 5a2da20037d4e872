"""Discretisation of single layers: scales and integers."""

import functools as ft
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurojax.chips.dynapcnn import discretise, quantise_scalar
from tests.conformance._dynapcnn_case import KILLS, load, result_of
from tests.conformance._result import Result, attempt


def run(path: Path) -> Iterator[Result]:
    """`discretize_<version>.json`."""
    index, arrays = json.loads(path.read_text()), load(path)
    for case in index["cases"]:
        key = f"c{case['case']:02d}_"
        field = {name.removeprefix(key): arrays[name] for name in arrays if name.startswith(key)}
        name = f"{case['case']} {case['name']}"
        yield from attempt(path.stem, name, ft.partial(_layer_alone, path.stem, name, case, field))
    if "lin_weight" in arrays:
        linear = ft.partial(_linear, path.stem, arrays)
        yield from attempt(path.stem, "linear", linear)
    for name in arrays:
        if name.startswith("scalar_out_scale"):
            scale = float(name.removeprefix("scalar_out_scale"))
            ours = [quantise_scalar(value, scale) for value in arrays["scalar_in"].tolist()]
            yield result_of(path.stem, name, {"value": (ours, arrays[name])})


def _layer_alone(
    group: str, name: str, case: dict[str, Any], field: dict[str, np.ndarray]
) -> Iterator[Result]:
    unbounded = case["min_v_mem_is_None"]
    arguments = {
        "threshold": float(field["thr"]),
        "v_min": None if unbounded else float(field["low"]),
        "bias": field.get("bias"),
        "v": field.get("v"),
    }
    ours = discretise(field["weight"], **arguments, peer_lower_bound=True)
    state = 3 + ("v" in field)  # without a state its scale is not recorded
    pairs = {
        "weight": (ours.weight, field["q_weight"]),
        "threshold": (ours.threshold, field["q_thr"]),
        "min_v_mem": (ours.v_min, field["q_low"]),
        "scale": (np.float32(ours.scale), field["scale"]),
        "scales": (np.array(ours.scales)[:state], field["scales_w_b_t_n"][:state]),
    }
    for what in ("bias", "v"):
        if what in field:
            pairs[what] = (getattr(ours, what), field[f"q_{what}"])
    yield result_of(group, name, pairs, expectation=KILLS if unbounded else "")


def _linear(group: str, arrays: dict[str, np.ndarray]) -> Iterator[Result]:
    """A Linear layer behind an average pool; thresholds are those of a plain IAFSqueeze layer."""
    recorded = arrays["lin_q_weight"]
    weight = arrays["lin_weight"].reshape(recorded.shape) * np.float32(arrays["lin_rescale"])
    low = float(arrays["lin_low"]) if "lin_low" in arrays else -1.0
    threshold = float(arrays["lin_thr"]) if "lin_thr" in arrays else 1.0
    ours = discretise(weight, threshold, low, bias=arrays["lin_bias"])
    pairs = {
        "weight": (ours.weight, recorded),
        "bias": (ours.bias, arrays["lin_q_bias"]),
        "threshold": (ours.threshold, arrays["lin_q_thr"]),
        "min_v_mem": (ours.v_min, arrays["lin_q_low"]),
    }
    yield result_of(group, "linear", pairs)
