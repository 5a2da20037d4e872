"""A mapped network as a C99 program: what is written where, and what it takes.

The core of the program (everything but the host, which reads and writes files) calls no library
and needs no heap. Values between layers are integers of the network's number format, images lie
channels last, and one call is one time step.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from neurojax._files import written_whole
from neurojax._layer import Shape
from neurojax.chips import MappedNetwork
from neurojax.chips.mcu import Format
from neurojax.hardware.c._build import FLAGS, Executable, Interface, compile_program
from neurojax.hardware.c._emit import core_files, functions
from neurojax.hardware.c._host import host_files
from neurojax.hardware.c._options import TimestepMode, check_options
from neurojax.hardware.c._plan import Plan, make_plan
from neurojax.hardware.c._record import RECORD, to_text


class Size(NamedTuple):
    """Bytes that a program takes, as far as they follow from the network alone.

    Machine code is not counted: it depends on the compiler, and is a few kilobytes.
    """

    weights: int  # constants, in flash
    state: int  # membranes, which live between the steps
    activations: int  # the static buffers that layers write into, shared where they can be
    input: int  # the caller's
    output: int  # the caller's

    @property
    def flash(self) -> int:
        """Constants of the program."""
        return self.weights

    @property
    def ram(self) -> int:
        """Static variables of the program, and the caller's two arrays."""
        return self.state + self.activations + self.input + self.output


@dataclass(frozen=True)
class Program:
    """A mapped network, ready to be written as C.

    Attributes:
        mapped: What `neurojax.chips.mcu.map` returned, trained or not.
        model_name: Name of the C function, and prefix of all its names.
        timesteps: Steps of an inference; only the host program uses it.
        timestep_mode: Whether the host program shows one frame again and again ("duplicate"), or
            reads a frame for each step ("iterate").
        dump_featuremaps: Whether every layer hands its output to `neurojax_dump`.
        metrics: What the host program computes over a data set.
    """

    mapped: MappedNetwork
    model_name: str = "cnn"
    timesteps: int = 1
    timestep_mode: TimestepMode = "duplicate"
    dump_featuremaps: bool = False
    metrics: tuple[str, ...] = ("acc",)

    @cached_property
    def plan(self) -> Plan:
        """The layers in the order of the calls, with their arrays and buffers."""
        return make_plan(self.mapped.network)

    @cached_property
    def core(self) -> dict[str, str]:
        """Text of each file of the core, by path: what a firmware takes."""
        return core_files(
            self.plan,
            model_name=self.model_name,
            timesteps=self.timesteps,
            timestep_mode=self.timestep_mode,
            dump=self.dump_featuremaps,
        )

    @property
    def input_shape(self) -> Shape:
        """Shape of a frame in the simulation: channels first."""
        return self.plan.input.layout.shape

    @property
    def output_shape(self) -> Shape:
        """Shape of an output in the simulation: channels first."""
        return self.plan.output.layout.shape

    @property
    def input_format(self) -> Format:
        """Number format of the integers that the C function takes."""
        return self.plan.input.format

    @property
    def output_format(self) -> Format:
        """Number format of the integers that the C function gives."""
        return self.plan.output.format

    @property
    def size(self) -> Size:
        """Bytes of flash and RAM that the network takes."""
        plan = self.plan
        made = functions(plan, self.model_name).values()
        return Size(
            weights=sum(function.weight_bytes for function in made),
            state=sum(call.neurons for call in plan.calls) * self.input_format.number.bytes,
            activations=sum(buffer.bytes for buffer in plan.buffers),
            input=plan.input.bytes,
            output=plan.output.bytes,
        )

    def to_c(self, values: np.ndarray) -> np.ndarray:
        """Frames `[..., *input_shape]` in the order in which C holds them: `[..., values]`."""
        return self.plan.input.layout.to_c(values)

    def from_c(self, values: np.ndarray) -> np.ndarray:
        """Outputs `[..., values]` of the C function, as `[..., *output_shape]`."""
        return self.plan.output.layout.from_c(values)

    # Host

    @cached_property
    def files(self) -> dict[str, str]:
        """Text of each file that `save` writes, by path: the core, what runs it, `network.json`."""
        options = {
            "model_name": self.model_name,
            "timesteps": self.timesteps,
            "timestep_mode": self.timestep_mode,
            "dump_featuremaps": self.dump_featuremaps,
            "metrics": self.metrics,
        }
        host = host_files(
            self.model_name,
            self.metrics,
            dump_featuremaps=self.dump_featuremaps,
            input_name=next(iter(self.mapped.network.inputs)),
            input_shape=self.plan.input.layout.c_shape,
        )
        return {**self.core, **host, RECORD: to_text(self.mapped, options)}

    def save(self, folder: str | Path) -> None:
        """Write the C code, the program that runs it on a computer, and what `load` reads.

        Args:
            folder: Made if there is none. Files of the same names are replaced, and only when all
                files are written, so that an older program never mixes with this one.

        Raises:
            OSError: A file can't be written.
            ValueError: The network is no longer one that C code can hold, such as one with NaN.
        """
        with ExitStack() as written:
            for name, text in self.files.items():
                path = Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                part = written.enter_context(written_whole(path))
                part.write_text(text, encoding="utf-8")

    def build(
        self,
        folder: str | Path,
        *,
        compiler: str | None = None,
        flags: Sequence[str] = FLAGS,
    ) -> Executable:
        """Save, and compile the command-line program for this computer.

        Args:
            folder: See `save`. The program comes into `build/` there.
            compiler: Command of a C99 compiler; default: the one that the environment variable CC
                names, else the first found of cc, gcc and clang.
            flags: Options of the compiler, such as `("-O1", "-fsanitize=undefined")`.

        Returns:
            What runs the program.

        Raises:
            FileNotFoundError: There is no C compiler.
            RuntimeError: The compiler has failed; with what it said.
        """
        self.save(folder)
        path = compile_program(self.files, Path(folder), compiler=compiler, flags=flags)
        interface = Interface(
            self.plan.input.layout,
            self.plan.output.layout,
            self.timesteps,
            self.timestep_mode,
            self.dump_featuremaps,
        )
        return Executable(path, interface)

    def run(self, inputs: np.ndarray, *, timesteps: int | None = None) -> np.ndarray:
        """Compile the program somewhere and run samples; for more than one call, use `build`.

        Args:
            inputs: See `Executable.run`.
            timesteps: See `Executable.run`.

        Returns:
            The code's own numbers `[time, batch, *output_shape]`.
        """
        with TemporaryDirectory() as folder:
            return self.build(folder).run(inputs, timesteps=timesteps)

    def __repr__(self) -> str:
        # No fields: the weights of a network fill screens.
        calls = ", ".join(call.name for call in self.plan.calls)
        return f"Program({self.model_name}: {calls})"


