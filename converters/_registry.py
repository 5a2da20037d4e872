"""Which modules of other libraries are understood, and what each becomes.

A converter is a function `(module, in_shape) -> Layer | Converted`. It is registered under a class,
or under a text `"package.Class"` (the first part of the module's path and the class's name; the
whole path, where a library has two classes of one name), so that no library has to be imported to
be known.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from neurojax._layer import Layer, Shape

OUTPUT = "output"
"""Stands in `Converted.returns` for the output of the layer."""


class Converted(NamedTuple):
    """What a module becomes.

    Attributes:
        layers: A chain of layers by name, first to last. A single layer, or the last of several,
            may be called "": it then bears the module's own name. The others' names are put behind
            it with a dot (`"hidden.synapse"`).
        notes: What the conversion decided, one sentence each; `describe(network)` prints them.
        returns: What the module's `forward` returns. None: one value, the layer's output. A tuple:
            one entry for each value, `OUTPUT`, or the path of a state such as `"v"`.
        sequence: True if a call of the module is given all time steps at once (`[time, batch,
            ...]` or what its library uses), False if it is given one step, None if that makes no
            difference to it (a Linear).
    """

    layers: Mapping[str, Layer]
    notes: tuple[str, ...] = ()
    returns: tuple[str, ...] | None = None
    sequence: bool | None = None


Converter = Callable[[Any, Shape], Layer | Converted]
C = TypeVar("C", bound=Converter)

_converters: dict[type | str, Converter] = {}
_refusals: set[Converter] = set()  # those that only say why a kind can't come in

# A subclass that changes anything but how it is made is another module.
_HARMLESS = {"__init__", "__module__", "__qualname__", "__doc__", "__annotations__"}
_HARMLESS |= {"__firstlineno__", "__static_attributes__", "__parameters__", "__constants__"}
_HARMLESS |= {"extra_repr", "__repr__", "reset_parameters"}


def register(*kinds: type | str) -> Callable[[C], C]:
    """Decorator that makes a function the converter of one or several kinds of modules.

    Args:
        *kinds: Classes, or texts such as `"snntorch.Leaky"`. A later registration replaces an
            earlier one.

    Raises:
        TypeError: A kind is neither a class nor a text with a dot.

    Example:
        >>> import neurojax as nj
        >>> from neurojax.converters import register
        >>> class Doubling:  # stands for a torch.nn.Module of yours
        ...     pass
        >>> @register(Doubling)
        ... def doubling(module, in_shape):
        ...     return nj.Scale(2.0)
    """
    for kind in kinds:
        if not isinstance(kind, type) and not (isinstance(kind, str) and "." in kind):
            raise TypeError(
                f"register: {kind!r} is neither a class nor a text such as 'snntorch.Leaky'"
            )

    def decorate(function: C) -> C:
        _converters.update(dict.fromkeys(kinds, function))
        return function

    return decorate


def refuse(package: str, whose: str, reasons: Mapping[str, str]) -> None:
    """Makes modules known that can't come in: converting one raises a ValueError that says why.

    Args:
        package: First part of their path.
        whose: The library in the message: "snnTorch's".
        reasons: By name of the class, what the message says of it.
    """
    for name, reason in reasons.items():

        def refusal(module: Any, in_shape: Shape, text: str = f"{whose} {name} {reason}") -> Layer:
            raise ValueError(text)

        _refusals.add(refusal)
        register(f"{package}.{name}")(refusal)


def kind_of(cls: type) -> str:
    """`"torch.Linear"` for `torch.nn.modules.linear.Linear`: what texts are compared with."""
    return f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"


def converter_of(module: Any) -> Converter | None:
    """The converter of a module, or None.

    A subclass of a known class counts as that class if it overrides nothing but how it is made.
    """
    for cls in type(module).__mro__:
        for name in (cls, f"{cls.__module__}.{cls.__qualname__}", kind_of(cls)):
            if name in _converters:
                return _converters[name]
        if set(vars(cls)) - _HARMLESS:
            return None
    return None


def convert(module: Any, in_shape: Shape) -> Converted:
    """What a module becomes.

    Raises:
        LookupError: No converter knows it.
    """
    converter = converter_of(module)
    if converter is None:
        raise LookupError(f"{kind_of(type(module))} has no converter")
    result = converter(module, in_shape)
    return result if isinstance(result, Converted) else Converted({"": result})


def nearest_kind(module: Any) -> str:
    """The known kind whose name is closest to a module's, for error messages; "" if none is close.

    An activation is only close to an activation.
    """
    cls = type(module)
    if cls.__module__ == "torch.nn.modules.activation":
        return "torch.ReLU"
    package, _, wanted = kind_of(cls).partition(".")
    by_name: dict[str, str] = {}
    for kind in sorted(_known()):
        first, _, name = kind.partition(".")
        if name not in by_name or first == package:  # of its own library, if that has one
            by_name[name] = kind
    close = difflib.get_close_matches(wanted, sorted(by_name), n=1, cutoff=0.6)
    return by_name[close[0]] if close else ""


def is_refused(module: Any) -> bool:
    """Whether a module's converter only says why it can't come in."""
    return converter_of(module) in _refusals


def known_kinds(package: str) -> list[str]:
    """Names of the modules of a library that can come in."""
    return sorted(kind.rpartition(".")[2] for kind in _known() if kind.startswith(f"{package}."))


def _known() -> set[str]:
    return {
        kind if isinstance(kind, str) else kind_of(kind)
        for kind, converter in _converters.items()
        if converter not in _refusals
    }
