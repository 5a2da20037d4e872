"""A device as far as its costs are concerned: what each thing that happens takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from neurojax._table import text_table
from neurojax.metrics.devices._constant import Constant

EVENTS = "synaptic events"
CONNECTIONS = "connections"
UPDATES = "neuron updates"
ACTIVE = "active updates"
SPIKES = "spikes"
HOPS_X = "hops east-west"
HOPS_Y = "hops north-south"
LEARNING = "weight updates"
POWER = "seconds"
ENERGY_TERMS = (EVENTS, CONNECTIONS, UPDATES, ACTIVE, SPIKES, HOPS_X, HOPS_Y, LEARNING, POWER)
"""What can cost energy; the energy of `POWER` is a power times the duration of an inference."""

STEP = "time steps"
LAYER = "layers"
TIME_TERMS = (EVENTS, UPDATES, STEP, LAYER)
"""What can take time: one after the other on a core, in every time step, in every layer that an
event passes."""


@dataclass(frozen=True)
class Device:
    """A device: an energy, or a power, for each kind of thing that happens.

    Attributes:
        name: Under which it is registered.
        title: Its name for people.
        energies: Constants by what happens: `"synaptic events"`, `"connections"` (all of them,
            whether anything comes or not), `"neuron updates"`, `"active updates"` (on top of the
            update), `"spikes"`, `"hops east-west"`, `"hops north-south"`, `"weight updates"`, and
            `"seconds"` for a power in watts.
        times: Constants by what happens: `"synaptic events"` and `"neuron updates"` one after the
            other on a core, `"time steps"`, and `"layers"` that an event passes.
        spiking: Works only where a spike arrives. If not, it computes all connections.
        chip_time: The time steps of a simulation are the time on the chip itself.
        notes: What to know about these numbers.
        refusal: Why there are no numbers; the device is then only a name with a reason.

    Raises:
        ValueError: A constant for something that is not counted, or in another unit.
    """

    name: str
    title: str
    energies: Mapping[str, Constant] = field(default_factory=dict)
    times: Mapping[str, Constant] = field(default_factory=dict)
    spiking: bool = True
    chip_time: bool = False
    notes: tuple[str, ...] = ()
    refusal: str = ""

    def __post_init__(self) -> None:
        for kind, known in (("energies", ENERGY_TERMS), ("times", TIME_TERMS)):
            given = dict(getattr(self, kind))
            for what, constant in given.items():
                if what not in known:
                    raise ValueError(
                        f"device '{self.name}': {kind} has '{what}'; what is counted is: "
                        + ", ".join(known)
                    )
                unit = "s" if kind == "times" else "W" if what == POWER else "J"
                if constant.unit[-1] != unit:
                    raise ValueError(
                        f"device '{self.name}': the constant of '{what}' is in {constant.unit}; "
                        f"give it in {unit}"
                    )
            object.__setattr__(self, kind, MappingProxyType(given))

    def with_energies(self, energies: Mapping[str, Constant]) -> Device:
        """The same device with other constants, or more of them.

        Example:
            >>> from neurojax import metrics
            >>> mine = metrics.Constant(20.0, "pJ", "my board", kind="measured")
            >>> speck = metrics.device("speck").with_energies({"synaptic events": mine})
            >>> speck.energies["synaptic events"].value
            20.0
        """
        return replace(self, energies={**self.energies, **energies}, refusal="")

    def __str__(self) -> str:
        """A table of the constants: value, range, technology, kind and source."""
        if self.refusal:
            return f"{self.title}: {self.refusal}"
        rows = [
            [f"{what}{of}", c.text, c.node or "unknown", c.kind, c.source]
            for constants, of in ((self.energies, ""), (self.times, " (time)"))
            for what, c in constants.items()
        ]
        table = text_table(["for", "constant", "node", "kind", "source"], rows)
        return "\n".join([self.title, table, *(f"- {note}" for note in self.notes)])

    __repr__ = __str__
