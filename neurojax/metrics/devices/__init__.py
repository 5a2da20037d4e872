"""What chips take: constants with their sources, and the energy of a network on a chip.

Every constant says where it comes from, for which technology, whether it was measured, simulated
or estimated, and how far off it may be, or that nobody knows. Where nothing was published there is
no number: print `metrics.device("loihi2")` for the reason, `register_device` for your own.
"""

from neurojax.metrics.devices._constant import Constant as Constant
from neurojax.metrics.devices._device import Device as Device
from neurojax.metrics.devices._energy import (
    ChipEnergy as ChipEnergy,
    EnergyPart as EnergyPart,
    chip_energy as chip_energy,
    energy_of as energy_of,
)
from neurojax.metrics.devices._estimate import Estimate as Estimate
from neurojax.metrics.devices._registry import (
    device as device,
    names as names,
    register_device as register_device,
    unregister_device as unregister_device,
)
from neurojax.metrics.devices._work import LayerWork as LayerWork, Work as Work, work as work
