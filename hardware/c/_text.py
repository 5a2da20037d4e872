"""Text of C: literals, arrays, and files with places to fill."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import numpy as np

WIDTH = 100


@cache
def template(name: str) -> str:
    """A C file of this package with places `@like_this@`."""
    return files("neurojax.hardware.c").joinpath("templates", name).read_text(encoding="utf-8")


def fill(text: str, values: Mapping[str, object]) -> str:
    """`text` with every place filled. A place alone on its line takes several lines, or none.

    Example:
        >>> fill("if (x) {\\n  @body@\\n}", {"body": "a = 1;\\nb = @two@;", "two": 2})
        'if (x) {\\n  a = 1;\\n  b = 2;\\n}'
        >>> fill("a;\\n  @nothing@\\nb;", {"nothing": ""})
        'a;\\nb;'
    """

    def lines(match: re.Match[str]) -> str:
        inner = fill(str(values[match["name"]]), values)
        return textwrap.indent(inner, match["indent"]) + "\n" if inner else ""

    text = re.sub(r"^(?P<indent> *)@(?P<name>\w+)@(?:\n|\Z)", lines, text + "\n", flags=re.M)
    text = re.sub(r"@(\w+)@", lambda match: fill(str(values[match[1]]), values), text)
    return text.removesuffix("\n")


def c_string(text: str) -> str:
    """A string literal, UTF-8."""
    plain = set(range(32, 127)) - set(b'"\\?@')  # ??/ is a backslash in C99, @ a place here
    inner = "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode())
    return f'"{inner}"'


def comment(text: str) -> str:
    """Text that does not end the comment that it stands in, ASCII on one line."""
    text = text.encode("ascii", "backslashreplace").decode().replace("*/", "* /")
    return re.sub(r"[\x00-\x1f\x7f@]|\?\?|/\*", " ", text).rstrip("\\")


def integer_array(kind: str, name: str, values: np.ndarray, row: int) -> str:
    """A constant array of integers; `row` values belong together."""
    return _array(kind, name, [str(int(value)) for value in values.ravel()], row)


def real_array(kind: str, name: str, values: np.ndarray, row: int) -> str:
    """A constant array of single-precision numbers, as hexadecimal fractions: exact."""
    return _array(kind, name, [real(value) for value in values.ravel()], row)


def real(value: float) -> str:
    """A literal of exactly this single-precision value."""
    return re.sub(r"\.?0*p", "p", float(np.float32(value)).hex()) + "f"


def _array(kind: str, name: str, literals: list[str], row: int) -> str:
    width = max(map(len, literals), default=0) + len(", ")
    in_line = max(1, (WIDTH - len("  ")) // width)
    lines = [f"static const {kind} {name}[{len(literals)}] = {{"]
    for start in range(0, len(literals), row):
        values = literals[start : start + row]
        for k in range(0, len(values), in_line):
            lines.append("  " + ", ".join(values[k : k + in_line]) + ",")
    return "\n".join([*lines, "};"])
