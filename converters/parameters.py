"""Parameters by name: what another model learned, put into a network that was built here.

No tracing and no module of the other library: only names, shapes and numbers. Either everything
fits and a new network with a report comes back, or one error says all that does not fit.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neurojax._arguments import check_network
from neurojax._graph import nearest
from neurojax._layer import Constant
from neurojax._network import Network
from neurojax._table import shape_text, text_table
from neurojax.converters._torch_file import array_of, load_state_dict
from neurojax.train._trainable import field_name

StateDict = Mapping[str, Any] | str | os.PathLike[str]
NameMapping = Mapping[str, str | None] | Callable[[str], str | None]
Transform = str | Callable[[np.ndarray], Any]


class Row(NamedTuple):
    """One parameter that was taken."""

    ours: str  # "layer.field"
    theirs: str  # key of the state dict
    shape: tuple[int, ...]
    note: str = ""  # what was done to it


@dataclasses.dataclass(frozen=True)
class ParameterReport:
    """What `load_parameters` found; a table when printed.

    Attributes:
        loaded: Parameters that were taken, with what was done to them.
        missing: Arrays of the network that the state dict has nothing for; they are as before.
        unused: Keys of the state dict that nothing here asked for.
    """

    loaded: tuple[Row, ...]
    missing: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        rows = [[r.ours, r.theirs, shape_text(r.shape), r.note] for r in self.loaded]
        parts = [text_table(["here", "there", "shape", "note"], rows)]
        if self.missing:
            parts.append(f"as before (missing there): {', '.join(self.missing)}")
        if self.unused:
            parts.append(f"unused there: {', '.join(self.unused)}")
        return "\n".join(parts)


class Loaded(NamedTuple):
    """What `load_parameters` returns."""

    network: Network
    report: ParameterReport


def load_parameters(
    network: Network,
    state_dict: StateDict,
    mapping: NameMapping | None = None,
    *,
    match: str = "name",
    transforms: Mapping[str, Transform] | None = None,
    strict: bool = True,
) -> Loaded:
    """A network with the parameters of a state dict in place of its own.

    Every array of the network is looked up under its own name, `"layer.field"`, unless `mapping`
    says another. A number (a constant) is replaced if the state dict has one value of its name.

    Args:
        network: A network with the layers and shapes of the other model. It is not changed.
        state_dict: Tensors or arrays by name, or the path of a file with them (`.pt`, `.pth`,
            `.safetensors`, `.npz`; nothing in a file is executed, see `load_state_dict`).
        mapping: Our names to theirs, where they differ: `{"hidden.weight": "fc1.weight"}`. A star
            stands for the same text on both sides, `{"*.weight": "module.*.weight"}`; the first
            entry that fits counts. None instead of a name leaves a parameter as it is. Or a
            function of our name.
        match: `"name"`, or `"order"`: the arrays of both one after the other, by shape only. The
            table in the report says what met what.
        transforms: What to do to their array before it is compared, by our name (stars as above):
            `"transpose"` (swaps the first two axes), `"squeeze"` (drops or adds axes of length 1),
            or a function.
        strict: True: a parameter without a value, and a value without a parameter, are errors.
            False: they are only reported. Shapes and numbers that don't fit are errors anyway.

    Returns:
        `Loaded(network, report)`.

    Raises:
        ValueError: Something does not fit; all of it is named, with what would help.
        FileNotFoundError: There is no such file.

    Example:
        >>> import jax, numpy as np, neurojax as nj
        >>> from neurojax.converters import load_parameters
        >>> net = nj.Sequential((2,), hidden=nj.Linear(2, 3, key=jax.random.key(0)))
        >>> loaded = load_parameters(net, {"fc.weight": np.ones((3, 2))}, {"hidden.*": "fc.*"})
        >>> print(loaded.report)
        here           there      shape  note
        -------------  ---------  -----  ------------------
        hidden.weight  fc.weight  3x2    float64 to float32
        >>> float(loaded.network["hidden"].weight.sum())
        6.0
    """
    if match not in ("name", "order"):
        raise ValueError(f"load_parameters: match is {match!r}; it must be 'name' or 'order'")
    check_network("load_parameters", network)
    theirs = arrays_of(state_dict)
    ours = targets(network)
    problems: list[str] = []
    if match == "order":
        if mapping is not None:
            raise ValueError("load_parameters: match='order' takes no mapping")
        pairs = _by_order(ours, theirs)
        absent = {name: name for name in ours if name not in pairs}
    else:
        pairs, absent, problems = _by_name(ours, theirs, mapping)
    changes, unknown = _matching(transforms or {}, ours)
    problems += [f"transforms: {text}" for text in unknown]
    rows, values = [], {}
    for name, key in pairs.items():
        try:
            value, note = fitted(ours[name], theirs[key], changes.get(name))
        except ValueError as error:
            problems.append(f"{name} from '{key}': {error}")
        else:
            rows.append(Row(name, key, np.shape(value), note))
            values[name] = value
    report = ParameterReport(
        tuple(rows),
        tuple(name for name in absent if ours[name].required),
        tuple(key for key in theirs if key not in pairs.values()),
    )
    # What the mapping names must be there; what it does not name, or by a star only, may be.
    named = set(mapping) if isinstance(mapping, Mapping) else set()
    for name, key in absent.items():
        if name in named or (strict and ours[name].required):
            problems.append(f"{name}: no '{key}' there; {nearest(key, theirs)}")
    if strict:
        keys = [key for key in report.unused if not _bookkeeping(key)]
        problems += [f"'{key}' there is not used here{_hint(key, network)}" for key in keys]
    if problems:
        remedy = "" if not strict else "\n(what is to stay can be mapped to None; see also strict)"
        raise ValueError("the parameters do not fit the network:\n" + "\n".join(problems) + remedy)
    return Loaded(replaced(network, values), report)


class Target(NamedTuple):
    """A place in the network for a parameter."""

    value: Any  # an array or a Constant

    @property
    def required(self) -> bool:
        """Whether it should get a value: arrays do, constants may."""
        return not isinstance(self.value, Constant)


def arrays_of(source: StateDict) -> dict[str, np.ndarray]:
    """The arrays of a state dict, of a module that has one, or of a file."""
    if isinstance(source, str | os.PathLike):
        return load_state_dict(source)
    source = source.state_dict() if hasattr(source, "state_dict") else source
    if not isinstance(source, Mapping):
        raise TypeError(
            f"state_dict is a {type(source).__name__}; give tensors by name, or a file of them"
        )
    found = {}
    for key, value in source.items():
        try:
            found[str(key)] = array_of(value)
        except Exception as error:  # whatever another library's object raises
            raise ValueError(f"'{key}' can't be read as an array: {error}") from None
    return found


def targets(network: Network) -> dict[str, Target]:
    """Every array and every constant of a network by `"layer.field"`, in the network's order."""
    found = {}
    for name in network.names:
        for path, leaf in _leaves(network.layers[name]):
            if isinstance(leaf, Constant) or (
                eqx.is_array(leaf) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            ):
                found[field_name(name, path)] = Target(leaf)
    return found


