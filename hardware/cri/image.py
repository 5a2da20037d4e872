"""The image of a core's memory (HBM): written from synapses, and read back.

Each source has pairs of rows with sixteen slots, one for each group of neurons. Its synapses are
packed greedily: in the order of the list, each goes into the first pair whose slot of the target's
group is free. So the n-th synapse into a group lies in the n-th pair, and the whole image is built
without a loop. Neurons whose spikes go to the host, or to other cores, have a spike entry in the
first free slot.

References:
    hs_bridge (`compile_network`, `fpga_compiler`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt32

from neurojax.hardware.cri import words
from neurojax.hardware.cri._cores import Core, Synapses
from neurojax.hardware.cri.words import GROUPS, MODEL_PADDING, NeuronType

_SLOT_ORDER = np.roll(np.arange(GROUPS), GROUPS // 2)  # 8..15, 0..7: as rows are searched


class Image(NamedTuple):
    """Memory of one core.

    Attributes:
        axon_pointers: Rows from `words.AXON_POINTERS` on; word 0 of a row is the lowest.
        neuron_pointers: Rows from `words.NEURON_POINTERS` on.
        synapses: Rows from `words.SYNAPSES` on.
        types: The core's neuron models, in the order of their neurons.
        silent: Which words of `synapses`, counted from 0, are synapses although all their bits are
            0: those of weight 0 onto the first neuron of a group. The machine has no use for them;
            here they say where a weight may be written later.
    """

    axon_pointers: UInt32[np.ndarray, "a 8"]
    neuron_pointers: UInt32[np.ndarray, "n 8"]
    synapses: UInt32[np.ndarray, "s 8"]
    types: tuple[NeuronType, ...]
    silent: Int[np.ndarray, " z"]

    def segments(self) -> tuple[tuple[int, np.ndarray], ...]:
        """Address of the first row, and rows, of the three parts."""
        return (
            (words.AXON_POINTERS, self.axon_pointers),
            (words.NEURON_POINTERS, self.neuron_pointers),
            (words.SYNAPSES, self.synapses),
        )

    def memory(self) -> UInt32[np.ndarray, "rows 8"]:
        """The memory from row 0 to the last one that is used, zeros between the parts."""
        rows = np.zeros((words.SYNAPSES + len(self.synapses), words.ROW_WORDS), np.uint32)
        for first, part in self.segments():
            rows[first : first + len(part)] = part
        return rows


class Contents(NamedTuple):
    """What an image holds."""

    axon_synapses: Synapses
    neuron_synapses: Synapses
    reported: Int[np.ndarray, " n"]
    relayed: Int[np.ndarray, " n"]


class Layout(NamedTuple):
    """Pairs of rows of a core's sources: axons, those that fill up a block of 16, neurons."""

    axons: int  # sources before the first neuron
    pairs: Int[np.ndarray, " sources"]
    spikes: tuple[tuple[np.ndarray, ...], ...]  # sources, pairs, groups and words of spike entries

    @property
    def first(self) -> Int[np.ndarray, " sources"]:
        """The first pair of each source."""
        return np.cumsum(self.pairs) - self.pairs


def layout(core: Core) -> Layout:
    """How many pairs of rows each source needs, and where its spike entries go."""
    axons = len(core.axons) + len(core.relays)
    axons += -axons % words.POINTER_PADDING
    filled = np.concatenate(
        [_fill(core.axon_synapses, axons), _fill(core.neuron_synapses, len(core.neurons))]
    )
    pairs = np.maximum(filled.max(axis=1), 1)
    # Every neuron has room for a spike entry, reported or not.
    pairs[axons:] += filled[axons:].min(axis=1) == pairs[axons:]
    spikes = []
    for places, opcode in ((core.reported, words.REPORT), (core.relayed, words.RELAY)):
        owners = axons + places
        group, pair = _free(filled[owners])
        pairs[owners] = np.maximum(pairs[owners], pair + 1)
        filled[owners, group] += 1
        spikes.append((owners, pair, group, words.spike_entries(places, opcode)))
    return Layout(axons, pairs, tuple(spikes))


def build(core: Core, types: tuple[NeuronType, ...]) -> Image:
    """The image of a core that passed `capacity.check`."""
    plan = layout(core)
    from_axons, from_neurons = core.axon_synapses, core.neuron_synapses
    every = Synapses(
        np.concatenate([from_axons.source, plan.axons + from_neurons.source]),
        np.concatenate([from_axons.target, from_neurons.target]),
        np.concatenate([from_axons.weight, from_neurons.weight]),
    )
    flat = np.zeros(int(plan.pairs.sum()) * GROUPS, np.uint32)
    at = (plan.first[every.source] + _ranks(every)) * GROUPS + words.place(every.target % GROUPS)
    flat[at] = words.synapses(every.target, every.weight)
    silent = np.sort(at[flat[at] == 0])
    for owners, pair, group, entry in plan.spikes:
        flat[(plan.first[owners] + pair) * GROUPS + words.place(group)] = entry
    first, last = 2 * plan.first, 2 * (plan.first + plan.pairs) - 1
    pointers = words.pointers(first, last).reshape(-1, words.ROW_WORDS)
    split = plan.axons // words.ROW_WORDS
    rows = flat.reshape(-1, words.ROW_WORDS)
    return Image(pointers[:split], pointers[split:], rows, types, silent)


def _fill(synapses: Synapses, sources: int) -> Int[np.ndarray, "sources 16"]:
    """Synapses of each source into each group."""
    key = synapses.source * GROUPS + synapses.target % GROUPS
    return np.bincount(key, minlength=sources * GROUPS).reshape(sources, GROUPS)


