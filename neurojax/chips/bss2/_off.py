"""Effects that are not there."""

from __future__ import annotations

from typing import Any

import equinox as eqx


def is_off(value: Any) -> bool:
    """Whether an effect is not there: its size is the number 0, or None. Arrays are there."""
    return value is None or (not eqx.is_array(value) and value == 0)
