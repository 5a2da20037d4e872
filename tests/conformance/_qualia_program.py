"""The C code that we generate against recorded runs of Qualia's.

Real inputs go in as a file and come out as every feature map and the outputs, of programs that are
compiled here. Integers and spikes must be equal; other floats to the decimals that were recorded.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurojax.hardware import c
from tests.conformance._qualia_codegen import (
    all_cases,
    map_case,
    recorded_maps,
    result_of,
    tolerance,
)
from tests.conformance._qualia_graph import nodes_of
from tests.conformance._result import Result, compare, not_covered

GROUP = "codegen, compiled"


def run(directory: Path) -> Iterator[Result]:
    """The results of all cases of `codegen.{json,npz}`."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        yield not_covered(GROUP, "all", "there is no C compiler")
        return
    yield from all_cases(GROUP, directory, _case)


def _case(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> Result:
    inputs = np.moveaxis(arrays["x_float"], 1, 0)  # [time, batch, ..., channels]
    mapped, nodes = map_case(case, arrays), nodes_of(case)
    program = c.configure(
        mapped, timestep_mode="iterate", timesteps=len(inputs), dump_featuremaps=True
    )
    with tempfile.TemporaryDirectory() as folder:
        built = program.build(folder, flags=["-O0"])
        maps = Path(folder) / "featuremaps"
        outputs = built.run(np.moveaxis(inputs, -1, 2), featuremaps=maps)
        layers = c.read_featuremaps(maps)
    last = mapped.network.outputs[0]
    recorded = np.moveaxis(np.moveaxis(arrays["out"], 1, 0), -1, 2)
    found = [compare("outputs", recorded, outputs, rtol=tolerance(case, nodes, last) / 2)]
    for name, values in recorded_maps(arrays).items():
        if name not in nodes:
            continue
        recorded = np.moveaxis(values, 1, 0)
        got = layers[name]
        got = got.reshape(recorded.shape) if got.size == recorded.size else got
        atol = tolerance(case, nodes, name)
        found.append(compare(f"values of {name}", recorded, got, atol=atol))
    return result_of(GROUP, case, found)
