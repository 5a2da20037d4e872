"""CRI / HiAER-Spike: recordings of hs_api's simulators, main and dev, and of its converter.

`META.json` lists the arrays of each `<case>.npz`; sizes and parameters are read from them. A case
belongs to the group that its name begins with.
"""

from __future__ import annotations

import functools as ft
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips.cri import _wide
from neurojax.chips.cri.crossbar import Crossbar
from neurojax.chips.cri.neuron import Neuron, membrane, with_membrane
from neurojax.chips.cri.noise import main_noise
from neurojax.chips.cri.synapse import stored
from tests.conformance import _cri_converter as converter, _cri_network as network
from tests.conformance._result import QUICK, Result, attempt, compare

Arrays = Mapping[str, np.ndarray]

LIF = 2
NO_NOISE = -16
"""The shift with which the simulator main adds no noise."""

DEFECT = "leak 63 adds 1 to every positive membrane in every step"


def run(directory: Path) -> Iterator[Result]:
    """Every case of a directory of recordings."""
    described: dict[str, Any] = {}
    if (directory / "META.json").exists():
        described = json.loads((directory / "META.json").read_text(encoding="utf-8"))["files"]
    recorded = {p.name for kind in ("npz", "json") for p in directory.glob(f"*.{kind}")}
    for file in sorted((recorded | set(described)) - {"META.json"}):
        yield from attempt(
            _group(file), file, ft.partial(_case, directory / file, described.get(file, {}))
        )


def _group(file: str) -> str:
    return next((group for group in GROUPS if re.match(group, file)), "unknown")


def _case(path: Path, about: Mapping[str, Any]) -> Iterator[Result]:
    group = _group(path.name)
    if group not in GROUPS and path.suffix == ".json":
        yield from converted(path.stem, json.loads(path.read_text(encoding="utf-8")), path.parent)
        return
    if group not in GROUPS and path.with_suffix(".json").exists():
        return  # the arrays of a converted network
    if group not in GROUPS:
        why = "recordings of this kind are not compared yet"
        yield Result(group, path.name, False, 0.0, expectation=why, covered=False)
        return
    if path.suffix == ".json":
        stored_: Any = json.loads(path.read_text(encoding="utf-8"))
    else:
        with np.load(path) as file:
            stored_ = {name: file[name] for name in file.files}
    for name in about.get("arrays", ()):
        if name not in stored_:
            raise ValueError(f"there is no array '{name}' in {path.name}")
    yield from GROUPS[group](path.stem, stored_)


def simulator(name: str, arrays: Arrays) -> Iterator[Result]:
    """What `simple_sim.step_run` returned in every step, for each branch that was recorded."""
    for order in ("main", "dev"):
        if f"V_{order}" not in arrays:
            continue
        v, spikes = simulated(arrays, order)
        found = [compare("V", arrays[f"V_{order}"], v), compare("S", arrays[f"S_{order}"], spikes)]
        wrong = "; ".join(words for _, words in found if words)
        expectation = DEFECT if (arrays["leak"] == 63).any() else ""
        error = max(error for error, _ in found)
        yield Result("simulator", f"{name} {order}", not wrong, error, wrong, expectation)


def simulated(arrays: Arrays, order: str) -> tuple[np.ndarray, np.ndarray]:
    """Membranes (int64) and spikes, `[time, neurons]`, of a recorded network."""
    neuron = Neuron(
        theta=arrays["theta"],
        leak=arrays["leak"],
        model=arrays.get("kind", np.full(arrays["theta"].shape, LIF)).astype(np.int32),
        shift=arrays.get("shift", NO_NOISE),
        draws=arrays.get("draws"),
        order=order,
    )
    chip = Crossbar(arrays["W_axon"], arrays.get("W_rec"), neuron=neuron)
    layers = nj.Sequential((chip.axons,), chip=chip)
    state = layers.init(1)
    if "V0" in arrays:
        first = with_membrane(state.layers["chip"], arrays["V0"])
        state = eqx.tree_at(lambda s: s.layers["chip"], state, first)
    x = jnp.asarray(arrays["X"], jnp.float32)[:, None]

    @ft.partial(jax.jit, compiler_options=QUICK)
    def run(state: Any, x: jax.Array) -> nj.Run:
        return nj.simulate(layers, x, state=state, probes=["chip.high", "chip.low"])

    out = run(state, x)
    v = membrane(_wide.Wide(out["chip.high"], out["chip.low"]))
    return v[:, 0], np.asarray(out.outputs)[:, 0]


def weights(name: str, about: Mapping[str, Any]) -> Iterator[Result]:
    """What became of weights when a network was built, and when one was written over them."""
    given = np.asarray(about["weights_in"], np.float64)
    cases = {"effective": given, "effective_after_write": given / 2}
    for key, values in cases.items():
        if key in about:
            error, wrong = compare(key, about[key], stored(values))
            yield Result("weights", f"{name} {key}", not wrong, error, wrong)


def noise_statistics(name: str, about: Mapping[str, Any]) -> Iterator[Result]:
    """Range, mean and spread of the simulator's noise, against those of all its 2^17 draws."""
    draws = jnp.arange(-(1 << 16), 1 << 16)
    shifts = jnp.array([int(shift) for shift in about["noise_by_shift"]])
    noise = _wide.to_integers(main_noise(draws, shifts[:, None])).astype(np.float64)
    for (shift, recorded), values in zip(about["noise_by_shift"].items(), noise, strict=True):
        spread = values.std()
        # Means of n draws spread by std / sqrt(n); five of that are never seen.
        near = 5 * spread / np.sqrt(about["n"])
        # The most extreme of n draws: a draw misses the outermost 1e-4 of them all once in e^20.
        ends = 1e-4 * (values.max() - values.min())
        found = [
            compare("mean", recorded["mean"], values.mean(), atol=near),
            compare("std", recorded["std"], spread, atol=near),
            compare("min", recorded["min"], values.min(), atol=ends),
            compare("max", recorded["max"], values.max(), atol=ends),
            compare("P(<0)", recorded["P(<0)"], (values < 0).mean(), atol=0.006),
            compare("P(==0)", recorded["P(==0)"], (values == 0).mean(), atol=0.006),
        ]
        wrong = "; ".join(words for _, words in found if words)
        yield Result("noise", f"{name} shift {shift}", not wrong, 0.0, wrong)


def converted(name: str, about: Mapping[str, Any], directory: Path) -> Iterator[Result]:
    """What the converter made of a network, and how that ran; the arrays are in another file."""
    if "converter_2023" in about:
        yield from network.older(name, about)
        return
    if "axons" not in about:
        why = "recordings of this kind are not compared yet"
        yield Result("converter", name, False, 0.0, expectation=why, covered=False)
        return
    with np.load(directory / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    yield from network.network(name, about, arrays)
    yield from converter.conversion(name, about, arrays)


GROUPS: dict[str, Callable[[str, Any], Iterator[Result]]] = {
    r"sim_.*\.npz": simulator,
    r"weights.*\.json": weights,
    r"noise_stats.*\.json": noise_statistics,
    r"quantise.*\.npz": converter.quantised,
    r"bn_fold.*\.npz": converter.folded,
}
"""What compares the files whose names match; the first that fits."""
