"""NIR files of SpikingJelly, snnTorch, Norse and sinabs, and what the networks in them computed.

A case is a file `<case>.nir` with arrays in `<case>.npz`; `index.json` says where it comes from and
which nodes and edges it has. The import is told what the note or the name of the case says: the
library, its options, the time step. Spikes must be equal, other outputs agree within 1e-5.
"""

from __future__ import annotations

import functools as ft
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.converters.nir import _presets as presets
from neurojax.converters.nir._file import read
from neurojax.converters.nir._graph import Graph, Node
from neurojax.converters.nir._import import from_nir
from tests.conformance._result import Result, attempt, compare

CLOSE = {"atol": 1e-5, "rtol": 1e-6}
STEPS = 8
NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"

Outcome = tuple[float, str]

DEFECTS = {"norse": "Norse writes tau multiplied by dt"}


def run(directory: Path) -> Iterator[Result]:
    """Compares all cases of a directory."""
    path = directory / "index.json"
    index = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    names = [name for name in index if not name.startswith("_")]
    names += sorted(file.stem for file in directory.glob("*.nir") if file.stem not in names)
    for name in names:
        case = index.get(name, {})
        group = library(name, case)
        yield from attempt(group, name, ft.partial(_case, directory, name, case))


def library(name: str, case: Mapping[str, Any]) -> str:
    """The library that wrote the file, or "nir"."""
    for text in (name, case.get("note", "")):
        for known in presets.PRESETS:
            if known != "nir" and re.search(rf"(?<![a-z]){known}", text.lower()):
                return known
    return "nir"


def _case(directory: Path, name: str, case: Mapping[str, Any]) -> Iterator[Result]:
    group = library(name, case)
    graph = read(directory / f"{name}.nir")
    path = directory / f"{name}.npz"
    arrays: dict[str, np.ndarray] = {}
    if path.exists():
        with np.load(path) as stored:
            arrays = {key: stored[key] for key in stored.files}
    elif "arrays" in case:
        raise ValueError(f"there is no {path.name}")
    outcomes = [_structure(graph, case)]
    parameters = sorted(key for key in arrays if "." in key)
    outcomes += [_parameter(graph, key, arrays[key]) for key in parameters]
    recorded = {key: arrays[key] for key in ("s", "y") if key in arrays}
    for key in arrays.keys() - {"x", *recorded, *parameters}:
        outcomes.append((np.inf, f"recorded array '{key}' has no counterpart"))
    if recorded and "x" not in arrays:
        outcomes.append((np.inf, "there are recorded outputs, but no input 'x'"))
    ran, assumed = _runs(graph, name, case, arrays.get("x"), recorded)
    outcomes += ran
    difference = next((text for _, text in outcomes if text), "")
    error = max(error for error, _ in outcomes)
    expectation = "; ".join(filter(None, [DEFECTS.get(group, ""), assumed]))
    covered = bool(recorded or parameters or {"nodes", "edges"} & case.keys() or difference)
    if not covered:
        expectation = "there is nothing to compare with; it is read, built and run"
    yield Result(group, name, not difference, error, difference, expectation, covered)


def _runs(
    graph: Graph,
    name: str,
    case: Mapping[str, Any],
    x: np.ndarray | None,
    recorded: Mapping[str, np.ndarray],
) -> tuple[list[Outcome], str]:
    """What a run gives, and what had to be assumed for it to be equal.

    Files and notes may leave open what the neurons did. The usual choice comes first; where it
    gives something else than recorded, the others follow. A case is equal if one choice is.
    """
    first: list[Outcome] = []
    for preset, assumed in _presets(name, case):
        outcomes = _run(graph, preset, _dt(graph, name, case, preset), x, recorded)
        if not any(text for _, text in outcomes):
            return outcomes, f"not said in the recording, and found: {assumed}" if first else ""
        first = first or outcomes
    return first, ""


def _run(
    graph: Graph,
    preset: presets.Preset,
    dt: float | None,
    x: np.ndarray | None,
    recorded: Mapping[str, np.ndarray],
) -> list[Outcome]:
    network = from_nir(graph, preset=preset, dt=dt)
    if x is None:
        shape = (STEPS, 2, *next(iter(network.inputs.values())))
        x = np.random.default_rng(0).random(shape, np.float32)
    outputs = nj.simulate(network, jnp.asarray(x, jnp.float32)).outputs
    outcomes: list[Outcome] = []
    if not bool(jnp.isfinite(outputs).all()):
        outcomes.append((np.inf, "the outputs are not finite"))
    if "s" in recorded:
        outcomes.append(compare("spikes", recorded["s"], outputs))
    if "y" in recorded:
        outcomes.append(compare("output", recorded["y"], outputs, **CLOSE))
    return outcomes


