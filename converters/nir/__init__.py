"""NIR, the neuromorphic intermediate representation: reading, writing, importing, exporting.

`read` and `write` need nothing but h5py; the package `nir` is optional.
"""

from neurojax.converters.nir import _presets as presets  # noqa: F401
from neurojax.converters.nir._export import to_nir as to_nir
from neurojax.converters.nir._file import read as read, write as write
from neurojax.converters.nir._flat import flat as flat
from neurojax.converters.nir._graph import (
    Graph as Graph,
    Node as Node,
    checked as checked,
    from_nir_object as from_nir_object,
    to_nir_object as to_nir_object,
)
from neurojax.converters.nir._import import from_nir as from_nir
from neurojax.converters.nir._presets import Preset as Preset
from neurojax.converters.nir._restore import Restored as Restored, restored as restored