def replaced(network: Network, values: Mapping[str, Any]) -> Network:
    """The network with other values at some of its `targets`."""

    def new(name: str) -> Any:
        def value(path: Any, leaf: Any) -> Any:
            return values.get(field_name(name, path), leaf)

        return jax.tree_util.tree_map_with_path(value, network.layers[name], is_leaf=_is_constant)

    layers = {name: new(name) for name in network.layers}
    # Constants are part of the tree's structure, which tree_at takes as it comes.
    return eqx.tree_at(lambda net: net.layers, network, layers)


def fitted(target: Target, array: np.ndarray, change: Transform | None = None) -> tuple[Any, str]:
    """A value in the shape and type of its place, and a note on what that took.

    Raises:
        ValueError: It does not fit; the message says why, and what would help.
    """
    notes = []
    shape = np.shape(target.value)
    if change is not None:
        array = _transformed(array, change, shape)
        notes.append(change if isinstance(change, str) else "transformed")
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise ValueError(f"it holds {array.dtype}, not real numbers")
    if not target.required:
        if array.size != 1:
            raise ValueError(
                f"it has shape {array.shape}, but there is one constant; make that an array, say "
                f"jnp.full({array.shape}, {float(target.value):g}), to have many"
            )
        number = float(array.reshape(()))
        if not np.isfinite(number):
            raise ValueError(f"it is {number}")
        old = float(target.value)
        return Constant(number), ", ".join([*notes, f"constant {old:g}"])
    if array.shape != shape:
        raise ValueError(_shape_problem(array.shape, shape))
    dtype = target.value.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    bad = int(np.sum(~np.isfinite(cast.astype(np.float32)))) if dtype.kind in "fV" else 0
    if bad:
        raise ValueError(f"{bad} of {cast.size} values are NaN or infinite as {dtype}")
    if array.dtype != dtype:
        if dtype.kind in "iu" and not np.array_equal(cast, array):
            raise ValueError(f"its {array.dtype} values are no {dtype}")
        notes.append(f"{array.dtype} to {dtype}")
    return jnp.asarray(cast), ", ".join(notes)


