"""Compiling a program for this computer, and running it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from neurojax.hardware.c._csv import csv_text
from neurojax.hardware.c._layout import Layout
from neurojax.hardware.c._options import TimestepMode

EXECUTABLE = "Linux"
"""Name of the command-line program; Qualia's is called so, too."""

FLAGS = ("-O2",)
"""Options of the compiler that are the user's choice."""

_ALWAYS = ("-std=c99", "-Wall", "-Wextra", "-ffp-contract=off", "-Iinclude", "-I.")
_COMPILERS = ("cc", "gcc", "clang")


class Interface(NamedTuple):
    """How inputs reach a program, and what comes out."""

    input: Layout
    output: Layout
    timesteps: int
    timestep_mode: TimestepMode
    dump_featuremaps: bool


class Executable(NamedTuple):
    """A program that was compiled for this computer.

    Attributes:
        path: The file to run; `path --help` says how.
        interface: The arrays that it reads and prints.
    """

    path: Path
    interface: Interface

    def run(
        self,
        inputs: np.ndarray,
        *,
        timesteps: int | None = None,
        featuremaps: str | Path | None = None,
    ) -> np.ndarray:
        """Run samples, each from the resting state.

        Args:
            inputs: Real numbers, channels first, as `neurojax.simulate` takes them:
                `[time, batch, *shape]` in the mode "iterate"; `[batch, *shape]` in the mode
                "duplicate", each shown in every time step.
            timesteps: Time steps; default: those of the inputs, in the mode "duplicate" those of
                the program.
            featuremaps: Folder for the outputs of all layers, of a program with
                `dump_featuremaps`; `read_featuremaps` reads them.

        Returns:
            The code's own numbers `[time, batch, *shape]`, as the simulation of the mapped network
            gives them: integers (or floats) in float32.

        Raises:
            ValueError: Inputs of another shape, or feature maps of a program without them.
            RuntimeError: The program has failed; with what it said.
        """
        rows, steps = _rows(self.interface, inputs, timesteps)
        options = ["--timesteps", str(steps)]
        if featuremaps is not None and not self.interface.dump_featuremaps:
            raise ValueError(
                "featuremaps: the program writes none; use configure(..., dump_featuremaps=True)"
            )
        with tempfile.TemporaryDirectory() as folder:
            if self.interface.dump_featuremaps:
                place = Path(folder) if featuremaps is None else Path(featuremaps)
                options += ["--featuremaps", str(place.resolve())]
            table = Path(folder) / "inputs.csv"
            table.write_text(csv_text(rows))
            done = _completed([str(self.path), *options, "steps", str(table)])
        lines = [line.split(",") for line in done.stdout.splitlines()]
        values = np.array(lines, np.float32).reshape(len(rows), steps, self.interface.output.size)
        return self.interface.output.from_c(values.swapaxes(0, 1))

    def evaluate(
        self, inputs: np.ndarray, targets: np.ndarray, *, timesteps: int | None = None
    ) -> dict[str, float]:
        """The program's metrics on samples with known answers.

        Args:
            inputs: As for `run`.
            targets: Classes, integers `[batch]`; or outputs `[batch, *shape]`, means over time.
            timesteps: As for `run`.

        Returns:
            The metrics that the program was made with, in their order.

        Raises:
            ValueError: Inputs or targets of another shape, or no sample.
            RuntimeError: The program has failed; with what it said.
        """
        rows, steps = _rows(self.interface, inputs, timesteps)
        if not len(rows):
            raise ValueError("inputs hold no sample")
        expected = _expected(self.interface, targets, len(rows))
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / "x.csv", Path(folder) / "y.csv"]
            for path, table in zip(paths, (rows, expected), strict=True):
                path.write_text(csv_text(table))
            options = ["--timesteps", str(steps)]
            if self.interface.dump_featuremaps:
                options += ["--featuremaps", str(Path(folder) / "featuremaps")]
            done = _completed([str(self.path), *options, *map(str, paths)])
        return {
            name: float(value)
            for name, value in (line.split("=") for line in done.stderr.splitlines())
        }


def compile_program(
    files: Iterable[str],
    folder: Path,
    *,
    compiler: str | None = None,
    flags: Sequence[str] = FLAGS,
) -> Path:
    """Compile the sources in a folder.

    Args:
        files: Paths of the program in the folder.
        folder: The program comes into `build/` there.
        compiler: Command of a C99 compiler; default: the one that the environment variable CC
            names, else the first found of cc, gcc and clang.
        flags: Options of the compiler.

    Returns:
        The program that was compiled.

    Raises:
        FileNotFoundError: There is no C compiler.
        RuntimeError: The compiler has failed; with what it said.
    """
    command = _compiler(compiler)
    flags = flags.split() if isinstance(flags, str) else flags
    path = folder.resolve() / "build" / EXECUTABLE
    path.parent.mkdir(exist_ok=True)
    # Those of this program only: an older one in the same folder may have had more.
    hosts = [name for name in files if name.startswith("host/") and name.endswith(".c")]
    sources = ["model.c", *hosts]
    _completed([*command, *_ALWAYS, *flags, *sources, "-o", str(path), "-lm"], folder)
    return path


def _compiler(name: str | None) -> list[str]:
    """The command, which may have options of its own, as in CC="ccache gcc"."""
    chosen = name or os.environ.get("CC")
    for command in [chosen.split()] if chosen else [[each] for each in _COMPILERS]:
        if shutil.which(command[0]):
            return command
    tried = chosen or ", ".join(_COMPILERS)
    raise FileNotFoundError(
        f"no C compiler found (looked for {tried}); install one, such as Debian's package gcc or "
        "Apple's command-line tools, or name yours: compiler='...'"
    )


def _rows(
    interface: Interface, inputs: np.ndarray, timesteps: int | None
) -> tuple[np.ndarray, int]:
    """The table of the samples, one a row, in C's order; and the time steps."""
    inputs = np.asarray(inputs, np.float32)
    mode, shape = interface.timestep_mode, interface.input.shape
    axes = ("time", "batch") if mode == "iterate" else ("batch",)
    if inputs.ndim != len(shape) + len(axes) or inputs.shape[len(axes) :] != shape:
        raise ValueError(
            f"inputs have shape {inputs.shape}; in the mode '{mode}' they are "
            f"[{', '.join([*axes, *map(str, shape)])}]"
        )
    values = interface.input.to_c(inputs)
    if mode == "duplicate":
        return values, interface.timesteps if timesteps is None else timesteps
    if timesteps not in (None, len(inputs)):
        raise ValueError(f"timesteps is {timesteps}, but the inputs have {len(inputs)}")
    steps, samples = inputs.shape[:2]
    return values.swapaxes(0, 1).reshape(samples, steps * interface.input.size), steps


def _expected(interface: Interface, targets: np.ndarray, samples: int) -> np.ndarray:
    targets, shape = np.asarray(targets), interface.output.shape
    if targets.shape == (samples,) and targets.dtype.kind in "iu" and len(shape) == 1:
        if targets.size and not 0 <= targets.min() <= targets.max() < shape[0]:
            raise ValueError(
                f"targets are classes {targets.min()}..{targets.max()}; the network has {shape[0]}"
            )
        return np.eye(shape[0], dtype=np.float32)[targets]
    if targets.shape != (samples, *shape):
        raise ValueError(
            f"targets have shape {targets.shape}; they are ({samples},) integers, the classes, or "
            f"{(samples, *shape)}, the outputs"
        )
    return interface.output.to_c(targets.astype(np.float32))


def _completed(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise RuntimeError(f"'{' '.join(command)}' has failed ({done.returncode}):\n{said}")
    return done
