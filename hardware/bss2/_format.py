"""The fields of a configuration file, what each may hold, and their JSON schema."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurojax._layer import Layer
from neurojax.chips.bss2 import chip
from neurojax.chips.bss2.spec import TARGET_RANGES
from neurojax.chips.bss2.synapse import BITS
from neurojax.hardware._rules import (
    POSITIVE,
    TEXT,
    TRUTH,
    Each,
    Fields,
    Kinds,
    Named,
    Optional,
    Rule,
    Tensor,
    integer,
    list_of,
    maybe,
    one_of,
    schema_of,
)
from neurojax.hardware.bss2._layers import NEURONS, PASSES, file_name, is_option, model_fields
from neurojax.hardware.bss2.recordings import INTERPOLATIONS

FORMAT = "neurojax.bss2"
VERSION = 1

_SIZE = integer(1, 1 << 20)
_FINITE = Rule(
    "a finite number",
    lambda v: type(v) in (int, float) and math.isfinite(v),
    {"type": "number"},
)


def _is_array(value: Any, axes: tuple[int, ...] | None = None) -> bool:
    try:
        array = np.array(value)
    except ValueError:
        return False
    known = array.dtype.kind in "if" and array.size > 0 and bool(np.isfinite(array).all())
    return known and (axes is None or array.ndim in axes)


_ARRAY_SCHEMA = {"type": ["number", "array"]}
NUMBER = Rule(
    'a finite number, or {"array": finite numbers in lists}',
    lambda v: (
        _FINITE.holds(v) or (isinstance(v, dict) and list(v) == ["array"] and _is_array(v["array"]))
    ),
    {
        "anyOf": [
            {"type": "number"},
            {
                "type": "object",
                "properties": {"array": _ARRAY_SCHEMA},
                "required": ["array"],
                "additionalProperties": False,
            },
        ]
    },
)
_MATRIX = Rule(
    "finite numbers in lists, 2 deep",
    lambda v: isinstance(v, list) and _is_array(v, (2,)),
    {"type": "array", "minItems": 1, "items": {"type": "array", "items": {"type": "number"}}},
)
_MASK = Rule(
    "true and false in lists, 2 deep, or null",
    lambda v: v is None or (isinstance(v, list) and _is_truths(v)),
    {
        "anyOf": [
            {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}},
            {"type": "null"},
        ]
    },
)
_OPTION = Rule(
    "a text, true, false, a whole number or null",
    lambda v: v is None or type(v) in (str, bool, int),
    {"type": ["string", "boolean", "integer", "null"]},
)
_PER_NEURON = Rule(
    "a finite number, or a list of them",
    lambda v: _FINITE.holds(v) or (isinstance(v, list) and _is_array(v, (1,))),
    {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}}]},
)


def _is_truths(value: Any) -> bool:
    try:
        array = np.array(value)
    except ValueError:
        return False
    return bool(array.ndim == 2 and array.dtype.kind == "b")


def _model_rules(kind: type[Layer]) -> Fields:
    rules = {}
    for field in model_fields(kind):
        optional = field.default is None
        rule = _OPTION if is_option(field) else maybe(NUMBER) if optional else NUMBER
        # What may be None although it is not by default are the terms of an AELIF.
        rules[file_name(field.name)] = maybe(NUMBER) if field.name in _TERMS else rule
    return rules


_TERMS = ("exponential_slope", "a", "b")


def _hardware_rules() -> Fields:
    units = {"tau_mem", "tau_syn", "refractory_time", "holdoff_time"}
    rules: dict[str, Any] = {
        f"{name}_s" if name in units else name: _PER_NEURON for name in TARGET_RANGES
    }
    return rules | {"capmem": Named(integer(0, chip.capmem_largest))}


def _population_rules() -> dict[str, Fields]:
    circuit = list_of(integer(0, chip.columns - 1), 2)
    common: dict[str, Any] = {"name": TEXT, "size": _SIZE}
    neurons: dict[str, Any] = common | {
        "hardware": _hardware_rules(),
        "trace_scale": POSITIVE,
        "placement": list_of(circuit),
        "circuits_per_neuron": integer(1, chip.circuits // 2),
        "expand_horizontally": TRUTH,
        "record": {
            "spikes": TRUTH,
            "cadc": TRUTH,
            "madc_neuron": maybe(integer(0, chip.circuits - 1)),
        },
        "trace": {
            "scale": _PER_NEURON,
            "offset": _PER_NEURON,
            "time_shift": integer(-(1 << 20), 1 << 20),
            "to_first": TRUTH,
            "interpolation": one_of(*INTERPOLATIONS),
        },
    }
    kinds: dict[str, Fields] = {"input": common}
    for name, kind in NEURONS.items():
        kinds[name] = neurons | {"model": _model_rules(kind)}
    return kinds


_GROUP: Fields = {
    "hemisphere": integer(0, chip.hemispheres - 1),
    "bus": integer(0, chip.buses - 1),
    "host": TRUTH,
    "sources": Each(list_of(integer(0, 1 << 20), 2)),
    "address": integer(0, chip.row_addresses - 1),
    "drivers": Each(list_of(integer(0, chip.drivers - 1), 2)),
    "excitatory_rows": list_of(integer(0, chip.rows - 1)),
    "inhibitory_rows": list_of(integer(0, chip.rows - 1)),
}


def file_rules() -> Fields:
    """Everything in a file."""
    return {
        "format": one_of(FORMAT),
        "version": one_of(VERSION),
        "chip": {"name": one_of(chip.name), "neurons": one_of(chip.circuits)},
        "dt_s": POSITIVE,
        "runtime_steps": _SIZE,
        "execution": {
            "mock": TRUTH,
            "calib_path": maybe(TEXT),
            "inter_batch_entry_wait": integer(0, chip.timer),
        },
        "populations": Each(Kinds(_population_rules())),
        "projections": Each(
            {
                "name": TEXT,
                "pre": TEXT,
                "post": TEXT,
                "weight_float": _MATRIX,
                "weight_scale": NUMBER,
                "weight_bits": integer(1, BITS),
                "weight_int": Tensor(2, -chip.largest_weight, chip.largest_weight),
                "connected": _MASK,
            }
        ),
        "network": {
            "inputs": Named(list_of(_SIZE)),
            "outputs": list_of(TEXT),
            "edges": Each(_EDGE),
            "layers": Each(Kinds(_LAYERS)),
        },
        "physical": Optional({"groups": Each(_GROUP)}),
    }


_EDGE = Rule(
    "[source, target, whether it is recurrent]",
    lambda v: isinstance(v, list) and [type(x) for x in v] == [str, str, bool],
    {
        "type": "array",
        "prefixItems": [{"type": "string"}, {"type": "string"}, {"type": "boolean"}],
        "minItems": 3,
        "maxItems": 3,
    },
)
_LAYERS: dict[str, Fields] = {
    "projection": {"name": TEXT},
    "population": {"name": TEXT},
    "recurrent": {"name": TEXT},
}
_OPTIONS: Fields = {"shape": list_of(integer(-1, 1 << 20)), "rate": _FINITE}
_LAYERS |= {
    kind: {"name": TEXT} | {option: _OPTIONS.get(option, TRUTH) for option in options}
    for kind, (_, options) in PASSES.items()
}


def schema() -> dict[str, Any]:
    """The JSON schema of configuration files, for tools that check or complete them.

    It says what each field may hold. What fields ask of one another (sizes, capacity, integers that
    follow from weights) only `load` checks.

    Example:
        >>> from neurojax.hardware.bss2 import schema
        >>> schema()["properties"]["version"]
        {'enum': [1]}
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of a BrainScaleS-2 chip, written by neurojax",
        **schema_of(file_rules()),
    }
