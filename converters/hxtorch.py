"""hxtorch: parameters of a model trained elsewhere, by the rules of its model mapper."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurojax._arguments import check_network
from neurojax._graph import nearest
from neurojax._network import Network
from neurojax.converters.parameters import StateDict, Target, arrays_of, fitted, replaced, targets


def map_from(
    network: Network,
    state_dict: StateDict,
    mapping: Mapping[str, str],
    map_all: bool = True,
    *,
    mapping_first: bool = False,
) -> Network:
    """A network with the parameters of a state dict, as `MixinHXModelMapper.map_from` takes them.

    For each array of the network: a key of the same name in the state dict wins, else the one that
    `mapping` names. Values are cast, and repeated along axes of length 1, as `Tensor.copy_` does.
    Keys of the state dict that nothing asks for are ignored. `load_parameters` is stricter, and
    reports what it did.

    Args:
        network: The network that takes the parameters; it is not changed.
        state_dict: Tensors or arrays by name, or the path of a file with them.
        mapping: Keys of the network, `"layer.field"`, to keys of the state dict.
        map_all: False: only the keys in `mapping` are taken.
        mapping_first: True: `mapping` wins over a key of the same name. That is what hxtorch's
            documentation says, not what it does.

    Returns:
        The network with the parameters of the state dict.

    Raises:
        ValueError: An array has no counterpart (hxtorch takes the one of the array before it, or
            raises a NameError), or a value does not fit. All of them are named.

    Warns:
        UserWarning: `mapping` has keys that the network does not have.

    References:
        hxtorch, `hxtorch.spiking.utils.from_norse.MixinHXModelMapper`.

    Example:
        >>> import jax, numpy as np, neurojax as nj
        >>> from neurojax.converters import map_from
        >>> net = nj.Sequential((2,), syn=nj.Linear(2, 3, key=jax.random.key(0)))
        >>> float(map_from(net, {"fc.weight": np.ones((3, 2))}, {"syn.weight": "fc.weight"})
        ...       ["syn"].weight.sum())
        6.0
    """
    check_network("map_from", network)
    theirs, ours = arrays_of(state_dict), targets(network)
    unknown = [key for key in mapping if key not in ours]
    if unknown:
        warnings.warn(
            "map_from: "
            + "; ".join(f"the network has no '{key}', {nearest(key, ours)}" for key in unknown),
            stacklevel=2,
        )
    values, problems = {}, []
    for name, target in ours.items():
        if not map_all and name not in mapping:
            continue
        wanted = [name, mapping.get(name, name)]
        found = [key for key in (reversed(wanted) if mapping_first else wanted) if key in theirs]
        if not found:
            if target.required or name in mapping:
                problems.append(f"{name}: no '{wanted[-1]}' there; {nearest(wanted[-1], theirs)}")
            continue
        try:
            values[name], _ = fitted(target, _repeated(theirs[found[0]], target))
        except ValueError as error:
            problems.append(f"{name} from '{found[0]}': {error}")
    if problems:
        raise ValueError("map_from: the parameters do not fit:\n" + "\n".join(problems))
    return replaced(network, values)


def _repeated(array: np.ndarray, target: Target) -> Any:
    """The array in the shape of its place, if it broadcasts to it."""
    shape = np.shape(target.value)
    try:
        return np.broadcast_to(array, shape) if target.required else array
    except ValueError:
        return array
