"""Folding batch normalisation of torch models into the convolutions and dense layers before it.

The model stays a torch model of the same class: weights and biases change, and each BatchNorm that
was folded becomes an Identity. `neurojax.layers.fold_batch_norm` does the same for a `Network`.
"""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurojax.converters._torch_layers import has_computed_weights, without_parametrizations
from neurojax.layers.fold import Normalisation, fold_parameters

SYNAPSES = ("Conv1d", "Conv2d", "Conv3d", "Linear")
NORMS = (
    "SyncBatchNorm",
    *(f"{kind}BatchNorm{n}d" for kind in ("", "ThresholdDependent") for n in (1, 2, 3)),
)
AVERAGES = tuple(f"{kind}AvgPool{n}d" for kind in ("", "Adaptive") for n in (1, 2, 3))
MAXIMA = tuple(f"{kind}MaxPool{n}d" for kind in ("", "Adaptive") for n in (1, 2, 3))
PASSED = (*AVERAGES, *MAXIMA, "Identity")
HOMES = ("torch.nn.modules", "spikingjelly.activation_based.layer")
# Packages whose modules are looked at from outside; modules of a user are traced through.
LEAVES = ("torch", "spikingjelly", "snntorch", "norse", "sinabs", "lava")

TOLERANCE = 1e-4
"""Largest error that rounding explains, as a part of the largest magnitude of the outputs."""


def fuse_batch_norm(module: Any, example_input: Any = None) -> Any:
    """A copy of a torch model, in eval mode, whose batch normalisation is in its weights.

    gamma (W x + b - mean) / sqrt(var + eps) + beta is a layer with the weights W' = s W and the
    bias b' = s (b - mean) + beta, where s = gamma / sqrt(var + eps). Handled are Conv1d, Conv2d,
    Conv3d and Linear with BatchNorm1d, 2d, 3d behind them, of torch and of SpikingJelly, wherever
    `torch.fx` sees that they follow each other: in a Sequential, in a `forward`, in a loop over
    time steps. Average pooling in between commutes with it, unless its padding counts; maximum
    pooling does where no gamma is negative.

    Args:
        module: The model. It is not changed.
        example_input: An input, or a tuple of several, to check with: what each folded layer gives
            is compared with what the two layers gave. Needed where a Linear sees more than
            `[batch, features]`, because BatchNorm1d may then normalise another axis.

    Returns:
        A model of the same class and with the same names. Each folded BatchNorm is an Identity.

    Warns:
        UserWarning: Some BatchNorm can't be folded. All of them are listed, with reasons; they stay
            as they are.

    Raises:
        TypeError: `module` is not a `torch.nn.Module`.
        ValueError: The model can't be copied or traced, or the check failed.

    References:
        B. Jacob et al., "Quantization and training of neural networks for efficient
        integer-arithmetic-only inference", CVPR 2018, section 3.2. Rounded as
        `torch.nn.utils.fuse_conv_bn_weights`.

    Example:
        >>> import torch
        >>> from neurojax.converters import fuse_batch_norm
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4))
        >>> fuse_batch_norm(model)
        Sequential(
          (0): Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1))
          (1): Identity()
        )
    """
    import torch

    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"fuse_batch_norm takes a torch.nn.Module, got {type(module).__name__}")
    fused = _copied(module).eval()
    names = {id(m): name for name, m in fused.named_modules()}
    norms = [m for m in fused.modules() if _is_one_of(m, NORMS)]
    flow = _Flow(fused) if norms else None
    kept, folded = [], []
    for norm in norms:
        assert flow is not None
        try:
            folded.append([*flow.path_to(norm), norm])
        except _Kept as reason:
            kept.append(f"'{names[id(norm)]}' ({type(norm).__name__}): {reason}")
    seen = None if example_input is None else _seen(fused, folded, example_input)
    replaced = {}
    for synapse, *_, norm in folded:
        replaced[id(synapse)] = _fold(synapse, norm)
        replaced[id(norm)] = torch.nn.Identity()
    if seen is not None:
        _check(folded, replaced, seen, names)
    fused = _with(fused, replaced)
    if kept:
        warnings.warn("batch norm that stays: " + "; ".join(kept), UserWarning, stacklevel=2)
    return fused


class _Kept(Exception):
    """Why a BatchNorm is not folded."""


