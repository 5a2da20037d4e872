"""Dictionaries of axons and neurons, checked and put into tables.

Millions of synapses are checked by whole arrays. Only if something is odd, every entry is looked
at in Python, so that each fault is reported with the place where it stands.

References:
    hs_api, `api.py` (`CRI_network`), which accepts most of these faults silently.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from neurojax.chips.cri._tables import Rows
from neurojax.chips.cri.models import NeuronModel, as_model
from neurojax.chips.cri.spec import (
    LARGEST_DELAY,
    LARGEST_REFRACTORY,
    SHIFTS,
    THRESHOLD_BITS,
    WEIGHT_BITS,
    CRISpec,
)

WEIGHTS = range(-(1 << (WEIGHT_BITS - 1)), 1 << (WEIGHT_BITS - 1))

Key = Hashable
Synapses = list[tuple[Any, ...]]
"""`(neuron, weight)`, or `(neuron, weight, True)` if it is delayed."""

SHOWN = 20
"""Findings in the text of an error; it holds all of them."""


class Finding(NamedTuple):
    """One fault of a network."""

    where: str  # which axon, neuron or synapse
    found: str  # what is there
    legal: str  # what may be there
    remedy: str  # what to change

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; {self.legal}; {self.remedy}"


class NetworkError(ValueError):
    """A description is no network; `findings` holds every reason at once."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        count = len(self.findings)
        lines = [f"the network has {count} fault{'s' * (count > 1)}:"]
        lines += map(str, self.findings[:SHOWN])
        if count > SHOWN:
            lines.append(f"and {count - SHOWN} more (all of them: .findings of this error)")
        super().__init__("\n- ".join(lines))


class Checked(NamedTuple):
    """A network without faults."""

    axons: dict[Key, Synapses]
    connections: dict[Key, tuple[Synapses, NeuronModel]]
    outputs: list[Key]  # by index
    axon_rows: Rows
    neuron_rows: Rows


def check_network(
    axons: Any, connections: Any, outputs: Any, *, weights: str, duplicates: str, largest_leak: int
) -> Checked:
    """The network's dictionaries, copied, and its tables.

    Raises:
        NetworkError: With all faults.
    """
    faults: list[Finding] = []
    if not isinstance(axons, Mapping):
        faults.append(_no_mapping("axons", axons, "{axon: [(neuron, weight), ...]}"))
        axons = {}
    elif not axons:
        faults.append(_none_of("axons", "give it one without synapses: {'none': []}"))
    if not isinstance(connections, Mapping):
        legal = "{neuron: ([(neuron, weight), ...], model)}"
        faults.append(_no_mapping("connections", connections, legal))
        connections = {}
    elif not connections:
        faults.append(_none_of("connections", "give it a neuron"))
    for key in connections.keys() & axons.keys():
        faults.append(
            Finding(
                f"key {key!r}",
                "it names an axon and a neuron",
                "the keys of axons and connections are different",
                "rename one of them",
            )
        )
    models, neuron_synapses = _split(connections, largest_leak, faults)
    reader = _Reader(axons, connections, weights, duplicates, faults)
    axon_lists, axon_rows = reader.read("axon", axons)
    neuron_lists, neuron_rows = reader.read("neuron", neuron_synapses)
    output_keys = _outputs(outputs, reader, faults)
    if faults:
        raise NetworkError(faults)
    return Checked(
        dict(zip(axons, axon_lists, strict=True)),
        dict(zip(connections, zip(neuron_lists, models, strict=True), strict=True)),
        output_keys,
        axon_rows,
        neuron_rows,
    )


def _no_mapping(name: str, value: Any, legal: str) -> Finding:
    return Finding(name, f"a {type(value).__name__}", f"a dict {legal}", "pass a dict")


def _none_of(name: str, remedy: str) -> Finding:
    return Finding(name, "it is empty", "the chip needs at least one entry", remedy)


