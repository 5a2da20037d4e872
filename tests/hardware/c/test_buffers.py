"""Shared buffers: nothing is overwritten before its last reader, and not much is wasted."""

from __future__ import annotations

from hypothesis import given, strategies as st

from neurojax.hardware.c._buffers import Step, share_buffers


@st.composite
def programs(draw: st.DrawFn) -> list[Step]:
    steps: list[Step] = []
    for i in range(draw(st.integers(1, 12))):
        known = ["input", *(step.writes for step in steps)]
        reads = tuple(draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True)))
        in_place = tuple(name for name in reads if draw(st.booleans()))
        steps.append(Step(reads, f"a{i}", draw(st.integers(1, 100)), in_place))
    return steps


@given(programs())
def test_memory_keeps_what_is_still_read(steps: list[Step]) -> None:
    outside = ["input", steps[-1].writes]
    buffers = share_buffers(steps, outside)
    place = {name: k for k, buffer in enumerate(buffers) for name in buffer.arrays}
    assert sorted(place) == sorted(step.writes for step in steps if step.writes not in outside)
    # Run it: memory holds the name of the array that was written last.
    memory: dict[object, str] = {"input": "input"}
    where = lambda name: place.get(name, name)  # noqa: E731
    for step in steps:
        assert all(memory[where(name)] == name for name in step.reads)
        for name in step.reads:  # while the step runs, it reads and writes
            assert where(name) != where(step.writes) or name in step.in_place
        memory[where(step.writes)] = step.writes
        if step.writes in place:
            assert step.bytes <= buffers[place[step.writes]].bytes


@given(st.lists(st.integers(1, 100), min_size=3, max_size=12))
def test_a_chain_needs_two_buffers(sizes: list[int]) -> None:
    names = ["input", *(f"a{i}" for i in range(len(sizes)))]
    steps = [Step((a,), b, n) for a, b, n in zip(names, names[1:], sizes, strict=False)]
    buffers = share_buffers(steps, ["input", names[-1]])
    assert len(buffers) <= 2
