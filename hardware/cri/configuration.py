"""The configuration of the machine: a network placed on cores, as memory images and as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from neurojax.chips import MappedNetwork, Report
from neurojax.chips.cri import Finding, NetworkError
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.json_format import decode_key, encode_key
from neurojax.chips.cri.models import NeuronModel
from neurojax.chips.cri.neuron import BITS
from neurojax.chips.cri.spec import MEMBRANE_BITS, CRISpec, spec
from neurojax.chips.cri.unroll import describe_network
from neurojax.hardware.cri import _file, packets
from neurojax.hardware.cri._cores import PAD, on_cores, tables
from neurojax.hardware.cri.capacity import check, neuron_type
from neurojax.hardware.cri.core import (
    ARRAYS,
    CoreConfiguration,
    check_together,
    from_arrays,
    model_of,
    to_arrays,
)
from neurojax.hardware.cri.image import build
from neurojax.hardware.cri.partition import Cores, assign
from neurojax.hardware.cri.words import GROUPS

SCHEMA = "neurojax.cri.configuration"

OPTIONS = {"overflow": "saturate", "bits": MEMBRANE_BITS, "leak_bias": False}
"""Options of a network that say how the machine computes, and their defaults."""

OF_MODELS = {"theta", "leak", "shift", "model", "reset", "refractory", "draws"}
"""Options of a network that overrule its models, or their noise."""


@dataclass(frozen=True, eq=False)
class Configuration:
    """A network on the machine.

    Attributes:
        axon_keys: The network's axons, by index.
        neuron_keys: Its neurons.
        cores: What each core holds.
        options: How the machine computes; see `OPTIONS`.
    """

    axon_keys: tuple[Hashable, ...]
    neuron_keys: tuple[Hashable, ...]
    cores: tuple[CoreConfiguration, ...]
    options: Mapping[str, Any]

    @cached_property
    def network(self) -> CRINetwork:
        """The network, read from the words of the images.

        It simulates as the one that the configuration came from. The synapses of a source come in
        another order: that of the memory.
        """
        axons: list[list[tuple[Hashable, int]]] = [[] for _ in self.axon_keys]
        neurons: list[list[tuple[Hashable, int]]] = [[] for _ in self.neuron_keys]
        models: list[NeuronModel] = [None] * len(neurons)  # type: ignore[list-item]
        outputs: list[int] = []
        for core in self.cores:
            contents = core.contents
            lists = [axons[i] for i in core.axons] + [neurons[i] for i in core.relays]
            self._fill(lists, core, contents.axon_synapses)
            lists = [neurons[i] if i != PAD else [] for i in core.neurons]
            self._fill(lists, core, contents.neuron_synapses)
            start = 0
            for kind in core.image.types:
                model = model_of(kind)
                for index in core.neurons[start : kind.boundary * GROUPS]:
                    if index != PAD:
                        models[index] = model
                start = kind.boundary * GROUPS
            outputs.extend(core.neurons[contents.reported].tolist())
        return CRINetwork(
            dict(zip(self.axon_keys, axons, strict=True)),
            dict(zip(self.neuron_keys, zip(neurons, models, strict=True), strict=True)),
            [self.neuron_keys[i] for i in sorted(outputs)],
            duplicates="sum",
            **self.options,
        )

    def _fill(self, lists: list[Any], core: CoreConfiguration, synapses: Any) -> None:
        targets = core.neurons[synapses.target].tolist()
        weights = synapses.weight.tolist()
        starts = np.searchsorted(synapses.source, np.arange(len(lists) + 1)).tolist()
        names = self.neuron_keys
        for entries, start, end in zip(lists, starts, starts[1:], strict=False):
            entries.extend(
                [(names[targets[i]], weights[i]) for i in range(start, end)] if end > start else ()
            )

    @cached_property
    def outputs(self) -> Int[np.ndarray, " outputs"]:
        """The reported neurons, by index."""
        found = [core.neurons[core.contents.reported] for core in self.cores]
        return np.sort(np.concatenate(found))

    @property
    def output_keys(self) -> tuple[Hashable, ...]:
        """The reported neurons."""
        return tuple(self.neuron_keys[i] for i in self.outputs)

    def events(self, inputs: Sequence[Iterable[Hashable]]) -> UInt8[np.ndarray, "time axons"]:
        """The active axons of each step as an array of 0 and 1.

        Raises:
            ValueError: A key of no axon.
        """
        index = {key: number for number, key in enumerate(self.axon_keys)}
        events = np.zeros((len(inputs), len(self.axon_keys)), np.uint8)
        for step, keys in enumerate(inputs):
            if unknown := [key for key in keys if key not in index]:
                raise ValueError(f"step {step}: no axon {unknown[0]!r}")
            events[step, [index[key] for key in keys]] = 1
        return events

    def packets(self) -> Iterator[UInt8[np.ndarray, "n 64"]]:
        """What the host sends to set the machine up, core by core: blocks of packets."""
        for number, core in enumerate(self.cores):
            for first, rows in core.image.segments():
                yield packets.rows(first, rows, core=number)
            axons = len(core.axons) + len(core.relays)
            yield packets.sizes(axons, len(core.contents.reported), core=number)
            for kind in core.image.types:
                yield packets.neuron_type(kind, core=number)
            yield packets.clear(len(core.neurons), core=number)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a binary file; a file that is there is replaced when all is written.

        Raises:
            TypeError: Keys that can't be written: use strings, numbers, bytes or tuples.
            OSError: The file can't be written. Nothing is left behind.
        """
        keys = {"axons": self.axon_keys, "neurons": self.neuron_keys}
        coded = {name: [encode_key(key) for key in every] for name, every in keys.items()}
        text = json.dumps(coded, separators=(",", ":"), allow_nan=False).encode()
        arrays: dict[str, np.ndarray] = {"keys": np.frombuffer(text, np.uint8)}
        for number, core in enumerate(self.cores):
            arrays |= {f"{number}.{name}": part for name, part in to_arrays(core).items()}
        description = {"format": SCHEMA, "cores": len(self.cores), "options": dict(self.options)}
        _file.write(path, description, arrays)

    def report(self) -> Report:
        """What each core holds and how full its memory is."""
        rows = []
        for number, core in enumerate(self.cores):
            synapses = [core.contents.axon_synapses, core.contents.neuron_synapses]
            count, slots = sum(len(part.source) for part in synapses), core.image.synapses.size
            rows.append(
                {
                    "core": number,
                    "axons": len(core.axons),
                    "relays": len(core.relays),
                    "neurons": int(np.count_nonzero(core.neurons != PAD)),
                    "places": len(core.neurons),
                    "models": len(core.image.types),
                    "synapses": count,
                    "outputs": len(core.contents.reported),
                    "slots": slots,
                    "full": count / slots,
                    "MiB": sum(part.nbytes for _, part in core.image.segments()) / 2**20,
                }
            )
        kinds = {kind for core in self.cores for kind in core.image.types}
        notes = []
        if any(not kind.legacy_noise for kind in kinds):
            notes.append(
                "models without legacy_noise_en: bitstreams from 2025 on give them membranes of 32 "
                "bits, and a logical shift as leak, which is wrong below 0"
            )
        if len(self.cores) > 1:
            notes.append(
                "spikes between cores: how the machine's memory says where they go is not public; "
                "here a neuron has an entry with operation code 1, and `relays` says the rest"
            )
        columns = {name: (name, "") for name in ("core", "models")}
        columns |= {
            name: (name, ",")
            for name in ("axons", "relays", "neurons", "places", "synapses", "outputs", "slots")
        }
        columns |= {"full": ("full", ".0%"), "MiB": ("MiB", ".2f")}
        return Report(f"a network on {spec().name}", tuple(rows), (columns,), tuple(notes))


