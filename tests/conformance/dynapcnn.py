"""DYNAP-CNN: recordings of sinabs.

Each file has its own description; the private modules `_dynapcnn_*` compare one kind each. Where
sinabs has a documented defect, the model is asked to show it too, by an option, and the case says
so.
"""

import functools as ft
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.conformance import (
    _dynapcnn_config as config,
    _dynapcnn_discretise as discretise,
    _dynapcnn_events as events,
    _dynapcnn_networks as networks,
    _dynapcnn_placement as placement,
    _dynapcnn_refusals as refusals,
)
from tests.conformance._dynapcnn_case import KILLS as KILLS, NO_EPS as NO_EPS, not_covered
from tests.conformance._dynapcnn_config import SINABS_2 as SINABS_2
from tests.conformance._result import Result, attempt

KINDS: dict[str, Callable[[Path], Iterator[Result]]] = {
    "discretize_*.json": discretise.run,
    "networks_*.json": networks.run,
    "config_*.json.gz": config.run,
    "placement_*.json": placement.run,
    "refusals_*.json": refusals.run,
    "events_*.json": events.run_events,
    "addresses_*.json": events.run_addresses,
}


def run(directory: Path) -> Iterator[Result]:
    """Every case of a directory of recordings."""
    seen: set[Path] = set()
    for pattern, compare_file in KINDS.items():
        for path in sorted(directory.glob(pattern)):
            seen.add(path)
            group = path.name.removesuffix(".gz").removesuffix(".json")
            yield from attempt(group, "all", ft.partial(compare_file, path))
    for path in sorted(directory.glob("*.json*")):
        if path not in seen:
            yield not_covered(path.name, "all", "a file of this name is not known")
