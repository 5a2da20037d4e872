"""slayer's ALIF, RF and adaptive RF neurons, from the arguments that they take.

Forward they compute the same integers. Backward, as there, gradients ignore resets, and do not pass
through thresholds and refractory responses that adapt. Gradients to decays are true: slayer's to
current and voltage decays have the wrong sign, and all of them are 4096 times as large.

A resonator takes a complex input, slayer's tuple `(real, imag)` on a first axis: `[time, batch, 2,
...]`.

References:
    lava-dl, `slayer/neuron/alif.py`, `rf.py`, `rf_iz.py`, `adrf.py`, `adrf_iz.py`.
"""

from __future__ import annotations

from typing import Any, TypeVar

from neurojax._layer import Layer
from neurojax.chips.loihi._phase import PhaseExponential
from neurojax.chips.loihi._resonator import AbstractResonator
from neurojax.chips.loihi.adaptive_resonator import AdRF, AdRFIzhikevich
from neurojax.chips.loihi.alif import ALIF
from neurojax.chips.loihi.quantise import SCALE
from neurojax.chips.loihi.resonator import RF, RFIzhikevich
from neurojax.converters.slayer._neurons import Number, level

R = TypeVar("R", bound=AbstractResonator)


def alif_neuron(
    *,
    threshold: float,
    threshold_step: float,
    current_decay: Number,
    voltage_decay: Number,
    threshold_decay: Number,
    refractory_decay: Number,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = SCALE,
    norm: Layer | None = None,
    graded_spike: bool = False,
) -> ALIF:
    """`slayer.neuron.alif.Neuron`, from the arguments that it takes.

    Args:
        threshold, threshold_step: Cut to multiples of 1 / scale.
        current_decay, voltage_decay, threshold_decay, refractory_decay: Within 0..1; an array is
            learned (the last two are not in slayer, where they have no gradient).
        tau_grad, scale_grad: Width (times 100 thresholds) and height (times 0.1) of the surrogate.
        scale: Weight steps per unit.
        norm: What the input passes, such as `ShiftNorm`.
        graded_spike: A spike has the value of the membrane.

    Raises:
        ValueError: A number is out of its range.

    Example:
        >>> from neurojax.converters import slayer
        >>> n = slayer.alif_neuron(threshold=0.7, threshold_step=0.1, current_decay=0.25,
        ...                        voltage_decay=0.03, threshold_decay=0.1, refractory_decay=0.5)
        >>> n.integers()["vThMant"], n.integers()["vThStep"], n.integers()["refDecay"]
        (44, 6, 2048)
    """
    return ALIF(
        current_decay=current_decay,
        voltage_decay=voltage_decay,
        norm=norm,
        **_adaptation(threshold_step, threshold_decay, refractory_decay),
        **level(threshold, tau_grad, scale_grad, scale, graded_spike),
    )


def rf_neuron(
    *,
    threshold: float,
    period: Number | None = None,
    decay: Number | None = None,
    sin_decay: Number | None = None,
    cos_decay: Number | None = None,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = SCALE,
    real_norm: Layer | None = None,
    imag_norm: Layer | None = None,
    graded_spike: bool = False,
) -> RF:
    """`slayer.neuron.rf.Neuron`, from the arguments that it takes or what it holds.

    Args:
        threshold: Cut to a multiple of 1 / scale.
        period, decay: What slayer's constructor takes; arrays are learned. Or:
        sin_decay, cos_decay: What the module holds, in units of 1 (`decay` of this package).
        tau_grad, scale_grad: Width (times 0.5 thresholds) and height (times 10) of the surrogate.
        scale: Weight steps per unit.
        real_norm, imag_norm: What the parts of the input pass, such as `ShiftNorm`.
        graded_spike: A spike has the value of the real part.

    Raises:
        ValueError: A number is out of its range, or the rotation isn't given in one of the ways.

    Example:
        >>> from neurojax.converters import slayer
        >>> slayer.rf_neuron(threshold=0.6, period=10.0, decay=0.05).integers()
        {'sinDecay': 2287, 'cosDecay': 3148, 'vThMant': 38}
    """
    return _rotating(
        RF,
        (period, decay, sin_decay, cos_decay),
        threshold=threshold,
        scale=scale,
        graded=graded_spike,
        real_norm=real_norm,
        imag_norm=imag_norm,
        surrogate=PhaseExponential(width=0.5 * tau_grad, scale=10.0 * scale_grad),
    )


