"""Synapses in the chip's integers: 8-bit mantissas, one exponent for all, sums in integers.

In every time step, for what arrives at one neuron:

    a = (sum of mantissa * message) 2^exponent

The shift is applied to the sum: an exponent below 0 is an arithmetic shift to the right, which
rounds down. Messages are spikes (0, 1, or -1 of ternary neurons), or graded: integers.

All integers are carried by float32, exactly up to 2^24. A product of matrices adds without error as
long as no partial sum can leave that, which is decided from the number of inputs and the width of
the messages: wider messages are cut into pieces, each piece takes its own product, and the results
are put together in int32. The same on every device, where products of int32 are slow or missing.

References:
    Lava, bit-accurate `Dense` (`PyDenseModelBitAcc`) and `Conv` (`PyConvModelBitAcc`); M. Davies et
    al., "Loihi: a neuromorphic manycore processor with on-chip learning", IEEE Micro 38, 2018.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax.chips.loihi import weights
from neurojax.chips.loihi.delay_dense import DelayDense
from neurojax.chips.loihi.spec import MESSAGE_BITS, WEIGHT_BITS, WEIGHT_EXPONENTS
from neurojax.fixed_point import (
    clamp,
    derivative_of,
    round_half_even,
    shift_left,
    shift_right,
    wrap,
)
from neurojax.layers.convolution import Conv2d
from neurojax.layers.linear import Linear

EXACT_BITS = 24
"""Integers up to 2^24 are exact in float32."""


class Synapse(Layer):
    """Synapses of the chip: mantissas in a layer, an exponent, a sign mode.

    The layer's weight may hold any real numbers, so that it can be trained. A run rounds them to
    the nearest legal mantissas first (ties to even multiples), and gradients pass this as if it
    were not there, as they pass the shift.

    Args:
        synapse: A layer with a `weight` and no bias, such as Linear, Conv2d or DelayDense. The
            weight is in mantissa steps.
        exponent: -8 to 7.
        bits: Of the mantissas, 1 to 8; None: every integer that 9 bits hold, as in Lava's `Conv`.
        sign: `"mixed"`, `"excitatory"` or `"inhibitory"`.
        accumulator_bits: The sum keeps so many bits and wraps, before the shift. None: it is that
            of 32-bit integers.
        message_bits: Width of what arrives: integers with |x| < 2^bits. None: spikes or others so
            small that no sum leaves ±2^24; 0: whatever is not 0 counts as 1, as Lava does it.

    Raises:
        TypeError: The layer has no weight.
        ValueError: It has a bias, or an option is out of its range; when shapes are known: so many
            inputs that not even one bit of the messages can be summed exactly.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import Synapse
        >>> fc = Synapse(nj.Linear.from_weights(jnp.array([[100.3, -8.9]])), exponent=-1)
        >>> net = nj.Sequential((2,), fc=fc)
        >>> print(nj.simulate(net, jnp.array([[[1.0, 0.0]], [[1.0, 1.0]]])).outputs.ravel())
        [50. 46.]
    """

    synapse: Layer
    exponent: int = eqx.field(static=True, default=0, kw_only=True)
    bits: int | None = eqx.field(static=True, default=WEIGHT_BITS, kw_only=True)
    sign: str = eqx.field(static=True, default="mixed", kw_only=True)
    accumulator_bits: int | None = eqx.field(static=True, default=None, kw_only=True)
    message_bits: int | None = eqx.field(static=True, default=None, kw_only=True)

    def __check_init__(self) -> None:
        check_synapse("Synapse", self.synapse)
        weights.mantissa_range(self.bits, self.sign)
        for name, low, high in (
            ("exponent", *WEIGHT_EXPONENTS),
            ("accumulator_bits", 1, EXACT_BITS),
            ("message_bits", 0, MESSAGE_BITS),
        ):
            value = getattr(self, name)
            if value is None and name != "exponent":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ValueError(
                    f"Synapse: {name} is {value!r}; it must be an integer within {low}..{high}"
                )

    @property
    def weight(self) -> Float[Array, " ..."]:
        """The mantissas as they are used."""
        low, high, step = weights.mantissa_range(self.bits, self.sign)
        raw = self.synapse.weight  # type: ignore[attr-defined]
        steps = raw if step == 1 else raw * (1 / step)
        rounded = round_half_even(steps)
        return clamp(
            rounded if step == 1 else rounded * step, low, high, gradient="straight_through"
        )

    @property
    def fan_in(self) -> int:
        """How many synapses one neuron has."""
        return _fan_in(self.synapse)

    def integers(self) -> Int[np.ndarray, " ..."]:
        """The mantissas as int64. Only outside of jit."""
        return np.asarray(self.weight).astype(np.int64)

    def init(self, in_shape: Shape) -> State:
        state = self.synapse.init(in_shape)
        if state is not None and self._pieces()[1] > 1:
            raise ValueError(
                f"Synapse: messages of {self.message_bits} bits into {self.fan_in} synapses a "
                f"neuron take several products, which {type(self.synapse).__name__} can't do "
                "because it has a memory; put a Delay in front of Linear layers, one a delay"
            )
        return state

    def prepare(self, key: PRNGKeyArray | None) -> Synapse:
        rounded = eqx.tree_at(lambda s: s.weight, self.synapse, self.weight)
        return eqx.tree_at(lambda s: s.synapse, self, rounded.prepare(key))

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        if self.message_bits == 0:
            x = derivative_of(x, (x != 0).astype(x.dtype))
        state, smooth = self.synapse.step(state, x, key=key)
        width, count = self._pieces()
        if count == 1:
            return state, self._shifted(smooth)
        total = jnp.zeros(smooth.shape, jnp.int32)
        message = x.astype(jnp.int32)
        for i in range(count):  # over pieces of the message, two or three
            piece = message >> (i * width)
            if i < count - 1:
                piece = piece & ((1 << width) - 1)
            part = self.synapse.step(state, jax.lax.stop_gradient(piece.astype(x.dtype)))[1]
            total = total + (part.astype(jnp.int32) << (i * width))
        exact = self._shifted(total).astype(smooth.dtype)
        return state, derivative_of(smooth * 2.0**self.exponent, exact)

    def _shifted(self, total: Array) -> Array:
        if self.accumulator_bits is not None:
            total = wrap(total, self.accumulator_bits)
        if self.exponent == 0:
            return total
        if self.exponent > 0:
            return shift_left(total, self.exponent)
        return shift_right(total, -self.exponent)

    def _pieces(self) -> tuple[int, int]:
        """Into how many pieces of how many bits the messages are cut, so that sums are exact."""
        # fan_in * 256 * 2^width <= 2^24
        width = EXACT_BITS - WEIGHT_BITS - math.ceil(math.log2(max(self.fan_in, 1)))
        needed = self.message_bits or 0
        if width < (needed > 0):
            raise ValueError(
                f"Synapse: {self.fan_in:,} synapses a neuron, whose sum may leave the integers "
                "that float32 holds; split the layer into parts that are added, each with at most "
                f"{1 << (EXACT_BITS - WEIGHT_BITS - (needed > 0)):,}"
            )
        return width, max(1, math.ceil(needed / width)) if needed else 1

    def out_shape(self, in_shape: Shape) -> Shape:
        self._pieces()
        return self.synapse.out_shape(in_shape)

    @property
    def needs_key(self) -> bool:
        return self.synapse.needs_key

    def describe(self) -> str:
        text = [self.synapse.describe(), "9 bit" if self.bits is None else f"{self.bits} bit"]
        if self.sign != "mixed":
            text.append(self.sign)
        if self.exponent:
            text.append(f"times 2^{self.exponent}")
        return ", ".join(text)


def dense(
    w: Int[np.ndarray, "out in"],
    *,
    num_weight_bits: int = WEIGHT_BITS,
    weight_exp: int = 0,
    num_message_bits: int = 0,
    sign_mode: str | None = None,
    delays: Int[np.ndarray, "out in"] | None = None,
) -> Synapse:
    """Lava's `Dense` from its integers, without the one step by which its output is late.

    Args:
        w: Weights as given to Lava; clipped to the range of the sign mode and cut to the bits.
        num_weight_bits: 1 to 8.
        weight_exp: Exponent, -8 to 7.
        num_message_bits: 0: messages are spikes, and whatever is not 0 counts as 1.
        sign_mode: `"mixed"`, `"excitatory"` or `"inhibitory"`; None: that of the weights.
        delays: One for each synapse, 0 to 63 time steps: Lava's `DelayDense`.

    Raises:
        ValueError: What `Synapse` refuses; weights that are no integers.

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.loihi import dense
        >>> layer = dense(np.array([[300, -5], [7, 0]]), num_weight_bits=6)
        >>> print(layer.integers().tolist(), layer.describe())
        [[248, -8], [0, 0]] Linear 2->2, 6 bit
    """
    clipped = weights.clip_weights(w, sign=sign_mode)
    # The mode is that of the weights as given: clipping does not change it.
    sign = weights.sign_mode(w) if sign_mode is None else sign_mode
    mantissas = weights.truncate_weights(clipped, num_weight_bits, sign=sign)
    return Synapse(
        Linear.from_weights(mantissas) if delays is None else DelayDense(mantissas, delays),
        exponent=weight_exp,
        bits=num_weight_bits,
        sign=sign,
        message_bits=num_message_bits,
    )


def conv(
    w: Int[np.ndarray, "out a b c"],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    num_message_bits: int = 0,
    lava_layout: bool = True,
) -> Synapse:
    """Lava's `Conv` from its integers, without the one step by which its output is late.

    Lava's convolution takes weights as they are, without cutting low bits, and keeps 24 bits of
    the sum. Its images are (width, height, channels), ours (channels, height, width): transpose
    them by (2, 1, 0), both ways.

    Args:
        w: Lava's weights `(out, width, height, in / groups)`, which a true convolution turns
            around; or, with `lava_layout=False`, ours `(out, in / groups, height, width)`.
        stride, padding, dilation: One number, or (width, height); ours (height, width).
        groups: Of channels.
        num_message_bits: As in `dense`.
        lava_layout: Whose order of axes `w` and the options have.

    Raises:
        ValueError: Weights that are no integers, or not within -256..255, which are all that the
            chip has (Lava computes with any).

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.loihi import conv
        >>> conv(np.ones((4, 3, 2, 1), int), stride=(2, 1)).describe()
        'Conv2d 1->4, 2x3, stride 1x2, 9 bit'
    """
    kernel = weights.integers("conv: w", w)
    if kernel.ndim != 4:
        raise ValueError(f"conv: w has shape {kernel.shape}; it must have 4 axes")
    low, high, _ = weights.mantissa_range(None, "mixed")
    if kernel.size and not (kernel.min() >= low and kernel.max() <= high):
        raise ValueError(
            f"conv: weights are {kernel.min()}..{kernel.max()}; the chip has {low}..{high}. Clip "
            "them, or divide them by a power of two and scale the threshold of the neurons alike"
        )
    options: list[Any] = [stride, padding, dilation]
    if lava_layout:
        kernel = kernel[:, ::-1, ::-1].transpose(0, 3, 2, 1)
        options = [n if _is_index(n) else tuple(n)[::-1] for n in options]
    layer = Conv2d.from_weights(
        np.ascontiguousarray(kernel),
        stride=options[0],
        padding=options[1],
        dilation=options[2],
        groups=groups,
    )
    return Synapse(layer, bits=None, accumulator_bits=EXACT_BITS, message_bits=num_message_bits)


def _is_index(value: Any) -> bool:
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def check_synapse(what: str, synapse: Any) -> Array:
    """The weight of a layer; refuses what has none, or has a bias."""
    weight = getattr(synapse, "weight", None)
    if weight is None:
        raise TypeError(
            f"{what}: {type(synapse).__name__} has no weight; use Linear, Conv1d or Conv2d"
        )
    if getattr(synapse, "bias", None) is not None:
        raise ValueError(
            f"{what}: the synapse has a bias, which Loihi's synapses have not; set it to None, and "
            "give it to the neurons, or to synapses from a source that always spikes"
        )
    return weight


def _fan_in(synapse: Layer) -> int:
    """Weights that one output adds up."""
    weight = synapse.weight  # type: ignore[attr-defined]
    for name in ("out_features", "out_channels"):
        if hasattr(synapse, name):
            return weight.size // getattr(synapse, name)
    return weight.size
