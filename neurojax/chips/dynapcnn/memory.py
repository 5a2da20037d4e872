"""How many words of a core's memories a layer takes.

The chip addresses weights and neurons by concatenated bit fields, so that some sizes count as the
next power of two: the kernel's area and the output features in kernel memory, height and width in
neuron memory.

References:
    SynSense, "Speck Dev Kit Datasheet" (the sinabs overview prints the formulas without the
    rounding); sinabs 3.1.3, `DynapcnnLayer.memory_summary`.
"""

from __future__ import annotations

from typing import NamedTuple

from neurojax._layer import Shape
from neurojax._network import Network
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.chips.dynapcnn.spec import CoreSpec


class Memory(NamedTuple):
    """Words of kernel, neuron and bias memory."""

    kernel: int
    neuron: int
    bias: int


def bits_for(n: int) -> int:
    """ceil(log2(n)): bits that address n things."""
    return (n - 1).bit_length()


def memory_of(weight_shape: Shape, neuron_shape: Shape, *, bias: bool) -> Memory:
    """Memory of a layer with weights `(f, c, kh, kw)` and neurons `(f, h, w)`.

    Example:
        >>> from neurojax.chips.dynapcnn import memory_of
        >>> memory_of((6, 2, 3, 3), (6, 16, 16), bias=False)
        Memory(kernel=256, neuron=1536, bias=0)
    """
    features, channels, *kernel = weight_shape
    area = kernel[0] * kernel[1]
    _, height, width = neuron_shape
    return Memory(
        kernel=channels << (bits_for(area) + bits_for(features)),
        neuron=features << (bits_for(height) + bits_for(width)),
        bias=features if bias else 0,
    )


def core_memory(network: Network, name: str) -> Memory:
    """Memory of a core of a mapped network."""
    core = network[name]
    assert isinstance(core, Core)
    neurons = core.neuron_shape(network.in_shape(name))
    return memory_of(core.weight.shape, neurons, bias=core.bias is not None)


def fits(memory: Memory, core: CoreSpec) -> bool:
    """Whether a layer fits a core's three memories."""
    return (
        memory.kernel <= core.kernel_words
        and memory.neuron <= core.neuron_words
        and memory.bias <= core.bias_words
    )
