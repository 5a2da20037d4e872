"""BrainScaleS-2 in perceptron mode ("hagen"): products of matrices on the synapse arrays."""

from neurojax.chips.bss2.perceptron._multiply import Saturation as Saturation
from neurojax.chips.bss2.perceptron.activations import (
    ArgMax as ArgMax,
    ConvertingReLU as ConvertingReLU,
    ReLU as ReLU,
)
from neurojax.chips.bss2.perceptron.conv_layers import (
    Conv1d as Conv1d,
    Conv2d as Conv2d,
    ExpandedConv1d as ExpandedConv1d,
)
from neurojax.chips.bss2.perceptron.convolution import (
    conv1d as conv1d,
    conv2d as conv2d,
    default_expansions as default_expansions,
    expanded_conv1d as expanded_conv1d,
)
from neurojax.chips.bss2.perceptron.initialise import default_num_sends as default_num_sends
from neurojax.chips.bss2.perceptron.linear import Linear as Linear
from neurojax.chips.bss2.perceptron.mac_layer import (
    MACLayer as MACLayer,
    Options as Options,
    with_mock as with_mock,
)
from neurojax.chips.bss2.perceptron.measure import (
    measure_mock_parameter as measure_mock_parameter,
)
from neurojax.chips.bss2.perceptron.mock import (
    COLUMNS as COLUMNS,
    INPUT as INPUT,
    OUTPUT as OUTPUT,
    ROWS as ROWS,
    WEIGHT as WEIGHT,
    MockParameter as MockParameter,
)
from neurojax.chips.bss2.perceptron.operations import (
    add as add,
    argmax as argmax,
    converting_relu as converting_relu,
    mac as mac,
    mac_counted as mac_counted,
    matmul as matmul,
    relu as relu,
)
from neurojax.chips.bss2.perceptron.tracing import InferenceTrace as InferenceTrace, trace as trace
from neurojax.chips.bss2.perceptron.transforms import (
    clamp_weight as clamp_weight,
    clamped_weights as clamped_weights,
    scale_batch as scale_batch,
    scale_input as scale_input,
    scale_weight as scale_weight,
)
