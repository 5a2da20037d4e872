"""Names of layers in C: legal, and different from each other whatever the layers are called."""

from __future__ import annotations

import re

from hypothesis import given, strategies as st

from neurojax.hardware.c._identifiers import SUFFIXES, identifiers, is_identifier

NAMES = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(
            ["if", "fc1", "FC1", "fc1_kernel", "reset", "a.b", "a_b", "a b", "buffer0"]
        ),
    ),
    unique=True,
    max_size=8,
)


@given(NAMES)
def test_names_never_meet(names: list[str]) -> None:
    found = identifiers(names)
    assert list(found) == names
    assert all(re.fullmatch("[A-Za-z0-9_]+", ident) for ident in found.values())
    assert all(len(ident) <= 52 for ident in found.values())
    made = [f"{ident}{suffix}".casefold() for ident in found.values() for suffix in SUFFIXES]
    made += ["reset", "started"]
    assert len(set(made)) == len(made)
    assert not any(re.fullmatch("buffer[0-9]+", ident) for ident in found.values())


def test_simple_names_stay() -> None:
    assert identifiers(["conv1", "0", "fc.1"]) == {"conv1": "conv1", "0": "0", "fc.1": "fc_1"}


def test_model_names() -> None:
    assert all(map(is_identifier, ["cnn", "Net_2", "digits"]))
    wrong = ["", "2nd", "a b", "while", "_x", "njet", "é", "MODEL_X", "reset", 3, "x" * 80]
    wrong += ["exp", "sinf", "printf", "read", "NULL", "class", "int8_t", "INT8_MAX", "size_t"]
    assert not any(map(is_identifier, wrong))
