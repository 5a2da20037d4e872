"""Neuron models of a CRI network description, by the names of hs_api.

A model is plain data, compared by value: neurons with equal models share one of the chip's
parameter sets. What the numbers mean is computed by `neurojax.chips.cri.neuron`.

References:
    hs_api, `neuron_models.py`, https://github.com/Integrated-Systems-Neuroengineering/hs_api
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar


@dataclass(frozen=True, init=False)
class NeuronModel:
    """What the three models have in common; use `LIF_neuron`, `IF_neuron` or `ANN_neuron`.

    Newer versions of hs_api call the first three parameters theta, nu and Lambda; both names work.
    Its methods `get_threshold` and so on are here, too, so that hs_api takes these objects.

    Attributes:
        threshold: The neuron fires when its membrane exceeds it, in weight steps.
        shift: Noise: random 17-bit numbers times 2^shift; -17 is off.
        leak: The membrane loses 1 / 2^leak of itself in a step; 63 is none.
        refractory_max: Steps after a spike in which inputs are discarded, 0 to 7.
        dual_synapse_en: Synapses can be delayed one by one.
        delay_value: Steps by which delayed synapses are late, 0 to 15.
        soft_reset_en: A spike subtracts the threshold instead of resetting to 0.
        legacy_noise_en: Membranes of 35 bits on bitstreams whose default is 32.
    """

    threshold: int
    shift: int
    leak: int
    refractory_max: int
    dual_synapse_en: bool
    delay_value: int
    soft_reset_en: bool
    legacy_noise_en: bool

    code: ClassVar[int]
    """Of the model on the chip."""

    no_leak: ClassVar[int] = 63

    def __init__(
        self,
        threshold: int | None = None,
        shift: int | None = None,
        leak: int | None = None,
        *,
        theta: int | None = None,
        nu: int | None = None,
        Lambda: int | None = None,
        refractory_max: int = 0,
        dual_synapse_en: bool = False,
        delay_value: int = 0,
        soft_reset_en: bool = False,
        legacy_noise_en: bool = False,
    ) -> None:
        # The order of the newer arguments differs between hs_api's branches, hence keyword-only.
        values = {
            "threshold": self._one("threshold", threshold, "theta", theta, None),
            "shift": self._one("shift", shift, "nu", nu, -17),
            "leak": self._one("leak", leak, "Lambda", Lambda, self.no_leak),
            "refractory_max": refractory_max,
            "dual_synapse_en": bool(dual_synapse_en),
            "delay_value": delay_value,
            "soft_reset_en": bool(soft_reset_en),
            "legacy_noise_en": bool(legacy_noise_en),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _one(self, name: str, value: Any, other: str, again: Any, default: Any) -> Any:
        if value is not None and again is not None:
            raise TypeError(f"{type(self).__name__}: {name} and {other} are one; pass either")
        found = again if value is None else value
        if found is None and default is None:
            raise TypeError(f"{type(self).__name__} needs a {name} (or {other})")
        return default if found is None else found

    @property
    def theta(self) -> int:
        return self.threshold

    @property
    def nu(self) -> int:
        return self.shift

    @property
    def Lambda(self) -> int:
        return self.leak

    def get_threshold(self) -> int:
        return self.threshold

    def get_shift(self) -> int:
        return self.shift

    def get_leak(self) -> int:
        return self.leak

    def get_neuronModel(self) -> int:
        return self.code

    get_theta, get_nu, get_Lambda = get_threshold, get_shift, get_leak

    def get_refractory_max(self) -> int:
        return self.refractory_max

    def get_dual_synapse_en(self) -> int:
        return int(self.dual_synapse_en)

    def get_delay_value(self) -> int:
        return self.delay_value

    def get_soft_reset_en(self) -> int:
        return int(self.soft_reset_en)

    get_soft_reset = get_soft_reset_en

    def get_legacy_noise_en(self) -> int:
        return int(self.legacy_noise_en)

    def get_shadow_uram_offset(self) -> int:
        return 0

    def _order(self) -> tuple[Any, ...]:
        return (self.code, *(getattr(self, name) for name in self.__dataclass_fields__))

    def __lt__(self, other: NeuronModel) -> bool:
        return self._order() < other._order()

    def __le__(self, other: NeuronModel) -> bool:
        return self._order() <= other._order()


class LIF_neuron(NeuronModel):
    """Leaky integrate-and-fire: V - (V >> leak) + noise, unless it fired.

    Example:
        >>> from neurojax.chips.cri import LIF_neuron
        >>> LIF_neuron(10, -17, 3) == LIF_neuron(theta=10, Lambda=3)
        True
    """

    code = 2


class IF_neuron(NeuronModel):
    """Integrate-and-fire: neither leak nor noise."""

    code = 3


class ANN_neuron(NeuronModel):
    """Memoryless: the membrane is the input of one step."""

    code = 0
    no_leak = 0


MODELS: dict[int, type[NeuronModel]] = {
    model.code: model for model in (ANN_neuron, LIF_neuron, IF_neuron)
}


def as_model(value: Any) -> NeuronModel:
    """One of our models from one of ours or of hs_api's.

    Raises:
        TypeError: `value` is no neuron model, or of a kind that only the chip's tests use.
    """
    if isinstance(value, NeuronModel) and type(value) in MODELS.values():
        for name in NeuronModel.__dataclass_fields__:
            if not isinstance(getattr(value, name), Real):
                raise TypeError(
                    f"{type(value).__name__}: {name}={getattr(value, name)!r} is no number"
                )
        return value
    get = getattr(value, "get_neuronModel", None)
    if not callable(get) or get() not in MODELS:
        raise TypeError(f"{value!r} is no neuron model; use LIF_neuron, IF_neuron or ANN_neuron")

    def read(names: tuple[str, ...], default: Any = None) -> Any:
        for name in names:
            if callable(getter := getattr(value, name, None)):
                return getter()
        return default

    kind = MODELS[get()]
    options = {
        name: read((f"get_{name}",), 0)
        for name in ("refractory_max", "dual_synapse_en", "delay_value", "legacy_noise_en")
    }
    model = kind(
        read(("get_threshold", "get_theta")),
        read(("get_shift", "get_nu")),
        # hs_api's IF_neuron says 0, which its own simulator takes for "loses everything".
        None if kind is IF_neuron else read(("get_leak", "get_Lambda")),
        soft_reset_en=read(("get_soft_reset_en", "get_soft_reset"), False),
        **options,
    )
    return as_model(model)
