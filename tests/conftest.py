"""Set-up shared by all tests: devices, hypothesis profiles, the recorded vectors."""

import functools as ft
import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before jax is imported: two CPU devices, so that sharding is tested on every machine.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import jax
import pytest
from jax._src import compiler

GOLDEN = Path(__file__).parent / "golden"

# Examples are few because most of them compile; "ci" has a limit of time, "thorough" a night.
_COMMON = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("dev", max_examples=25, **_COMMON)
hypothesis.settings.register_profile(
    "ci", max_examples=4, derandomize=True, database=None, print_blob=True, **_COMMON
)
hypothesis.settings.register_profile("thorough", max_examples=1000, **_COMMON)
hypothesis.settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev")
)


# Most of the time of the tests goes into compiling programs that run once. A chip's integers don't
# depend on XLA's optimisations, nor do counts, and comparisons of floats have tolerances.
NOT_OPTIMISED = {"chips", "hardware", "metrics"}
# The arithmetic that all else is made of is compiled as users compile it, and so are the
# demonstration and the notebooks. Elsewhere loops are emitted in XLA's older way, in half the time.
AS_USERS = {"layers", "neurons"}


@pytest.fixture(scope="module", autouse=True)
def _compiled_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Leaves out what takes longer to compile than it saves."""
    parts = {*request.path.parts[len(Path(__file__).parent.parts) :]}
    conformance = request.path.stem.startswith("test_conformance")
    jax.config.update("jax_disable_most_optimizations", conformance or bool(NOT_OPTIMISED & parts))
    with pytest.MonkeyPatch.context() as patch:
        if not AS_USERS & parts:
            # jax has no setting for it, and XLA's environment variable would be for all tests.
            options = ft.partial(_without_fusion_emitters, compiler.get_compile_options)
            patch.setattr(compiler, "get_compile_options", options)
        yield


def _without_fusion_emitters(get_compile_options: Any, *args: Any, **kwargs: Any) -> Any:
    options = get_compile_options(*args, **kwargs)
    fewer = ("xla_cpu_use_fusion_emitters", False)
    options.env_option_overrides = [*options.env_option_overrides, fewer]
    return options


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_are_let_go() -> Iterator[None]:
    """Linux gives a process 65,530 memory maps; with one more, the next program to be compiled
    crashes it. Each compiled program takes several, and a worker compiles thousands."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of recorded input/output pairs."""
    return GOLDEN
