"""snnTorch 1.0: what its modules become, and its neurons as functions of plain numbers.

`snntorch.leaky(beta=0.9)` is the neuron that `snntorch.Leaky(beta=0.9)` becomes. Equations and
sources are in `neurojax.converters.snntorch._neurons`.
"""

from neurojax.converters.snntorch import _modules as _modules  # for what it registers
from neurojax.converters.snntorch._neurons import (
    alpha as alpha,
    lapicque as lapicque,
    leaky as leaky,
    rleaky as rleaky,
    rsynaptic as rsynaptic,
    surrogate_of as surrogate_of,
    synaptic as synaptic,
)
