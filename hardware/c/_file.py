"""Reading back what `Program.save` has written."""

from __future__ import annotations

from pathlib import Path

from neurojax.chips import MappedNetwork
from neurojax.hardware import _json
from neurojax.hardware.c._record import RECORD, from_data
from neurojax.hardware.c.program import Program, configure


def load(folder: str | Path) -> MappedNetwork:
    """The network of a folder of C code; it simulates bit for bit as the one that was saved.

    Args:
        folder: Where `Program.save` wrote, or the path of a `network.json`.

    Raises:
        OSError: The file can't be read.
        ValueError: It is cut off, is no such file, is of another version, or fields are missing,
            of a wrong type, out of range or don't fit one another: all of them, each with its
            place and layer.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from tempfile import mkdtemp
        >>> from neurojax.chips import mcu
        >>> from neurojax.hardware import c
        >>> net = nj.Sequential((2,), fc=nj.Linear.from_weights(jnp.array([[0.5, -0.25]])))
        >>> mapped = mcu.map(net, quantize="int8", calibration=jnp.ones((1, 1, 2)))
        >>> folder = mkdtemp()
        >>> c.configure(mapped).save(folder)
        >>> x = jnp.full((1, 1, 2), 0.5)
        >>> bool((nj.simulate(c.load(folder).network, x).outputs
        ...       == nj.simulate(mapped.network, x).outputs).all())
        True
    """
    return load_program(folder).mapped


def load_program(folder: str | Path) -> Program:
    """The program of a folder of C code, with its options.

    Args:
        folder: Where `Program.save` wrote, or the path of a `network.json`.

    Raises:
        OSError: The file can't be read.
        ValueError: See `load`.
    """
    path = Path(folder)
    path = path / RECORD if path.is_dir() else path

    def from_json(data: object) -> Program:
        record = from_data(data)
        return configure(record.mapped, **record.options)

    return _json.read(path, from_json)