def _split(
    connections: Mapping[Key, Any], largest_leak: int, faults: list[Finding]
) -> tuple[list[NeuronModel], dict[Key, Any]]:
    """Models by value, checked once each, and the synapses."""
    models: list[NeuronModel] = []
    synapses: dict[Key, Any] = {}
    known: dict[int, NeuronModel] = {}  # by identity: usually few objects are shared by many
    sound: set[NeuronModel] = set()
    for key, entry in connections.items():
        if not isinstance(entry, tuple) or len(entry) != 2:
            what = f"a {type(entry).__name__}"
            if isinstance(entry, tuple):
                what = f"a tuple of {len(entry)}"
            faults.append(
                Finding(
                    f"neuron {key!r}",
                    what,
                    "a neuron is ([(neuron, weight), ...], model)",
                    "add a model, such as LIF_neuron(threshold=10)",
                )
            )
            continue
        synapses[key], model = entry
        if id(model) not in known:
            try:
                found = as_model(model)
            except TypeError as error:
                legal = "a model of neurojax.chips.cri.models or of hs_api"
                faults.append(Finding(f"neuron {key!r}", str(error), legal, "replace it"))
                continue
            if found not in sound:
                problems = list(_model_faults(key, found, largest_leak))
                faults += problems
                sound |= set() if problems else {found}
            known[id(model)] = found
        models.append(known[id(model)])
    return models, synapses


def _model_faults(key: Key, model: NeuronModel, largest_leak: int) -> Iterator[Finding]:
    half = 1 << (THRESHOLD_BITS - 1)
    limits = {
        "threshold": (-half, half - 1),
        "shift": SHIFTS,
        "leak": (0, largest_leak),
        "refractory_max": (0, LARGEST_REFRACTORY),
        "delay_value": (0, LARGEST_DELAY),
    }
    for name, (low, high) in limits.items():
        value = getattr(model, name)
        if not _is_integer(value) or not low <= value <= high:
            yield Finding(
                f"neuron {key!r}, {type(model).__name__}",
                f"{name}={value!r}",
                f"an integer from {low} to {high}",
                "scale and round it" if name == "threshold" else "change it",
            )


def _is_integer(value: Any) -> bool:
    """Integers, and floats that are; no booleans."""
    if isinstance(value, bool | np.bool_):
        return False
    if isinstance(value, int | np.integer):
        return True
    return isinstance(value, float | np.floating) and float(value).is_integer()


def _outputs(outputs: Any, reader: _Reader, faults: list[Finding]) -> list[Key]:
    if isinstance(outputs, str | bytes | Mapping) or not isinstance(outputs, Iterable):
        remedy = "pass [key] for a single one"
        if isinstance(outputs, Mapping):
            remedy = "if this is hs_api's config, leave it out, or pass it as config="
        faults.append(Finding("outputs", f"{outputs!r}", "a list of keys of neurons", remedy))
        return []
    keys = list(outputs)
    known = [key for key in keys if index_of(reader.neurons, key) is not None]
    for key in keys:
        if index_of(reader.neurons, key) is None:
            found, remedy = reader.unknown(key)
            legal = "outputs are keys of connections"
            faults.append(Finding(f"output {key!r}", found, legal, remedy))
    chosen = set(known)
    if len(chosen) < len(known):
        repeated = len(known) - len(chosen)
        legal = "a neuron is reported once"
        faults.append(Finding("outputs", f"{repeated} repeated keys", legal, "drop them"))
    return [key for key in reader.neurons if key in chosen]


def index_of(indices: Mapping[Key, int], key: Any) -> int | None:
    """The index of a key of whatever type; None if there is none."""
    try:
        return indices.get(key)
    except TypeError:  # not hashable
        return None


