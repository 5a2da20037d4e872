"""The nodes of NIR: which fields each kind has, and what they may hold.

References:
    J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set for
    interoperable brain-inspired computing", Nature Communications 15, 2024. Field names, order and
    defaults are those of the package `nir` 1.0.8, https://neuroir.org/docs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np


class Field(NamedTuple):
    """What a field of a node may hold."""

    numbers: str = "real"  # "real", "integer", or "padding": integers, "same" or "valid"
    ndim: int | None = None  # None: any
    optional: bool = False
    default: tuple[str, float] | None = None  # a field whose shape it takes, and its value
    infinite: bool = False  # whether it may be infinite, where nothing leaks


REAL = Field()
LEAK = Field(infinite=True)
INTEGERS = Field("integer")
INTEGER = Field("integer", 0)
BIAS = Field(ndim=1)
V_RESET = Field(default=("v_threshold", 0.0))
W_IN = Field(default=("v_leak", 1.0), infinite=True)
WINDOW = {"stride": INTEGERS, "padding": Field("padding"), "dilation": INTEGERS, "groups": INTEGER}
POOL = {"kernel_size": INTEGERS, "stride": INTEGERS, "padding": INTEGERS}
# Not written by `nir` where it is unknown, and not needed: the shape follows from the graph.
UNKNOWN_SHAPE = Field("integer", optional=True)

KINDS: dict[str, dict[str, Field]] = {
    "Input": {"shape": INTEGERS},
    "Output": {"shape": INTEGERS},
    "Identity": {},
    "Affine": {"weight": REAL, "bias": REAL},
    "Linear": {"weight": REAL},
    "Scale": {"scale": REAL},
    "Conv1d": {"input_shape": UNKNOWN_SHAPE, "weight": Field(ndim=3), **WINDOW, "bias": BIAS},
    "Conv2d": {"input_shape": UNKNOWN_SHAPE, "weight": Field(ndim=4), **WINDOW, "bias": BIAS},
    "Flatten": {"input_type": UNKNOWN_SHAPE, "start_dim": INTEGER, "end_dim": INTEGER},
    "SumPool2d": POOL,
    "AvgPool2d": POOL,
    "Delay": {"delay": REAL},
    "I": {"r": REAL},
    "LI": {"tau": LEAK, "r": LEAK, "v_leak": REAL},
    "CubaLI": {"tau_syn": LEAK, "tau_mem": LEAK, "r": LEAK, "v_leak": REAL, "w_in": W_IN},
    "IF": {"r": REAL, "v_threshold": REAL, "v_reset": V_RESET},
    "LIF": {"tau": LEAK, "r": LEAK, "v_leak": REAL, "v_threshold": REAL, "v_reset": V_RESET},
    "CubaLIF": {
        "tau_syn": LEAK,
        "tau_mem": LEAK,
        "r": LEAK,
        "v_leak": REAL,
        "v_threshold": REAL,
        "v_reset": V_RESET,
        "w_in": W_IN,
    },
    "Threshold": {"threshold": REAL},
}


def completed(kind: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with those added that files of earlier versions leave out."""
    result = dict(fields)
    for name, field in KINDS.get(kind, {}).items():
        if name not in result and field.default is not None:
            like, value = field.default
            if like in result and isinstance(result[like], np.ndarray):
                result[name] = np.full_like(result[like], value)
    return result


def problems_of(kind: str, fields: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the fields of a node, one phrase each. Unknown kinds pass."""
    for name, field in KINDS.get(kind, {}).items():
        if name not in fields:
            if not (field.optional or field.default):
                yield f"{kind} has no field '{name}'"
            continue
        value = fields[name]
        problem = _problem(field, value)
        if problem:
            yield f"field '{name}' of {kind} {problem}"


def _problem(field: Field, value: Any) -> str:
    if isinstance(value, str):
        if field.numbers == "padding" and value in ("same", "valid"):
            return ""
        legal = "integers, 'same' or 'valid'" if field.numbers == "padding" else "numbers"
        return f"is the text {value[:40]!r}; it must hold {legal}"
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        return f"holds {_what(value)}; it must hold numbers"
    if field.numbers != "real" and value.dtype.kind not in "iu":
        # Some exporters write integers as floats.
        if value.dtype.kind == "b" or not np.all(np.isfinite(value) & (value == np.round(value))):
            return f"holds {_what(value)}; it must hold integers"
    elif not np.all(np.isfinite(value) | (field.infinite & (value == np.inf))):
        bad = int(np.sum(~np.isfinite(value)))
        return f"holds {bad} of {value.size} values that are NaN or infinite"
    if value.size == 0 and field.numbers == "real":
        return f"is empty (shape {value.shape})"
    if field.ndim is not None and value.ndim != field.ndim and value.size != 1:
        return f"has shape {value.shape}; it must have {field.ndim} axes"
    return ""


def _what(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of shape {value.shape}"
    return f"a {type(value).__name__}"
