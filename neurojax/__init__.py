"""neurojax: a differentiable simulator of neuromorphic chips in JAX."""

from neurojax import (
    chips as chips,
    datasets as datasets,
    decode as decode,
    encode as encode,
    fixed_point as fixed_point,
    metrics as metrics,
    plot as plot,
    quantise as quantise,
    surrogate as surrogate,
    train as train,
)
from neurojax._describe import Card as Card, describe as describe
from neurojax._graph import Edge as Edge
from neurojax._layer import BATCH_AXIS as BATCH_AXIS, Layer as Layer, parameter as parameter
from neurojax._measured import inject as inject
from neurojax._network import (
    Network as Network,
    NetworkState as NetworkState,
    Provenance as Provenance,
    Sequential as Sequential,
)
from neurojax._probe import Probe as Probe
from neurojax._simulate import Run as Run, simulate as simulate
from neurojax.layers import (
    Add as Add,
    AvgPool1d as AvgPool1d,
    AvgPool2d as AvgPool2d,
    BatchDropout as BatchDropout,
    BatchNorm as BatchNorm,
    Chain as Chain,
    Concat as Concat,
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    ConvTranspose1d as ConvTranspose1d,
    ConvTranspose2d as ConvTranspose2d,
    Delay as Delay,
    Dropout as Dropout,
    Flatten as Flatten,
    Identity as Identity,
    Linear as Linear,
    MatMul as MatMul,
    MaxPool1d as MaxPool1d,
    MaxPool2d as MaxPool2d,
    Pad as Pad,
    Permute as Permute,
    Recurrent as Recurrent,
    ReLU as ReLU,
    ReLU6 as ReLU6,
    Reshape as Reshape,
    Scale as Scale,
    Slice as Slice,
    SumPool1d as SumPool1d,
    SumPool2d as SumPool2d,
    Upsample as Upsample,
    fold_batch_norm as fold_batch_norm,
)
from neurojax.neurons import (
    IAF as IAF,
    IF as IF,
    LI as LI,
    LIF as LIF,
    AdaptiveLIF as AdaptiveLIF,
    Alpha as Alpha,
    CubaIAF as CubaIAF,
    CubaLI as CubaLI,
    CubaLIF as CubaLIF,
    Threshold as Threshold,
)

__version__ = "0.1.0"
