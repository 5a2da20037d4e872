"""Other chips, processors, and the arithmetic of 45 nm that papers quote.

References:
    [keras-spiking] keras-spiking, `ModelEnergy`: the constants of processors, Loihi and SpiNNaker.
    [degnan] B. Degnan, B. Marr, J. Hasler, "Assessing trends in performance per watt for signal
        processing applications", IEEE TVLSI 24, 2016.
    [hoeppner] S. Hoeppner et al., arXiv:1903.08941, 2019.
    [merolla] P. Merolla et al., "A million spiking-neuron integrated circuit with a scalable
        communication network and interface", Science 345, 2014: 26 pJ a synaptic event.
    [akopyan] F. Akopyan et al., IEEE TCAD 34, 2015: 400 billion synaptic operations a second and
        watt at best, which is 2.5 pJ.
    [frenkel] C. Frenkel et al., arXiv:1804.07858: 12.7 pJ a synaptic operation at 0.55 V, minimum.
    [horowitz] M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014.
"""

from __future__ import annotations

from neurojax.metrics.devices._constant import Constant
from neurojax.metrics.devices._device import CONNECTIONS, EVENTS, UPDATES, Device

_DEGNAN = "Degnan et al. 2016, via keras-spiking"
_HOEPPNER = "Hoeppner et al. 2019, via keras-spiking"


def _processor(name: str, title: str, energy: float) -> Device:
    constant = Constant(energy, "nJ", _DEGNAN, kind="estimated")
    return Device(
        name,
        title,
        energies={CONNECTIONS: constant, UPDATES: constant},
        spiking=False,
        notes=(
            "computes all connections whether anything spikes or not; trends over many products "
            "before 2016, not one of them, and caches, memory and batches do not enter",
        ),
    )


DEVICES = (
    Device(
        "truenorth",
        "TrueNorth",
        energies={
            EVENTS: Constant(
                26.0,
                "pJ",
                "Merolla et al. 2014; best case 2.5 pJ: Akopyan et al. 2015",
                "28 nm",
                "measured",
                (2.5, None),
            )
        },
        notes=("power of the whole chip by its synaptic events, so it depends on their rate",),
    ),
    Device(
        "odin",
        "ODIN",
        energies={
            EVENTS: Constant(
                12.7,
                "pJ",
                "Frenkel et al. 2018: minimum, at 0.55 V",
                "28 nm",
                "measured",
                (12.7, None),
            )
        },
    ),
    Device(
        "spinnaker",
        "SpiNNaker",
        energies={
            EVENTS: Constant(13.3, "nJ", _HOEPPNER, "130 nm", "measured"),
            UPDATES: Constant(26.0, "nJ", _HOEPPNER, "130 nm", "measured"),
        },
    ),
    Device(
        "spinnaker2",
        "SpiNNaker 2 (prototype)",
        energies={
            EVENTS: Constant(450.0, "pJ", _HOEPPNER, "28 nm", "measured"),
            UPDATES: Constant(2.19, "nJ", _HOEPPNER, "28 nm", "measured"),
        },
        notes=("a prototype of four cores in 28 nm; the chip that followed is in 22 nm",),
    ),
    _processor("cpu", "CPU", 8.6),
    _processor("gpu", "GPU", 0.3),
    _processor("arm", "ARM processor", 0.9),
    Device(
        "45nm",
        "additions in 45 nm",
        energies={EVENTS: Constant(0.9, "pJ", "Horowitz 2014: 32-bit float", "45 nm", "estimated")},
        notes=(
            "an addition for each synaptic event, as many papers count; neither memory, nor "
            "neurons, nor communication, which take most of the energy of real chips",
        ),
    ),
    Device(
        "45nm-mac",
        "multiplications and additions in 45 nm",
        energies={
            CONNECTIONS: Constant(4.6, "pJ", "Horowitz 2014: 32-bit float", "45 nm", "estimated")
        },
        spiking=False,
        notes=(
            "a multiplication and an addition for each connection of the formal network; memory "
            "is not in it",
        ),
    ),
    Device(
        "cri",
        "HiAER-Spike",
        refusal="no energies of HiAER-Spike have been published; it runs on FPGAs: measure the "
        "board, and register_device",
    ),
)
