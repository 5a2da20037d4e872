"""The switch between training and inference.

`equinox.nn.inference_mode` replaces whatever is called `inference` by a bool. As a leaf of a
network, a bool would be refused by `jax.grad` and `jax.vmap`; as a static field it could not be
replaced. So a layer's `inference` is a node without leaves, in a node that renews it.
"""

from __future__ import annotations

from typing import Any

import jax

from neurojax._layer import Layer


class Flag:
    """A bool as a pytree node without leaves."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = bool(value)

    def __bool__(self) -> bool:
        return self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flag | bool) and self.value == bool(other)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return repr(self.value)


class Switch:
    """Holds a flag, and makes one of a bool that was put in its place."""

    __slots__ = ("flag",)

    def __init__(self, flag: Any) -> None:
        self.flag = Flag(flag) if isinstance(flag, bool) else flag

    def __repr__(self) -> str:
        return repr(self.flag)


# Every unflattening makes new objects, because equinox tells nodes apart by their identity.
jax.tree_util.register_pytree_node(Flag, lambda f: ((), f.value), lambda value, _: Flag(value))
jax.tree_util.register_pytree_node(
    Switch, lambda s: ((s.flag,), None), lambda _, children: Switch(children[0])
)


class Switchable(Layer):
    """A layer that differs in training and inference."""

    switch: Switch

    @property
    def inference(self) -> Flag:
        """Whether the layer behaves as in inference. `equinox.nn.inference_mode` sets it."""
        return self.switch.flag