def _ranks(synapses: Synapses) -> Int[np.ndarray, " n"]:
    """How many synapses of the same source into the same group come before each."""
    key = synapses.source * GROUPS + synapses.target % GROUPS
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(ordered)])
    run = np.repeat(first, np.diff(np.r_[first, len(ordered)]))
    ranks = np.empty(len(key), np.int64)
    ranks[order] = np.arange(len(key)) - run
    return ranks


def _free(filled: Int[np.ndarray, "n 16"]) -> tuple[np.ndarray, np.ndarray]:
    """Group and pair of the first free slot, as the rows lie in memory."""
    pair = filled.min(axis=1)
    is_free = filled[:, _SLOT_ORDER] == pair[:, None]
    return _SLOT_ORDER[is_free.argmax(axis=1)], pair


def read(image: Image, axons: int) -> Contents:
    """Decode an image.

    Args:
        image: From `build`, or a file. Synapses of weight 0 may be missing if not in `silent`.
        axons: How many of the axon pointers belong to axons; the others fill up a row.

    Returns:
        Synapses sorted by source, those of a source by pair and group; `build` makes the same image
        of them.

    Raises:
        ValueError: Pointers or words that make no sense: all kinds, each with its first place.
    """
    problems: list[str] = []
    neurons = image.neuron_pointers.size
    used = np.r_[image.axon_pointers.reshape(-1), image.neuron_pointers.reshape(-1)]
    first, last = words.pointed(used)
    rows = len(image.synapses)
    _refuse(problems, used, (first < 0) | (last >= rows), f"points outside the {rows} rows")
    _refuse(problems, used, (first | ~last) & 1 != 0, "does not point to whole pairs of rows")
    order = np.argsort(first, kind="stable")
    shared = np.zeros(len(used), bool)
    shared[order[1:]] = first[order[1:]] <= last[order[:-1]]
    _refuse(problems, used, shared, "points to rows of another pointer")
    _refuse_sizes(problems, image, axons)
    if problems:
        raise ValueError("; ".join(problems))
    # Each row has one owner, so reading takes no more memory than the image.
    owner = np.full(rows // 2, -1, np.int64)
    length = (last - first + 1) // 2
    step = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    owner[np.repeat(first // 2, length) + step] = np.repeat(np.arange(len(used)), length)
    flat = image.synapses.reshape(-1)
    is_used = flat != 0
    is_used[image.silent] = True
    at = np.flatnonzero(is_used)
    group = words.place(at % GROUPS)
    at = at[np.lexsort((group, at // GROUPS))]
    source, entry = owner[at // GROUPS], words.entries(flat[at])
    target = entry.row * GROUPS + words.place(at % GROUPS)
    found = flat[at]
    is_axon = source < image.axon_pointers.size
    is_synapse = entry.opcode == words.SYNAPSE
    is_report, is_relay = entry.opcode == words.REPORT, entry.opcode == words.RELAY
    spare = is_axon & (source >= axons)
    _refuse(problems, found, (source < 0) | spare, "has no source", at)
    _refuse(
        problems, found, ~(is_synapse | is_report | is_relay), "has an unknown operation code", at
    )
    _refuse(problems, found, is_synapse & (target >= neurons), f"is not at one of {neurons}", at)
    own = ~is_axon & entry.clean & (entry.neuron == source - image.axon_pointers.size)
    _refuse(problems, found, ~is_synapse & ~own, "is not its neuron's spike", at)
    if problems:
        raise ValueError("; ".join(problems))
    # Pairs of one source are in order in memory, but sources need not be.
    by_source = np.argsort(source, kind="stable")
    every = Synapses(source, target, entry.weight)

    def chosen(mask: np.ndarray, offset: int) -> Synapses:
        taken = every.take(by_source[mask[by_source]])
        return taken._replace(source=taken.source - offset)

    offset = image.axon_pointers.size
    return Contents(
        chosen(is_synapse & is_axon, 0),
        chosen(is_synapse & ~is_axon, offset),
        np.unique(source[is_report] - offset),
        np.unique(source[is_relay] - offset),
    )


def _refuse(
    problems: list[str],
    found: np.ndarray,
    wrong: np.ndarray,
    what: str,
    at: np.ndarray | None = None,
) -> None:
    if not np.any(wrong):
        return
    index = int(np.flatnonzero(wrong)[0])
    kind, number = ("pointer", index) if at is None else ("synapse word", int(at[index]))
    more = int(np.count_nonzero(wrong)) - 1
    also = f" (and {more} more)" if more else ""
    problems.append(f"{kind} {number}, 0x{int(found[index]):08x}, {what}{also}")


def _refuse_sizes(problems: list[str], image: Image, axons: int) -> None:
    room = image.axon_pointers.size
    if room != axons + -axons % words.POINTER_PADDING:
        problems.append(f"{room} axon pointers for {axons} axons; they fill up blocks of 16")
    if image.neuron_pointers.size % MODEL_PADDING:
        problems.append(f"{image.neuron_pointers.size} neuron pointers are no multiple of 32")
    if len(image.synapses) % 2:
        problems.append(f"{len(image.synapses)} rows of synapses are an odd number")
    ends = [kind.boundary for kind in image.types]
    if [0, *ends] != sorted({0, *ends}) or ends[-1:] != [image.neuron_pointers.size // GROUPS]:
        problems.append(
            f"the neuron models end at rows {ends}, but there are "
            f"{image.neuron_pointers.size // GROUPS} rows of neurons"
        )
    silent = image.silent
    if silent.size and (silent.min() < 0 or silent.max() >= image.synapses.size):
        problems.append("silent synapses lie outside the rows")
    elif np.any(image.synapses.reshape(-1)[silent]):
        problems.append("silent synapses whose words are not 0")
