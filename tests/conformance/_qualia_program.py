"""The C code that we generate against recorded runs of Qualia's.

Real inputs go in as a file and come out as every feature map and the outputs, of programs that are
compiled here. Integers and spikes must be equal; other floats to the decimals that were recorded.
"""

from __future__ import annotations

import functools as ft
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurojax.hardware import c
from tests.conformance._qualia_codegen import DECIMALS, map_case
from tests.conformance._result import Result, attempt, compare, not_covered

GROUP = "codegen, compiled"


def run(directory: Path) -> Iterator[Result]:
    """The results of all cases of `codegen.{json,npz}`."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        yield not_covered(GROUP, "all", "there is no C compiler")
        return
    with np.load(directory / "codegen.npz") as stored:
        arrays = dict(stored)
    for case in json.loads((directory / "codegen.json").read_text())["cases"]:
        prefix = f"{case['key']}/"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        yield from attempt(GROUP, case["key"], ft.partial(_case, case, own))


def _case(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Iterator[Result]:
    inputs = np.moveaxis(arrays["x_float"], 1, 0)  # [time, batch, ..., channels]
    program = c.configure(
        map_case(case, arrays),
        timestep_mode="iterate",
        timesteps=len(inputs),
        dump_featuremaps=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        built = program.build(folder, flags=["-O0"])
        maps = Path(folder) / "featuremaps"
        outputs = built.run(np.moveaxis(inputs, -1, 2), featuremaps=maps)
        layers = c.read_featuremaps(maps)
    floats = case["quantize"] == "float32"
    spiking = {part["name"] for part in case["spec"] if part["kind"] == "neuron"}
    last = case["spec"][-1]["name"]
    recorded = np.moveaxis(arrays["out"], 1, 0)
    found = [
        compare(
            "outputs", recorded, outputs, rtol=DECIMALS if floats and last not in spiking else 0
        )
    ]
    for part in case["spec"]:
        name = part["name"]
        recorded = np.moveaxis(arrays[f"fm/{name}"], 1, 0)
        tolerance = 2 * DECIMALS if floats and name not in spiking else 0
        found.append(compare(f"values of {name}", recorded, layers[name], atol=tolerance))
    difference = next((text for _, text in found if text), "")
    yield Result(GROUP, case["key"], not difference, max(e for e, _ in found), difference)
