"""The program around the model: reading, conversion, sums over time, metrics, refusals.

It runs here around two models that were written by hand and only copy their input, so that all that
is seen is the host's doing.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from neurojax.hardware.c._build import compile_program
from neurojax.hardware.c._csv import csv_text
from neurojax.hardware.c._host import host_files
from neurojax.hardware.c._options import METRICS

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="needs a C compiler"
)

STRICT = [
    *("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-Werror", "-pedantic"),
    *("-Wconversion", "-Wshadow", "-Wdouble-promotion", "-Wstrict-prototypes"),
]

MODEL_H = """#ifndef MODEL_H
#define MODEL_H
#include <stdint.h>
#define MODEL_NAME copy
#define MODEL_INPUT_TIMESTEPS 4
#define MODEL_INPUT_TIMESTEP_MODE_{mode}
#define MODEL_INPUT_SCALE_FACTOR {q}
#define MODEL_OUTPUT_SCALE_FACTOR {q}
#define ROUND_MODE_NONE 0
#define ROUND_MODE_FLOOR 1
#define ROUND_MODE_NEAREST 2
#ifndef MODEL_INPUT_ROUND_MODE
#define MODEL_INPUT_ROUND_MODE ROUND_MODE_FLOOR
#endif
#define MODEL_INPUT_NUMBER_T {number}
#define MODEL_OUTPUT_NUMBER_T {number}
typedef {number} input_t[3];
typedef {number} output_t[3];
void copy(const input_t in, output_t out);
void reset(void);
#endif
"""
MODEL_C = """
#include "model.h"
{dump_include}
void copy(const input_t in, output_t out) {{
    for (int i = 0; i < 3; i++) {{
        out[i] = in[i];
    }}
    {dump}
}}
void reset(void) {{}}
"""
DUMP_H = """
#include <stdint.h>
void neurojax_dump(const char *layer, const char *type, int32_t bits, int32_t scale_factor,
                   int32_t axes, const int32_t *shape, const void *values);
