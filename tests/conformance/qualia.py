"""Recordings of the Qualia plug-in for spiking networks (qualia.md of the fact sheets).

What is compared: the folding of batch norm, `fusebn.{json,npz}`; quantisation to fixed point,
`quantizer.{json,npz}`; generated code, `codegen.{json,npz}`; energies and operations,
`energy_*.json` and `pipeline.{json,npz}`.
"""

from __future__ import annotations

import functools as ft
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import torch

import neurojax as nj
from neurojax.converters import _torch_layers as torch_layers
from neurojax.converters.fuse import fuse_batch_norm
from neurojax.quantise import Grid, MinMax
from tests.conformance import _qualia_codegen, _qualia_energy, _qualia_program
from tests.conformance._result import Result, attempt, compare

ROUNDING = 1e-6  # of the largest magnitude: convolutions add up in another order
KINDS = {
    "conv1d": (torch.nn.Conv1d, torch.nn.BatchNorm1d),
    "conv2d": (torch.nn.Conv2d, torch.nn.BatchNorm2d),
    "conv3d": (torch.nn.Conv3d, torch.nn.BatchNorm3d),
}
OPTIONS = {
    "cin": "in_channels",
    "cout": "out_channels",
    "k": "kernel_size",
    "s": "stride",
    "p": "padding",
    "d": "dilation",
    "g": "groups",
    "bias": "bias",
}
ENERGIES = (
    "energy_primitives",
    "energy_layer_counts",
    "energy_snn_given_rates",
    "energy_fnn",
    "pipeline",
)
ROUNDINGS = {"nearest": "half_up", "floor": "floor", "ceil": "ceil"}


def run(directory: Path) -> Iterator[Result]:
    """The results of all recordings of a directory."""
    for path in sorted(directory.glob("*.json")):
        if path.stem in ("fusebn", "quantizer"):
            one = _fusion if path.stem == "fusebn" else _quantisation
            yield from attempt(path.stem, "all", ft.partial(cases_of, path, one))
            continue
        if path.stem == "codegen":
            yield from attempt("codegen", "all", ft.partial(_qualia_codegen.run, directory))
            yield from attempt("codegen", "all", ft.partial(_qualia_program.run, directory))
            continue
        if path.stem in ENERGIES:
            yield from attempt(path.stem, "all", ft.partial(_qualia_energy.run, path))
            continue
        why = "it can't be compared yet"
        yield Result(path.stem, "all", False, 0.0, expectation=why, covered=False)


def cases_of(path: Path, one: Callable[..., Iterator[Result]]) -> Iterator[Result]:
    """The cases of one file, each with its arrays."""
    with np.load(path.with_suffix(".npz")) as stored:
        arrays = dict(stored)
    for case in json.loads(path.read_text())["cases"]:
        name = f"{case['index']} {case.get('kind', '')}".strip()
        prefix = f"{case['index']}/"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        yield from attempt(path.stem, name, ft.partial(one, name, case, own))


def _quantisation(
    name: str, case: dict[str, Any], arrays: dict[str, np.ndarray]
) -> Iterator[Result]:
    """`a` is seen in training mode and sets the range; `b` is quantised with that range."""
    options = {"bits": case["bits"], "rounding": ROUNDINGS[case["roundtype"]]}
    found = []
    if case["force_q"] is None:
        grid = Grid.from_range(MinMax()(jnp.asarray(arrays["a"])), power_of_two=True, **options)
        if np.any(arrays["a"]):  # without a range, it reports a scale that it does not use
            found.append(compare("scale", 2.0 ** case["fractional_bits"], grid.scale))
    else:
        grid = Grid(2.0 ** case["force_q"], **options)
    for before, after in (("a", "ya"), ("b", "yb")):
        found.append(compare(after, arrays[after], grid(jnp.asarray(arrays[before]))))
    yield _result("quantizer", name, found)


def _fusion(name: str, case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Iterator[Result]:
    model, x = _model(case, arrays), torch.tensor(arrays["x"])
    fused = fuse_batch_norm(model, x)
    with torch.no_grad():
        outputs = fused(x).numpy()
    weights = {"weights": "fused_weight", "biases": "fused_bias"}
    got = {"weights": fused.conv.weight, "biases": fused.conv.bias}
    exact = [compare(k, arrays[v], got[k].detach().numpy()) for k, v in weights.items()]
    near = [compare("outputs", arrays["y_fused"], outputs, rtol=ROUNDING)]
    yield _result("fusebn", f"{name}: torch", exact + near)

    if case["kind"] == "conv3d":
        why = "networks have no convolution over three axes"
        yield Result("fusebn", f"{name}: network", False, 0.0, expectation=why, covered=False)
        return
    network = _network(model, tuple(x.shape[1:]))
    folded = nj.fold_batch_norm(network)
    exact = [
        compare("weights", arrays["fused_weight"], folded["conv"].weight),
        compare("biases", arrays["fused_bias"], folded["conv"].bias),
    ]
    ours = nj.simulate(folded, arrays["x"][None]).outputs[0]
    before = nj.simulate(network, arrays["x"][None]).outputs[0]
    near = [
        compare("outputs", arrays["y_fused"], ours, rtol=ROUNDING),
        compare("outputs before", arrays["y_conv_bn"], before, rtol=ROUNDING),
    ]
    yield _result("fusebn", f"{name}: network", exact + near)


def _result(group: str, case: str, found: list[tuple[float, str]]) -> Result:
    difference = next((text for _, text in found if text), "")
    return Result(group, case, not difference, max(e for e, _ in found), difference)


def _model(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """The recorded layers. The neurons behind them have no part in the recorded numbers."""
    conv, norm = KINDS[case["kind"]]
    unknown = sorted(case["conv"].keys() - OPTIONS.keys())
    if unknown:
        raise ValueError(f"the convolution has unknown options: {', '.join(unknown)}")
    options = {
        OPTIONS[key]: tuple(value) if isinstance(value, list) else value
        for key, value in case["conv"].items()
    }
    model = torch.nn.Sequential()
    model.conv = conv(**options)
    affine = "bn_weight" in arrays or "bn_bias" in arrays
    model.bn = norm(options["out_channels"], eps=case["eps"], affine=affine)
    values = {"conv.weight": "conv_weight", "conv.bias": "conv_bias", "bn.weight": "bn_weight"}
    values |= {"bn.bias": "bn_bias", "bn.running_mean": "bn_mean", "bn.running_var": "bn_var"}
    state = {k: torch.tensor(arrays[v]) for k, v in values.items() if v in arrays}
    model.load_state_dict(state | {"bn.num_batches_tracked": torch.tensor(1)})
    return model.eval()


def _network(model: Any, in_shape: tuple[int, ...]) -> nj.Network:
    """The same layers, here."""
    conv = torch_layers.convolution(model.conv, tuple(in_shape))
    norm = torch_layers.batch_norm(model.bn, conv.out_shape(tuple(in_shape)))
    return nj.Sequential(tuple(in_shape), conv=conv, norm=norm.layers[""])
