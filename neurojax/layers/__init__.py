"""Synapses, pooling, merging, normalisation and dropout: layers without membrane dynamics."""

from neurojax.layers.activation import ReLU as ReLU, ReLU6 as ReLU6
from neurojax.layers.axes import Permute as Permute, Slice as Slice
from neurojax.layers.batch_norm import BatchNorm as BatchNorm
from neurojax.layers.chain import Chain as Chain
from neurojax.layers.convolution import Conv1d as Conv1d, Conv2d as Conv2d
from neurojax.layers.delay import Delay as Delay
from neurojax.layers.dropout import BatchDropout as BatchDropout, Dropout as Dropout
from neurojax.layers.fold import fold_batch_norm as fold_batch_norm
from neurojax.layers.linear import Linear as Linear
from neurojax.layers.pooling import (
    AvgPool1d as AvgPool1d,
    AvgPool2d as AvgPool2d,
    MaxPool1d as MaxPool1d,
    MaxPool2d as MaxPool2d,
    SumPool1d as SumPool1d,
    SumPool2d as SumPool2d,
)
from neurojax.layers.product import MatMul as MatMul
from neurojax.layers.recurrent import Recurrent as Recurrent
from neurojax.layers.shape import (
    Add as Add,
    Concat as Concat,
    Flatten as Flatten,
    Identity as Identity,
    Pad as Pad,
    Reshape as Reshape,
    Scale as Scale,
    Upsample as Upsample,
)
from neurojax.layers.transposed import (
    ConvTranspose1d as ConvTranspose1d,
    ConvTranspose2d as ConvTranspose2d,
)
