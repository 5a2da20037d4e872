"""CRI (HiAER-Spike): the memory image of the machine, its file, and devices that run it."""

from neurojax.hardware.cri.configuration import (
    Configuration as Configuration,
    configure as configure,
    load as load,
)
from neurojax.hardware.cri.core import CoreConfiguration as CoreConfiguration
from neurojax.hardware.cri.device import (
    BridgeDevice as BridgeDevice,
    Device as Device,
    Observables as Observables,
    SimulatedDevice as SimulatedDevice,
)
from neurojax.hardware.cri.image import Image as Image
from neurojax.hardware.cri.words import NeuronType as NeuronType
