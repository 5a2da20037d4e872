"""Networks as modules of plain PyTorch, and back.

The module computes what the network computes: the same spikes, and gradients by the same
surrogates. It needs no other library of spiking neurons.
"""

from __future__ import annotations

import itertools
from typing import Any

from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.converters._registry import Converted, register


def to_torch(network: Network) -> Any:
    """A network as a `torch.nn.Module` with the same parameters under the same names.

    Arrays become parameters called `"layer.field"`, running statistics and plain numbers become
    buffers; a layer `"a.b"` is the child `b` of the module `a`. `module.train()` and
    `module.eval()` switch dropout and batch normalisation, which start in the mode of the network;
    in training, running statistics are updated in place, as in `torch.nn.BatchNorm2d`.

    Args:
        network: What to convert: any graph of the layers and neurons of neurojax.

    Returns:
        A module whose `forward(inputs)` takes and returns `[time, batch, ...]` (dicts by name, if
        the network has several inputs or outputs), starting from the initial state.
        `module.run(inputs, state)` returns `(outputs, state)` and goes on from a state;
        `state.detach()` cuts its history. `module.network()` is the network with the values that
        the parameters have now.

    Raises:
        ValueError: Layers of a chip, layers or surrogates of your own; all of them are named.
        ImportError: PyTorch is not installed.

    Example:
        >>> import jax, neurojax as nj
        >>> import torch
        >>> from neurojax.converters import to_torch
        >>> net = nj.Sequential((4,), fc=nj.Linear(4, 8, key=jax.random.key(0)),
        ...                     spikes=nj.LIF(tau=10.0))
        >>> module = to_torch(net)
        >>> module(torch.ones(20, 3, 4)).shape, [name for name, _ in module.named_parameters()]
        (torch.Size([20, 3, 8]), ['fc.weight'])
    """
    modules = _modules()
    if not isinstance(network, Network):
        inner = getattr(network, "network", None)
        remedy = "; its network is made of a chip's layers" if isinstance(inner, Network) else ""
        raise TypeError(f"to_torch takes a Network, got {type(network).__name__}{remedy}")
    problems = modules.problems(network)
    if problems:
        raise ValueError("the network can't become a module of PyTorch:\n" + "\n".join(problems))
    return modules.TorchNetwork(network)


def network_of(module: Any) -> Network | None:
    """The network that a module of `to_torch` stands for, with the values it has now; else None.

    An exact way back: the same layers, options, graph and names. What was trained in PyTorch is in
    the arrays.

    Raises:
        ValueError: A parameter holds NaN or infinity.
    """
    # A module of ours exists only if its class has been imported.
    if type(module).__qualname__ != "TorchNetwork" or not _is_ours(module):
        return None
    return module.network()


@register("neurojax.TorchLayer")
def _layer(module: Any, in_shape: Shape) -> Converted:
    del in_shape
    layer: Layer = module.layer()
    return Converted({"": layer}, sequence=True)


@register("neurojax.TorchNetwork")
def _network(module: Any, in_shape: Shape) -> Converted:
    """A network within another module, if it is a chain."""
    network: Network = module.network()
    chain = [*network.inputs, *network.names]
    edges = {Edge(a, b) for a, b in itertools.pairwise(chain)}
    if len(network.inputs) > 1 or set(network.edges) != edges or network.outputs != (chain[-1],):
        raise ValueError(
            "a module of to_torch within another one must be a chain of layers with one input and "
            "one output; import it on its own, with network_of(module)"
        )
    return Converted(
        dict(zip(network.names, map(network.__getitem__, network.names), strict=True)),
        sequence=True,
    )


def _is_ours(module: Any) -> bool:
    return type(module).__module__ == "neurojax.converters._torch_module.modules"


def _modules() -> Any:
    try:
        from neurojax.converters._torch_module import modules
    except ImportError as error:
        if error.name != "torch":
            raise
        raise ImportError('to_torch needs PyTorch: pip install "neurojax[torch]"') from error
    return modules