def _transformed(array: np.ndarray, change: Transform, shape: tuple[int, ...]) -> np.ndarray:
    if callable(change):
        return array_of(change(array))
    if change == "transpose" and array.ndim >= 2:
        return np.swapaxes(array, 0, 1)
    if change == "squeeze" and _without_ones(array.shape) == _without_ones(shape):
        return array.reshape(shape)
    raise ValueError(
        f"transform {change!r} does not fit shape {array.shape}; there are 'transpose', 'squeeze' "
        "(to a shape that differs in axes of length 1), and functions"
    )


def _shape_problem(theirs: tuple[int, ...], ours: tuple[int, ...]) -> str:
    text = f"it has shape {theirs}, but {ours} is needed"
    remedy = "in load_parameters, transforms={...: "
    if _without_ones(theirs) == _without_ones(ours):
        return f"{text}; only axes of length 1 differ: {remedy}'squeeze'}}"
    if len(theirs) >= 2 and (theirs[1], theirs[0], *theirs[2:]) == ours:
        return f"{text}; it is transposed: {remedy}'transpose'}}"
    if np.prod(theirs, dtype=int) == np.prod(ours, dtype=int):
        return f"{text}; the number of values agrees, so a function in transforms may help"
    return text


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _by_name(
    ours: Mapping[str, Target], theirs: Mapping[str, Any], mapping: NameMapping | None
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Our names to the keys that are there, to those that are not, and what the mapping has wrong.

    Names that the mapping leaves as they are appear in neither.
    """
    problems: list[str] = []
    if mapping is None or callable(mapping):
        wanted = {name: mapping(name) if mapping else name for name in ours}
    else:
        named, unknown = _matching(mapping, ours, expand=True)
        problems = [f"mapping: {text}" for text in unknown]
        wanted = {name: named.get(name, name) for name in ours}
    pairs, absent = {}, {}
    for name, key in wanted.items():
        if key is None:
            continue
        # A layer within a layer is `parts[0]` here, `parts.0` in a module.
        found = [k for k in (key, re.sub(r"\[(\d+)\]", r".\1", key)) if k in theirs]
        if found:
            pairs[name] = found[0]
        else:
            absent[name] = key
    return pairs, absent, problems


def _matching(
    table: Mapping[str, Any], ours: Mapping[str, Any], *, expand: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """What a table with stars says for each of our names, and its entries that fit none."""
    found: dict[str, Any] = {}
    problems = []
    for pattern, value in table.items():
        regex = re.compile("(.*)".join(map(re.escape, pattern.split("*"))))
        hits = [(name, match) for name in ours if (match := regex.fullmatch(name))]
        if not hits:
            problems.append(f"'{pattern}' is no parameter of the network; {nearest(pattern, ours)}")
        for name, match in hits:
            if expand and value is not None:
                parts, stars = value.split("*"), match.groups()
                if len(parts) - 1 != len(stars):
                    problems.append(f"'{pattern}' and '{value}' must have equally many stars")
                    break
                filled = "".join(a + b for a, b in zip(parts, (*stars, ""), strict=True))
                found.setdefault(name, filled)
            else:
                found.setdefault(name, value)
    return found, problems


def _by_order(ours: Mapping[str, Target], theirs: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Our arrays with theirs, one after the other, without single numbers on their side."""
    arrays = [name for name, target in ours.items() if target.required]
    keys = [key for key, array in theirs.items() if array.ndim and not _bookkeeping(key)]
    return dict(zip(arrays, keys, strict=False))


def _bookkeeping(key: str) -> bool:
    """Whether a key counts something for its library and says nothing of the model."""
    return key.endswith("num_batches_tracked")


def _hint(key: str, network: Network) -> str:
    layer, _, field = key.rpartition(".")
    if layer in network and hasattr(network[layer], field):
        if getattr(network[layer], field) is None:
            return f": layer '{layer}' was made without {field}; make it with one"
        return f": {field} of layer '{layer}' is neither array nor number"
    return f"; {nearest(key, targets(network))}" if layer in network else ""


def _leaves(layer: Any) -> Iterator[tuple[Any, Any]]:
    yield from jax.tree_util.tree_leaves_with_path(layer, is_leaf=_is_constant)


def _is_constant(node: Any) -> bool:
    return isinstance(node, Constant)
