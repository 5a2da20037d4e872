"""Plain C99: a network for a microcontroller, without heap, libc or floating-point surprises."""

from neurojax.hardware.c._build import Executable as Executable
from neurojax.hardware.c._featuremaps import read_featuremaps as read_featuremaps
from neurojax.hardware.c._file import load as load, load_program as load_program
from neurojax.hardware.c._format import schema as schema
from neurojax.hardware.c.program import Program as Program, Size as Size, configure as configure
from neurojax.hardware.c.qualia import QualiaCodeGen as QualiaCodeGen