class _Reader:
    """Lists of synapses into rows of a table."""

    def __init__(
        self,
        axons: Mapping[Key, Any],
        connections: Mapping[Key, Any],
        weights: str,
        duplicates: str,
        faults: list[Finding],
    ) -> None:
        self.axons = axons
        self.neurons = {key: index for index, key in enumerate(connections)}
        self.saturate = weights == "saturate"
        self.duplicates = duplicates
        self.faults = faults

    def read(self, kind: str, sources: Mapping[Key, Any]) -> tuple[list[Synapses], Rows]:
        lists, rows = list(sources.values()), None
        if self.duplicates != "last" and all(type(synapses) is list for synapses in lists):
            rows = self._at_once(kind, lists)
        if rows is None:
            lists = [self._source(kind, key, entry) for key, entry in sources.items()]
            rows = self._at_once(kind, lists)
            assert rows is not None  # what is out of order was reported and left out
        if self.duplicates == "refuse":
            self._find_duplicates(kind, list(sources), rows)
        return [list(synapses) for synapses in lists], rows

    def _at_once(self, kind: str, lists: Sequence[Synapses]) -> Rows | None:
        """The table, or None if anything is out of order."""
        pairs = list(chain.from_iterable(lists))
        sizes = set(map(len, pairs)) if set(map(type, pairs)) <= {tuple} else {0}
        late = None
        if sizes == {3} or sizes == {2, 3}:
            if kind == "axon" or any(pair[2:] not in ((), (True,)) for pair in pairs):
                return None
            late = np.fromiter((len(pair) == 3 for pair in pairs), bool, len(pairs))
        elif not sizes <= {2}:
            return None
        values = list(map(itemgetter(1), pairs))
        if not set(map(type, values)) <= {int}:
            return None
        try:
            indices = map(self.neurons.__getitem__, map(itemgetter(0), pairs))
            targets = np.fromiter(indices, np.int32, len(pairs))
            weights = np.fromiter(values, np.int64, len(pairs))
        except (KeyError, TypeError, OverflowError):
            return None
        if weights.size and (weights.min() < WEIGHTS.start or weights.max() >= WEIGHTS.stop):
            return None
        rows = Rows.of_lengths(np.fromiter(map(len, lists), np.int64, len(lists)))
        return rows._replace(targets=targets, weights=weights.astype(np.int16), late=late)

    def _source(self, kind: str, key: Key, synapses: Any) -> Synapses:
        """A plain list of what is in order; the rest is reported."""
        where = f"{kind} {key!r}"
        if isinstance(synapses, str | bytes | Mapping) or not isinstance(synapses, Iterable):
            legal = "a list [(neuron, weight), ...], which may be empty"
            self.faults.append(Finding(where, f"a {type(synapses).__name__}", legal, "pass a list"))
            return []
        found: Synapses = []
        for number, synapse in enumerate(synapses):
            place = f"{where}, synapse {number}"
            plain = isinstance(synapse, tuple) and len(synapse) == 2
            late = isinstance(synapse, tuple) and len(synapse) == 3 and kind == "neuron"
            if not plain and not (late and isinstance(synapse[2], bool | np.bool_)):
                legal = "a tuple (neuron, weight)"
                legal += ", or (neuron, weight, True) if it is delayed" * (kind == "neuron")
                self.faults.append(Finding(place, f"{synapse!r}", legal, "make it one"))
                continue
            post, weight = synapse[:2]
            known = index_of(self.neurons, post) is not None
            if not known:
                what, remedy = self.unknown(post)
                self.faults.append(
                    Finding(place, f"to {post!r}: {what}", "synapses end at neurons", remedy)
                )
            exact = self._weight(place, weight)
            if known and exact is not None:
                found.append((post, exact, True) if late and synapse[2] else (post, exact))
        if self.duplicates == "last":
            return list({(each[0], len(each)): each for each in found}.values())
        return found

    def _weight(self, place: str, weight: Any) -> int | None:
        exact = _effective(weight, self.saturate)
        if exact is None:
            self.faults.append(_weight_fault(place, weight))
        return exact

    def unknown(self, key: Any) -> tuple[str, str]:
        """What is wrong with a key that is no neuron's."""
        if index_of(self.axons, key) is not None:  # type: ignore[arg-type]
            return "it is an axon", "name a neuron"
        return "no such neuron", "add it to connections, or correct the key"

    def _find_duplicates(self, kind: str, keys: list[Key], rows: Rows) -> None:
        names = list(self.neurons)
        pairs = rows.sources().astype(np.int64) * len(names) + rows.targets
        if rows.late is not None:
            pairs += rows.late * (len(keys) * len(names))
        pairs.sort()
        if not np.any(pairs[1:] == pairs[:-1]):
            return
        values, counts = np.unique(pairs, return_counts=True)
        for pair, count in zip(values[counts > 1], counts[counts > 1], strict=True):
            pre, post = divmod(int(pair) % (len(keys) * len(names)), len(names))
            self.faults.append(
                Finding(
                    f"{kind} {keys[pre]!r}",
                    f"{count} synapses to {names[post]!r}",
                    "hs_api's simulator keeps the last of them and the chip adds them up",
                    "join them, or pass duplicates='last' or 'sum'",
                )
            )


