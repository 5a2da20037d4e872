"""Speck: a static power, and an energy of synaptic events that its users have to measure.

References:
    [yao] M. Yao et al., "Spike-based dynamic computing with asynchronous sensing-computing
        neuromorphic chip", Nature Communications 15, 2024: 0.42 mW at rest, 0.70 mW in use.
    [vendor] SynSense, product page: 3.36 us for one event through nine layers.
"""

from __future__ import annotations

from neurojax.metrics.devices._constant import Constant
from neurojax.metrics.devices._device import EVENTS, LAYER, POWER, Device

SPECK = Device(
    "speck",
    "Speck",
    energies={
        POWER: Constant(0.42, "mW", "Yao et al. 2024: at rest", "65 nm", "measured", (0.42, 0.42)),
        EVENTS: Constant(None, "pJ", "not published", "65 nm", "unknown"),
    },
    times={LAYER: Constant(3.36 / 9, "us", "SynSense: 3.36 us through nine layers", "65 nm")},
    notes=(
        "no energy of a synaptic event has been published: without e_synop the total is that of "
        "the resting processor alone, a lower bound",
        "the same paper measured 0.70 mW with a network in use; sensor and board are not in it",
    ),
)

DYNAPCNN = Device(
    "dynapcnn",
    "DYNAP-CNN",
    refusal="no energies of the DYNAP-CNN boards have been published; measure (the development "
    "kits report power), and register_device",
)
