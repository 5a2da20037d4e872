"""From one file format to another, with the quantisation kept: Loihi's .net files and NIR.

    python -m neurojax.exchange network.net network.nir --dt 1e-3
    python -m neurojax.exchange network.nir network.net --scale 64

A .net file holds integers, a NIR file real numbers and time constants. With one scale for both
ways, the integers come back as they were.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

from neurojax._layer import Shape
from neurojax.chips import MappedNetwork
from neurojax.chips.loihi.mapping import map as map_network
from neurojax.chips.loihi.quantise import SCALE
from neurojax.chips.loihi.real import to_real, with_biases, without_resting_potentials
from neurojax.converters.nir import Graph, from_nir, to_nir
from neurojax.hardware.loihi import Configuration, configure, load


def net_to_nir(
    net_path: str | os.PathLike[str],
    nir_path: str | os.PathLike[str],
    *,
    dt: float = 1e-3,
    scale: float = SCALE,
    input_shape: Shape | None = None,
) -> Graph:
    """Write the network of a .net file as a NIR file.

    Args:
        net_path: What slayer, or `hardware.loihi.configure`, wrote.
        nir_path: Where to; the file appears whole or not at all.
        dt: Duration of a time step in seconds.
        scale: Weight steps per unit.
        input_shape: See `hardware.loihi.load`.

    Returns:
        The graph that was written. Time is as in `load(..., timing="aligned")`: axonal delays are
        nodes of their own, the chip's step in front of each synapse is not in it.

    Raises:
        ValueError: The file is not valid; layers that NIR has no node for (sigma-delta neurons,
            resonators, adaptive neurons, layers that scale the input), all at once.
        OSError: A file can't be read or written.

    Warns:
        UserWarning: What readers of the NIR file other than neurojax won't know.
    """
    mapped = load(net_path, input_shape=input_shape)
    try:
        network = to_real(mapped, scale=scale)
    except ValueError as error:
        raise ValueError(f"{os.fspath(net_path)}: {error}") from None
    return to_nir(network, nir_path, dt=dt, allow_lossy=True)


def nir_to_net(
    nir_path: str | os.PathLike[str],
    net_path: str | os.PathLike[str],
    *,
    dt: float | None = None,
    scale: float | None = SCALE,
    preset: str | None = None,
    round_biases: bool = False,
    input_layer: bool = False,
) -> tuple[Configuration, MappedNetwork]:
    """Map the network of a NIR file onto Loihi, and write it as a .net file.

    Args:
        nir_path: From any tool.
        net_path: Where to; the file appears whole or not at all.
        dt: Duration of a time step in seconds, see `from_nir`.
        scale: Weight steps per unit: 64 for what was trained with slayer or came from
            `net_to_nir`. None: for each layer that of the least error.
        preset: Whose NIR it is, see `from_nir`.
        round_biases: Round biases to whole weight steps, see `hardware.loihi.configure`.
        input_layer: Say the shape of the input in the file, see `hardware.loihi.configure`.

    Returns:
        What was written, and the mapped network, whose `report()` says what the mapping cost.

    Raises:
        ValueError: The file is not valid; what the chip, or a .net file, can't do, all at once.
        OSError: A file can't be read or written.
    """
    network, biases = without_resting_potentials(
        from_nir(nir_path, dt=dt, preset=preset), scale=SCALE if scale is None else scale
    )
    if biases and scale is None:
        raise ValueError(
            f"{os.fspath(nir_path)}: neurons '{next(iter(biases))}' have a resting potential, "
            "which becomes a bias of a fixed scale; give scale=64"
        )
    mapped = with_biases(map_network(network, scale=scale, exponent=0), biases)
    configuration = configure(
        mapped, timing="aligned", round_biases=round_biases, input_layer=input_layer
    )
    configuration.save(net_path)
    return configuration, mapped


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    source, target = options.source, options.target
    kinds = (source.suffix, target.suffix)
    if kinds not in ((".net", ".nir"), (".nir", ".net")):
        sys.stderr.write(f"{source} -> {target}: give a .net and a .nir file, in either order\n")
        return 2
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if kinds == (".net", ".nir"):
                dt = 1e-3 if options.dt is None else options.dt
                graph = net_to_nir(
                    source, target, dt=dt, scale=options.scale, input_shape=options.input_shape
                )
                said = f"{len(graph.nodes)} nodes, {len(graph.edges)} edges"
            else:
                configuration, mapped = nir_to_net(
                    source,
                    target,
                    dt=options.dt,
                    scale=options.scale,
                    preset=options.preset,
                    round_biases=options.round_biases,
                )
                said = f"{configuration}\n\n{mapped.report()}"
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for warning in caught:
        sys.stderr.write(f"{warning.message}\n")
    sys.stdout.write(f"{target}: {said}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m neurojax.exchange", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", type=Path, help="a .net or .nir file")
    parser.add_argument("target", type=Path, help="the file to write, of the other kind")
    parser.add_argument("--dt", type=float, help="seconds of a time step (.net to .nir: 1e-3)")
    parser.add_argument(
        "--scale", type=float, default=SCALE, help="weight steps per unit (default: 64)"
    )
    parser.add_argument(
        "--input-shape",
        type=lambda text: tuple(int(n) for n in text.split(",")),
        help="of one sample, such as 2,34,34, where the .net file doesn't say it",
    )
    parser.add_argument("--preset", help="whose NIR it is, such as snntorch")
    parser.add_argument(
        "--round-biases", action="store_true", help="to whole weight steps, all a .net file holds"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
