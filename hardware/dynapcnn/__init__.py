"""DYNAP-CNN and Speck: the configuration of a device, as plain data, as a file, and in samna."""

from neurojax.hardware.dynapcnn._file import load as load
from neurojax.hardware.dynapcnn._format import schema as schema
from neurojax.hardware.dynapcnn.board import Board as Board
from neurojax.hardware.dynapcnn.configuration import (
    Configuration as Configuration,
    configure as configure,
    vendor_fields as vendor_fields,
)
from neurojax.hardware.dynapcnn.vendor import (
    apply as apply,
    deploy as deploy,
    import_samna as import_samna,
    to_samna as to_samna,
)
