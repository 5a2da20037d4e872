"""Programs of real networks: saved, built in three ways, run; equal to the simulation."""

import shutil
import subprocess

import jax
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import mcu
from neurojax.hardware.c import configure, read_featuremaps

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler"
)

STEPS, BATCH = 6, 3
X = np.random.default_rng(0).normal(size=(STEPS, BATCH, 2, 5, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def mapped():
    keys = jax.random.split(jax.random.key(1), 2)
    network = nj.Sequential(
        (2, 5, 4),
        conv=nj.Conv2d(2, 3, (3, 2), key=keys[0]),
        s1=nj.IAF(threshold=0.3),
        flat=nj.Flatten(),
        fc=nj.Linear(27, 4, bias=True, key=keys[1]),
        s2=nj.LIF(tau=2.0, method="euler", threshold=0.1),
        readout=nj.Linear.from_weights(np.float32([[1, -1, 0.5, 0], [0, 0.25, 0, 1]])),
    )
    return mcu.map(network, quantize="int8", long_width=32, calibration=X)


@pytest.fixture(scope="module")
def simulated(mapped):
    return nj.simulate(mapped.network, X, probes=["quantise", "conv", "s1", "s2"])


@pytest.fixture(scope="module")
def built(mapped, tmp_path_factory):
    """Frames for each time step, feature maps, all metrics; under the sanitizers."""
    program = configure(
        mapped,
        model_name="net",
        timestep_mode="iterate",
        dump_featuremaps=True,
        metrics=("mae", "acc", "mse"),
    )
    flags = ["-O1", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
    return program.build(tmp_path_factory.mktemp("built"), flags=flags)


def test_steps_equal_the_simulation(built, simulated):
    found = built.run(X)
    np.testing.assert_array_equal(found, simulated.outputs)
    assert found.dtype == np.float32 and found.any()


def test_featuremaps_equal_the_simulation(built, simulated, tmp_path):
    built.run(X, featuremaps=tmp_path)
    maps = read_featuremaps(tmp_path)
    for name, layer in {"input": "quantise", "conv": "conv", "s1": "s1", "s2": "s2"}.items():
        np.testing.assert_array_equal(maps[name], np.moveaxis(simulated[layer], 2, -1))
    with pytest.raises(ValueError, match="holds no feature maps"):
        read_featuremaps(tmp_path / "0" / "0")
    (tmp_path / "7").mkdir()
    with pytest.raises(ValueError, match="samples differ in their time steps"):
        read_featuremaps(tmp_path)


def test_metrics_of_the_simulation(built, mapped, simulated):
    means = np.asarray(mcu.values(mapped, simulated.outputs), float).mean(0)
    targets = np.random.default_rng(1).normal(size=(BATCH, 2)).astype(np.float32)
    found = built.evaluate(X, targets)
    assert list(found) == ["mae", "acc", "mse"]
    assert found == pytest.approx(
        {
            "mae": np.abs(means - targets).mean(),
            "acc": np.mean(means.argmax(1) == targets.argmax(1)),
            "mse": ((means - targets) ** 2).mean(),
        }
    )
    classes = means.argmax(1)
    assert built.evaluate(X, classes)["acc"] == 1
    assert built.evaluate(X, 1 - classes)["acc"] == 0


def test_inputs_and_targets_are_checked(built):
    with pytest.raises(ValueError, match=r"in the mode 'iterate' they are \[time, batch, 2, 5, 4"):
        built.run(X[0])
    with pytest.raises(ValueError, match="timesteps is 3, but the inputs have 6"):
        built.run(X, timesteps=3)
    with pytest.raises(ValueError, match=r"targets are classes 0..2; the network has 2"):
        built.evaluate(X, np.array([0, 1, 2]))
    with pytest.raises(ValueError, match=r"they are \(3,\) integers, the classes, or \(3, 2\)"):
        built.evaluate(X, np.zeros((3, 3)))
    with pytest.raises(ValueError, match="inputs hold no sample"):
        built.evaluate(X[:, :0], np.zeros((0, 2)))
    assert built.run(X[:, :0]).shape == (STEPS, 0, 2)


@pytest.fixture(scope="module")
def saved(mapped, tmp_path_factory):
    """One frame for all time steps, saved where a program with more files was before."""
    folder = tmp_path_factory.mktemp("saved")
    configure(mapped, dump_featuremaps=True).save(folder)
    program = configure(mapped, timesteps=STEPS)
    program.save(folder)
    return program, folder


def check_programs(program, folder):
    """Both programs in a folder, against the simulation of a frame that is shown in each step."""
    shown = np.broadcast_to(X[0, :1], (STEPS, 1, *X.shape[2:]))
    sums = np.asarray(nj.simulate(program.mapped.network, shown).outputs)[:, 0].sum(0)
    frame = [f"{value:.9g}" for value in program.to_c(X[0, 0])]
    for command in (["Linux", "single"], ["single"]):
        done = subprocess.run(
            [folder / command[0], *command[1:], *frame], capture_output=True, text=True
        )
        assert [int(line) for line in done.stdout.split()] == [int(s / STEPS) for s in sums]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_makefile(saved):
    program, folder = saved
    command = ["make", "-s", "CFLAGS=-O1 -Werror"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    check_programs(program, folder / "build")
    again = subprocess.run(["make", "-q"], cwd=folder)
    assert again.returncode == 0  # nothing to do
    subprocess.run(["make", "-s", "clean"], cwd=folder, check=True)
    assert not list((folder / "build").iterdir())


@pytest.mark.skipif(shutil.which("cmake") is None, reason="needs CMake")
def test_cmake(saved):
    program, folder = saved
    for command in (["-S", ".", "-B", "cmake-build"], ["--build", "cmake-build"]):
        done = subprocess.run(["cmake", *command], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert "warning" not in done.stdout + done.stderr
    check_programs(program, folder / "cmake-build")


def test_duplicates(mapped):
    """`Program.run`: frames without time, shown in every step."""
    program = configure(mapped, timesteps=2)
    shown = np.broadcast_to(X[0], (2, *X.shape[1:]))
    found = program.run(X[0])
    np.testing.assert_array_equal(found, nj.simulate(mapped.network, shown).outputs)


def test_compilers_are_looked_for(mapped, tmp_path, monkeypatch):
    program = configure(mapped)
    with pytest.raises(FileNotFoundError, match=r"looked for no-such-cc\); install one"):
        program.build(tmp_path, compiler="no-such-cc")
    with pytest.raises(RuntimeError, match=r"has failed \(\d+\):\n.*no-such-option"):
        program.build(tmp_path, flags=["--no-such-option"])
    with pytest.raises(ValueError, match="the program writes none"):
        program.build(tmp_path, flags=["-O0"]).run(X[0], featuremaps=tmp_path)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="looked for cc, gcc, clang"):
        program.build(tmp_path)
    monkeypatch.setenv("CC", "ccache cross-gcc")
    with pytest.raises(FileNotFoundError, match="looked for ccache cross-gcc"):
        program.build(tmp_path)
