"""A network description as plain data for JSON, and back.

    {"format": "neurojax.cri", "version": 1,
     "axons": {"a0": [["0", 5], ...], ...},
     "neurons": {"0": {"syn": [["1", -3], ...], "model": 2, "threshold": 9, "shift": -17,
                       "leak": 63}, ...},
     "outputs": ["1"]}

Keys that are no strings keep their types: then "axons" and "neurons" are lists of pairs, and
tuples, bytes and frozen sets are written as {"tuple": [...]}, {"bytes": "hex"} and
{"frozenset": [...]}.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from neurojax.chips.cri.models import MODELS, NeuronModel

FORMAT, VERSION = "neurojax.cri", 1

_ALWAYS = ("threshold", "shift", "leak")
_NEWER = (
    "refractory_max",
    "dual_synapse_en",
    "delay_value",
    "soft_reset_en",
    "legacy_noise_en",
)


def encode(
    axons: Mapping[Hashable, Any], connections: Mapping[Hashable, Any], outputs: Iterable[Hashable]
) -> dict[str, Any]:
    """Plain data. Raises TypeError for keys of a type that can't be written."""
    plain = all(type(key) is str for key in (*axons, *connections))
    key = (lambda name: name) if plain else encode_key

    def synapses(entries: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
        return [[key(post), *rest] for post, *rest in entries]

    def neuron(entry: tuple[Any, NeuronModel]) -> dict[str, Any]:
        return {"syn": synapses(entry[0]), **_encode_model(entry[1])}

    coded_axons = [[key(name), synapses(entries)] for name, entries in axons.items()]
    neurons = [[key(name), neuron(entry)] for name, entry in connections.items()]
    return {
        "format": FORMAT,
        "version": VERSION,
        "axons": dict(coded_axons) if plain else coded_axons,
        "neurons": dict(neurons) if plain else neurons,
        "outputs": [key(name) for name in outputs],
    }


def _encode_model(model: NeuronModel) -> dict[str, Any]:
    fields = {"model": model.code} | {name: int(getattr(model, name)) for name in _ALWAYS}
    newer = {name: getattr(model, name) for name in _NEWER}
    return fields | {n: v if isinstance(v, bool) else int(v) for n, v in newer.items() if v}


def encode_key(key: Any) -> Any:
    """A key as JSON can hold it."""
    if key is None or isinstance(key, str | bool | int):
        return key
    if isinstance(key, float | np.floating):
        return float(key)
    if isinstance(key, np.integer):
        return int(key)
    if isinstance(key, bytes):
        return {"bytes": key.hex()}
    if type(key) is tuple:
        return {"tuple": [encode_key(part) for part in key]}
    if type(key) is frozenset:
        return {"frozenset": sorted((encode_key(part) for part in key), key=repr)}
    raise TypeError(
        f"key {key!r} of type {type(key).__name__} can't be written to JSON; use strings, "
        "numbers, bytes, tuples or frozen sets of these"
    )


def decode_key(value: Any) -> Hashable:
    """The key that `encode_key` wrote."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict) and len(value) == 1:
        [(kind, content)] = value.items()
        if kind == "bytes" and isinstance(content, str):
            return bytes.fromhex(content)
        if kind in ("tuple", "frozenset") and isinstance(content, list):
            parts = map(decode_key, content)
            return tuple(parts) if kind == "tuple" else frozenset(parts)
    raise ValueError(
        f"{value!r} is no key; keys are strings, numbers, or tagged as in {{'tuple': [1, 'a']}}"
    )


Decoded = tuple[
    dict[Hashable, list[tuple[Any, ...]]],
    dict[Hashable, tuple[list[tuple[Any, ...]], NeuronModel]],
    list[Hashable],
]


def decode(data: Any) -> Decoded:
    """Axons, connections and outputs. Weights and keys are for the network to check.

    Raises:
        ValueError: The data have another form; the message says which entry.
    """
    if not isinstance(data, Mapping):
        raise ValueError(
            f"a network is an object with axons, neurons and outputs, not {data!r:.50}"
        )
    if data.get("format", FORMAT) != FORMAT:
        raise ValueError(f"format is {data['format']!r}, but must be {FORMAT!r}")
    if data.get("version", VERSION) != VERSION:
        raise ValueError(f"version {data['version']!r} is unknown; this one reads {VERSION}")
    missing = [name for name in ("axons", "neurons", "outputs") if name not in data]
    if missing:
        raise ValueError(f"{' and '.join(missing)} missing; found {sorted(map(str, data))}")
    axons = {key: _synapses(f"axon {key!r}", entry) for key, entry in _items(data, "axons")}
    connections = {key: _neuron(key, entry) for key, entry in _items(data, "neurons")}
    if not isinstance(data["outputs"], list):
        raise ValueError(f"outputs: {data['outputs']!r:.50} is no list of keys")
    return axons, connections, [_key("outputs", key) for key in data["outputs"]]


def _key(where: str, value: Any) -> Hashable:
    try:
        return decode_key(value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _items(data: Mapping[str, Any], name: str) -> Iterator[tuple[Hashable, Any]]:
    entries = data[name]
    if isinstance(entries, Mapping):
        yield from entries.items()
        return
    if not isinstance(entries, list):
        raise ValueError(f"{name}: {entries!r:.50} is neither an object nor a list of pairs")
    seen = set()
    for number, entry in enumerate(entries):
        if not isinstance(entry, list) or len(entry) != 2:
            raise ValueError(f"{name}, entry {number}: {entry!r:.50} is no pair [key, content]")
        key = _key(f"{name}, entry {number}", entry[0])
        if key in seen:
            raise ValueError(f"{name}, entry {number}: key {key!r} stands there twice")
        seen.add(key)
        yield key, entry[1]


def _synapses(where: str, entries: Any) -> list[tuple[Any, ...]]:
    if not isinstance(entries, list):
        raise ValueError(f"{where}: {entries!r:.50} is no list of pairs [neuron, weight]")
    for number, entry in enumerate(entries):
        if not isinstance(entry, list | tuple) or not entry:
            raise ValueError(
                f"{where}, synapse {number}: {entry!r:.50} is no pair [neuron, weight]"
            )
    return [(_key(where, post), *rest) for post, *rest in entries]


def _neuron(key: Hashable, entry: Any) -> tuple[list[tuple[Any, ...]], NeuronModel]:
    where = f"neuron {key!r}"
    if not isinstance(entry, Mapping) or not {"syn", "model", *_ALWAYS} <= set(entry):
        raise ValueError(
            f"{where}: {entry!r:.50} is no object with syn, model, {', '.join(_ALWAYS)}"
        )
    kind = MODELS.get(entry["model"]) if isinstance(entry["model"], int) else None
    if kind is None:
        raise ValueError(f"{where}: model {entry['model']!r} must be one of {sorted(MODELS)}")
    values = {name: _integral(entry[name]) for name in (*_ALWAYS, *_NEWER) if name in entry}
    return _synapses(where, entry["syn"]), kind(**values)


def _integral(value: Any) -> Any:
    """hs_api writes thresholds as floats."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
