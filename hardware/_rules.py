"""What the fields of a file may hold, said once: a check with sentences, and a JSON schema."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from neurojax.surrogate import by_name


class Rule(NamedTuple):
    """What a value must be: in words, as a test, and as a JSON schema."""

    legal: str
    holds: Callable[[Any], bool]
    schema: Mapping[str, Any]


class Optional(NamedTuple):
    """A field that may be missing."""

    rule: AnyRule


class OrEmpty(NamedTuple):
    """An object, or `{}` for what is not used."""

    fields: Fields


class Each(NamedTuple):
    """A list with a rule for its entries, and perhaps for their number."""

    rule: AnyRule
    number: int | None = None  # of entries


class Named(NamedTuple):
    """An object whose names are anybody's choice."""

    rule: AnyRule


class Kinds(NamedTuple):
    """An object whose field "kind" says which other fields it has."""

    kinds: Mapping[str, Fields]


class Tensor(NamedTuple):
    """Nested lists of integers, or of true and false where `low` is None."""

    axes: int
    low: int | None
    high: int = 0


Fields = Mapping[str, Any]
AnyRule = Rule | OrEmpty | Each | Named | Kinds | Tensor | Fields  # a field may be Optional


def integer(low: int, high: int) -> Rule:
    """An integer, both ends included."""
    return Rule(
        f"an integer within {low}..{high}",
        lambda v: type(v) is int and low <= v <= high,
        {"type": "integer", "minimum": low, "maximum": high},
    )


def one_of(*values: int | str) -> Rule:
    """One of some values."""
    kinds = {type(value) for value in values}
    return Rule(
        f"one of {values}",
        lambda v: type(v) in kinds and v in values,
        {"enum": list(values)},
    )


def maybe(rule: Rule) -> Rule:
    """A rule that also takes null."""
    return Rule(
        f"{rule.legal}, or null",
        lambda v: v is None or rule.holds(v),
        {"anyOf": [rule.schema, {"type": "null"}]},
    )


def list_of(rule: Rule, count: int | None = None) -> Rule:
    """A list whose entries obey a rule."""
    schema: dict[str, Any] = {"type": "array", "items": rule.schema}
    if count is not None:
        schema |= {"minItems": count, "maxItems": count}
    number = "" if count is None else f" of {count}"
    return Rule(
        f"a list{number}, each entry {rule.legal}",
        lambda v: (
            isinstance(v, list)
            and (count is None or len(v) == count)
            and all(rule.holds(entry) for entry in v)
        ),
        schema,
    )


def _is_surrogate(value: Any) -> bool:
    try:
        return isinstance(value, str) and by_name(value) is not None
    except (ValueError, TypeError):
        return False


TEXT = Rule("a text", lambda v: isinstance(v, str), {"type": "string"})
TRUTH = Rule("true or false", lambda v: isinstance(v, bool), {"type": "boolean"})
POSITIVE = Rule(
    "a finite number > 0",
    lambda v: type(v) in (int, float) and math.isfinite(v) and v > 0,
    {"type": "number", "exclusiveMinimum": 0},
)
SURROGATE = Rule(
    "the text of a surrogate, such as 'ATan(alpha=2.0)'", _is_surrogate, {"type": "string"}
)
OBJECT = Rule("an object", lambda v: isinstance(v, dict), {"type": "object"})


