"""Loihi 1: what its designers simulated, and what others fitted to measurements later.

References:
    [davies] M. Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning",
        IEEE Micro 38(1), 2018, table 2: circuit simulations before there was silicon, minima.
    [sana-fe] SANA-FE, `arch/loihi.yaml` (0d49da8) and its `latency_sync`: constants fitted to
        measurements of Loihi. They give the other end of each range here.
"""

from __future__ import annotations

from neurojax.metrics.devices._constant import Constant
from neurojax.metrics.devices._device import (
    ACTIVE,
    EVENTS,
    HOPS_X,
    HOPS_Y,
    LEARNING,
    SPIKES,
    STEP,
    UPDATES,
    Device,
)

DAVIES = "Davies et al. 2018, table 2"
BOTH = f"{DAVIES}; range: SANA-FE's fit"


def _simulated(
    value: float,
    unit: str,
    uncertainty: tuple[float | None, float | None],
    source: str = BOTH,
) -> Constant:
    return Constant(value, unit, source, "14 nm", "simulated", uncertainty)


LOIHI = Device(
    "loihi",
    "Loihi 1",
    energies={
        EVENTS: _simulated(23.6, "pJ", (23.6, 35.5)),
        UPDATES: _simulated(52.0, "pJ", (51.2, 52.0)),
        # 81 for an active update; the first 52 are those of any update.
        ACTIVE: _simulated(29.0, "pJ", (21.6, 29.0)),
        SPIKES: _simulated(1.7, "pJ", (1.7, 76.8)),
        HOPS_X: _simulated(3.0, "pJ", (3.0, 3.0)),
        HOPS_Y: _simulated(4.0, "pJ", (4.0, 4.2)),
        LEARNING: _simulated(120.0, "pJ", (120.0, None), DAVIES),
    },
    times={
        EVENTS: _simulated(3.5, "ns", (3.5, 4.0)),
        UPDATES: _simulated(8.4, "ns", (5.3, 9.7)),
        # The cores wait for each other at the end of a step.
        STEP: Constant(
            0.299, "us", "SANA-FE: barrier; range: its table", "14 nm", "estimated", (0.299, 1.8)
        ),
    },
    notes=(
        "the paper's numbers are minima of circuit simulations, not measurements; leakage, the x86 "
        "cores and input and output are not in them",
        "which updates are active is not published: at least those that spike, at most all",
        "hops depend on the placement: half a hop in either direction is assumed for a spike",
    ),
)

LOIHI2 = Device(
    "loihi2",
    "Loihi 2",
    refusal="Intel has published no energies of Loihi 2, and the numbers that circulate (0.9 to "
    "100 pJ an event) have no source and contradict each other; measure, and register_device",
)