def rf_iz_neuron(
    *,
    threshold: float,
    period: Number | None = None,
    decay: Number | None = None,
    sin_decay: Number | None = None,
    cos_decay: Number | None = None,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = SCALE,
    real_norm: Layer | None = None,
    imag_norm: Layer | None = None,
    graded_spike: bool = False,
) -> RFIzhikevich:
    """`slayer.neuron.rf_iz.Neuron`: see `rf_neuron`; the surrogate is that of `alif_neuron`."""
    return _rotating(
        RFIzhikevich,
        (period, decay, sin_decay, cos_decay),
        real_norm=real_norm,
        imag_norm=imag_norm,
        reset_gradient="bypassed",
        **level(threshold, tau_grad, scale_grad, scale, graded_spike),
    )


def adrf_neuron(
    *,
    threshold: float,
    threshold_step: float,
    threshold_decay: Number,
    refractory_decay: Number,
    period: Number | None = None,
    decay: Number | None = None,
    sin_decay: Number | None = None,
    cos_decay: Number | None = None,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = SCALE,
    real_norm: Layer | None = None,
    imag_norm: Layer | None = None,
    graded_spike: bool = False,
) -> AdRF:
    """`slayer.neuron.adrf.Neuron`: see `rf_neuron` and `alif_neuron`.

    The surrogate has a width of 100 tau_grad thresholds and a height of 0.1 scale_grad.
    """
    return _rotating(
        AdRF,
        (period, decay, sin_decay, cos_decay),
        threshold=threshold,
        scale=scale,
        graded=graded_spike,
        real_norm=real_norm,
        imag_norm=imag_norm,
        surrogate=PhaseExponential(width=100.0 * tau_grad, scale=0.1 * scale_grad),
        **_adaptation(threshold_step, threshold_decay, refractory_decay),
    )


def adrf_iz_neuron(
    *,
    threshold: float,
    threshold_step: float,
    threshold_decay: Number,
    refractory_decay: Number,
    period: Number | None = None,
    decay: Number | None = None,
    sin_decay: Number | None = None,
    cos_decay: Number | None = None,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = SCALE,
    real_norm: Layer | None = None,
    imag_norm: Layer | None = None,
    graded_spike: bool = False,
) -> AdRFIzhikevich:
    """`slayer.neuron.adrf_iz.Neuron`: see `rf_neuron` and `alif_neuron`."""
    return _rotating(
        AdRFIzhikevich,
        (period, decay, sin_decay, cos_decay),
        real_norm=real_norm,
        imag_norm=imag_norm,
        **_adaptation(threshold_step, threshold_decay, refractory_decay),
        **level(threshold, tau_grad, scale_grad, scale, graded_spike),
    )


def _rotating(kind: type[R], rotation: tuple[Number | None, ...], **options: Any) -> R:
    period, decay, sin, cos = rotation
    if period is not None and decay is not None and sin is None and cos is None:
        return kind.from_period(period, decay, **options)
    if sin is None or cos is None or period is not None or decay is not None:
        raise ValueError(
            f"{kind.__name__}: give period and decay, or else sin_decay and cos_decay, and not "
            "others"
        )
    return kind(sin_decay=sin, cos_decay=cos, **options)


def _adaptation(step: float, threshold_decay: Number, refractory_decay: Number) -> dict[str, Any]:
    return {
        "threshold_step": step,
        "threshold_decay": threshold_decay,
        "refractory_decay": refractory_decay,
        "adaptation_gradient": False,
    }
