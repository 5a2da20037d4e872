"""Dense layer of the perceptron mode."""

from __future__ import annotations

from typing import Any, Self, Unpack

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape, check_shape
from neurojax.chips.bss2.perceptron._multiply import How, Saturation, multiply
from neurojax.chips.bss2.perceptron.mac_layer import MACLayer, Options, drawn_fields, mac_fields
from neurojax.chips.bss2.perceptron.operations import add
from neurojax.layers._weights import assemble, positive


class Linear(MACLayer):
    """Dense layer, y = W x + b, as `mac` computes it; the bias is added like `add` does.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        bias: Whether to add a bias, rounded down to an integer of 8 bits (hxtorch has one by
            default).
        num_sends: How often each input is sent; None: such that the first weights fit, see
            `default_num_sends`.
        avg: Columns that compute the same output; their mean, which may be a fraction, has less
            noise.
        weight_mean: Mean of the first weights.
        relu_shift: Bits that the activation behind drops; the first weights make up for it.
        key: Source of the first weights.
        **options: See `Options`.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.Linear`.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> a, b = jax.random.split(jax.random.key(0))
        >>> net = nj.Sequential(
        ...     (500,), hidden=hagen.Linear(500, 128, key=a), relu=hagen.ConvertingReLU(shift=1),
        ...     out=hagen.Linear(128, 10, key=b))
        >>> print(net["hidden"].describe())
        perceptron.Linear 500->128, 4 sends
        >>> x = jax.random.randint(jax.random.key(1), (1, 3, 500), 0, 32)
        >>> nj.simulate(net, x, key=jax.random.key(2)).outputs.shape
        (1, 3, 10)
    """

    avg: int = eqx.field(static=True)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = False,
        num_sends: int | None = None,
        avg: int = 1,
        weight_mean: float = 0.0,
        relu_shift: int = 1,
        key: PRNGKeyArray,
        **options: Unpack[Options],
    ) -> None:
        shape = (
            positive("Linear: out_features", out_features),
            positive("Linear: in_features", in_features),
        )
        fields = drawn_fields(
            "Linear",
            key,
            shape,
            bias=bias,
            num_sends=num_sends,
            weight_mean=weight_mean,
            relu_shift=relu_shift,
            options=options,
        )
        for name, value in fields.items():
            setattr(self, name, value)
        self.avg = positive("Linear: avg", avg)

    @classmethod
    def from_weights(
        cls,
        weight: Any,
        bias: Any = None,
        *,
        num_sends: int = 1,
        avg: int = 1,
        **options: Unpack[Options],
    ) -> Self:
        """A layer with given parameters: weight `(out, in)`, bias `(out,)` or None."""
        fields = mac_fields(cls.__name__, weight, bias, num_sends, 0, **options)
        return assemble(cls, **fields, avg=positive("Linear: avg", avg))

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.weight.shape[-1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.weight.shape[-2]

    def product(self, x: Array, weight: Array, how: How) -> tuple[Array, Saturation]:
        columns = weight.T if self.avg == 1 else jnp.repeat(weight.T, self.avg, axis=-1)
        y, counts = multiply(x, columns, **how)
        if self.avg > 1:
            y = y.reshape(*y.shape[:-1], -1, self.avg).mean(-1)
        return y if self.bias is None else add(y, self.bias), counts

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shape("Linear", in_shape, 1, "(features,)")
        if in_shape[0] != self.in_features:
            raise ValueError(f"Linear takes {self.in_features} features, got shape {in_shape}")
        return (self.out_features,)

    def _size(self) -> str:
        mean = "" if self.avg == 1 else f", mean of {self.avg}"
        return f"{self.in_features}->{self.out_features}{mean}"
