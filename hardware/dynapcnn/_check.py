"""What each field of a configuration may hold. One table for our part, one for the vendor's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from neurojax.chips.dynapcnn import ChipSpec
from neurojax.fixed_point import integer_range
from neurojax.surrogate import by_name


class Rule(NamedTuple):
    """What a value must be, in words and as a test."""

    legal: str
    holds: Callable[[Any], bool]


Rules = Mapping[str, "Rule | Rules"]


def integer(low: int, high: int) -> Rule:
    """An integer, both ends included."""
    return Rule(f"an integer within {low}..{high}", lambda v: type(v) is int and low <= v <= high)


def one_of(*values: int) -> Rule:
    """One of some integers."""
    return Rule(f"one of {values}", lambda v: type(v) is int and v in values)


def maybe(rule: Rule) -> Rule:
    """A rule that also takes null."""
    return Rule(f"{rule.legal}, or null", lambda v: v is None or rule.holds(v))


def list_of(rule: Rule) -> Rule:
    """A list whose entries obey a rule."""
    return Rule(
        f"a list, each entry {rule.legal}",
        lambda v: isinstance(v, list) and all(rule.holds(entry) for entry in v),
    )


def _is_surrogate(value: Any) -> bool:
    try:
        return isinstance(value, str) and by_name(value) is not None
    except (ValueError, TypeError):
        return False


TEXT = Rule("a text", lambda v: isinstance(v, str))
TRUTH = Rule("true or false", lambda v: isinstance(v, bool))
POSITIVE = Rule(
    "a finite number > 0",
    lambda v: type(v) in (int, float) and math.isfinite(v) and v > 0,
)
SURROGATE = Rule("the text of a surrogate, such as 'ATan(alpha=2.0)'", _is_surrogate)
OBJECT = Rule("an object", lambda v: isinstance(v, dict))
OBJECTS = list_of(OBJECT)

FILE: Rules = {
    "format": TEXT,
    "version": integer(1, 1 << 31),
    "device": TEXT,
    "network": {
        "input": {"name": TEXT, "shape": list_of(integer(1, 1 << 16))},
        "flatten": maybe(TEXT),
        "layers": OBJECTS,
    },
    "vendor": {"dvs_layer": {"pass_sensor_events": TRUTH}, "cnn_layers": OBJECTS},
}


def layer_rules(chip: ChipSpec) -> Rules:
    """Fields of an entry of `network.layers`."""
    return {
        "name": TEXT,
        "made_of": list_of(TEXT),
        "scale": POSITIVE,
        "rescale": POSITIVE,
        "core": integer(0, len(chip.cores) - 1),
        "pool": one_of(*chip.poolings),
        "pool_name": maybe(TEXT),
        "vanished": integer(0, 1 << 40),
        "notes": list_of(TEXT),
        "flat": TRUTH,
        "has_bias": TRUTH,
        "bias_bits": integer(chip.weight_bits, chip.bias_bits),
        "max_spikes": maybe(integer(1, 1 << 24)),
        "detach_reset": TRUTH,
        "surrogate": maybe(SURROGATE),
        "surrogate_scale": POSITIVE,
    }


def core_rules(chip: ChipSpec) -> Rules:
    """Fields of a core in use. Tensors are checked by `check_tensor`."""
    low, high = integer_range(chip.state_bits)
    size_in, size_out = integer(1, chip.max_input_size), integer(1, chip.max_neuron_size)
    features = integer(1, chip.max_features)
    padding, stride = integer(0, chip.max_padding), one_of(*chip.strides)
    anything = Rule("present", lambda v: True)
    return {
        "dimensions": {
            "input_shape": {"size": {"x": size_in, "y": size_in}, "feature_count": features},
            "output_shape": {"size": {"x": size_out, "y": size_out}, "feature_count": features},
            "padding": {"x": padding, "y": padding},
            "stride": {"x": stride, "y": stride},
            "kernel_size": integer(1, chip.max_kernel),
        },
        "weights": anything,
        "biases": anything,
        "neurons_initial_value": anything,
        "threshold_high": integer(1, high),
        "threshold_low": integer(low, high),
        "return_to_zero": TRUTH,
        "monitor_enable": TRUTH,
        "leak_enable": TRUTH,
    }


def destination_rules(chip: ChipSpec) -> Rules:
    """Fields of a core's destination in use."""
    return {
        "layer": integer(0, len(chip.cores) - 1),
        "enable": TRUTH,
        "pooling": one_of(*chip.poolings),
    }


def check(data: Any, rules: Rules, where: str, problems: list[str]) -> None:
    """Compare an object with its rules, field by field; problems name the field's place."""
    if not isinstance(data, dict):
        problems.append(f"{where} is {_short(data)}; it must be an object")
        return
    prefix = f"{where}." if where else ""
    for name in data:
        if name not in rules:
            problems.append(f"{prefix}{name} is unknown; known: {', '.join(rules)}")
    for name, rule in rules.items():
        if name not in data:
            problems.append(f"{prefix}{name} is missing")
        elif not isinstance(rule, Rule):
            check(data[name], rule, prefix + name, problems)
        elif not rule.holds(data[name]):
            problems.append(f"{prefix}{name} is {_short(data[name])}; it must be {rule.legal}")


def check_tensor(
    value: Any, shape: tuple[int, ...], bits: int, where: str, problems: list[str]
) -> None:
    """Compare nested lists with a shape and a width; the first wrong entry is named."""
    text = "x".join(map(str, shape))
    try:
        array = np.array(value)
    except ValueError:
        problems.append(f"{where} holds lists of different lengths; it must be {text} integers")
        return
    if array.shape != shape:
        problems.append(f"{where} has shape {array.shape}; it must be {text} integers")
    elif array.dtype.kind != "i":
        problems.append(f"{where} holds {array.dtype.name}; it must be {text} integers")
    else:
        low, high = integer_range(bits)
        wrong = np.argwhere((array < low) | (array > high))
        if len(wrong):
            index = tuple(int(i) for i in wrong[0])
            place = "".join(f"[{i}]" for i in index)
            problems.append(f"{where}{place} is {array[index]}; it must be within {low}..{high}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
