"""Many generated models in one program, under the sanitizers: one compiler call, one process.

Every model is generated with feature-map dumps, so that each layer is compared in each step.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import MappedNetwork
from neurojax.chips.mcu import Number, Spec
from neurojax.hardware.c import Program, configure

WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

_WRAPPER = """
#include "{folder}/full_model.h"
#include "driver.h"

static void step(const void *input, void *output)
{{
  {name}(input, output);
}}

const struct model model_{name} = {{
  MODEL_INPUT_DIMS, MODEL_OUTPUT_DIMS, sizeof(MODEL_INPUT_NUMBER_T), step, {name}_reset
}};
"""

_HEADER = """
struct model {
  int inputs, outputs;
  unsigned long width;
  void (*step)(const void *input, void *output);
  void (*reset)(void);
};
"""

_MAIN = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "driver.h"

@declared@

static const struct model *const models[] = {@listed@};

void neurojax_dump(const char *layer, const char *type, int32_t bits, int32_t scale_factor,
                   int32_t axes, const int32_t *shape, const void *values);

void neurojax_dump(const char *layer, const char *type, int32_t bits, int32_t scale_factor,
                   int32_t axes, const int32_t *shape, const void *values)
{
  size_t count = 1;

  (void)layer;
  (void)type;
  (void)scale_factor;
  for (int32_t i = 0; i < axes; i++) {
    count *= (size_t)shape[i];
  }
  fwrite(values, bits == 0 ? 4 : (size_t)bits / 8, count, stdout);
}

/* For each model: samples, steps, frames; out come the dumps and the outputs of all steps. */
int main(void)
{
  for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
    const struct model *model = models[m];
    int32_t size[2];
    void *input = malloc((size_t)model->inputs * model->width); /* exact: ASan sees the ends */
    void *output = malloc((size_t)model->outputs * model->width);

    if (fread(size, 4, 2, stdin) != 2) {
      return 1;
    }
    for (int32_t sample = 0; sample < size[0]; sample++) {
      for (int32_t t = 0; t < size[1]; t++) {
        if (fread(input, model->width, (size_t)model->inputs, stdin) != (size_t)model->inputs) {
          return 1;
        }
        model->step(input, output);
        fwrite(output, model->width, (size_t)model->outputs, stdout);
      }
      model->reset();
    }
    free(input);
    free(output);
  }
  return 0;
}
"""


def compiler() -> str:
    """A C compiler; without one the test is skipped."""
    found = shutil.which("gcc") or shutil.which("cc")
    if found is None:
        pytest.skip("no C compiler")
    return found


def as_mapped(network: nj.Network, number: Number) -> MappedNetwork:
    """A network of the chip's layers that was not mapped but written by hand."""
    return MappedNetwork(network, Spec(number), (), lambda mapped: None)


def dtype_of(number: Number) -> np.dtype:
    return np.dtype(np.float32 if number.real else f"int{number.bits}")


def simulated(program: Program, inputs: np.ndarray) -> list[np.ndarray]:
    """What every layer gives, `[time, batch, *shape]`, in the order of the dumps; the output last.

    Args:
        program: Its network is simulated.
        inputs: The integers that the C function takes, `[time, batch, *shape]`.
    """
    network = program.mapped.network
    names = dumped(program)
    q = 0 if program.input_format.number.real else program.input_format.output_q
    values = jnp.asarray(inputs, jnp.float32) * 2.0**-q
    run = nj.simulate(network, values, probes=names)
    found = [np.asarray(run[name]) for name in names]
    return [*found, np.asarray(run.outputs)]


def run_all(
    programs: Sequence[Program],
    inputs: Sequence[np.ndarray],
    folder: Path,
    flags: Sequence[str] = SANITIZERS,
) -> list[list[np.ndarray]]:
    """What every layer of every program gives, as `simulated` does."""
    sources, names = [], [f"net{k}" for k in range(len(programs))]
    for name, program in zip(names, programs, strict=True):
        assert program.model_name == name
        (folder / name).mkdir()
        (folder / name / "full_model.h").write_text(program.core["full_model.h"])
        sources.append(folder / f"{name}.c")
        sources[-1].write_text(_WRAPPER.format(folder=name, name=name))
    (folder / "driver.h").write_text(_HEADER)
    declared = "\n".join(f"extern const struct model model_{name};" for name in names)
    listed = ", ".join(f"&model_{name}" for name in names)
    main = _MAIN.replace("@declared@", declared).replace("@listed@", listed)
    (folder / "main.c").write_text(main)
    executable = folder / "driver"
    command = [compiler(), *WARNINGS, *flags, "-o", str(executable)]
    subprocess.run([*command, str(folder / "main.c"), *map(str, sources)], check=True)
    given = b"".join(_to_bytes(p, x) for p, x in zip(programs, inputs, strict=True))
    done = subprocess.run([str(executable)], input=given, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    results, start = [], 0
    for program, x in zip(programs, inputs, strict=True):
        values, start = _from_bytes(program, x, done.stdout, start)
        results.append(values)
    assert start == len(done.stdout)
    return results


def program_of(network: nj.Network, number: Number, index: int) -> Program:
    """The program of the network at this place in `run_all`."""
    return configure(as_mapped(network, number), model_name=f"net{index}", dump_featuremaps=True)


def dumped(program: Program) -> list[str]:
    """Layers whose output is dumped, in that order."""
    return [layer.name for layer in program.plan.shown]


def _to_bytes(program: Program, inputs: np.ndarray) -> bytes:
    steps, samples = inputs.shape[:2]
    frames = program.to_c(np.swapaxes(inputs, 0, 1)).astype(dtype_of(program.input_format.number))
    return np.array([samples, steps], np.int32).tobytes() + frames.tobytes()


def _from_bytes(
    program: Program, inputs: np.ndarray, data: bytes, start: int
) -> tuple[list[np.ndarray], int]:
    order = [layer.value.layout for layer in program.plan.shown] + [program.plan.output.layout]
    steps, samples = inputs.shape[:2]
    dtype = dtype_of(program.input_format.number)
    total = sum(layout.size for layout in order)
    flat = np.frombuffer(data, dtype, steps * samples * total, start)
    pieces = np.split(
        flat.reshape(samples, steps, total), np.cumsum([layout.size for layout in order])[:-1], -1
    )
    values = [np.swapaxes(lay.from_c(p), 0, 1) for lay, p in zip(order, pieces, strict=True)]
    return values, start + flat.nbytes
