"""The layers of a .net file as plain data: what slayer writes and netx reads, checked.

A file is a list of layers. Each has a type, some fields, and (most) a neuron:

| type              | fields                                                                       |
|-------------------|------------------------------------------------------------------------------|
| input             | shape; weight, bias                                                          |
| flatten, average  | shape                                                                        |
| concat            | shape, layers (numbers of the layers whose outputs are put together)         |
| dense             | shape, inFeatures, outFeatures, weight (out, in); bias, delay                |
| dense_rec         | the same and weight_rec (out, out)                                           |
| conv, convT       | shape (C, H, W), inChannels, outChannels, kernelSize, stride, padding,       |
|                   | dilation, groups, weight (out, in / groups, kH, kW) (convT: in and out swap);|
|                   | bias, delay                                                                  |
| pool, unpool      | shape, kernelSize, stride, padding, dilation, weight (1, 1, kH, kW); delay   |

Weights and biases are integers: weight steps. Complex weights are two fields, weight/real and
weight/imag. Fields that older files write otherwise (flat weights, axes of length 1 behind the
others, scalars in arrays) come out in this form.

References:
    lava-dl 0.7: `slayer.block.base` (`export_hdf5`) and `netx.hdf5.Network`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from neurojax.chips.loihi.spec import FULL, LARGEST_REFRACTORY, LARGEST_THRESHOLD
from neurojax.hardware.loihi import _rules as rules
from neurojax.hardware.loihi._rules import Rule, Wrong

Fields = Mapping[str, Any]


class LayerRecord(NamedTuple):
    """One layer of a file."""

    type: str
    fields: Fields  # by their names in the file; arrays and numbers
    neuron: Fields | None  # the same of its neuron, with its `type`; None: there is none

    def __str__(self) -> str:
        shape = "x".join(str(n) for n in self.fields["shape"])
        neuron = "" if self.neuron is None else f", {self.neuron['type']}"
        return f"{self.type} {shape}{neuron}"


class Kind(NamedTuple):
    """The fields of a type of layer or neuron."""

    needed: dict[str, Rule]
    more: dict[str, Rule]  # may be missing
    ignored: tuple[str, ...] = ()  # of no meaning for what is computed


_SHAPE: dict[str, Rule] = {"shape": rules.sizes}
_WEIGHT: dict[str, Rule] = {"weight": rules.steps_of_weights}
_OUTPUTS: dict[str, Rule] = {"bias": rules.biases, "delay": rules.delays}
_COUNT = rules.whole(1, rules.LARGEST_SIZE)
_WINDOW: dict[str, Rule] = {
    "stride": rules.pair(1, 1 << 16),
    "padding": rules.pair(0, 1 << 16),
    "dilation": rules.pair(1, 1 << 16),
}
_KERNEL: dict[str, Rule] = {"kernelSize": rules.pair(1, 1 << 16)}
_DENSE = Kind(_SHAPE | _WEIGHT, {"inFeatures": _COUNT, "outFeatures": _COUNT} | _OUTPUTS)
_CONV = Kind(
    _SHAPE | _WEIGHT | _WINDOW | {"groups": _COUNT},
    _KERNEL | {"inChannels": _COUNT, "outChannels": _COUNT} | _OUTPUTS,
)
_POOL = Kind(_SHAPE | _WEIGHT | _WINDOW, _KERNEL | _OUTPUTS)

LAYERS: Mapping[str, Kind] = {
    "input": Kind(_SHAPE, _WEIGHT | {"bias": rules.biases}),
    "flatten": Kind(_SHAPE, {}),
    "average": Kind(_SHAPE, {}),
    "concat": Kind(_SHAPE | {"layers": rules.indices}, {}),
    "dense": _DENSE,
    "dense_rec": Kind(_DENSE.needed | {"weight_rec": rules.steps_of_weights}, _DENSE.more),
    "conv": _CONV,
    "convT": _CONV,
    "pool": _POOL,
    "unpool": _POOL,
}
WITHOUT_NEURON = ("flatten", "average", "concat")

_DECAY = rules.per_channel(0, FULL)
_THRESHOLD = rules.whole(0, LARGEST_THRESHOLD, also=(rules.NETX_READ_OUT, rules.READ_OUT))
_FIRES = rules.whole(0, LARGEST_THRESHOLD)
_GRADED: dict[str, Rule] = {"gradedSpike": rules.flag}
_REFRACTORY: dict[str, Rule] = {"refDelay": rules.whole(1, LARGEST_REFRACTORY)}
_OLD = ("wgtExp", "theta", "tauRho", "scaleRho")
_ADAPTS: dict[str, Rule] = {
    "thDecay": _DECAY,
    "refDecay": _DECAY,
    "vThMant": _FIRES,
    "vThStep": _FIRES,
}
_TURNS: dict[str, Rule] = {"sinDecay": _DECAY, "cosDecay": _DECAY}
_RF = Kind(_TURNS | {"vThMant": _FIRES}, _GRADED)
_ADRF = Kind(_TURNS | _ADAPTS, _GRADED)
_DECAYS: dict[str, Rule] = {"iDecay": _DECAY, "vDecay": _DECAY}

NEURONS: Mapping[str, Kind] = {
    "CUBA": Kind(
        _DECAYS | {"vThMant": _THRESHOLD},
        _REFRACTORY | _GRADED | {"weight_exp": rules.exponent},
        _OLD,
    ),
    "SDNN": Kind(
        {"vThMant": _FIRES},
        {
            "activation": rules.word,
            "sigma_output": rules.flag,
            "messageBits": rules.whole(0, 32),
        },
    ),
    "RF_PHASE": _RF,
    "RF_IZHIKEVICH": _RF,
    "ALIF": Kind(_DECAYS | _ADAPTS, _REFRACTORY | _GRADED),
    "ADRF_PHASE": _ADRF,
    "ADRF_IZHIKEVICH": _ADRF,
}
RENAMED = {"LOIHI": "CUBA"}
COMPLEX = ("RF_PHASE", "RF_IZHIKEVICH", "ADRF_PHASE", "ADRF_IZHIKEVICH")

_DEFAULTS: Mapping[str, Any] = {
    "gradedSpike": np.bool_(False),
    "refDelay": np.int64(1),
    "activation": "relu",
}
"""What a neuron has that could have the field and has not."""


def checked(
    raw: Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]],
) -> tuple[tuple[LayerRecord, ...], tuple[str, ...]]:
    """Layers in the one form that we use, from fields in any form that is in use.

    Args:
        raw: For each layer its fields with its `type`, and those of its neuron.

    Returns:
        The layers, and notes on what was in a file but has no effect.

    Raises:
        ValueError: All that is wrong, with layer and field.
    """
    problems: list[str] = []
    notes: list[str] = []
    records = []
    for number, (fields, neuron) in enumerate(raw):
        record = _layer(number, fields, neuron, problems, notes)
        if record is not None:
            records.append(record)
    if not raw:
        problems.append("there are no layers")
    stop(problems)
    return tuple(records), tuple(notes)


def checked_again(layers: Sequence[LayerRecord]) -> tuple[LayerRecord, ...]:
    """Layers that somebody may have changed, or made without a file.

    Raises:
        ValueError: As of `checked`.
    """
    return checked([({"type": layer.type, **layer.fields}, layer.neuron) for layer in layers])[0]


def stop(problems: Sequence[str]) -> None:
    """Raise ValueError with all problems, if there are some."""
    if problems:
        raise ValueError("\n- ".join(["the network is not valid:", *problems]))


def _layer(
    number: int,
    fields: Mapping[str, Any],
    neuron: Mapping[str, Any] | None,
    problems: list[str],
    notes: list[str],
) -> LayerRecord | None:
    where = f"layer {number}"
    count = len(problems)
    if "type" not in fields:
        problems.append(f"{where} has no field 'type'")
        return None
    kind = _word(fields["type"], f"{where}, field 'type'", problems)
    if kind is None or kind not in LAYERS:
        known = ", ".join(LAYERS)
        if kind is not None:
            problems.append(f"{where}: type is '{kind}'; it must be one of {known}")
        return None
    where = f"layer {number} ({kind})"
    table = LAYERS[kind]
    is_complex = "weight/real" in fields or "weight/imag" in fields
    if is_complex and "weight" in table.needed:
        rule = table.needed["weight"]
        needed = {k: v for k, v in table.needed.items() if k != "weight"}
        table = Kind(needed | {"weight/real": rule, "weight/imag": rule}, table.more)
    given = {name: value for name, value in fields.items() if name != "type"}
    values = _checked_fields(given, table, where, problems, notes)
    cell = None
    if neuron is not None:
        if kind in WITHOUT_NEURON:
            notes.append(f"{where}: its neuron is not used, layers of this type have none")
        else:
            cell = _neuron(neuron, where, problems, notes)
    if len(problems) > count:
        return None
    _fit(kind, values, cell, where, problems)
    return None if len(problems) > count else LayerRecord(kind, values, cell)


def _neuron(
    fields: Mapping[str, Any], where: str, problems: list[str], notes: list[str]
) -> Fields | None:
    where = f"{where}, neuron"
    if "type" not in fields:
        problems.append(f"{where} has no field 'type'")
        return None
    kind = _word(fields["type"], f"{where}, field 'type'", problems)
    kind = RENAMED.get(kind or "", kind)
    if kind is None or kind not in NEURONS:
        if kind is not None:
            known = ", ".join([*NEURONS, *RENAMED])
            problems.append(f"{where}: type is '{kind}'; it must be one of {known}")
        return None
    given = {name: value for name, value in fields.items() if name != "type"}
    table = NEURONS[kind]
    values = _checked_fields(given, table, where, problems, notes)
    for name, value in _DEFAULTS.items():
        if name in table.more:
            values.setdefault(name, value)
    return {"type": kind, **values}


def _checked_fields(
    given: Mapping[str, Any], table: Kind, where: str, problems: list[str], notes: list[str]
) -> dict[str, Any]:
    rules_of = dict(table.needed) | dict(table.more)
    values = {}
    for name, rule in rules_of.items():
        if name not in given:
            if name in table.needed:
                problems.append(f"{where} has no field '{name}'")
            continue
        try:
            values[name] = rule(given[name])
        except Wrong as legal:
            found = _found(given[name])
            problems.append(f"{where}: field '{name}' is {found}; it must be {legal}")
    unknown = [name for name in given if name not in rules_of and name not in table.ignored]
    if unknown:
        notes.append(f"{where}: not used: " + ", ".join(f"'{name}'" for name in unknown))
    return values


def _word(value: Any, what: str, problems: list[str]) -> str | None:
    try:
        return rules.word(value)
    except Wrong as legal:
        problems.append(f"{what} is {_found(value)}; it must be {legal}")
        return None


def _found(value: Any) -> str:
    """A value in a sentence, long ones in short."""
    if isinstance(value, str):
        return f"the text '{value[:40]}'"
    if isinstance(value, tuple):
        return f"{len(value)} texts"
    array = np.asarray(value)
    if array.size == 1:
        return f"{array.reshape(()).item()}"
    bad = array.size - int(np.isfinite(array).sum()) if array.dtype.kind == "f" else 0
    if bad:
        return f"an array {array.shape} with {bad} values that are not finite"
    if array.size <= 8:
        return str(array.tolist())
    return f"an array {array.shape} of {array.dtype} within {array.min()}..{array.max()}"


def _fit(
    kind: str,
    values: dict[str, Any],
    neuron: Fields | None,
    where: str,
    problems: list[str],
) -> None:
    """Bring the shapes of one layer's fields into their form, and compare them."""

    def wrong(name: str, found: Any, legal: str) -> None:
        problems.append(f"{where}: field '{name}' is {found}; it must be {legal}")

    count = len(problems)
    names: list[str] = ["weight", "weight/real", "weight/imag"]
    weights = [name for name in names if name in values]
    outputs = 0
    if kind == "input":
        _fit_input(values, wrong)
    elif kind.startswith("dense"):
        outputs = _fit_dense(kind, values, weights, wrong)
    elif weights:
        outputs = _fit_kernel(kind, values, weights, wrong)
    if len(problems) > count:
        return
    if len(weights) == 2 and values[weights[0]].shape != values[weights[1]].shape:
        wrong(weights[1], f"an array {values[weights[1]].shape}", "of the shape of weight/real")
    for name in ("bias", "delay"):
        if name in values and outputs:
            values[name] = values[name].reshape(-1)
            if name == "delay" and values[name].size == 1:
                values[name] = np.repeat(values[name], outputs)
            if values[name].size != outputs:
                wrong(name, f"a list of {values[name].size}", f"one for each of {outputs} outputs")
    if neuron is not None:
        _fit_neuron(kind, values, neuron, len(weights) == 2, where, problems)


