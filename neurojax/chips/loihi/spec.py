"""What Loihi's neurons, synapses and cores can hold: every limit, written once, with its source.

Intel publishes no data sheet. Widths and ranges are those of its simulator (Lava), of the tools
that drove the first chip (nengo-loihi, brian2-loihi) and of the papers; what only secondary
sources say is marked as unconfirmed. A spec of your own is `dataclasses.replace(spec(...), ...)`.

References:
    [davies] M. Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning",
    IEEE Micro 38, 2018.
    [lava] Lava 0.11, `PyLifModelBitAcc`, `PyDenseModelBitAcc`; lava-dl 0.7, `slayer`, `netx`.
    [nengo] nengo-loihi 1.1, `block.py`, `hardware/validate.py`, `emulator`.
    [brian2] brian2-loihi 0.5.
    [wikichip] WikiChip and open-neuromorphic.org on Loihi 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurojax._graph import nearest

DECAY_BITS = 12
"""A decay is a multiple of 2^-12: 0 keeps everything, 4096 / 4096 keeps nothing [davies, lava]."""

FULL = 1 << DECAY_BITS
"""The decay, in steps, that keeps nothing."""

STATE_SHIFT = 6
"""States have this many more bits behind the point than weights and thresholds [lava, nengo]."""

STATE_BITS = 24
"""Width of current and membrane, sign included [lava, nengo]."""

LARGEST_STATE = (1 << (STATE_BITS - 1)) - 1
"""Of the membrane; the smallest is its negative [lava]."""

MESSAGE_BITS = STATE_BITS
"""Width of what graded and sigma-delta neurons send, sign included in Lava's integers [lava]."""

WEIGHT_BITS = 8
"""Width of a weight of either sign; its lowest bit is 0, so weights are even [lava, nengo]."""

LARGEST_THRESHOLD = (1 << 17) - 1
"""Of the threshold's mantissa; it is compared with the membrane shifted by 6 bits [lava, nengo]."""

LARGEST_BIAS = (1 << 12) - 1
"""Of the bias' mantissa, of either sign [nengo]; 13 bits with the sign [lava]."""

BIAS_EXPONENTS = (0, 7)
"""Lowest and highest exponent of the bias [lava, nengo]."""

WEIGHT_EXPONENTS = (-8, 7)
"""Lowest and highest exponent of the weights of a synapse [nengo]."""

LARGEST_REFRACTORY = 64
"""Time steps that a membrane stays at 0, the spike's own included [brian2, nengo]."""

LARGEST_AXONAL_DELAY = 62
"""Time steps [lava]."""


@dataclass(frozen=True)
class LoihiSpec:
    """A device. None: no limit is known, so none is checked.

    Attributes:
        name: The device's name.
        cores: Cores of one chip.
        neurons_per_core: Compartments of a core.
        in_axons_per_core: Sources whose spikes a core can receive.
        out_axons_per_core: Pairs of neuron and target core that a core can send to.
        synapse_bits_per_core: Memory for synapses, in bits.
        shared_kernels: A convolution's weights are stored once for a core, not once for each
            synapse.
        weight_bits: Widths that weights can have.
        current_decay: Lowest and highest `du`; the decay is one more.
        voltage_decay: Lowest and highest `dv`.
        accumulator_bits: Width, sign included, of the sum of what arrives in one step, in state
            steps.
        unconfirmed: Names of the limits that only secondary sources give.
    """

    name: str
    cores: int
    neurons_per_core: int
    in_axons_per_core: int | None
    out_axons_per_core: int | None
    synapse_bits_per_core: int | None
    shared_kernels: bool
    weight_bits: tuple[int, ...]
    current_decay: tuple[int, int]
    voltage_decay: tuple[int, int]
    accumulator_bits: int | None
    unconfirmed: tuple[str, ...] = ()
    largest_threshold: int = LARGEST_THRESHOLD
    largest_bias: int = LARGEST_BIAS
    bias_exponents: tuple[int, int] = BIAS_EXPONENTS
    weight_exponents: tuple[int, int] = WEIGHT_EXPONENTS
    largest_delay: int = LARGEST_AXONAL_DELAY
    largest_refractory: int = LARGEST_REFRACTORY


devices: dict[str, LoihiSpec] = {
    chip.name: chip
    for chip in (
        LoihiSpec(
            "loihi1",
            cores=128,  # [davies]
            neurons_per_core=1024,  # [davies, nengo]
            in_axons_per_core=4096,  # [nengo]
            out_axons_per_core=4096,  # [nengo]
            synapse_bits_per_core=1 << 20,  # [davies, nengo] 128 KiB
            # Lists of synapses can be shared by axons, at a cost in axons; not counted on here.
            shared_kernels=False,
            weight_bits=(0, 1, 2, 3, 4, 5, 6, 8),  # [nengo]
            current_decay=(0, 4095),  # [nengo] the register has 12 bits
            voltage_decay=(0, 4095),  # [nengo]; [brian2] has 4096, too
            accumulator_bits=22,  # [nengo] 21 bits and the sign
        ),
        LoihiSpec(
            "loihi2",
            cores=128,  # [wikichip]; some boards have 120
            neurons_per_core=8192,  # [wikichip]
            in_axons_per_core=None,
            out_axons_per_core=None,
            synapse_bits_per_core=192 * 1024 * 8,  # [wikichip] shared with states and axons
            shared_kernels=True,  # [wikichip]
            weight_bits=(1, 2, 3, 4, 5, 6, 7, 8),  # [lava]
            current_decay=(-1, 4095),  # [lava] the simulator takes -1: no decay
            voltage_decay=(0, 4096),  # [lava]
            accumulator_bits=None,
            unconfirmed=("cores", "neurons_per_core", "synapse_bits_per_core", "shared_kernels"),
        ),
    )
}
"""Every device, by name."""


def spec(device: str | LoihiSpec) -> LoihiSpec:
    """The description of a device.

    Args:
        device: `"loihi1"`, `"loihi2"`, or a `LoihiSpec` (say, one of yours), which is returned as
            it is.

    Raises:
        ValueError: The name is unknown.

    Example:
        >>> import dataclasses
        >>> from neurojax.chips.loihi import spec
        >>> spec("loihi1").in_axons_per_core
        4096
        >>> board = dataclasses.replace(spec("loihi2"), name="a board", cores=120)
    """
    if isinstance(device, LoihiSpec):
        return device
    name = device.strip().lower().replace(" ", "")
    if name not in devices:
        raise ValueError(f"no device '{device}'; {nearest(name, devices)}")
    return devices[name]
