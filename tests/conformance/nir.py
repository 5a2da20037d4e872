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
    with np.load(directory / f"{name}.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    outcomes = [_structure(graph, case)]
    parameters = sorted(key for key in arrays if "." in key)
    outcomes += [_parameter(graph, key, arrays[key]) for key in parameters]
    network = _network(graph, name, case)
    x = arrays.get("x")
    if x is None:
        shape = (STEPS, 2, *next(iter(network.inputs.values())))
        x = np.random.default_rng(0).random(shape, np.float32)
    outputs = nj.simulate(network, jnp.asarray(x)).outputs
    if not bool(jnp.isfinite(outputs).all()):
        outcomes.append((np.inf, "the outputs are not finite"))
    if "s" in arrays:
        outcomes.append(compare("spikes", arrays["s"], outputs))
    if "y" in arrays:
        outcomes.append(compare("output", arrays["y"], outputs, **CLOSE))
    for key in arrays.keys() - {"x", "s", "y", *parameters}:
        outcomes.append((np.inf, f"recorded array '{key}' has no counterpart"))
    difference = next((text for _, text in outcomes if text), "")
    error = max(error for error, _ in outcomes)
    expectation = DEFECTS.get(group, "")
    yield Result(group, name, not difference, error, difference, expectation)


def _network(graph: Graph, name: str, case: Mapping[str, Any]) -> nj.Network:
    """The import, told what the note and the name of the case say."""
    text = f"{name} {case.get('note', '')}"
    found = library(name, case)
    given = re.search(r"\bdt\s*(?:=|fixed)\s*([\d.]+(?:e-?\d+)?)", text)
    dt = float(given.group(1)) if given else graph.metadata.get("dt")
    if found == "snntorch":
        # Where nothing is said: the only neurons of which NIR can say all.
        mechanism = re.search(r"reset_mechanism=(\w+)|_(subtract|zero|none)_", text)
        late = re.search(r"reset_delay=(True|1)|_delay1", text)
        preset = presets.snntorch(
            reset_mechanism=(mechanism.group(1) or mechanism.group(2)) if mechanism else "zero",
            reset_delay=bool(late),
        )
    else:
        preset = presets.preset_of(found)
    if dt is None and preset.dt is None:
        dt = 1e-3
    return from_nir(graph, preset=preset, dt=None if dt is None else float(dt))


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