def _fit_input(values: dict[str, Any], wrong: Any) -> None:
    for name in ("weight", "bias"):
        if name in values and values[name].size != 1:
            wrong(name, f"an array {values[name].shape}", "one number")
        elif name in values:
            values[name] = values[name].reshape(1)


def _fit_dense(kind: str, values: dict[str, Any], weights: list[str], wrong: Any) -> int:
    outputs = int(np.prod(values["shape"]))
    for name in [*weights, *(["weight_rec"] if kind == "dense_rec" else [])]:
        if values[name].size % outputs:
            wrong(name, f"an array {values[name].shape}", f"(out, in) with {outputs} outputs")
            return 0
        values[name] = values[name].reshape(outputs, -1)
    if kind == "dense_rec" and values["weight_rec"].shape[1] != outputs:
        wrong("weight_rec", f"an array {values['weight_rec'].shape}", f"({outputs}, {outputs})")
    inputs = values[weights[0]].shape[1]
    for name, number, source in (
        ("inFeatures", inputs, "weight"),
        ("outFeatures", outputs, "shape"),
    ):
        if values.setdefault(name, np.int64(number)) != number:
            wrong(name, values[name], f"{number}, as {source}")
    return outputs


def _fit_kernel(kind: str, values: dict[str, Any], weights: list[str], wrong: Any) -> int:
    shape = values["shape"]
    if shape.size != 3:
        wrong("shape", shape.tolist(), "(channels, height, width)")
        return 0
    outputs = int(shape[0])
    for name in weights:
        kernel = values[name]
        if kernel.ndim == 5 and kernel.shape[-1] == 1:
            kernel = kernel[..., 0]
        if kernel.ndim != 4:
            wrong(name, f"an array {kernel.shape}", "of 4 axes")
            return 0
        values[name] = kernel
    kernel = values[weights[0]]
    window = np.array(kernel.shape[2:], np.int64)
    if (values.setdefault("kernelSize", window) != window).any():
        wrong("kernelSize", values["kernelSize"].tolist(), f"{window.tolist()}, as weight")
    if kind in ("pool", "unpool"):
        if kernel.shape[:2] != (1, 1):
            wrong(weights[0], f"an array {kernel.shape}", "(1, 1, height, width)")
        return outputs
    groups = int(values["groups"])
    if kind == "conv":
        inputs, from_weight = kernel.shape[1] * groups, kernel.shape[0]
    else:
        inputs, from_weight = kernel.shape[0], kernel.shape[1] * groups
    if from_weight != outputs:
        wrong(weights[0], f"an array {kernel.shape}", f"for {outputs} channels, as shape says")
    elif inputs % groups or outputs % groups:
        wrong("groups", groups, f"a divisor of {inputs} and {outputs} channels")
    for name, number in (("inChannels", inputs), ("outChannels", outputs)):
        if values.setdefault(name, np.int64(number)) != number:
            wrong(name, values[name], f"{number}, as weight")
    return outputs


