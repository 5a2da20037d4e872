"""Names of layers as C identifiers and file names."""

from __future__ import annotations

import re
from collections.abc import Iterable

_KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void
volatile while _Bool _Complex _Imaginary
"""
KEYWORDS = frozenset(_KEYWORDS.split()) | {
    "main",
    "reset",
    "input",
    "output",
    "input_t",
    "output_t",
}
"""C99's keywords, and what the generated code calls otherwise."""

SUFFIXES = ("", "_kernel", "_bias", "_v", "_threshold", "_rtau", "_v_reset", "_start", "_index")
"""What the generated code appends to the name of a layer; with `_output_type`, which no layer's
name can end in."""

LENGTH = 48  # C99 tells 63 characters of a name apart; room for the prefix and a suffix


def is_identifier(name: object) -> bool:
    """Whether a text is a legal name of a C function, and none that the generated code has."""
    return (
        isinstance(name, str)
        and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None
        and not name.startswith(("_", "nj", "NEUROJAX_", "neurojax_", "MODEL_", "ROUND_MODE_"))
        and name not in KEYWORDS
        and len(name) <= LENGTH
    )


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """What to call each layer in C, behind the prefix that all names of a model have.

    Files are named like the layers, and some file systems don't tell capitals apart.

    Example:
        >>> identifiers(["conv.1", "conv_1", "FC", "fc", "reset"])
        {'conv.1': 'conv_1', 'conv_1': 'conv_1_2', 'FC': 'FC', 'fc': 'fc_2', 'reset': 'reset_2'}
    """
    taken = {"reset", "started"}
    result = {}
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9]+", "_", name)[:LENGTH].strip("_")
        stem = stem.removesuffix("_output_type") or "layer"
        candidate, number = stem, 1
        while re.fullmatch(r"(?i)buffer\d+", candidate) or any(
            (candidate + suffix).casefold() in taken for suffix in SUFFIXES
        ):
            number += 1
            candidate = f"{stem}_{number}"
        taken |= {(candidate + suffix).casefold() for suffix in SUFFIXES}
        result[name] = candidate
    return result