def configure(
    network: CRINetwork | MappedNetwork, *, cores: Cores = "auto", chip: CRISpec | None = None
) -> Configuration:
    """Place a network on the machine and write down its memory.

    Args:
        network: A network of single synapses; or a mapped one, which `describe_network` unrolls.
        cores: `"auto"`: as few as its neurons and models need. A number: so many, in nearly equal
            blocks. A mapping `{neuron: core}`: by hand.
        chip: The machine's limits, if others than `chips.cri.spec()`.

    Raises:
        NetworkError: What exceeds the machine, all of it, before anything is written.
        MappingError: A mapped network whose synapses can't be told one by one.
        ValueError: `cores` makes no sense.

    Example:
        >>> from neurojax.chips.cri import CRINetwork, LIF_neuron
        >>> from neurojax.hardware.cri import configure
        >>> lif = LIF_neuron(threshold=2)
        >>> neurons = {"a": ([("b", 3)], lif), "b": ([], lif)}
        >>> network = CRINetwork({"in": [("a", 3)]}, neurons, ["b"])
        >>> again = configure(network, cores=2).network
        >>> again.axons, again.connections["a"][0], again.outputs
        ({'in': [('a', 3)]}, [('b', 3)], ['b'])
    """
    chip = spec() if chip is None else chip
    if isinstance(network, MappedNetwork):
        network = describe_network(network)
    options, findings = _options(network)
    held = tables(network)
    shares = on_cores(held, assign(held, cores, chip))
    findings += check(held, shares, chip)
    if findings:
        raise NetworkError(findings)
    placed = []
    for core in shares:
        types = tuple(
            neuron_type(held.models[model], int(end))
            for model, end in zip(core.models, core.ends, strict=True)
        )
        image = build(core, types)
        placed.append(CoreConfiguration(image, core.axons, core.relays, core.neurons))
    return Configuration(held.axon_keys, held.neuron_keys, tuple(placed), options)