"""


def make(folder: Path, *flags: str, number: str, mode: str, q: int = 0, dump: str = "") -> Path:
    """The host around a model that copies its three inputs."""
    shape = {"input_name": 'the "in"', "input_shape": (3, 1)}
    files = host_files("copy", METRICS, dump_featuremaps=bool(dump), **shape)
    files["include/model.h"] = MODEL_H.format(number=number, mode=mode, q=q)
    files["include/dump.h"] = DUMP_H
    include = '#include "dump.h"' if dump else ""
    files["model.c"] = MODEL_C.format(dump=dump, dump_include=include)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return compile_program(files, folder, flags=[*STRICT, *flags])


def call(program: Path, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def table(text: str) -> np.ndarray:
    return np.array([line.split(",") for line in text.splitlines()], float)


@pytest.fixture(scope="module")
def reals(tmp_path_factory):
    """Floats, a frame for each time step."""
    return make(tmp_path_factory.mktemp("reals"), number="float", mode="ITERATE")


@pytest.fixture(scope="module")
def integers(tmp_path_factory):
    """int16 with q = 7, one frame for all time steps; rounds to the nearest."""
    dump = (
        "static const int32_t shape[] = {3, 1};\n"
        '    neurojax_dump("../\\"\\n", "Copy", 16, 7, 2, shape, in);'
    )
    return make(
        tmp_path_factory.mktemp("integers"),
        "-DMODEL_INPUT_ROUND_MODE=ROUND_MODE_NEAREST",
        number="int16_t",
        mode="DUPLICATE",
        q=7,
        dump=dump,
    )


def evaluate(program, tmp_path, predicted, expected, *options):
    (tmp_path / "x.csv").write_text(csv_text(predicted))
    (tmp_path / "y.csv").write_text(csv_text(expected))
    done = call(program, *options, tmp_path / "x.csv", tmp_path / "y.csv")
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    return {name: float(value) for name, value in (x.split("=") for x in done.stderr.split())}


def test_metrics(reals, tmp_path):
    """Of means over time, against scikit-learn and SciPy."""
    rng = np.random.default_rng(1)
    expected = rng.normal(size=(50, 3)).astype(np.float32)
    frames = (0.5 * expected[:, None] + rng.normal(size=(50, 4, 3)) + 100).astype(np.float32)
    expected += 100  # a large mean, which E[xy] - E[x] E[y] in floats would not survive
    found = evaluate(reals, tmp_path, frames.reshape(50, 12), expected)
    predicted = frames.astype(float).mean(1)
    lines = [stats.linregress(expected[:, i], predicted[:, i]) for i in range(3)]
    assert list(found) == list(METRICS)
    assert found == pytest.approx(
        {
            "acc": sk.accuracy_score(expected.argmax(1), predicted.argmax(1)),
            "corr": np.mean([line.rvalue for line in lines]),
            "mae": sk.mean_absolute_error(expected, predicted),
            "mape": sk.mean_absolute_percentage_error(expected, predicted),
            "mse": sk.mean_squared_error(expected, predicted),
            "slope": np.mean([line.slope for line in lines]),
        },
        rel=1e-7,
    )


PREDICTED = np.array(
    [[0.5, -1, 2], [1.25, 0.75, 0.5], [-0.5, 3, 3], [2, 0, -2], [0.25, 1.5, 1]], np.float32
)
EXPECTED = np.array(
    [[0.75, -0.5, 1], [1, 2, 0.25], [0, 2.5, 1.5], [1.5, -1, -2.5], [0.5, 1, 1.25]], np.float32
)


def test_metrics_like_qualia(reals, tmp_path):
    """Recorded from the classes of libqualia-neuralnetwork (qualia-codegen-core 2.6.0)."""
    found = evaluate(reals, tmp_path, PREDICTED, EXPECTED, "--qualia", "--timesteps", 1)
    assert found == pytest.approx(
        {
            "acc": 0.600000024,
            "corr": 0.991460145,
            "mae": 0.300000012,
            "mape": 28490.5684,
            "mse": 0.458333343,
            "slope": 1.70000005,
        },
        rel=1e-6,
    )


def test_qualia_compares_sums_over_time(reals, tmp_path):
    sums = np.tile(PREDICTED, 4)
    assert evaluate(reals, tmp_path, sums, 4 * PREDICTED, "--qualia")["mae"] == 0
    assert evaluate(reals, tmp_path, sums, PREDICTED)["mae"] == 0


def test_an_output_that_never_varies_has_no_correlation(reals, tmp_path):
    found = evaluate(reals, tmp_path, np.tile(PREDICTED, 4), np.ones_like(PREDICTED))
    assert np.isnan(found["corr"]) and np.isnan(found["slope"]) and found["mae"] > 0


def test_floats_pass_unchanged(reals, tmp_path):
    x = np.random.default_rng(2).normal(size=(20, 4, 3)).astype(np.float32)
    x[0, 0] = [np.finfo(np.float32).max, np.finfo(np.float32).smallest_subnormal, -np.inf]
    (tmp_path / "x.csv").write_text(csv_text(x.reshape(20, 12)))
    steps = table(call(reals, "steps", tmp_path / "x.csv").stdout).astype(np.float32)
    np.testing.assert_array_equal(steps.reshape(x.shape), x)
    means = table(call(reals, "run", tmp_path / "x.csv").stdout)
    np.testing.assert_allclose(means, x.astype(float).mean(1), rtol=1e-8)


def nearest(x: np.ndarray) -> np.ndarray:
    """int16 with q = 7, halves up: in doubles, where x 2^7 + 1/2 is exact."""
    return np.clip(np.floor(x.astype(np.float64) * 128 + 0.5), -(2**15), 2**15 - 1)


def test_conversion_to_fixed_point(integers, tmp_path):
    rng = np.random.default_rng(3)
    x = np.concatenate(
        [
            rng.integers(-(2**16), 2**16, 300) / 256,  # multiples of half a step
            rng.normal(size=300) * 200,
            np.array([0.5 - 2**-25, -0.5, 2**-149, 255.99, 256, -256, -256.01, 1e38, -1e38]) / 1,
            [np.inf, -np.inf, -0.0],
        ]
    ).astype(np.float32)
    x = np.concatenate([x, np.float32([0.5 - 2**-25]) / 128, np.nextafter(x[:299], 0)])
    x = x[: len(x) // 3 * 3].reshape(-1, 3)
    (tmp_path / "x.csv").write_text(csv_text(x))
    maps = tmp_path / "maps"
    done = call(integers, "--timesteps", 1, "--featuremaps", maps, "steps", tmp_path / "x.csv")
    np.testing.assert_array_equal(table(done.stdout), nearest(x))


def test_floor(tmp_path):
    program = make(tmp_path, number="int8_t", mode="DUPLICATE", q=-1)
    x = np.float32([[3.9, 4, -4.1], [-0.1, 1e9, -255], [255, 254, -256]])
    (tmp_path / "x.csv").write_text(csv_text(x))
    found = table(call(program, "--timesteps", 1, "steps", tmp_path / "x.csv").stdout)
    np.testing.assert_array_equal(found, np.clip(np.floor(x / 2), -128, 127))


def test_sums_over_time(integers, tmp_path):
    """Sums don't wrap, but as Qualia's where that is asked for; C's division truncates."""
    x = np.float32([[200, -0.0234375, 1]])
    maps = ("--featuremaps", tmp_path / "maps")
    single = [int(line) for line in call(integers, *maps, "single", *x[0]).stdout.split()]
    assert single == [25600, -3, 128]
    (tmp_path / "x.csv").write_text(csv_text(x))
    run = table(call(integers, *maps, "--timesteps", 5, "run", tmp_path / "x.csv").stdout)
    np.testing.assert_array_equal(run, x)
    like = call(integers, *maps, "--qualia", "--timesteps", 5, "single", *x[0]).stdout.split()
    wrapped = int(np.array(5 * 25600).astype(np.int16))
    assert [int(line) for line in like] == [int(wrapped / 5), -3, 128]
    assert wrapped < 0