class _Flow:
    """Which module of a model takes the values of which other one."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.names = {id(m): name for name, m in model.named_modules()}
        self.sources: dict[int, list[Any]] = {}  # of each module: a module, or what else it is
        self.takers: dict[int, list[Any]] = {}
        for source, taker in self._edges():
            if _is_module(taker):
                self.sources.setdefault(id(taker), []).append(source)
            if _is_module(source):
                self.takers.setdefault(id(source), []).append(taker)

    def _edges(self) -> Iterator[tuple[Any, Any]]:
        """All pairs (module, module); a text stands for anything that is not one."""
        if _is_leaf(self.model):
            yield from _within(self.model)
            return
        graph = _trace(self.model)
        modules = dict(self.model.named_modules(remove_duplicate=False))

        def what(node: Any) -> Any:
            if node.op == "call_module":
                return modules[node.target]
            words = {"placeholder": "the input", "output": "the output", "get_attr": "a tensor"}
            return words.get(node.op) or getattr(node.target, "__name__", str(node.target))

        for node in graph.nodes:
            for taker in (user for user in node.users if not _asks_only(user)):
                yield from _inside(what(node), what(taker))
            if node.op == "call_module":
                yield from _within(modules[node.target])

    def path_to(self, norm: Any) -> list[Any]:
        """The module that can take up a BatchNorm, and the pools between them; raises _Kept."""
        if norm.running_mean is None:
            raise _Kept("it has no running statistics (track_running_stats=False)")
        module = self._only_source(norm)
        pools: list[Any] = []
        while _is_one_of(module, PASSED):
            pools.insert(0, module)
            module = self._only_source(module)
        if not _is_one_of(module, SYNAPSES):
            raise _Kept(f"{self._words(module)} before it has no weights that could take it up")
        channels = getattr(module, "out_channels", None) or module.out_features
        if channels != norm.num_features:
            raise _Kept(
                f"it normalises {norm.num_features} channels, but {self._words(module)} has "
                f"{channels}"
            )
        if has_computed_weights(module):
            raise _Kept(
                f"the weights of {self._words(module)} are computed by a hook in each call; remove "
                "it first (remove_weight_norm, remove_spectral_norm, prune.remove)"
            )
        for step, follower in zip([module, *pools], [*pools, norm], strict=True):
            others = [t for t in self.takers[id(step)] if t is not follower]
            if others:
                where = ", ".join(dict.fromkeys(self._words(other) for other in others))
                raise _Kept(f"{where} takes the values of {self._words(step)} too")
        for pool in pools:
            reason = _why_not_through(pool, norm)
            if reason:
                raise _Kept(f"{self._words(pool)} is in between: {reason}")
        return [module, *pools]

    def _only_source(self, module: Any) -> Any:
        sources = self.sources.get(id(module), [])
        if not sources:
            raise _Kept("it is not used where torch.fx can see it")
        if any(source is not sources[0] for source in sources):
            several = ", ".join(dict.fromkeys(self._words(source) for source in sources))
            raise _Kept(f"{self._words(module)} takes the values of several: {several}")
        return sources[0]

    def _words(self, found: Any) -> str:
        if _is_module(found):
            return f"'{self.names[id(found)]}' ({type(found).__name__})"
        return str(found)


def _inside(source: Any, taker: Any) -> Iterator[tuple[Any, Any]]:
    """An edge between modules; of a container that applies its children in order, the outermost."""
    while _is_chain(source):
        source = source[-1]
    while _is_chain(taker):
        taker = taker[0]
    yield source, taker


def _within(module: Any) -> Iterator[tuple[Any, Any]]:
    """Edges between the children of such a container."""
    if _is_chain(module):
        children = list(module)
        for a, b in itertools.pairwise(children):
            yield from _inside(a, b)
        for child in children:
            yield from _within(child)


def _asks_only(node: Any) -> bool:
    """Whether a node takes not the values of another one, but only its shape or type."""
    name = node.args[1] if node.target is getattr and len(node.args) > 1 else node.target
    return name in ("size", "dim", "shape", "ndim", "dtype", "device")


def _is_leaf(module: Any) -> bool:
    """Whether torch.fx should not look into a module."""
    import torch

    # Within torch's own Sequential there may be modules of a user.
    return _is_of_library(module) and type(module) is not torch.nn.Sequential


def _is_of_library(module: Any) -> bool:
    names = (type(module).__module__, type(module).forward.__module__)
    return all(name.partition(".")[0] in LEAVES for name in names)


def _is_chain(module: Any) -> bool:
    """Whether a module applies its children one after the other."""
    import torch

    return isinstance(module, torch.nn.Sequential) and _is_of_library(module) and len(module) > 0


def _is_module(found: Any) -> bool:
    import torch

    return isinstance(found, torch.nn.Module)


def _is_one_of(module: Any, kinds: tuple[str, ...]) -> bool:
    """Whether a module is one of torch's or SpikingJelly's classes, and computes like it."""
    for cls in type(module).__mro__:
        if cls.__name__ in kinds and cls.__module__.startswith(HOMES):
            return True
        if cls.__module__ == "torch.nn.utils.parametrize":
            continue
        if {"forward", "_conv_forward", "weight", "bias"} & set(vars(cls)):
            return False
    return False


def _why_not_through(pool: Any, norm: Any) -> str:
    """Why normalising before a pool is not the same as behind it, or ""."""
    if _is_one_of(pool, MAXIMA):
        if norm.weight is not None and bool((norm.weight < 0).any()):
            return "a negative gamma turns the largest value into the smallest"
    elif _is_one_of(pool, AVERAGES):
        if getattr(pool, "divisor_override", None):
            return "with divisor_override it is no mean"
        padding = getattr(pool, "padding", 0)
        if np.any(padding) and pool.count_include_pad:
            return "zeros of its padding would not be normalised (count_include_pad=True)"
    return ""


def _copied(module: Any) -> Any:
    try:
        return copy.deepcopy(module)
    except RuntimeError as error:
        computed = [name for name, m in module.named_modules() if has_computed_weights(m)]
        raise ValueError(
            f"the model can't be copied, because weights of {computed or 'a layer'} are computed "
            "by a hook; remove it (torch.nn.utils.remove_weight_norm), or use "
            f"torch.nn.utils.parametrizations instead ({error})"
        ) from None


def _trace(model: Any) -> Any:
    import torch.fx

    class Tracer(torch.fx.Tracer):
        def is_leaf_module(self, m: Any, module_qualified_name: str) -> bool:
            return _is_leaf(m)

    try:
        return Tracer().trace(model)
    except Exception as error:
        raise ValueError(
            f"torch.fx can't trace {type(model).__name__}: {error}. Fold the parts that it can "
            "trace, one by one, or write its forward without control flow that depends on values"
        ) from error


def _fold(synapse: Any, norm: Any) -> Any:
    """The synapse with new weights and a bias; the module itself, unless it was parametrized."""
    import torch

    if hasattr(synapse, "parametrizations"):
        synapse = without_parametrizations(synapse)
    weight, bias = synapse.weight, synapse.bias
    mean, var = _numbers(norm.running_mean), _numbers(norm.running_var)
    known = Normalisation(mean, var, float(norm.eps), _numbers(norm.weight), _numbers(norm.bias))
    folded = fold_parameters(_numbers(weight), _numbers(bias), known)
    for name, array in zip(("weight", "bias"), folded, strict=True):
        tensor = torch.as_tensor(array).to(device=weight.device, dtype=weight.dtype)
        setattr(synapse, name, torch.nn.Parameter(tensor, requires_grad=weight.requires_grad))
    return synapse


def _numbers(tensor: Any) -> np.ndarray | None:
    """A tensor in float32, or float64 if it is; None for None."""
    if tensor is None:
        return None
    tensor = tensor.detach().cpu()
    return np.array((tensor if str(tensor.dtype) == "torch.float64" else tensor.float()).numpy())


def _with(model: Any, replaced: Mapping[int, Any]) -> Any:
    """A model with some modules exchanged, under all names that they have."""
    if id(model) in replaced:
        return replaced[id(model)]
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if id(module) in replaced:
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, replaced[id(module)])
    return model


def _seen(model: Any, folded: list[list[Any]], example: Any) -> dict[int, list[Any]]:
    """What goes into each synapse and comes out of each BatchNorm, by the id of the module."""
    import torch

    seen: dict[int, list[Any]] = {}
    hooks = []
    for synapse, *_, norm in folded:
        took, gave = seen.setdefault(id(synapse), []), seen.setdefault(id(norm), [])
        take = lambda m, args, out, took=took: took.append(args[0].clone())  # noqa: E731
        give = lambda m, args, out, gave=gave: gave.append(out.clone())  # noqa: E731
        hooks += [synapse.register_forward_hook(take), norm.register_forward_hook(give)]
    try:
        with torch.no_grad():
            # A copy, because neurons keep a state.
            copy.deepcopy(model)(*(example if isinstance(example, tuple) else (example,)))
    except Exception as error:
        raise ValueError(f"the model can't run on example_input: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _check(
    folded: list[list[Any]],
    replaced: Mapping[int, Any],
    seen: Mapping[int, list[Any]],
    names: Mapping[int, str],
) -> None:
    """Raise ValueError where a folded layer gives something else than the two did."""
    import torch

    wrong = []
    for synapse, *pools, norm in folded:
        if not seen[id(synapse)]:
            continue  # the example does not reach them
        outputs = []
        with torch.no_grad():
            for y in map(replaced[id(synapse)], seen[id(synapse)]):
                for pool in pools:
                    y = pool(y)
                outputs.append(y.flatten())
        # One may be called with all time steps, the other step by step: the values are the same.
        got, want = torch.cat(outputs), torch.cat([y.flatten() for y in seen[id(norm)]])
        error = float((got - want).abs().max()) if got.shape == want.shape else float("inf")
        if not error <= TOLERANCE * max(float(want.abs().max()), 1e-30):
            wrong.append(
                f"'{names[id(norm)]}' is not the same folded into '{names[id(synapse)]}': outputs "
                f"differ by up to {error:.3g}"
            )
    if wrong:
        raise ValueError("; ".join(wrong))
