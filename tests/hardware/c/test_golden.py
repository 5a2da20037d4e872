"""Generated C against recorded runs of Qualia's generated C: every feature map of every network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from neurojax.chips.mcu import IF, LIF
from neurojax.hardware.c import configure
from tests.conformance._qualia_codegen import map_case
from tests.hardware.c._driver import dumped, run_all


def test_recorded_networks(golden: Path, tmp_path: Path) -> None:
    with np.load(golden / "qualia" / "codegen.npz") as stored:
        arrays = dict(stored)
    programs, inputs, recordings = [], [], []
    for case in json.loads((golden / "qualia" / "codegen.json").read_text())["cases"]:
        prefix = f"{case['key']}/"
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        name = f"net{len(programs)}"
        programs.append(configure(map_case(case, own), model_name=name, dump_featuremaps=True))
        inputs.append(np.moveaxis(own["x_in"], -1, 2).swapaxes(0, 1))
        recordings.append(own)
    assert len(programs) == 16
    results = run_all(programs, inputs, tmp_path, flags=["-O0"])
    for program, own, values in zip(programs, recordings, results, strict=True):
        layers = program.mapped.network.layers
        recorded = [own[f"fm/{name}"] for name in dumped(program)]
        names = [*dumped(program), program.mapped.network.outputs[0]]
        for name, found, expected in zip(names, values, [*recorded, own["out"]], strict=True):
            # Samples first and channels last, as they lie in C.
            layout = next(s.value.layout for s in program.plan.shown if s.name == name)
            flat = layout.to_c(found).swapaxes(0, 1)
            expected = expected.reshape(flat.shape)
            if found.dtype == np.float32 and not isinstance(layers[name], IF | LIF):
                np.testing.assert_allclose(flat, expected, rtol=0, atol=2e-6)
            else:
                np.testing.assert_array_equal(flat, expected, err_msg=name)
