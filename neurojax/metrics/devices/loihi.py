"""Loihi 1: what its designers published, and where the constants of a simulator differ from it.

References:
    [davies] M. Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning",
        IEEE Micro 38(1), 2018, table 2: pre-silicon circuit simulations, "consistent with early
        post-silicon characterization"; 23.6 pJ is a minimum, 3.5 ns a maximum. The barrier takes
        113 to 465 ns for 1 to 32 tiles.
    [sana-fe] The simulator SANA-FE 2.2.9, `examples/loihi.yaml` (in its repository
        `arch/loihi.yaml`). Its header says that all numbers are those of [davies]; most differ from
        them, and where these come from is not written there. They give the other end of each range
        here. Synapses: 24 to 35.5 pJ and 3.1 to 4.7 ns, by how they are stored; updates: 51.2 and
        21.6 pJ, 6.0 and 3.7 ns; spikes: 69.3 pJ at the neuron and 111 pJ for a message to another
        core; barrier: 0.6 us for one tile to 1.8 us for 29.
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
BOTH = f"{DAVIES}; range: to the constants of the simulator SANA-FE, which differ"


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
        # Within a tile; SANA-FE: 69.3 where it leaves, 111.0 for the message to one other core.
        SPIKES: _simulated(1.7, "pJ", (1.7, 180.3)),
        HOPS_X: _simulated(3.0, "pJ", (3.0, 3.0), DAVIES),
        HOPS_Y: _simulated(4.0, "pJ", (4.0, 4.2)),
        LEARNING: _simulated(120.0, "pJ", (120.0, None), DAVIES),
    },
    times={
        EVENTS: _simulated(3.5, "ns", (3.1, 4.7)),
        UPDATES: _simulated(8.4, "ns", (5.3, 9.7)),
        # The cores wait for each other at the end of a step: all 32 tiles, or one.
        STEP: _simulated(0.465, "us", (0.113, 1.8)),
    },
    notes=(
        "the paper's numbers are of circuit simulations, before there was silicon; leakage, the "
        "x86 cores and input and output are not in them",
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
