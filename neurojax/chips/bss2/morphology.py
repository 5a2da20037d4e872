"""Neurons made of several circuits: their shape, where it fits, and which circuit does what.

A neuron with more inputs than the rows of one column is made of circuits side by side whose
membranes are connected. The first of them leaks, spikes and is read out; the others only bring
their synapses along.

References:
    hxtorch, `hxtorch.spiking.morphology`; halco, `LogicalNeuronOnDLS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from neurojax.chips.bss2.spec import ChipSpec, chip as default_chip


class Circuit(NamedTuple):
    """Place of a neuron circuit; row 0 is the upper hemisphere."""

    row: int
    column: int


@dataclass(frozen=True)
class CircuitSettings:
    """What a circuit of a neuron is set to, apart from what calibration finds.

    Attributes:
        leaks: Its leak is on; if not, the bias is 0 and divided.
        capacitance: Its capacitance is that of the neuron; if not, 0.
        fires: Its threshold comparator is on.
        sends: Its spikes leave the neuron, for other neurons and for the host.
        madc: Its membrane goes to the fast converter.
    """

    leaks: bool = True
    capacitance: bool = True
    fires: bool = True
    sends: bool = True
    madc: bool = False


@dataclass(frozen=True)
class SingleCompartmentNeuron:
    """The shape of a neuron with one membrane potential.

    Attributes:
        size: Number of circuits.
        expand_horizontally: Circuits lie in one row. Otherwise a column is filled first: the upper
            circuit, the lower one, then the next column.

    Raises:
        ValueError: More circuits than fit into half a row, or half the chip.

    Example:
        >>> from neurojax.chips.bss2 import Circuit, SingleCompartmentNeuron
        >>> SingleCompartmentNeuron(3).at(Circuit(0, 10))
        (Circuit(row=0, column=10), Circuit(row=1, column=10), Circuit(row=0, column=11))
    """

    size: int = 1
    expand_horizontally: bool = False

    def __post_init__(self) -> None:
        rows = 1 if self.expand_horizontally else default_chip.hemispheres
        most = rows * default_chip.half
        if type(self.size) is not int or not 1 <= self.size <= most:
            raise ValueError(
                f"SingleCompartmentNeuron: size is {self.size!r}; a neuron has 1..{most} circuits"
                + (", or twice as many in two rows" if self.expand_horizontally else "")
            )

    @property
    def offsets(self) -> tuple[Circuit, ...]:
        """Places of the circuits relative to the first one."""
        if self.expand_horizontally:
            return tuple(Circuit(0, i) for i in range(self.size))
        return tuple(Circuit(i % 2, i // 2) for i in range(self.size))

    def fits(self, anchor: Circuit, chip: ChipSpec = default_chip) -> bool:
        """Whether all circuits lie on the chip, and in one half of it, left or right."""
        last = Circuit(*(max(places) for places in zip(*self.at(anchor), strict=True)))
        return (
            min(anchor) >= 0
            and last.row < chip.hemispheres
            and last.column < chip.columns
            and anchor.column // chip.half == last.column // chip.half
        )

    def at(self, anchor: Circuit) -> tuple[Circuit, ...]:
        """The circuits of a neuron whose first one is at `anchor`."""
        return tuple(Circuit(anchor[0] + row, anchor[1] + column) for row, column in self.offsets)

    def settings(
        self, *, spiking: bool = True, leaky: bool = True, sends: bool = True, madc: bool = False
    ) -> tuple[CircuitSettings, ...]:
        """What each circuit is set to.

        Args:
            spiking: The neuron has a threshold.
            leaky: Its membrane leaks.
            sends: Its spikes are sent; False is a neuron that is masked, say by dropout.
            madc: The fast converter records its membrane.
        """
        first = CircuitSettings(leaky, True, spiking, sends and spiking, madc)
        other = CircuitSettings(False, False, False, False)
        return (first,) + (other,) * (self.size - 1)