def check(
    data: Any,
    rule: AnyRule,
    where: str,
    problems: list[str],
    labels: Mapping[str, str] | None = None,
) -> None:
    """Compare data with a rule; problems name the place of each value that does not obey.

    Args:
        data: What was read.
        rule: What it must be.
        where: Its place.
        problems: Sentences are appended to it.
        labels: What to call some of the places instead.
    """
    where = (labels or {}).get(where, where)
    if isinstance(rule, Rule):
        if not rule.holds(data):
            problems.append(f"{where} is {_short(data)}; it must be {rule.legal}")
    elif isinstance(rule, Each):
        _check_list(data, rule, where, problems, labels)
    elif isinstance(rule, Tensor):
        _check_tensor(data, rule, where, problems)
    elif not isinstance(data, dict):
        problems.append(f"{where} is {_short(data)}; it must be an object")
    elif isinstance(rule, Named):
        for name, value in data.items():
            check(value, rule.rule, _within(where, name), problems, labels)
    elif isinstance(rule, Kinds):
        kind = data.get("kind")
        if not isinstance(kind, str) or kind not in rule.kinds:
            known = ", ".join(rule.kinds)
            problems.append(f"{_within(where, 'kind')} is {_short(kind)}; known: {known}")
        else:
            check(data, {"kind": TEXT} | dict(rule.kinds[kind]), where, problems, labels)
    elif isinstance(rule, OrEmpty):
        if data:
            check(data, rule.fields, where, problems, labels)
    else:
        for name in data:
            if name not in rule:
                problems.append(f"{_within(where, name)} is unknown; known: {', '.join(rule)}")
        for name, field in rule.items():
            if name in data:
                field = field.rule if isinstance(field, Optional) else field
                check(data[name], field, _within(where, name), problems, labels)
            elif not isinstance(field, Optional):
                problems.append(f"{_within(where, name)} is missing")


def _check_list(
    data: Any, rule: Each, where: str, problems: list[str], labels: Mapping[str, str] | None
) -> None:
    if not isinstance(data, list):
        problems.append(f"{where} is {_short(data)}; it must be a list")
    elif rule.number is not None and len(data) != rule.number:
        problems.append(f"{where} has {len(data)} entries; it must be {rule.number}")
    else:
        for i, entry in enumerate(data):
            check(entry, rule.rule, f"{where}[{i}]", problems, labels)


def _check_tensor(data: Any, rule: Tensor, where: str, problems: list[str]) -> None:
    kind, text = ("b", "true and false") if rule.low is None else ("i", "integers")
    legal = f"nested lists of {text}, {rule.axes} deep"
    try:
        array = np.array(data)
    except ValueError:
        problems.append(f"{where} holds lists of different lengths; it must be {legal}")
        return
    if array.ndim != rule.axes or not array.size:
        problems.append(f"{where} has shape {array.shape}; it must be {legal}")
    elif array.dtype.kind != kind:
        problems.append(f"{where} holds {array.dtype.name}; it must be {legal}")
    elif rule.low is not None and any(type(v) is bool for v in np.array(data, object).flat):
        problems.append(f"{where} holds true or false; it must be {legal}")  # 1 and 0 for NumPy
    elif rule.low is not None:
        wrong = np.argwhere((array < rule.low) | (array > rule.high))
        if len(wrong):
            index = tuple(int(i) for i in wrong[0])
            place = "".join(f"[{i}]" for i in index)
            problems.append(
                f"{where}{place} is {array[index]}; it must be within {rule.low}..{rule.high}"
            )


def schema_of(rule: AnyRule) -> dict[str, Any]:
    """The JSON schema that accepts what `check` accepts, but for the lengths of nested lists."""
    if isinstance(rule, Rule):
        return dict(rule.schema)
    if isinstance(rule, Each):
        return dict(list_of(Rule("", lambda v: True, schema_of(rule.rule)), rule.number).schema)
    if isinstance(rule, Tensor):
        leaf = TRUTH if rule.low is None else integer(rule.low, rule.high)
        schema = dict(leaf.schema)
        for _ in range(rule.axes):
            schema = {"type": "array", "items": schema, "minItems": 1}
        return schema
    if isinstance(rule, Named):
        return {"type": "object", "additionalProperties": schema_of(rule.rule)}
    if isinstance(rule, Kinds):
        return {
            "oneOf": [
                schema_of({"kind": one_of(kind), **fields}) for kind, fields in rule.kinds.items()
            ]
        }
    if isinstance(rule, OrEmpty):
        return {"anyOf": [schema_of(rule.fields), {"type": "object", "maxProperties": 0}]}
    plain = {n: f.rule if isinstance(f, Optional) else f for n, f in rule.items()}
    return {
        "type": "object",
        "properties": {name: schema_of(field) for name, field in plain.items()},
        "required": [name for name, field in rule.items() if not isinstance(field, Optional)],
        "additionalProperties": False,
    }


def _within(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
