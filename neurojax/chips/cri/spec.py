"""What CRI (HiAER-Spike) can hold: every limit, written once, with its source.

There is no data sheet. A spec of your own is `dataclasses.replace(spec(), ...)`.

References:
    [rtl] `internal_events_processor.v` and its change log.
    [bridge] hs_bridge, `compile_network` and `fpga_compiler`.
    [tested] Numbers with which the lab's test-suite passes on the machine.
    [paper] HiAER-Spike, https://arxiv.org/abs/2504.03671.
    [hs_api] hs_api 2025, `neuron_models`.
"""

from __future__ import annotations

from dataclasses import dataclass

MEMBRANE_BITS = 35
"""Of a membrane, sign included [rtl, hs_api]."""

WEIGHT_BITS = 16
"""Of a weight, sign included [rtl, hs_api]."""

THRESHOLD_BITS = 36
"""Of a threshold, sign included [rtl]."""

LEAKS = (0, 63)
"""Of a neuron model; 63 is no leak [rtl, hs_api]."""

SHIFTS = (-32, 31)
"""Of the noise: 6 bits with sign [rtl, since L6d]."""

MODELS = {"ANN": 0, "LIF": 2, "IF": 3}
"""Codes of the neuron models [rtl]. 1 counts up in every step; it is for tests of the hardware."""

LARGEST_REFRACTORY = 7
"""Time steps: 3 bits [rtl]."""

LARGEST_DELAY = 15
"""Time steps of a delayed synapse: 4 bits [rtl]."""


@dataclass(frozen=True)
class CRISpec:
    """A machine.

    Attributes:
        name: Its name.
        groups: Groups of neurons that a core updates side by side [rtl].
        rows: Neurons in each group [rtl].
        axons: Of a core, as far as tested; their pointers have 17 bits [tested].
        axon_fan_out: Synapses of an axon [tested].
        axon_fan_in: Synapses of a neuron that come from axons [tested].
        neuron_fan_out: Synapses of a neuron that lead to others [tested].
        neuron_fan_in: Synapses of a neuron that come from others [tested].
        slots: Places for synapses of one source, empty ones included [bridge].
        models: Different neuron models of a core [rtl].
        model_padding: Neurons of a model are stored in multiples of this [hs_api].
        neurons_in_all: Of the whole machine [paper].
        synapses_in_all: Of the whole machine [paper].
    """

    name: str = "HiAER-Spike"
    groups: int = 16
    rows: int = 8192
    axons: int = 16383
    axon_fan_out: int = 4096
    axon_fan_in: int = 8191
    neuron_fan_out: int = 4095
    neuron_fan_in: int = 8159
    slots: int = 4096
    models: int = 16
    model_padding: int = 32
    neurons_in_all: int = 160_000_000
    synapses_in_all: int = 40_000_000_000
    weight_bits: int = WEIGHT_BITS
    membrane_bits: int = MEMBRANE_BITS
    threshold_bits: int = THRESHOLD_BITS
    leaks: tuple[int, int] = LEAKS
    shifts: tuple[int, int] = SHIFTS
    largest_refractory: int = LARGEST_REFRACTORY
    largest_delay: int = LARGEST_DELAY

    @property
    def neurons_per_core(self) -> int:
        """Groups times rows."""
        return self.groups * self.rows


def spec() -> CRISpec:
    """The machine's limits.

    Example:
        >>> from neurojax.chips.cri import spec
        >>> spec().neurons_per_core, spec().neuron_fan_in
        (131072, 8159)
    """
    return CRISpec()
