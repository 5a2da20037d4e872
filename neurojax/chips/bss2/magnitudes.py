"""How far a chip is from its equations: the size of every effect, with where it comes from.

Few of these have been published as numbers. Where the vendor's code states a value or its tests
assert a bound on hardware, that is what the default follows; the others are estimates, to be
replaced by what is measured on a chip.

References:
    [haldls] Containers of haldls (vx). [calix] Targets, defaults and hardware tests of calix.
    [hxtorch] hxtorch (3bfc7aa), its code and its hardware tests. [tutorial] The tutorials on
    electronic-vision/brainscales2-demos. [estimate] Ours.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx

from neurojax._layer import Constant, parameter
from neurojax._table import text_table
from neurojax.chips.bss2._off import is_off
from neurojax.neurons._neuron import Parameter


class Effect(NamedTuple):
    """What a field of `Magnitudes` says."""

    kind: str  # "mismatch": drawn once a chip; "noise": in every run; "limit": the same for all
    unit: str
    what: str
    basis: str


MISMATCH, NOISE, LIMIT = "mismatch", "noise", "limit"


def _effect(default: float | None, kind: str, unit: str, what: str, basis: str) -> Any:
    effect = {"effect": Effect(kind, unit, what, basis)}
    return eqx.field(converter=parameter, default=default, kw_only=True, metadata=effect)


def _static(default: Any, kind: str, unit: str, what: str, basis: str) -> Any:
    effect = {"effect": Effect(kind, unit, what, basis)}
    return eqx.field(static=True, default=default, kw_only=True, metadata=effect)


class Magnitudes(eqx.Module):
    """The size of every effect; `print(Magnitudes())` is a table of them all.

    A size that is the number 0, or None, means that the effect is not there at all: what is
    computed is the same program without it. Sizes that are arrays can be traced, mapped over and
    differentiated; an array that holds 0 computes with an effect of size 0.

    Relative sizes are standard deviations of a factor 1 + N, which is never below 0; those of time
    constants and capacitance of the logarithm of a factor. "LSB" are steps of the CADC; a mapped
    network knows how many are one unit of a neuron's membrane.

    Example:
        >>> from neurojax.chips.bss2 import Magnitudes
        >>> Magnitudes.off().replace(threshold=5.0).threshold
        5.0
        >>> Magnitudes.mismatch().membrane_noise, Magnitudes.mismatch().scaled(0.5).threshold
        (0.0, 1.5)
    """

    synapse: Parameter = _effect(0.05, MISMATCH, "relative", "strength of a synapse", "estimate")
    driver: Parameter = _effect(
        0.07,
        MISMATCH,
        "relative",
        "strength of the pair of rows of a source",
        "hxtorch's tests: 2 of 30 LSB are expected",
    )
    synaptic_input: Parameter = _effect(
        0.05,
        MISMATCH,
        "relative",
        "strength of a neuron's synaptic input, for each sign",
        "tutorial: outputs of the same product spread by 4.6 %",
    )
    tau_mem: Parameter = _effect(
        0.10, MISMATCH, "log", "time constant of a membrane", "estimate; calix' tests bound it"
    )
    tau_syn: Parameter = _effect(
        0.05, MISMATCH, "log", "time constant of a synaptic input", "estimate; as tau_mem"
    )
    c_mem: Parameter = _effect(0.02, MISMATCH, "log", "capacitance of a membrane", "estimate")
    threshold: Parameter = _effect(
        3.0, MISMATCH, "LSB", "threshold", "calix' tests: within 8 LSB of the median"
    )
    reset: Parameter = _effect(1.5, MISMATCH, "LSB", "reset potential", "estimate")
    leak: Parameter = _effect(1.5, MISMATCH, "LSB", "leak potential", "estimate")
    refractory_time: Parameter = _effect(
        0.03,
        MISMATCH,
        "relative",
        "refractory period",
        "calix: a counter of at least 30 cycles is off by up to 3 %",
    )
    cadc_offset: Parameter = _effect(
        1.0, MISMATCH, "LSB", "offset of a CADC channel", "calix' tests: below 3 when calibrated"
    )
    cadc_gain: Parameter = _effect(0.01, MISMATCH, "relative", "slope of a channel", "estimate")
    membrane_noise: Parameter = _effect(
        1.2, NOISE, "LSB", "a membrane at rest", "calix: 1.2 typically, 1.0 to 2.5 aimed at"
    )
    threshold_noise: Parameter = _effect(
        0.0, NOISE, "LSB", "threshold, anew in each time step", "none found"
    )
    cadc_noise: Parameter = _effect(1.2, NOISE, "LSB", "a read-out of the CADC", "calix: 1.2")
    drift: Parameter = _effect(
        0.0, NOISE, "relative", "strength of all synapses of a layer, in a run", "estimate: 0.02"
    )
    jitter: Parameter = _effect(0.1e-6, NOISE, "s", "arrival of an event", "estimate")
    loss: Parameter = _effect(
        0.0, NOISE, "probability", "an event is lost", "estimate: 0.001 is a stress test"
    )
    latency: Parameter = _effect(
        0.0, LIMIT, "s", "from a source to its synapses", "none found; below a time step"
    )
    largest_current: Parameter | None = _effect(
        20.0,
        LIMIT,
        "events",
        "of full weight at once, whose current is the largest",
        "estimate: some bursts of eight",
    )
    linear: Parameter | None = _effect(
        80.0, LIMIT, "LSB", "from rest to the end of the linear range", "tutorial: -80..80"
    )
    limit: Parameter | None = _effect(
        128.0, LIMIT, "LSB", "from rest to where no membrane gets", "haldls: half of eight bits"
    )
    cadc_bits: int | None = _static(8, LIMIT, "bit", "code of the CADC; None: real", "haldls")
    cadc_period: float | None = _static(
        2e-6, LIMIT, "s", "from sample to sample", "hxtorch: 1.7 at best, 2 us into SRAM"
    )

    def __check_init__(self) -> None:
        for name, effect in effects().items():
            value = getattr(self, name)
            known = isinstance(value, Constant)
            if known and not (0 <= value < float("inf")):
                raise ValueError(f"Magnitudes: {name} is {value:g}; it must be a number >= 0")
            if known and effect.unit == "probability" and value > 1:
                raise ValueError(f"Magnitudes: {name} is {value:g}; a probability is 0 to 1")
            if value is None and effect.kind != LIMIT:
                raise ValueError(f"Magnitudes: {name} is None; 0 switches it off")
        if (self.linear is None) != (self.limit is None):
            raise ValueError("Magnitudes: give both of linear and limit, or neither")

    @classmethod
    def off(cls) -> Magnitudes:
        """No effect at all: the chip of the equations, with weights of six bits."""
        gone: dict[str, Any] = {n: 0.0 if e.kind != LIMIT else None for n, e in effects().items()}
        return cls(**(gone | {"latency": 0.0}))

    @classmethod
    def mismatch(cls) -> Magnitudes:
        """Only what is fixed in a chip: no noise, no limits, a CADC that reads real numbers."""
        default, here = cls(), effects()
        return cls.off().replace(
            **{name: getattr(default, name) for name, e in here.items() if e.kind == MISMATCH}
        )

    def replace(self, **sizes: Any) -> Magnitudes:
        """The same with other sizes of some effects."""
        return dataclasses.replace(self, **sizes)

    def scaled(self, factor: Any) -> Magnitudes:
        """The same with mismatch and noise of another size; limits stay.

        Args:
            factor: Number or array; an array can be mapped over.
        """
        sizes = {}
        for name, effect in effects().items():
            value = getattr(self, name)
            if effect.kind != LIMIT and not is_off(value):
                value = float(value) if isinstance(value, Constant) else value
                sizes[name] = factor * value
        return self.replace(**sizes)

    @property
    def reads(self) -> bool:
        """Whether the CADC is there at all."""
        sizes = (self.cadc_offset, self.cadc_gain, self.cadc_noise, self.cadc_bits)
        return self.cadc_period is not None or not all(map(is_off, sizes))

    def __str__(self) -> str:
        rows = []
        for name, (kind, unit, what, basis) in effects().items():
            value = getattr(self, name)
            size = f"{value:g}" if isinstance(value, Constant | float) else str(value)
            rows.append([name, size, unit, kind, what, basis])
        return text_table(["effect", "size", "unit", "kind", "of what", "basis"], rows)


def effects() -> dict[str, Effect]:
    """What each field of `Magnitudes` says, by name."""
    return {f.name: f.metadata["effect"] for f in dataclasses.fields(Magnitudes)}
