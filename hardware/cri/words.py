"""The words of the machine's memory, bit by bit: pointers, synapses, spike entries, neuron types.

HBM has rows of eight 32-bit words. Pointers of axons begin at row 0, those of neurons at row 2^14,
and the synapses they point to at row 2^15. A pair of rows holds sixteen synapses, one for each
group of neurons: the row of groups 8 to 15 comes first, and the lowest group of a row is in its
most significant word. Word 0 of a row is the least significant one here. A neuron's group is its
index modulo 16, and its row within the group the index divided by 16.

References:
    hs_bridge (`compile_network`, `fpga_compiler`, `fpga_controller`), the host software of CRI.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt32

ROW_WORDS = 8
GROUPS = 16  # of neurons; also the words of a pair of rows
AXON_POINTERS = 0
NEURON_POINTERS = 1 << 14
SYNAPSES = 1 << 15
ROWS = 1 << 23
MOST_PAIRS = 256  # of one source: a pointer counts 512 rows
POINTER_PADDING = 16
MODEL_PADDING = 32

SYNAPSE = 0
RELAY = 1
REPORT = 4
"""Operation codes: a synapse on this core, a spike for other cores, a spike for the host."""

_INDEX = (1 << 17) - 1


def pointers(first: Int[np.ndarray, " n"], last: Int[np.ndarray, " n"]) -> UInt32[np.ndarray, " n"]:
    """Words that point to rows `first` to `last` of the synapses.

    Example:
        >>> import numpy as np
        >>> [hex(word) for word in pointers(np.array([0, 2]), np.array([1, 5]))]
        ['0x808000', '0x1808002']
    """
    first, last = np.asarray(first, np.int64), np.asarray(last, np.int64)
    return (((last - first) << 23) | (first + SYNAPSES)).astype(np.uint32)


def pointed(words: UInt32[np.ndarray, " n"]) -> tuple[np.ndarray, np.ndarray]:
    """First and last row of the synapses that each word points to; first may be negative."""
    wide = words.astype(np.int64)
    first = (wide & (ROWS - 1)) - SYNAPSES
    return first, first + (wide >> 23)


def synapses(target: Int[np.ndarray, " n"], weight: Int[np.ndarray, " n"]) -> np.ndarray:
    """Words of synapses onto neurons `target`; the place in the pair says the group.

    Example:
        >>> import numpy as np
        >>> [hex(word) for word in synapses(np.array([35]), np.array([-2]))]
        ['0x2fffe']
    """
    row = np.asarray(target, np.int64) // GROUPS
    return ((row << 16) | (np.asarray(weight, np.int64) & 0xFFFF)).astype(np.uint32)


def spike_entries(neuron: Int[np.ndarray, " n"], opcode: int = REPORT) -> np.ndarray:
    """Words that send the neuron's index away, to the host or to other cores.

    Example:
        >>> import numpy as np
        >>> hex(spike_entries(np.array([35]))[0])
        '0x80000023'
    """
    return ((opcode << 29) | np.asarray(neuron, np.int64)).astype(np.uint32)


class Entries(NamedTuple):
    """What words of synapse rows say."""

    opcode: np.ndarray  # int64
    row: np.ndarray  # of the target, if a synapse
    weight: np.ndarray
    neuron: np.ndarray  # if a spike entry
    clean: np.ndarray  # bool: no bit is set that a spike entry does not have


def entries(words: UInt32[np.ndarray, " n"]) -> Entries:
    """Take words apart."""
    wide = words.astype(np.int64)
    return Entries(
        opcode=wide >> 29,
        row=(wide >> 16) & 0x1FFF,
        weight=((wide & 0xFFFF) ^ 0x8000) - 0x8000,
        neuron=wide & _INDEX,
        clean=(wide >> 17) & 0xFFF == 0,
    )


def place(group: Int[np.ndarray, " n"]) -> np.ndarray:
    """Where in a pair of rows the slot of a group lies, counted in words (its own inverse)."""
    return GROUPS - 1 - group


class Field(NamedTuple):
    """Bits of a neuron-type word."""

    low: int
    width: int
    signed: bool = False

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest number."""
        half = 1 << (self.width - 1)
        return (-half, half - 1) if self.signed else (0, 2 * half - 1)


NEURON_TYPE = {
    "leak": Field(78, 6),
    "shift": Field(72, 6, signed=True),
    "model": Field(70, 2),
    "threshold": Field(34, 36, signed=True),
    "boundary": Field(21, 13),
    "delay": Field(17, 4),
    "refractory": Field(14, 3),
    "dual_synapse": Field(13, 1),
    "shadow": Field(9, 4),
    "soft_reset": Field(8, 1),
    "legacy_noise": Field(7, 1),
}
"""Place of each field in the 84 bits of a neuron-type word; bits 6 to 0 are unused."""


@dataclass(frozen=True)
class NeuronType:
    """A neuron model of a core, as its parameter memory holds it.

    Attributes:
        leak: The membrane loses V >> leak in each step.
        shift: Of the noise; -17 and below: none.
        model: 0: ANN, 2: LIF, 3: IF.
        threshold: The neuron fires above it.
        boundary: Rows of neurons (of 16) that end with this model's.
        delay: Of delayed synapses, in steps.
        refractory: Steps whose input is lost after a spike.
        dual_synapse: Whether synapses come in two kinds.
        shadow: Offset of the second kind's memory.
        soft_reset: 1: a spike subtracts the threshold. 0: it sets the membrane to 0.
        legacy_noise: 1: membranes of 35 bits, arithmetic shifts. 0: 32 bits and logical shifts.
    """

    leak: int = 63
    shift: int = -17
    model: int = 2
    threshold: int = 0
    boundary: int = 0
    delay: int = 0
    refractory: int = 0
    dual_synapse: int = 0
    shadow: int = 0
    soft_reset: int = 0
    legacy_noise: int = 1

    def findings(self) -> list[str]:
        """What does not fit its bits."""
        wrong = []
        for name, field in NEURON_TYPE.items():
            value, (least, most) = getattr(self, name), field.range
            if not least <= value <= most:
                wrong.append(f"{name} {value:,}; {field.width} bits hold {least:,} to {most:,}")
        return wrong

    @property
    def word(self) -> int:
        """The 84 bits.

        Raises:
            ValueError: A field that does not fit.

        Example:
            >>> hex(NeuronType(leak=0, shift=-17, model=0, threshold=-1, boundary=2).word)
            '0x2f3ffffffffc00400080'
        """
        if wrong := self.findings():
            raise ValueError("; ".join(wrong))
        word = 0
        for name, field in NEURON_TYPE.items():
            word |= (getattr(self, name) & ((1 << field.width) - 1)) << field.low
        return word

    @classmethod
    def read(cls, word: int) -> NeuronType:
        """The fields of a word."""
        values = {}
        for name, field in NEURON_TYPE.items():
            value = (word >> field.low) & ((1 << field.width) - 1)
            if field.signed and value >> (field.width - 1):
                value -= 1 << field.width
            values[name] = value
        return cls(**values)


assert {field.name for field in fields(NeuronType)} == set(NEURON_TYPE)
