"""Programs that run once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def compiled_quickly() -> Iterator[None]:
    """Leaves out XLA's optimisations: a program that runs once, for a tenth of a second, would take
    three to optimise. Training keeps them."""
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
