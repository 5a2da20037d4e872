"""neurojax: a differentiable simulator of neuromorphic chips in JAX."""

from neurojax._graph import Edge as Edge
from neurojax._layer import BATCH_AXIS as BATCH_AXIS, Layer as Layer
from neurojax._network import (
    Network as Network,
    NetworkState as NetworkState,
    Sequential as Sequential,
)
from neurojax._probe import Probe as Probe
from neurojax._simulate import Run as Run, simulate as simulate

__version__ = "0.1.0"