def effective_weight(place: str, weight: Any, *, saturate: bool) -> int:
    """The weight that the chip holds.

    Raises:
        NetworkError: It is none.
    """
    exact = _effective(weight, saturate)
    if exact is None:
        raise NetworkError([_weight_fault(place, weight)])
    return exact


def _effective(weight: Any, saturate: bool) -> int | None:
    if saturate and isinstance(weight, float | np.floating) and np.isfinite(weight):
        weight = int(weight)  # cuts towards zero
    if not _is_integer(weight):
        return None
    if saturate:
        return min(max(int(weight), WEIGHTS.start), WEIGHTS.stop - 1)
    return int(weight) if int(weight) in WEIGHTS else None


def _weight_fault(place: str, weight: Any) -> Finding:
    return Finding(
        place,
        f"weight {weight!r}",
        f"an integer from {WEIGHTS.start} to {WEIGHTS.stop - 1}",
        "scale and round it, or pass weights='saturate'",
    )


def check_limits(
    axon_rows: Rows, neuron_rows: Rows, models: Sequence[NeuronModel], spec: CRISpec
) -> Iterator[Finding]:
    """What one core of the machine does not hold."""
    split = "split the network over cores, or make it smaller"
    yield from _too_many("axons", "axons", len(axon_rows.lengths), spec.axons, split)
    different: dict[NeuronModel, int] = {}
    for model in models:
        different[model] = different.get(model, 0) + 1
    yield from _too_many(
        "models",
        "different neuron models",
        len(different),
        spec.models,
        "let neurons share thresholds, leaks and shifts",
    )
    padding = spec.model_padding
    stored = sum(-(-count // padding) * padding for count in different.values())
    what = f"neurons, with each model's filled up to a multiple of {padding}"
    yield from _too_many("neurons", what, stored, spec.neurons_per_core, split)
    neurons = len(neuron_rows.lengths)
    for article, side, rows, out, into in (
        ("an", "axon", axon_rows, spec.axon_fan_out, spec.axon_fan_in),
        ("a", "neuron", neuron_rows, spec.neuron_fan_out, spec.neuron_fan_in),
    ):
        yield from _too_wide(f"fan-out of {article} {side}", rows.lengths, out)
        arriving = np.bincount(rows.targets, minlength=neurons)
        yield from _too_wide(f"fan-in of a neuron from {side}s", arriving, into)


def _too_many(where: str, what: str, count: int, limit: int, remedy: str) -> Iterator[Finding]:
    if count > limit:
        yield Finding(where, f"{count:,} {what}", f"a core has at most {limit:,}", remedy)


def _too_wide(where: str, counts: np.ndarray, limit: int) -> Iterator[Finding]:
    over = np.flatnonzero(counts > limit)
    if over.size:
        found = f"up to {counts.max():,} synapses; {over.size:,} exceed the limit"
        remedy = f"the first is number {over[0]}; prune, or split it into several"
        yield Finding(where, found, f"at most {limit:,}", remedy)
