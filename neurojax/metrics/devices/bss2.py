"""BrainScaleS-2: an analog chip takes power while it runs, whatever it computes.

References:
    [cramer] B. Cramer et al., "Surrogate gradients for analog neuromorphic computing", PNAS 119,
        2022: less than 200 mW, 85,000 images a second.
    [stradmann] Y. Stradmann et al., "Demonstrating Analog Inference on the BrainScaleS-2 Mobile
        System", IEEE OJCAS 3, 2022: 192 uJ of the chip, 276 us a sample of an ECG; 5.6 W in all.
"""

from __future__ import annotations

from neurojax.metrics.devices._constant import Constant
from neurojax.metrics.devices._device import POWER, Device

BSS2 = Device(
    "bss2",
    "BrainScaleS-2",
    energies={
        POWER: Constant(
            200.0, "mW", "Cramer et al. 2022: less than 200 mW", "65 nm", "measured", (None, 200.0)
        )
    },
    chip_time=True,
    notes=(
        "power of the chip times the duration of the emulation; loading inputs, reading out, the "
        "FPGA and the host are not in it",
        "with its processors and the perceptron mode in use, the chip took 0.70 W (192 uJ in "
        "276 us; Stradmann et al. 2022), the whole mobile system 5.6 W",
    ),
)
