"""Options of a program: what `configure` takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from neurojax.hardware.c._identifiers import LENGTH, is_identifier

TimestepMode = Literal["duplicate", "iterate"]
METRICS = ("acc", "corr", "mae", "mape", "mse", "slope")


def check_options(
    model_name: object, timesteps: object, timestep_mode: object, metrics: Sequence[str]
) -> None:
    """Raise ValueError with everything that is wrong about the options of a program."""
    problems = []
    if not is_identifier(model_name):
        problems.append(
            f"model_name is {model_name!r}; it must be a C identifier (letters, digits and _, no "
            f"digit first, at most {LENGTH} characters), and no word of C or C++ (float, class), "
            "function of the C library (exp, printf) or name of the generated code (input, "
            "output, reset, nj...)"
        )
    if type(timesteps) is not int or timesteps < 1:
        problems.append(f"timesteps is {timesteps!r}; it must be an integer >= 1")
    if timestep_mode not in get_args(TimestepMode):
        problems.append(f"timestep_mode is {timestep_mode!r}; use 'duplicate' or 'iterate'")
    unknown = [name for name in metrics if name not in METRICS]
    if unknown:
        problems.append(f"metrics holds {unknown}; known: {', '.join(METRICS)}")
    if problems:
        raise ValueError("\n".join(problems))
