"""What `network.json` holds: rules for each field, for reading and as a JSON schema."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np

from neurojax.chips.mcu import Number, number_of
from neurojax.fixed_point import integer_range
from neurojax.hardware._rules import (
    SURROGATE,
    TEXT,
    TRUTH,
    AnyRule,
    Each,
    Fields,
    Kinds,
    Named,
    Rule,
    integer,
    list_of,
    maybe,
    one_of,
    schema_of,
)
from neurojax.hardware.c._options import METRICS, TimestepMode

FORMAT = "neurojax.c"
VERSION = 1

NUMBERS = {"float32": (32,), "int16": (16, 32), "int8": (8, 16, 32)}
"""Names of number types, with the widths that their sums may have."""

_Q = integer(-64, 64)
_SIZE = integer(1, 1 << 24)
_SIZES = list_of(_SIZE)
_REAL = Rule(
    "a finite number",
    lambda v: type(v) in (int, float) and math.isfinite(v),
    {"type": "number"},
)


def file_rules(number: Number) -> Fields:
    """Everything in a file of a network with these numbers."""
    return {
        "format": one_of(FORMAT),
        "version": one_of(VERSION),
        "number": number_rules(number.name),
        "compat": maybe(one_of("qualia")),
        "program": {
            "model_name": TEXT,
            "timesteps": _SIZE,
            "timestep_mode": one_of(*get_args(TimestepMode)),
            "dump_featuremaps": TRUTH,
            "metrics": list_of(one_of(*METRICS)),
        },
        "network": {
            "inputs": Named(_SIZES),
            "outputs": list_of(TEXT),
            "edges": Each(list_of(TEXT, 2)),
            "layers": Each(Kinds(layer_rules(number))),
        },
        "origins": Each(ORIGIN),
    }


def number_rules(name: str) -> Fields:
    """The field "number" of a file."""
    return {"name": one_of(*NUMBERS), "long_bits": one_of(*NUMBERS.get(name, (8, 16, 32)))}


ORIGIN: Fields = {"name": TEXT, "made_of": list_of(TEXT), "notes": list_of(TEXT)}


def layer_rules(number: Number) -> dict[str, Fields]:
    """An entry of `network.layers`, by its kind."""
    own = _REAL if number.real else integer(*integer_range(number.bits))  # a number of the code
    activated = {"activation": maybe(one_of("relu", "relu6"))}
    after = {"input_q": _Q}
    window: dict[str, AnyRule] = {
        "stride": _SIZES,
        "padding": list_of(list_of(integer(0, 1 << 24), 2)),
    }
    affine = after | activated | {"bias": maybe(_numbers((1,), number))}
    neuron = after | {
        "threshold": own,
        "v_reset": maybe(own),
        "reset": one_of("subtract", "value"),
        "compat": maybe(one_of("qualia")),
        "detach_reset": TRUTH,
        "surrogate": maybe(SURROGATE),
        "trained": list_of(one_of("threshold", "v_reset", "rtau")),
    }
    coded: dict[str, dict[str, Any]] = {
        "Quantise": {},
        "Dense": affine | {"weight": _numbers((2,), number)},
        "Conv": affine
        | window
        | {"weight": _numbers((3, 4), number), "dilation": _SIZES, "groups": _SIZE},
        "BatchNorm": affine | {"weight": _numbers((1,), number)},
        "IF": neuron,
        "LIF": neuron | {"rtau": own, "decay_input": TRUTH},
        "Pool": after
        | activated
        | window
        | {"pool": one_of("max", "average", "sum"), "kernel": _SIZES},
        "Add": activated | {"input_qs": list_of(_Q)},
    }
    rounding = one_of("floor", "nearest")
    form: Fields = {
        "weights_q": _Q,
        "bias_q": maybe(_Q),
        "output_q": _Q,
        "weights_round": rounding,
        "output_round": rounding,
    }
    plain: dict[str, dict[str, Any]] = {
        "Flatten": {},
        "Identity": {},
        "Reshape": {"shape": list_of(integer(-1, 1 << 24))},
        "Permute": {"axes": list_of(integer(0, 16))},
        "Upsample": {"factor": _SIZES},
    }
    return {
        **{kind: {"name": TEXT, "format": form} | fields for kind, fields in coded.items()},
        **{kind: {"name": TEXT} | fields for kind, fields in plain.items()},
    }


def _numbers(axes: tuple[int, ...], number: Number) -> Rule:
    """Nested lists of the code's numbers."""
    low, high = integer_range(number.bits)
    what = "finite numbers" if number.real else f"integers within {low}..{high}"

    def holds(value: Any) -> bool:
        if not isinstance(value, list):
            return False
        try:
            array = np.array(value)
        except ValueError:
            return False  # lists of different lengths
        if array.ndim not in axes or not array.size or _has_truths(value):
            return False
        if number.real:
            return array.dtype.kind in "if" and bool(np.all(np.isfinite(array)))
        return array.dtype.kind == "i" and bool(np.all((array >= low) & (array <= high)))

    leaf: dict[str, Any] = {"type": "number"}
    if not number.real:
        leaf = {"type": "integer", "minimum": low, "maximum": high}
    schemas = [_nested(leaf, count) for count in axes]
    deep = " or ".join(map(str, axes))
    return Rule(
        f"nested lists of {what}, {deep} deep, of equal lengths",
        holds,
        schemas[0] if len(schemas) == 1 else {"anyOf": schemas},
    )


def _has_truths(value: Any) -> bool:
    """Whether true or false is among nested lists, which NumPy takes for 1 and 0."""
    if isinstance(value, list):
        return any(map(_has_truths, value))
    return isinstance(value, bool)


def _nested(leaf: dict[str, Any], axes: int) -> dict[str, Any]:
    for _ in range(axes):
        leaf = {"type": "array", "items": leaf, "minItems": 1}
    return leaf


def schema() -> dict[str, Any]:
    """The JSON schema of `network.json`, for tools that check or complete such files.

    It says what each field may hold. What fields ask of one another (shapes that fit, edges that
    lead somewhere) only `load` checks.

    Example:
        >>> from neurojax.hardware.c import schema
        >>> schema()["properties"]["version"]
        {'enum': [1]}
    """
    rules = {name: schema_of(file_rules(number_of(name))) for name in NUMBERS}
    names = list(next(iter(rules.values()))["properties"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A network as C code, written by neurojax",
        "type": "object",
        "required": names,
        "additionalProperties": False,
        "properties": {name: {} for name in names}
        | {
            "format": {"enum": [FORMAT]},
            "version": {"enum": [VERSION]},
            "number": {"type": "object", "properties": {"name": {"enum": list(NUMBERS)}}},
        },
        "allOf": [
            {
                "if": {"properties": {"number": {"properties": {"name": {"enum": [name]}}}}},
                "then": {"properties": each["properties"]},
            }
            for name, each in rules.items()
        ],
    }