def _fit_neuron(
    kind: str,
    values: Fields,
    neuron: Fields,
    is_complex: bool,
    where: str,
    problems: list[str],
) -> None:
    cell = neuron["type"]
    if cell in COMPLEX and not is_complex:
        problems.append(f"{where}: {cell} takes complex weights: weight/real and weight/imag")
    if cell not in COMPLEX and is_complex:
        problems.append(f"{where}: {cell} takes real weights; these are complex")
    if kind == "dense_rec" and (is_complex or cell == "SDNN"):
        problems.append(f"{where}: recurrent layers of {cell} neurons are not in use")
    channels = int(values["shape"][0]) if values["shape"].size == 3 else None
    count = int(np.prod(values["shape"])) if channels is None or kind.startswith("dense") else None
    for name, value in neuron.items():
        size = np.size(value)
        if isinstance(value, np.ndarray) and size > 1 and size not in (channels, count):
            problems.append(
                f"{where}, neuron: field '{name}' has {size} values; it must have one, or one for "
                f"each of {channels or count} channels"
            )


def same(a: Any, b: Any) -> bool:
    """Whether two records, or parts of them, say the same."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray | np.generic) or isinstance(b, np.ndarray | np.generic):
        x, y = np.asarray(a), np.asarray(b)
        return x.dtype == y.dtype and x.shape == y.shape and bool((x == y).all())
    return bool(a == b)
