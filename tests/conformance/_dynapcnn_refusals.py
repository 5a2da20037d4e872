"""Refusals: what sinabs makes of networks that a chip can't hold, and what we do.

Both verdicts must be the same, unless there is a reason, which then is what the case expects: the
data sheet forbids what sinabs writes, sinabs leaves options out, or refuses what the chip can do.
"""

import functools as ft
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from neurojax.chips import MappedNetwork, MappingError
from neurojax.chips.dynapcnn import Core, map as map_network
from neurojax.hardware.dynapcnn import configure
from tests.conformance._dynapcnn_case import IGNORES, NotCovered, is_ignored, leaves, not_covered
from tests.conformance._dynapcnn_layers import NEURONS
from tests.conformance._dynapcnn_model import rebuild, tree_of
from tests.conformance._result import Result, attempt, in_words

LOW_ZERO = "sinabs writes threshold_low 0, at which the chip misbehaves; ours is -1"
SQUEEZE = "sinabs asks for IAFSqueeze, whose time axis lies in the batch; ours has one of its own"
FRONT = "sinabs wants to be told of the camera in front of a pool; ours is put there"
EMPTY = "sinabs makes a network without cores of modules without neurons"

BETTER = {
    r"use `IAFSqueeze`": SQUEEZE,
    r"Pooling layers have to be preceded": FRONT,
}
"""What sinabs refuses, by its words, although the chip can do it."""

RULES = {
    "kernel >": "kernel",
    "stride not in": "stride",
    "padding not in": "padding",
    "output map >": "map of neurons",
    "input map >": "input map",
    "pooling not in": "pooling",
    "features": "features",
}
"""Rules of the data sheet as the recordings name them, and what our refusal must speak of."""


class _Verdict(NamedTuple):
    mapped: MappedNetwork | None
    error: str  # "" if accepted


def run(path: Path) -> Iterator[Result]:
    """`refusals_<version>.json`."""
    index = json.loads(path.read_text())
    entries = index["cases"] if isinstance(index, dict) else index
    for entry in entries:
        one = ft.partial(_refusal, path.stem, entry)
        yield from attempt(path.stem, entry["name"], one)


def _refusal(group: str, entry: Mapping[str, Any]) -> Iterator[Result]:
    name = entry["name"]
    violations = entry.get("datasheet_rule_violations") or []
    try:
        ours = _ours(entry)
    except NotCovered as reason:
        yield not_covered(group, name, str(reason))
        return
    theirs = entry.get("error", "")
    if ours.error:
        yield _refused(group, entry, ours.error, theirs, violations)
        return
    low_zero = [rule for rule in violations if "threshold_low 0" in rule]
    if theirs:
        reason = next((text for words, text in BETTER.items() if re.search(words, theirs)), "")
        difference = "" if reason else f"accepted, but sinabs refuses: {theirs}"
    elif len(low_zero) < len(violations):
        reason, difference = "", f"accepted, but the data sheet forbids: {'; '.join(violations)}"
    else:
        bounds = [core.integers().v_min for core in _cores(ours.mapped)]
        difference = "a bound of 0 is written" if low_zero and 0 in bounds else ""
        reason = LOW_ZERO if low_zero else ""
    yield Result(group, name, not difference, 0.0, difference, reason)


def _refused(
    group: str, entry: Mapping[str, Any], ours: str, theirs: str, violations: list[str]
) -> Result:
    """A result for a network that we refuse."""
    name = entry["name"]
    if theirs:
        return Result(group, name, True, 0.0)
    if violations:
        reason = f"sinabs writes what the chip can't hold: {'; '.join(violations)}"
        unsaid = [
            rule
            for rule in violations
            for words, ours_says in RULES.items()
            if words in rule and ours_says not in ours
        ]
        difference = f"our refusal does not say '{unsaid[0]}': {ours}" if unsaid else ""
        return Result(group, name, not difference, 0.0, difference, reason)
    modules = [module for _, module in leaves(tree_of(entry))]
    reason = IGNORES if any(map(is_ignored, modules)) else ""
    if not any(module.kind in NEURONS for module in modules):
        reason = EMPTY
    difference = "" if reason else f"refused: {ours}"
    return Result(group, name, not difference, 0.0, difference, reason)


def _ours(entry: Mapping[str, Any]) -> _Verdict:
    """Our verdict, from the building of the network to its configuration."""
    try:
        recorded = rebuild(entry, {})
        mapped = map_network(recorded.network, device=entry["device"], **recorded.options)
        configure(mapped)
    except (MappingError, ValueError, TypeError) as error:
        if isinstance(error, TypeError) and "keyword argument" in str(error):
            raise
        return _Verdict(None, in_words(error))
    return _Verdict(mapped, "")


def _cores(mapped: MappedNetwork | None) -> list[Core]:
    network = mapped.network if mapped is not None else None
    layers = [] if network is None else [network[name] for name in network.names]
    return [layer for layer in layers if isinstance(layer, Core)]
