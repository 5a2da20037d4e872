"""Spikes that are exact going forward and have a surrogate derivative going back.

A spike is a step of the membrane potential, and the derivative of a step is zero wherever it
exists. Training by gradient descent replaces that derivative, and only the derivative, by a
pseudo-derivative g: the primal here is always the exact 0, 1 or count, never a soft value. The rule
is attached by `jax.custom_jvp`, so it works in forward mode, reverse mode and any nesting of the
two.

References:
    E. O. Neftci, H. Mostafa and F. Zenke, "Surrogate gradient learning in spiking neural networks",
    IEEE Signal Processing Magazine 36(6), 2019, https://arxiv.org/abs/1901.09948.
"""

import dataclasses
import functools as ft
import math
import operator
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, ArrayLike, Float, Num

from neurojax.fixed_point import divide


def positive(default: float) -> Any:
    """Declare a hyper-parameter of a surrogate that must be greater than zero."""
    return dataclasses.field(default=default, metadata={"positive": True})


class Surrogate:
    """The pseudo-derivative of a spike: a frozen, hashable description of g(u).

    Hyper-parameters are Python floats, fixed when the object is made. Two surrogates of the same
    class with the same numbers are equal and hash alike, so a layer can hold one as a static field
    without being compiled twice. `repr` is what builds the object again.

    To write your own, subclass this as a frozen dataclass and define `shape`:

        >>> import dataclasses
        >>> import jax.numpy as jnp
        >>> from neurojax.surrogate import Surrogate
        >>> @dataclasses.dataclass(frozen=True)
        ... class Cauchy(Surrogate):
        ...     gamma: float = 0.5
        ...     def shape(self, u, threshold):
        ...         return 1 / (1 + (u / self.gamma) ** 2)
        >>> Cauchy(gamma=1)
        Cauchy(gamma=1.0)
        >>> print(Cauchy(gamma=1).derivative(jnp.array([0.0, 1.0])))
        [1.  0.5]
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = _finite_number(type(self).__name__, field.name, getattr(self, field.name))
            if field.metadata.get("positive") and value <= 0:
                raise ValueError(
                    f"{type(self).__name__}: {field.name} is {value:g}; it must be greater than 0."
                )
            object.__setattr__(self, field.name, value)

    def shape(self, u: Float[Array, "*shape"], threshold: Float[Array, "..."]) -> Array:
        """Return g for `u` and `threshold` of one float type of at least 32 bits."""
        raise NotImplementedError(f"{type(self).__name__} must define shape(u, threshold)")

    def derivative(
        self, u: Float[ArrayLike, "*shape"], threshold: Float[ArrayLike, "..."] = 1.0
    ) -> Float[Array, "*shape"]:
        """Pseudo-derivative of the spike with respect to the membrane potential.

        Args:
            u: Membrane potential minus threshold.
            threshold: The threshold, for the surrogates whose width is relative to it
                (`Exponential`, `Heaviside`, `PeriodicExponential`); the others ignore it.

        Returns:
            g(u) in the float type of `u`. Finite for |u| up to 10^6. Types of 16 bits are computed
            in float32 and rounded once.

        Raises:
            TypeError: If `u` is not a float array.
        """
        u = _float_array(type(self).__name__ + ".derivative", "u", u)
        wide = u.dtype if u.dtype.itemsize >= 4 else jnp.float32
        g = self.shape(u.astype(wide), jnp.asarray(threshold, wide))
        return jnp.broadcast_to(g, jnp.broadcast_shapes(u.shape, g.shape)).astype(u.dtype)


def spike(
    u: Num[ArrayLike, "*shape"],
    surrogate: Surrogate,
    *,
    threshold: Float[ArrayLike, "..."] = 1.0,
    strict: bool = False,
) -> Num[Array, "*shape"]:
    """Emit a spike where the membrane potential has reached its threshold.

    Args:
        u: Membrane potential minus threshold. If the threshold is learned, its gradient -g arrives
            through this difference.
        surrogate: The pseudo-derivative.
        threshold: Only passed on to `surrogate.derivative`; no gradient flows to it.
        strict: False: spike if `u >= 0` (SpikingJelly, sinabs); True: if `u > 0` (snnTorch, Norse,
            Loihi). Both zeros, +0.0 and -0.0, are a tie.

    Returns:
        Exactly 0 or 1 in the type of `u`; NaN gives 0. The derivative is g(u) for float types;
        integers have none.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from neurojax.surrogate import ATan, spike
        >>> u = jnp.array([-0.5, 0.0, 0.5])
        >>> print(spike(u, ATan()), spike(u, ATan(), strict=True))
        [0. 1. 1.] [0. 0. 1.]
        >>> print(jax.grad(spike)(0.0, ATan(alpha=2.0)))
        1.0
    """
    _check_surrogate("spike", surrogate)
    u = jnp.asarray(u)
    if not jnp.issubdtype(u.dtype, jnp.floating):
        return _step(u, strict)
    return _spike(u, jnp.asarray(threshold, u.dtype), surrogate, bool(strict))


def multi_spike(
    v: Float[ArrayLike, "*shape"],
    threshold: Float[ArrayLike, "..."],
    surrogate: Surrogate,
    *,
    max_spikes: int | None = None,
) -> Float[Array, "*shape"]:
    """Emit as many spikes as there are whole thresholds in the membrane potential.

    The count is trunc(v / threshold) of the correctly rounded quotient where v > 0, else 0, at most
    `max_spikes`: `MultiSpike` and `MaxSpike` of sinabs.

    The derivative with respect to v is g(v - threshold), also where the count is limited, as in
    sinabs. The derivative with respect to the threshold, for which sinabs has none, is -k g: the
    k-th spike comes where v crosses k threshold, and k is taken as v / threshold kept between 1 and
    `max_spikes`. So -g below the second spike, as a single spike has, and for more spikes what
    leaves the count unchanged when v and threshold grow together.

    Args:
        v: Membrane potential.
        threshold: Greater than zero; broadcasts against `v`.
        surrogate: The pseudo-derivative.
        max_spikes: Most spikes in one time step; None for no limit.

    Returns:
        The counts, in the float type of `v`.

    Raises:
        TypeError: If `v` is not a float array.
        ValueError: If `threshold` is a number and not greater than zero, or `max_spikes` < 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.surrogate import Exponential, multi_spike
        >>> v = jnp.array([-3.0, 0.9, 1.0, 2.5, 7.0])
        >>> print(multi_spike(v, 1.0, Exponential()))
        [0. 0. 1. 2. 7.]
        >>> print(multi_spike(v, 1.0, Exponential(), max_spikes=2))
        [0. 0. 1. 2. 2.]
    """
    _check_surrogate("multi_spike", surrogate)
    v = _float_array("multi_spike", "v", v)
    if isinstance(threshold, int | float) and not threshold > 0:
        raise ValueError(f"multi_spike: threshold is {threshold:g}; it must be greater than 0.")
    if max_spikes is not None:
        max_spikes = operator.index(max_spikes)
        if max_spikes < 1:
            raise ValueError(f"multi_spike: max_spikes is {max_spikes}; use 1 or more, or None.")
    return _multi_spike(v, jnp.asarray(threshold, v.dtype), surrogate, max_spikes)


def _step(u: Array, strict: bool) -> Array:
    return (u > 0 if strict else u >= 0).astype(u.dtype)


@ft.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _spike(u: Array, threshold: Array, surrogate: Surrogate, strict: bool) -> Array:
    return _step(u, strict)


def _spike_jvp(
    surrogate: Surrogate, strict: bool, primals: tuple[Array, Array], tangents: tuple[Array, Array]
) -> tuple[Array, Array]:
    u, threshold = primals
    du, _ = tangents
    return _spike(u, threshold, surrogate, strict), surrogate.derivative(u, threshold) * du


_spike.defjvp(_spike_jvp)


@ft.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _multi_spike(v: Array, threshold: Array, surrogate: Surrogate, max_spikes: int | None) -> Array:
    # An inexact quotient would lose a whole spike where v is a multiple of the threshold.
    count = jnp.where(v > 0, jnp.trunc(divide(v, threshold)), 0)
    return count if max_spikes is None else jnp.minimum(count, max_spikes)


def _multi_spike_jvp(
    surrogate: Surrogate,
    max_spikes: int | None,
    primals: tuple[Array, Array],
    tangents: tuple[Any, Any],
) -> tuple[Array, Array]:
    v, threshold = primals
    dv, dthreshold = tangents
    counts = _multi_spike(v, threshold, surrogate, max_spikes)
    g = surrogate.derivative(v - threshold, threshold)
    # Most thresholds are constants: don't pay for a product with zeros in every time step.
    if isinstance(dv, SymbolicZero):
        tangent = jnp.zeros_like(counts)
    else:
        tangent = g * dv
    if not isinstance(dthreshold, SymbolicZero):
        level = jnp.clip(v / threshold, 1, max_spikes)
        tangent = tangent - g * level * dthreshold
    return counts, tangent


_multi_spike.defjvp(_multi_spike_jvp, symbolic_zeros=True)


def _float_array(function: str, argument: str, value: Any) -> Array:
    array = jnp.asarray(value)
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"{function}: {argument} has type {array.dtype}; use a float array, "
            f"for instance {argument}.astype(jnp.float32)."
        )
    return array


def _check_surrogate(function: str, surrogate: Any) -> None:
    if not isinstance(surrogate, Surrogate):
        raise TypeError(
            f"{function}: surrogate is {surrogate!r}; use an object such as surrogate.ATan(), "
            "or surrogate.by_name('atan')."
        )


def _finite_number(owner: str, name: str, value: Any) -> float:
    try:
        number = float(value)
    except Exception as error:
        # float() of a traced array raises JAX's own kind of error, which does not name the
        # argument.
        raise TypeError(
            f"{owner}: {name} is {value!r}; a surrogate's parameters are fixed Python numbers."
        ) from error
    if not math.isfinite(number):
        raise ValueError(f"{owner}: {name} is {number}; it must be a finite number.")
    return number
