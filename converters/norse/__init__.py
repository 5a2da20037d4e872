"""Norse 1.1: what its modules become, and its neurons as functions of plain numbers.

`norse.lif()` is the neuron that `norse.torch.LIFCell()` becomes. Cells take one step, the others
(`LIF`, `LI`, ...) a sequence, time first. Equations and sources are in
`neurojax.converters.norse._neurons`.
"""

from neurojax.converters.norse import _modules as _modules  # for what it registers
from neurojax.converters.norse._neurons import (
    iaf as iaf,
    li as li,
    li_box as li_box,
    lif as lif,
    lif_box as lif_box,
    lif_recurrent as lif_recurrent,
    surrogate_of as surrogate_of,
)
