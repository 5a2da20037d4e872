"""What a BrainScaleS-2 chip can hold: every limit, written once, with its source.

The chip has 512 neuron circuits in two rows of 256 columns. Each row has a synapse array of its
own, 256 rows by 256 columns: a row of synapses has one sign, and gets its events from one of four
buses. The two arrays, with the neurons that they feed, are the hemispheres.

References:
    [halco] E. Mueller et al., "The Operating System of the Neuromorphic BrainScaleS-1 System" and
    "A Scalable Approach to Modeling on Accelerated Neuromorphic Hardware", 2020 and 2022; the
    numbers are those of the coordinates of halco (hicann-dls/vx).
    [haldls] Ranges of the containers of haldls (vx).
    [grenade] Limits that its greedy router states.
    [calix] Legal ranges of `NeuronCalibTarget`.
    [hxtorch] hxtorch (3bfc7aa).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from neurojax.chips.bss2.weights import LARGEST


class Range(NamedTuple):
    """Legal values, both ends included."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value is legal."""
        return bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class ChipSpec:
    """A chip and its limits."""

    name: str = "bss2"
    # The neurons
    hemispheres: int = 2  # [halco] rows of neurons; a synapse array reaches those of its row
    columns: int = 256  # [halco] circuits a row
    half: int = 128  # [halco] columns of a neuron's circuits lie all left of this one, or none
    columns_per_output: int = 32  # [halco] of a row, that share one event output with those below
    # The synapses
    rows: int = 256  # [halco] synapse rows of a hemisphere
    largest_weight: int = LARGEST  # [haldls] six bits; the sign is that of the row
    labels: int = 64  # [haldls] six bits in a synapse tell sources on one row apart
    row_addresses: int = 32  # [haldls] five bits of an event select the drivers that let it in
    # The buses
    buses: int = 4  # [halco] of a hemisphere; column c sends on bus c // 32 mod 4
    drivers: int = 32  # [halco] of a bus
    rows_per_driver: int = 2  # [halco]
    host_inputs: int = 4  # [halco] streams of events from the host; stream k reaches the buses k
    background_sources: int = 8  # [halco] one a bus
    # Read-out
    cadc_bits: int = 8  # [haldls]
    cadc_period: float = 1.7e-6  # [hxtorch] seconds, shortest; about 2 us into SRAM, 6 us into DRAM
    madc_bits: int = 10  # [haldls]
    madc_neurons: int = 1  # [hxtorch] a run
    capmem_largest: int = 1022  # [haldls] ten bits; 1023 switches the refresh of a cell off
    # Time
    clock: float = 125e6  # [haldls] Hz: of spike times, and of waiting
    refractory_clock: float = 250e6  # [haldls] Hz, divided by 2^(scale + 1), scale 0 to 15
    refractory_counter: int = 255  # [haldls]
    timer: int = (1 << 32) - 1  # [haldls] cycles that a run may last

    @property
    def circuits(self) -> int:
        """Neuron circuits of the chip."""
        return self.hemispheres * self.columns

    @property
    def rows_per_bus(self) -> int:
        """Synapse rows that get the events of one bus."""
        return self.drivers * self.rows_per_driver

    @property
    def signed_fan_in(self) -> int:
        """Sources of one circuit, if each can have either sign."""
        return self.rows // 2

    @property
    def longest(self) -> float:
        """Seconds that a run may last."""
        return self.timer / self.clock


chip = ChipSpec()
"""The only chip of the family."""


@dataclass(frozen=True)
class CalibrationTarget:
    """What the calibration on site shall reach for the neurons of a population.

    Potentials are in steps of the CADC, the converter that reads all columns; times in seconds.

    Attributes:
        leak, reset, threshold: Potentials.
        tau_mem, tau_syn: Time constants.
        refractory_time: Pause after a spike.
        holdoff_time: What is cut off the end of the pause.
        membrane_capacitance: 63 is about 2.2 pF.
        i_synin_gm: Strength of the synaptic inputs; one value for the chip.
        synapse_dac_bias: Strength of the synapses; one value for the chip.
    """

    leak: float = 80.0
    reset: float = 80.0
    threshold: float = 125.0
    tau_mem: float = 10e-6
    tau_syn: float = 10e-6
    refractory_time: float = 1e-6
    holdoff_time: float = 0.0
    membrane_capacitance: int = 63
    i_synin_gm: int = 500
    synapse_dac_bias: int = 600

    # Defaults: [hxtorch], its populations.


TARGET_RANGES: dict[str, Range] = {
    "leak": Range(50, 160),
    "reset": Range(50, 160),
    "threshold": Range(50, 220),
    "tau_mem": Range(0.5e-6, 60e-6),
    "tau_syn": Range(0.3e-6, 30e-6),
    "refractory_time": Range(40e-9, 32e-6),
    "holdoff_time": Range(0, 4e-6),
    "membrane_capacitance": Range(0, 63),
    "i_synin_gm": Range(30, 800),
    "synapse_dac_bias": Range(30, 1022),
}
"""Legal values of the fields of a `CalibrationTarget` [calix]."""

POTENTIALS = ("leak", "reset", "threshold")
"""Fields of a `CalibrationTarget` in steps of the CADC."""

TIMES = ("tau_mem", "tau_syn", "refractory_time", "holdoff_time")
"""Fields of a `CalibrationTarget` in seconds."""

SHARED = ("i_synin_gm", "synapse_dac_bias")
"""Fields of which the chip has one value [calix]."""
