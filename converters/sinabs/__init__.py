"""sinabs: neurons, and the layers around them.

Functions such as `lif` make a neuron from plain numbers. The converters read modules of version 3.
"""

from neurojax.converters.sinabs import _modules as _modules  # for what it registers
from neurojax.converters.sinabs._neurons import (
    alif as alif,
    exp_leak as exp_leak,
    iaf as iaf,
    lif as lif,
    recurrent as recurrent,
)
