"""`QualiaCodeGen`: its forms, its folders, what it refuses."""

import re
import shutil
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import MappingError, mcu
from neurojax.hardware.c import QualiaCodeGen, load

X = np.random.default_rng(4).random((5, 3, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    keys = jax.random.split(jax.random.key(2), 2)
    return nj.Sequential(
        (4,),
        fc=nj.Linear(4, 6, bias=True, key=keys[0]),
        spikes=nj.IAF(threshold=0.2),
        out=nj.Linear(6, 3, key=keys[1]),
    )


def test_short_form(network, tmp_path):
    codegen = QualiaCodeGen("int16", outdir=tmp_path, metrics=["mse", "acc"], model_name="net")
    assert codegen.directory is None and codegen.h is None
    assert codegen(network, "demo", calibration=X) is codegen
    assert codegen.name == "demo_qint16"
    assert codegen.directory == tmp_path / "demo_qint16"
    assert (codegen.directory / "full_model.h").read_text() == codegen.h
    program = codegen.program
    assert (program.model_name, program.timesteps, program.metrics) == ("net", 5, ("mse", "acc"))
    expected = nj.simulate(mcu.map(network, quantize="int16", calibration=X).network, X).outputs
    loaded = load(codegen.directory)
    np.testing.assert_array_equal(nj.simulate(loaded.network, X).outputs, expected)
    assert loaded.chip == mcu.Spec(mcu.Number("int16", 16, 32))


def test_qualias_form(network, tmp_path, monkeypatch):
    """Scales from data, or from the file that Qualia leaves; floats need neither."""
    monkeypatch.chdir(tmp_path)
    codegen = QualiaCodeGen("int8", long_width=32)
    with pytest.raises(FileNotFoundError, match=r"out/learningmodel/har_activations_range\.txt"):
        codegen.convert(None, network, "har")
    assert codegen.convert(None, network, "har", {"input": X}) is codegen
    assert codegen.directory == Path("out/qualia_codegen/har_qint8")
    assert codegen.program.timesteps == 5
    by_data = codegen.h
    Path("out/learningmodel").mkdir()
    mcu.write_ranges("out/learningmodel/har_activations_range.txt", codegen.program.mapped)
    codegen.convert(framework=None, model=network, model_name="har", representative_dataset=None)
    same = codegen.h.replace("MODEL_INPUT_TIMESTEPS 1", "MODEL_INPUT_TIMESTEPS 5")
    assert same == by_data
    floats = QualiaCodeGen("float32", timesteps=7).convert(None, network, "har")
    assert floats.directory.name == "har_qfloat32" and floats.program.timesteps == 7


def test_step_by_step(network, tmp_path):
    codegen = QualiaCodeGen("int16", dump_featuremaps=True, timestep_mode="iterate")
    graph = codegen.convert_model_to_modelgraph(network, calibration=X)
    text = codegen.convert_modelgraph_to_c(graph, tmp_path / "code")
    assert text == codegen.h == (tmp_path / "code" / "full_model.h").read_text()
    assert (tmp_path / "code" / "host" / "featuremaps.c").exists()
    assert codegen.program.timestep_mode == "iterate"


def test_refusals(network, tmp_path):
    with pytest.raises(ValueError, match="quantize is 'int4'; use one of float32, int16, int8"):
        QualiaCodeGen("int4")
    with pytest.raises(ValueError, match="long_width is 12"):
        QualiaCodeGen("int8", long_width=12)
    with pytest.raises(ValueError, match=r"metrics holds \['f1'\]; known: acc, corr, mae"):
        QualiaCodeGen("int8", metrics=["f1"])
    with pytest.raises(ValueError, match="timestep_mode is 'sum'; use 'duplicate' or 'iterate'"):
        QualiaCodeGen("int8", timestep_mode="sum")
    with pytest.raises(ValueError, match="model_name is '1st'; it must be a C identifier"):
        QualiaCodeGen("int8", model_name="1st")
    with pytest.raises(ValueError, match="timesteps is 0; it must be an integer >= 1"):
        QualiaCodeGen("int8", timesteps=0)
    with pytest.raises(ValueError, match="compat is 'exact'"):
        QualiaCodeGen("int8", compat="exact")
    codegen = QualiaCodeGen("int8", outdir=tmp_path)
    with pytest.raises(TypeError, match="takes a Network, got function; bring models of other"):
        codegen(test_refusals, "x")
    with pytest.raises(ValueError, match="int8 needs scales"):
        codegen(network, "x")
    recurrent = nj.Sequential((4,), cell=nj.Recurrent(nj.IAF(), nj.Linear.from_weights(np.eye(4))))
    with pytest.raises(MappingError, match="layer 'cell'"):
        codegen(recurrent, "x", calibration=X)
    assert codegen.name is None and not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_the_documented_firmware(network, tmp_path):
    """The C of docs/mcu-hardware.md, compiled as for a machine without a C library."""
    page = (Path(__file__).parents[3] / "docs" / "mcu-hardware.md").read_text()
    (block,) = re.findall(r"^```c\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "firmware.c").write_text(block)
    codegen = QualiaCodeGen("int16", outdir=tmp_path, timestep_mode="iterate")(
        network, "firmware", calibration=X
    )
    samples = (X[:, 0] * 4096).astype(int)
    values = ", ".join(map(str, samples.ravel()))
    (tmp_path / "main.c").write_text(
        f"""
        #include <stdint.h>
        #include <stdio.h>
        int classify(uint16_t (*read_converter)(int channel));
        static const uint16_t samples[] = {{{values}}};
        static int next;
        static uint16_t read_converter(int channel) {{ (void)channel; return samples[next++]; }}
        int main(void) {{ printf("%d\\n", classify(read_converter)); return 0; }}
        """
    )
    folder = codegen.directory
    strict = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion"]
    bare = [*strict, "-ffreestanding", "-c", f"-I{folder}/include", f"-I{folder}"]
    for source in (tmp_path / "firmware.c", folder / "model.c"):
        subprocess.run(["gcc", *bare, source], cwd=tmp_path, check=True)
    objects = ["main.c", "firmware.o", "model.o"]
    subprocess.run(["gcc", *strict, *objects, "-o", "firmware"], cwd=tmp_path, check=True)
    found = subprocess.run([tmp_path / "firmware"], capture_output=True, text=True).stdout
    frames = (samples / 4096).astype(np.float32)[:, None]
    sums = nj.simulate(codegen.program.mapped.network, frames).outputs.sum((0, 1))
    assert int(found) == int(sums.argmax())
