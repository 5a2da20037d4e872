"""Data sets and event files.

`digits` and `yin_yang` need no file. `mnist` and `spoken_digits` look for theirs in
`$NEUROJAX_DATA`, then in the cache directory, then download it and check it. `read_nmnist` and
`read_aedat` read recordings of event cameras.
"""

from ..encode import (
    Events as Events,
    events_to_raster as events_to_raster,
    raster_to_events as raster_to_events,
)
from ._aedat import read_aedat as read_aedat
from ._dataset import Dataset as Dataset, batches as batches, split as split
from ._digits import digits as digits
from ._files import DataFileError as DataFileError, data_directories as data_directories
from ._mnist import mnist as mnist
from ._nmnist import read_nmnist as read_nmnist
from ._spoken_digits import spoken_digits as spoken_digits
from ._yin_yang import (
    sample_yin_yang as sample_yin_yang,
    yin_yang as yin_yang,
    yin_yang_class as yin_yang_class,
)
