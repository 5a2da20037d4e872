"""DYNAP-CNN and Speck: the configuration of a device, as plain data and as a file."""

from neurojax.hardware.dynapcnn._file import load as load
from neurojax.hardware.dynapcnn.configuration import (
    Configuration as Configuration,
    LayerInfo as LayerInfo,
    configure as configure,
    vendor_fields as vendor_fields,
)
