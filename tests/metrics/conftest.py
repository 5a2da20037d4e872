"""Compiled quickly: most of the time here goes into programs that run once."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def _compiled_without_optimisations(_chips_are_compiled_quickly: None) -> None:
    jax.config.update("jax_disable_most_optimizations", True)
