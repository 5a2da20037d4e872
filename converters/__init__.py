"""Ways into and out of neurojax: networks of other libraries and exchange formats.

One module a source. Every importer returns a `neurojax` network, every exporter takes one.
"""

from neurojax.converters._registry import (
    OUTPUT as OUTPUT,
    Converted as Converted,
    register as register,
)
from neurojax.converters.ann import ann_to_snn as ann_to_snn