def _text(name: str, case: Mapping[str, Any]) -> str:
    """All that is said about a case: its name, its note, and what else has a name."""
    said = {key: value for key, value in case.items() if key not in ("nodes", "edges", "arrays")}
    more = [f"{key}={value}" for key, value in said.items() if key != "note"]
    return " ".join([name, str(said.get("note", "")), *more])


def _dt(graph: Graph, name: str, case: Mapping[str, Any], preset: presets.Preset) -> float | None:
    given = re.search(rf"\bdt\s*(?:=|:|fixed)\s*({NUMBER})", _text(name, case))
    dt = float(given.group(1)) if given else graph.metadata.get("dt")
    if dt is None and preset.dt is None:
        dt = 1e-3
    return None if dt is None else float(dt)


def _presets(name: str, case: Mapping[str, Any]) -> list[tuple[presets.Preset, str]]:
    """What the neurons may have done by the name and the note, and in words what was open."""
    text, found = _text(name, case), library(name, case)
    if found == "snntorch":
        return _of_snntorch(text)
    if found == "sinabs":
        return _of_sinabs(text)
    if found == "norse":
        v_reset = re.search(rf"\bv_reset\s*=\s*(-?{NUMBER})", text)
        return [(presets.norse(v_reset=float(v_reset.group(1)) if v_reset else None), "")]
    return [(presets.preset_of(found), "")]


def _of_snntorch(text: str) -> list[tuple[presets.Preset, str]]:
    mechanism = re.search(r"reset_mechanism\W+(subtract|zero|none)|_(subtract|zero|none)_", text)
    late = re.search(r"reset_delay\W+(True|1|False|0)\b|_delay([01])", text)
    # Where nothing is said: the only neurons of which NIR can say all, then snnTorch's usual ones.
    choices = [("zero", False), ("subtract", True), ("zero", True), ("subtract", False)]
    choices += [("none", True), ("none", False)]
    if mechanism:
        said = mechanism.group(1) or mechanism.group(2)
        choices = [choice for choice in choices if choice[0] == said]
    if late:
        delayed = (late.group(1) or late.group(2)) in ("True", "1")
        choices = [choice for choice in choices if choice[1] == delayed]
    found = []
    for kind, delay in choices:
        preset = presets.snntorch(reset_mechanism=kind, reset_delay=delay)
        found.append((preset, f"reset_mechanism={kind}, reset_delay={delay}"))
    return found


def _of_sinabs(text: str) -> list[tuple[presets.Preset, str]]:
    options: dict[str, Any] = {}
    bound = re.search(rf"min_v_mem\s*=\s*(-?{NUMBER})", text)
    if bound:
        options["min_v_mem"] = float(bound.group(1))
    several = re.search(r"MaxSpike\(\D*(\d+)\)", text)
    if several or "SingleSpike" in text:
        options["max_spikes"] = int(several.group(1)) if several else 1
    if "MembraneReset" in text:
        options["reset"] = "zero"
    norm = re.search(r"norm_input\W+(True|False)", text)
    choices = [norm.group(1) == "True"] if norm else [True, False]
    return [(presets.sinabs(norm_input=n, **options), f"norm_input={n}") for n in choices]


def _structure(graph: Graph, case: Mapping[str, Any]) -> Outcome:
    """Kinds of nodes, and edges."""
    if "nodes" in case:
        kinds = {name: node.kind for name, node in graph.nodes.items()}
        if kinds != case["nodes"]:
            return np.inf, f"nodes differ: recorded {case['nodes']}, got {kinds}"
    if "edges" in case:
        recorded = sorted((a, b) for a, b in case["edges"])
        if recorded != sorted(graph.edges):
            return np.inf, f"edges differ: recorded {recorded}, got {sorted(graph.edges)}"
    return 0.0, ""


def _parameter(graph: Graph, key: str, recorded: np.ndarray) -> Outcome:
    """A parameter `node.field`; the names of nodes may have dots."""
    name, _, field = key.rpartition(".")
    node: Any = graph.nodes.get(name)
    while node is None and isinstance(graph, Graph) and "." in name:
        outer = next((n for n in graph.nodes if name.startswith(f"{n}.")), None)
        if outer is None:
            break
        graph, name = graph.nodes[outer], name.removeprefix(f"{outer}.")  # type: ignore[assignment]
        node = graph.nodes.get(name) if isinstance(graph, Graph) else None
    if not isinstance(node, Node) or field not in node.fields:
        return np.inf, f"parameter {key} is not in the file"
    return compare(f"parameter {key}", recorded, node.fields[field])
