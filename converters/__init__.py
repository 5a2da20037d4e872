"""Ways into and out of neurojax: networks of other libraries and exchange formats.

One module a source. Every importer returns a `neurojax` network, every exporter takes one.
"""

from neurojax.converters import (
    cri as cri,
    hxtorch as hxtorch,
    lava_exchange as lava_exchange,
    nir as nir,
    norse as norse,
    qualia as qualia,
    sinabs as sinabs,
    slayer as slayer,
    snntorch as snntorch,
    spikingjelly as spikingjelly,
)
from neurojax.converters._registry import (
    OUTPUT as OUTPUT,
    Converted as Converted,
    register as register,
)
from neurojax.converters._torch_file import load_state_dict as load_state_dict
from neurojax.converters.ann import ann_to_snn as ann_to_snn
from neurojax.converters.fuse import fuse_batch_norm as fuse_batch_norm
from neurojax.converters.hxtorch import map_from as map_from
from neurojax.converters.nir import from_nir as from_nir, to_nir as to_nir
from neurojax.converters.parameters import (
    Loaded as Loaded,
    ParameterReport as ParameterReport,
    load_parameters as load_parameters,
)
from neurojax.converters.to_torch import network_of as network_of, to_torch as to_torch
from neurojax.converters.torch import from_torch as from_torch

# Without the modules: `import *` must not put ours in the place of a user's torch, nir or sinabs.
__all__ = [
    "OUTPUT",
    "Converted",
    "Loaded",
    "ParameterReport",
    "ann_to_snn",
    "from_nir",
    "from_torch",
    "fuse_batch_norm",
    "load_parameters",
    "load_state_dict",
    "map_from",
    "network_of",
    "register",
    "to_nir",
    "to_torch",
]