def _options(network: CRINetwork) -> tuple[dict[str, Any], list[Finding]]:
    """How the network is computed, and what of it the machine can't."""
    neuron = network.neuron()
    given = sorted(network.options.keys() & OF_MODELS)
    findings = [
        Finding(
            "network",
            f"the option {name}, for all neurons",
            "the machine knows what the models say",
            "put it into the models",
        )
        for name in given
    ]
    if neuron.order != "hardware":
        findings.append(
            Finding(
                "network",
                f"order={neuron.order!r}",
                "that is a simulator's; the machine computes in another order",
                "use order='hardware'",
            )
        )
    elif not neuron.fires_above:
        findings.append(
            Finding(
                "network",
                "strict=False",
                "the machine fires above the threshold, not at it",
                "lower integer thresholds by 1 and leave strict out",
            )
        )
    elif neuron.noise_form == "main":
        findings.append(
            Finding("network", "noise='main'", "that is a simulator's", "use noise='hardware'")
        )
    return {name: getattr(neuron, name) for name in OPTIONS}, findings


def load(path: str | os.PathLike[str]) -> Configuration:
    """Read what `Configuration.save` wrote.

    Raises:
        OSError: The file can't be opened.
        ValueError: It is damaged, or holds no network that the machine could run: what, and where.
    """
    try:
        description, arrays = _file.read(path)
        return _checked(description, arrays)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _checked(description: Any, arrays: dict[str, np.ndarray]) -> Configuration:
    if not isinstance(description, dict) or description.get("format") != SCHEMA:
        raise ValueError("is no configuration of neurojax for CRI")
    count, options = description.get("cores"), description.get("options")
    if type(count) is not int or not 1 <= count <= packets.CORES:
        raise ValueError(f"{count!r} cores; a machine has 1 to {packets.CORES}")
    if not isinstance(options, dict) or not _legal_options(options):
        raise ValueError(f"options {options!r}; they are like {OPTIONS}")
    wanted = {"keys": ("|u1", 1)} | {
        f"{number}.{name}": kind for number in range(count) for name, kind in ARRAYS.items()
    }
    if arrays.keys() != wanted.keys():
        raise ValueError(f"arrays missing or unknown: {sorted(arrays.keys() ^ wanted.keys())[:4]}")
    for name, (dtype, axes) in wanted.items():
        if arrays[name].dtype.str != dtype or arrays[name].ndim != axes:
            found = f"{arrays[name].dtype.str} and shape {arrays[name].shape}"
            raise ValueError(f"array '{name}' has type {found}; it is {dtype} with {axes} axes")
    axon_keys, neuron_keys = _keys(arrays["keys"])
    cores = []
    for number in range(count):
        parts = {name: arrays[f"{number}.{name}"] for name in ARRAYS}
        try:
            cores.append(from_arrays(parts, len(axon_keys), len(neuron_keys)))
        except ValueError as error:
            raise ValueError(f"core {number}: {error}") from None
    check_together(cores, len(axon_keys), len(neuron_keys))
    return Configuration(axon_keys, neuron_keys, tuple(cores), options)


def _legal_options(options: dict[str, Any]) -> bool:
    return (
        options.keys() == OPTIONS.keys()
        and options["overflow"] in ("saturate", "wrap")
        and type(options["bits"]) is int
        and BITS[0] <= options["bits"] <= BITS[1]
        and type(options["leak_bias"]) is bool
    )


def _keys(data: np.ndarray) -> tuple[tuple[Hashable, ...], tuple[Hashable, ...]]:
    try:
        coded = json.loads(data.tobytes())
        axons, neurons = (tuple(map(decode_key, coded[name])) for name in ("axons", "neurons"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"the keys are not valid: {error}") from None
    every = set(axons) | set(neurons)
    if len(every) != len(axons) + len(neurons):
        raise ValueError("a key stands there twice; keys of axons and neurons are different")
    return axons, neurons
