"""Loihi: the .net files of lava-dl (slayer writes them, netx reads them), both ways."""

from neurojax.hardware.loihi.configuration import (
    Configuration as Configuration,
    configure as configure,
    load as load,
    read as read,
)
from neurojax.hardware.loihi.records import LayerRecord as LayerRecord
