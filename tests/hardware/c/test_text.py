"""Literals, comments and templates of C."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given, strategies as st

from neurojax.hardware.c._text import c_string, comment, fill, integer_array, real


@given(st.text())
def test_strings_keep_every_byte(text: str) -> None:
    literal = c_string(text)
    inner = literal[1:-1]
    assert literal[0] == literal[-1] == '"' and '"' not in inner and "?" not in inner
    held = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), inner).encode("latin-1")
    assert held == text.encode(errors="surrogatepass")


@given(st.text(alphabet=st.sampled_from("a*/\\?\n@é ")) | st.text())
def test_comments_never_end_early(text: str) -> None:
    found = f"/* {comment(text)}. */"
    assert found.isascii() and found.isprintable()
    assert found.index("*/") == len(found) - 2
    assert "/*" not in found[2:] and "??/" not in found and "@" not in found


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_real_numbers_are_exact(value: float) -> None:
    literal = real(value)
    assert literal.endswith("f") and np.float32(float.fromhex(literal[:-1])) == np.float32(value)


def test_arrays() -> None:
    text = integer_array("int8_t", "x", np.array([[1, -2], [3, -128]]), 2)
    assert text == "static const int8_t x[4] = {\n  1, -2,\n  3, -128,\n};"


def test_places() -> None:
    text = "if (x) {\n  @body@\n  @none@\n}\n"
    assert fill(text, {"body": "a;\n@b@;", "none": "", "b": "b"}) == "if (x) {\n  a;\n  b;\n}\n"
