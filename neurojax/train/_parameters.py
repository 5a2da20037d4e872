"""Files of parameters: every array of a network by layer and field, in HDF5.

A file holds numbers, not the network: build the same network, then load them into it. Nothing in
the file is executed or unpickled.

    /                       attributes: format = "neurojax parameters", version = 1
    /layers/<layer>/<field> an array; attribute dtype, because HDF5 has no bfloat16 and no keys
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from neurojax._files import written_whole
from neurojax._graph import nearest
from neurojax._network import Network, check_finite

FORMAT = "neurojax parameters"
VERSION = 1


def save_parameters(network: Network, path: str | os.PathLike[str]) -> None:
    """Write every array of a network to a file.

    The file appears whole or not at all: an existing one stays as it was if anything fails.

    Args:
        network: Whose arrays to write: weights, buffers such as running statistics, parameters of
            neurons. Constants (plain numbers) and options are not in the file.
        path: Where to; usually ends in `.h5`.
    """
    with written_whole(path) as part, h5py.File(part, "w") as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        for layer, field, array in _arrays(network):
            stored = file.create_dataset(_place(layer, field), data=_to_numpy(array))
            stored.attrs["dtype"] = str(array.dtype)


def load_parameters(network: Network, path: str | os.PathLike[str]) -> Network:
    """A network with the arrays of a file in place of its own.

    Args:
        network: A network with the layers, fields, shapes and types of the saved one.
        path: A file of `save_parameters`.

    Returns:
        The network with the arrays of the file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no such file, is damaged, was written by a later version, or does not fit
            the network; all layers and fields that don't fit are named.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        with h5py.File(path, "r") as file:
            stored = _read(file, path, network)
    except OSError as error:
        raise ValueError(f"{path}: no HDF5 file, or a damaged one ({error})") from error

    def replace(layer: str) -> Any:
        def new(keys: Any, leaf: Any) -> Any:
            return stored[layer, jax.tree_util.keystr(keys)] if eqx.is_array(leaf) else leaf

        return jax.tree_util.tree_map_with_path(new, network.layers[layer])

    layers = {name: replace(name) for name in network.layers}
    loaded = eqx.tree_at(lambda net: net.layers, network, layers)
    check_finite(loaded)
    return loaded


def _read(file: h5py.File, path: Path, network: Network) -> dict[tuple[str, str], Array]:
    if file.attrs.get("format") != FORMAT:
        raise ValueError(f"{path}: not a file of save_parameters (format is not {FORMAT!r})")
    version = int(file.attrs.get("version", 0))
    if not 1 <= version <= VERSION:
        raise ValueError(
            f"{path}: version {version} of the format; this release reads up to {VERSION}, "
            "so update neurojax"
        )
    found = {}
    for layer, fields in file.get("layers", {}).items():
        for field, dataset in fields.items():
            # External storage would let a file read others on the disk.
            if isinstance(dataset, h5py.Dataset) and not (dataset.external or dataset.is_virtual):
                found[unquote(layer), unquote(field)] = dataset
    known = sorted({layer for layer, _ in found})
    problems, values = [], {}
    for layer, field, array in _arrays(network):
        where = f"layer '{layer}': {field.lstrip('.')}"
        dataset = found.pop((layer, field), None)
        if dataset is None:
            missing = "" if layer in known else f" (nor the layer; {nearest(layer, known)})"
            problems.append(f"{where} is not in the file{missing}")
            continue
        dtype = str(dataset.attrs.get("dtype", ""))
        expected = _to_numpy(array)
        if dtype != str(array.dtype):
            problems.append(
                f"{where} is {dtype} in the file, but {array.dtype} in the network; cast the "
                f"network first: network.astype('{dtype}')"
            )
        elif dataset.shape != expected.shape or dataset.dtype != expected.dtype:
            problems.append(
                f"{where} has shape {dataset.shape} in the file, but {array.shape} in the network"
            )
        else:
            values[layer, field] = _from_numpy(dataset[()], array)
    problems += [
        f"layer '{layer}': {field.lstrip('.')} is in the file, but not in the network"
        for layer, field in found
    ]
    if problems:
        raise ValueError(f"{path} does not fit the network:\n" + "\n".join(problems))
    return values


def _arrays(network: Network) -> Iterator[tuple[str, str, Array]]:
    """Layer, field and value of every array."""
    for name in network.names:
        for path, leaf in jax.tree_util.tree_leaves_with_path(network.layers[name]):
            if eqx.is_array(leaf):
                yield name, jax.tree_util.keystr(path), leaf


def _place(layer: str, field: str) -> str:
    """Path in the file; a slash in a name is no folder."""
    return f"layers/{quote(layer, safe=' ')}/{quote(field, safe=' []')}"


def _to_numpy(array: Array) -> np.ndarray:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(array))
    value = np.asarray(array)
    # HDF5 does not know the types that NumPy does not (bfloat16, float8): their bits are stored.
    return value.view(f"u{value.itemsize}") if value.dtype.kind == "V" else value


def _from_numpy(value: np.ndarray, like: Array) -> Array:
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(value), impl=jax.random.key_impl(like))
    return jnp.asarray(value.view(like.dtype) if value.dtype != like.dtype else value)