def test_single_truncates_means_of_unequal_steps(reals):
    """In the mode "iterate" it takes one frame for all steps, or all of them."""
    frames = np.float32([[1, 2, 3], [0, 0, 1], [5, 2, 2], [0, 0, 1]])
    done = call(reals, "single", *frames.ravel())
    np.testing.assert_allclose([float(v) for v in done.stdout.split()], frames.mean(0), atol=1e-6)
    done = call(reals, "single", *frames[0])
    assert done.stdout == "1.000000\n2.000000\n3.000000\n"


def test_featuremaps(integers, tmp_path):
    x = np.float32([[1, -2, 300], [0.25, 0.5, 0.75]])
    (tmp_path / "x.csv").write_text(csv_text(x))
    done = call(integers, "--featuremaps", tmp_path / "a/b", "steps", tmp_path / "x.csv")
    assert done.returncode == 0
    files = {
        path.relative_to(tmp_path / "a/b").as_posix(): path for path in tmp_path.rglob("*.json")
    }
    layers = {"the %22in%22": ('the "in"', "Input"), "..%2F%22%0A": ('../"\n', "Copy")}
    assert set(files) == {f"{s}/{t}/{name}.json" for s in "01" for t in "0123" for name in layers}
    for path, file in files.items():
        sample, _, name = path.removesuffix(".json").split("/")
        assert json.loads(file.read_text()) == {
            "name": layers[name][0],
            "type": layers[name][1],
            "shape": [3, 1],
            "dtype": "int16",
            "scale_factor": 7,
            "data": nearest(x[int(sample)])[:, None].tolist(),
        }
    (tmp_path / "file").write_text("")
    done = call(integers, "--featuremaps", tmp_path / "file", "steps", tmp_path / "x.csv")
    assert done.returncode == 1 and "Not a directory" in done.stderr


ROW = "1,2,3,4,5,6,7,8,9,10,11,12"


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (f"{ROW},13\n", None, "x.csv:1: 13 values; each row must have 12"),
        (f"{ROW}\n\n1,2\n", None, "x.csv:3: 2 values; each row must have 12"),
        (f"{ROW[:-2]}x\n", None, "x.csv:1: value 12 is 'x'; it must be a number"),
        (f"{ROW[:-2]}\n", None, "x.csv:1: value 12 is ''; it must be a number"),
        (f"{ROW[:-2]}nan\n", None, "x.csv:1: value 12 is 'nan'; it must be a number"),
        (f"{ROW[:-2]}{'9' * 100}\n", None, "it must be a number"),
        ("", "", "x.csv holds no sample"),
        (f"{ROW}\n{ROW}", "1,0,0\n", "x.csv has more samples than"),
        (f"{ROW}\n", "1,0,0\n1,0,0", "x.csv has fewer samples than"),
        (f"{ROW}\n", "1,0\n", "y.csv:1: 2 values; each row must have 3"),
    ],
)
def test_files_that_are_refused(reals, tmp_path, x, y, message):
    (tmp_path / "x.csv").write_text(x)
    command = ["run", tmp_path / "x.csv"]
    if y is not None:
        (tmp_path / "y.csv").write_text(y)
        command = [tmp_path / "x.csv", tmp_path / "y.csv"]
    done = call(reals, *command)
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "usage: "),
        (("a", "b", "c"), "3 arguments; options go before the command"),
        (("run", "."), ".: Is a directory"),
        (("run", "nowhere.csv"), "nowhere.csv: No such file or directory"),
        (("--timesteps", "0", "run", "x"), "--timesteps is '0'; it must be an integer > 0"),
        (("--fast", "run", "x"), "unknown option, or one without its value: --fast"),
        (("--featuremaps", "x", "run", "x"), "unknown option"),  # generated without
        (("single", "1", "2"), "single: 2 values; the network's input has 3"),
        (("single", "1", "2", "x"), "single: value 3 is 'x'; it must be a number"),
    ],
)
def test_commands_that_are_refused(reals, arguments, message):
    done = call(reals, *arguments)
    assert done.returncode == 1 and done.stdout == ""
    assert message in done.stderr


def test_files_of_other_systems_are_read(reals, tmp_path):
    (tmp_path / "x.csv").write_bytes(ROW.replace(",", " , ").encode() + b"\r\n\r\n" + ROW.encode())
    done = call(reals, "steps", tmp_path / "x.csv")
    assert done.stdout.splitlines() == ["1,2,3", "4,5,6", "7,8,9", "10,11,12"] * 2
    (tmp_path / "x.csv").write_text(f"\ufeff{ROW}", encoding="utf-8")  # as spreadsheets write it
    assert call(reals, "steps", tmp_path / "x.csv").stdout.splitlines()[0] == "1,2,3"


def test_help(reals):
    done = call(reals, "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert "12 values, time step after time step" in done.stdout