def configure(
    mapped: MappedNetwork,
    *,
    model_name: str = "cnn",
    timesteps: int = 1,
    timestep_mode: TimestepMode = "duplicate",
    dump_featuremaps: bool = False,
    metrics: Sequence[str] = ("acc",),
) -> Program:
    """Write a mapped network down as a C99 program.

    Args:
        mapped: What `neurojax.chips.mcu.map` returned, trained or not.
        model_name: Name of the C function that computes one time step, and prefix of the names of
            all files and variables.
        timesteps: Time steps of an inference, for the host program.
        timestep_mode: What a row of the host program's input holds: one frame, which is shown in
            every step ("duplicate"), or the frames of all steps ("iterate").
        dump_featuremaps: Let every layer hand its output to a function `neurojax_dump`, which the
            host program has. Slow; for debugging.
        metrics: What the host program computes over a data set: "acc", "corr", "mae", "mape",
            "mse", "slope".

    Raises:
        ValueError: An option is not one of those above, or the network does something for which
            there is no C, such as recurrence: all findings at once.
        TypeError: The network was not mapped.
    """
    if not isinstance(mapped, MappedNetwork):
        raise TypeError(
            f"configure takes what neurojax.chips.mcu.map returned, got {type(mapped).__name__}"
        )
    metrics = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    check_options(model_name, timesteps, timestep_mode, metrics)
    program = Program(mapped, model_name, timesteps, timestep_mode, dump_featuremaps, metrics)
    _ = program.plan  # refuses what has no C
    return program
