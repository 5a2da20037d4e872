"""Spike functions and their surrogate derivatives.

`spike` and `multi_spike` compute exact spikes; an object such as `ATan(alpha=2.0)` says what stands
in for their derivative. `by_name` makes such an object from text. See docs/surrogates.md for a
picture of each.
"""

from ._piecewise import (
    Boxcar as Boxcar,
    FakeNumericalGradient as FakeNumericalGradient,
    Heaviside as Heaviside,
    LeakyKReLU as LeakyKReLU,
    LogTailedReLU as LogTailedReLU,
    NoGradient as NoGradient,
    PiecewiseLeakyReLU as PiecewiseLeakyReLU,
    PiecewiseQuadratic as PiecewiseQuadratic,
    Rect as Rect,
    SnnTorchTriangular as SnnTorchTriangular,
    SparseFastSigmoid as SparseFastSigmoid,
    SpikeGate as SpikeGate,
    StraightThrough as StraightThrough,
    Triangle as Triangle,
)
from ._registry import by_name as by_name, names as names
from ._smooth import (
    S2NN as S2NN,
    ATan as ATan,
    Circ as Circ,
    Erf as Erf,
    Exponential as Exponential,
    FastSigmoid as FastSigmoid,
    Gaussian as Gaussian,
    MultiGaussian as MultiGaussian,
    NonzeroSignLogAbs as NonzeroSignLogAbs,
    PeriodicExponential as PeriodicExponential,
    PiecewiseExponential as PiecewiseExponential,
    QPseudoSpike as QPseudoSpike,
    Sigmoid as Sigmoid,
    SoftSign as SoftSign,
    SpikeRateEscape as SpikeRateEscape,
    SquareWaveFourier as SquareWaveFourier,
    SuperSpike as SuperSpike,
    Tanh as Tanh,
)
from ._spike import Surrogate as Surrogate, multi_spike as multi_spike, spike as spike
