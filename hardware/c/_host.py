"""The files around a program's core: what runs it on a computer, and what builds it.

They are plain C that ships with the library (folder `host`), the same for every network but for the
metrics it prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from neurojax.hardware.c._text import c_string

_HOST = Path(__file__).parent / "host"
_FILES = {  # here -> there
    "main.c": "host/main.c",
    "config.h": "host/config.h",
    "csv.c": "host/csv.c",
    "csv.h": "host/csv.h",
    "metrics.c": "host/metrics.c",
    "metrics.h": "include/metrics.h",
    "Makefile": "Makefile",
    "CMakeLists.txt": "CMakeLists.txt",
}
_FEATUREMAPS = {name: f"host/{name}" for name in ("featuremaps.c", "featuremaps.h")}


def host_files(
    model_name: str,
    metrics: Sequence[str],
    *,
    dump_featuremaps: bool,
    input_name: str,
    input_shape: Sequence[int],
) -> dict[str, str]:
    """Text of each file that is not the core's, by path.

    Args:
        model_name: Name of the model's function.
        metrics: What the program prints, of `METRICS`.
        dump_featuremaps: Whether the model calls `neurojax_dump`.
        input_name: Of the network's input.
        input_shape: Its shape in C, channels last.
    """
    files = _FILES | (_FEATUREMAPS if dump_featuremaps else {})
    places = {
        "@NAME@": model_name,
        "@SOURCES@": " ".join(sorted(path for path in files.values() if path.endswith(".c"))),
        "@METRICS@": "".join(f'"{name}", ' for name in metrics).rstrip(),
        "@FEATUREMAPS@": str(int(dump_featuremaps)),
        "@INPUT_NAME@": c_string(input_name),
        "@INPUT_SHAPE@": ", ".join(map(str, input_shape or (1,))),
    }
    return {path: _filled(name, places) for name, path in files.items()}


def _filled(name: str, places: Mapping[str, str]) -> str:
    text = (_HOST / name).read_text(encoding="utf-8")
    for place, value in places.items():
        text = text.replace(place, value)
    return text
