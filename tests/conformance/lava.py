"""Loihi: recordings of SpikingJelly's lava_exchange, of lava-dl's slayer, of Lava and of netx.

`META_*.json` describe the cases; each is `<case>.npz`, some with a `<case>.net`. A case belongs to
the group that its name begins with; what it computes is read from its description and its shapes.
"""

from __future__ import annotations

import functools as ft
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.conformance import (
    _lava_net as net,
    _lava_process as process,
    _lava_slayer as slayer,
    _lava_spikingjelly as spikingjelly,
    _lava_zoo as zoo,
)
from tests.conformance._lava_case import Case
from tests.conformance._result import NotCovered, Result, attempt, not_covered

GROUPS: dict[str, Callable[[Case], Iterator[Result]]] = {
    r"quantize": spikingjelly.quantize,
    r"sj_cuba_equality": spikingjelly.equality,
    r"sj_cuba": spikingjelly.cuba,
    r"sj_bn": spikingjelly.norm,
    r"sj_convert": spikingjelly.conversions,
    r"slayer_cuba_norm": slayer.normalised,
    r"slayer_cuba": slayer.cuba,
    r"slayer_alif": zoo.alif,
    r"slayer_(?:ad)?rf": zoo.resonator,
    r"slayer_sdnn": zoo.sigma_delta,
    r"slayer_delta_sigma": zoo.delta_and_sigma,
    r"block_cuba": slayer.block,
    r"block_misc": slayer.without_neurons,
    r"lava_(?:lif|ternary)": process.lif,
    r"lava_atrlif": process.atrlif,
    r"lava_(?:sigma|delta(?!dense))": process.sigma_delta,
    r"lava_rf": process.resonator,
    r"lava_dense": process.dense,
    r"lava_delaydense": process.delay_dense,
    r"lava_conv": process.convolution,
    r"netx_": net.netx,
    r"net_": net.slayers,
    r"lava_weightutils": process.weight_bits,
}
"""What compares the cases whose names begin so; the first that fits."""


def run(directory: Path) -> Iterator[Result]:
    """Every case of a directory of recordings."""
    described: dict[str, Any] = {}
    for path in sorted(directory.glob("META*.json")):
        described |= json.loads(path.read_text(encoding="utf-8"))
    recorded = {path.stem for kind in ("npz", "net") for path in directory.glob(f"*.{kind}")}
    about = {name: entry for name, entry in described.items() if isinstance(entry, Mapping)}
    for name in sorted(recorded | {n for n in about if "arrays" in about[n]}, key=_natural):
        entry = about.get(name, {})
        yield from attempt(group_of(name), name, ft.partial(_case, directory / name, name, entry))
    for name, entry in described.items():
        if name.endswith("_error"):
            yield not_covered("refused by the peer", name, str(entry))
        if name == "netx_results":
            for case, result in entry.items():
                if not result.get("ok", True):
                    yield not_covered("refused by netx", case, str(result.get("error")))


def group_of(name: str) -> str:
    """The group of a case: the beginning of its name that is known."""
    return next((group for group in GROUPS if re.match(group, name)), "unknown")


def _natural(name: str) -> list[Any]:
    """The numbers in names in order of their size."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _case(path: Path, name: str, about: Mapping[str, Any]) -> Iterator[Result]:
    group = group_of(name)
    if group not in GROUPS:
        yield not_covered(group, name, "recordings of this kind are not compared yet")
        return
    file = path.with_name(f"{path.name}.npz")
    arrays: dict[str, np.ndarray] = {}
    if file.exists():
        with np.load(file) as stored:
            arrays = {key: stored[key] for key in stored.files}
    elif "arrays" in about:
        raise ValueError(f"there is no {file.name}")
    for array in about.get("arrays") or {}:
        if array not in arrays:
            raise ValueError(f"there is no array '{array}' in {file.name}")
    try:
        yield from GROUPS[group](Case(name, about, arrays, path))
    except NotCovered as reason:
        yield not_covered(group, name, str(reason))
