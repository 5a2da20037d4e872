"""Torch models of any shape: the model is run once on a copy, and what it did becomes a network."""

from __future__ import annotations

from typing import Any

from neurojax._network import Network

# For what they register.
from neurojax.converters import (
    _torch_layers as _torch_layers,
    norse as norse,
    sinabs as sinabs,
    slayer as slayer,
    snntorch as snntorch,
    spikingjelly as spikingjelly,
)
from neurojax.converters.to_torch import network_of


def from_torch(
    module: Any,
    example_input: Any = None,
    *,
    input_shape: Any = None,
    time_axis: int | str | None = "auto",
    check: bool = True,
    progress: bool | None = None,
) -> Network:
    """A network that computes what a torch model computes in `eval()`.

    A copy of the model is run on an example. Every module that has a converter (`register`) becomes
    a layer with the module's name; what happens between them (sums, concatenations, reshapes,
    functions such as `F.relu`) becomes layers and edges. A loop over time in `forward` is folded
    into one step, with the feedback that it contains. Your module is left as it is.

    Args:
        module: A `torch.nn.Module`.
        example_input: A tensor as you would call the model with, batch included; a tuple or a dict
            (by the names of forward's parameters) for several inputs. It is what the layers are
            checked on, so real data finds more than noise.
        input_shape: Instead of an example: shape of one sample at one step, without time and batch
            (a tuple or dict of shapes for several inputs). The model is then run on random spikes.
        time_axis: Where the model has the time steps. None: it is called once a step with
            [batch, ...]. 0: [time, batch, ...]. 1: [batch, time, ...] (sinabs). "squeezed":
            [batch * time, ...] (sinabs' *Squeeze layers). "auto": what its modules and loops say.
        check: Compare every layer with what its module computed; the provenance says what was
            found, a layer that does not agree is an error.
        progress: Whether to show which layer is being checked. None: on terminals and in notebooks,
            if it takes over two seconds.

    Returns:
        The network. `network.provenance` says where each layer came from and what was decided.
        Runs take inputs as [time, batch, ...], whatever the model took.

    Raises:
        ValueError: Something is not supported, does not agree, or the model does not run; one
            message with every finding.
        TypeError: Not a module, or an example of the wrong kind.
        ImportError: torch is not installed.

    Warns:
        UserWarning: The model returns nothing but states (snnTorch's `mem_rec`): the network
            returns what the neurons give, and the warning names the probes to record.

    Example:
        >>> import torch, neurojax as nj
        >>> from neurojax.converters import from_torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU())
        >>> network = from_torch(model, input_shape=(4,))
        >>> network.names
        ('0', '1')
        >>> network.provenance["0"].source
        'torch.Linear'
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            'from_torch needs torch; install it with: pip install "neurojax[torch]"'
        ) from error
    from neurojax.converters._tracing.importer import LEADS, Importer

    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"from_torch takes a torch.nn.Module, got {type(module).__name__}; for a state dict "
            "or a file, build the network here, and load_parameters(network, ...) fills it"
        )
    if (example_input is None) == (input_shape is None):
        raise TypeError(
            "from_torch: give either example_input or input_shape: a tensor as you would call the "
            "model with, or the shape of one sample at one step"
        )
    if time_axis is not None and time_axis != "auto" and time_axis not in LEADS:
        raise ValueError(
            f"from_torch: time_axis={time_axis!r} must be None, 0, 1, 'squeezed' or 'auto'; for "
            "time last (lava-dl) use neurojax.converters.slayer.from_blocks"
        )
    if (network := network_of(module)) is not None:
        return network
    return Importer(module).network(example_input, input_shape, time_axis, check, progress)
