"""The generated code's arithmetic with Python's integers, one value after the other.

Written from the description of the C code, not from the layers. Arrays are int64, channels first;
a sum wraps after every step that stores it.
"""

import numpy as np


def wrap(x, bits):
    return (int(x) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))


def scale(x, places, number, mode):
    if places <= 0:
        return wrap(int(x) * 2**-places, number.long_bits)
    if mode == "nearest":
        x = wrap(int(x) + 2 ** (places - 1), number.long_bits)
    return int(x) // 2**places


def store(x, number):
    return max(-(2 ** (number.bits - 1)), min(2 ** (number.bits - 1) - 1, int(x)))


def weight(value, q, number, mode):
    """A real parameter as an integer."""
    steps = float(np.float32(value)) * 2.0**q
    return store(np.floor(steps + 0.5 if mode == "nearest" else steps), number)


def weights(values, q, number, mode):
    return np.vectorize(lambda v: weight(v, q, number, mode), otypes=[np.int64])(values)


def finish(total, q, form, activation):
    """The end of layers with an activation."""
    if activation is not None:
        total = max(total, 0)
    if activation == "relu6":
        top = 6 * 2**q if q >= 0 else 6 // 2**-q
        total = min(total, top)
    return store(scale(total, q - form.output_q, form.number, form.output_round), form.number)


def affine_sum(products, bias, form, input_q, activation):
    """From products to the output; `bias` is an integer or None."""
    number, mode, bits = form.number, form.output_round, form.number.long_bits
    total = 0
    for product in products:
        total = wrap(total + product, bits)
    weights_q = form.weights_q
    bias_q = weights_q if form.bias_q is None else form.bias_q
    sum_q = max(weights_q, bias_q)
    total = scale(total, weights_q - sum_q, number, mode)
    if bias is not None:
        total = wrap(total + scale(bias, bias_q - sum_q - input_q, number, mode), bits)
    return finish(total, input_q + sum_q, form, activation)


def dense(x, w, bias, form, input_q, activation=None):
    return np.array(
        [
            affine_sum(
                [int(a) * int(b) for a, b in zip(x, row, strict=True)],
                None if bias is None else bias[k],
                form,
                input_q,
                activation,
            )
            for k, row in enumerate(w)
        ]
    )


def windows(shape, kernel, stride, padding, dilation):
    """For each output position, the (tap, input position) pairs inside the input."""
    sizes = [
        (n + sum(pads) - d * (k - 1) - 1) // s + 1
        for n, k, s, pads, d in zip(shape, kernel, stride, padding, dilation, strict=True)
    ]
    for out in np.ndindex(*sizes):
        pairs = []
        for tap in np.ndindex(*kernel):
            at = tuple(
                o * s + t * d - pads[0]
                for o, s, t, d, pads in zip(out, stride, tap, dilation, padding, strict=True)
            )
            if all(0 <= a < n for a, n in zip(at, shape, strict=True)):
                pairs.append((tap, at))
        yield out, pairs
    return sizes


def conv(x, w, bias, form, input_q, *, stride, padding, dilation, groups, activation=None):
    found = {}
    out_group, in_group = len(w) // groups, w.shape[1]
    for out, pairs in windows(x.shape[1:], w.shape[2:], stride, padding, dilation):
        for o in range(len(w)):
            first = o // out_group * in_group
            products = [
                int(x[(first + c, *at)]) * int(w[(o, c, *tap)])
                for tap, at in pairs
                for c in range(in_group)
            ]
            own = None if bias is None else bias[o]
            found[(o, *out)] = affine_sum(products, own, form, input_q, activation)
    return _array(found)


def batch_norm(x, factor, offset, form, input_q, activation=None):
    return _array(
        {
            at: affine_sum(
                [int(x[at]) * int(factor[at[0]])], offset[at[0]], form, input_q, activation
            )
            for at in np.ndindex(*x.shape)
        }
    )


def pool(x, kind, kernel, stride, padding, form, input_q, activation=None):
    found = {}
    for out, pairs in windows(x.shape[1:], kernel, stride, padding, (1,) * len(kernel)):
        for c in range(len(x)):
            seen = [int(x[(c, *at)]) for _, at in pairs]
            if kind == "max":
                total = max(seen)
            else:
                total = 0
                for value in seen:
                    total = wrap(total + value, form.number.long_bits)
                if kind == "average":
                    total = int(total / int(np.prod(kernel)))  # towards zero
            found[(c, *out)] = finish(total, input_q, form, activation)
    return _array(found)


def add(inputs, input_qs, form, activation=None):
    q = max(input_qs)
    found = {}
    for at in np.ndindex(*inputs[0].shape):
        total = 0
        for x, own in zip(inputs, input_qs, strict=True):
            part = scale(x[at], own - q, form.number, form.output_round)
            total = wrap(total + part, form.number.long_bits)
        found[at] = finish(total, q, form, activation)
    return _array(found)


def neuron(v, x, held, form, input_q, *, decay_input=None, compat=None):
    """A step of one neuron: `(v, out)`; threshold, v_reset and rtau of `held` may be None."""
    number, mode, bits = form.number, form.output_round, form.number.long_bits
    own = form.weights_q
    both = max(own, input_q)

    def scaled(value, places):
        return scale(value, places, number, mode)

    membrane = scaled(v, own - both)
    charge = scaled(x, input_q - both)
    if held.rtau is None:
        total = wrap(membrane + charge, bits)
    else:
        above = membrane
        if held.v_reset is not None:
            above = wrap(membrane - scaled(held.v_reset, own - both), bits)

        def leaked(value):
            product = value * held.rtau
            if compat == "qualia":
                return scaled(wrap(product, bits), both)
            half = 2 ** (own - 1) if mode == "nearest" and own > 0 else 0
            return wrap((product + half) // 2**own, bits)

        if decay_input:
            total = wrap(membrane + leaked(wrap(charge - above, bits)), bits)
        else:
            total = wrap(wrap(membrane - leaked(above), bits) + charge, bits)
    threshold = scaled(held.threshold, own - both)
    if total < threshold:
        return store(scaled(total, both - own), number), 0
    out = store(2**form.output_q, number)
    if held.v_reset is not None:
        return held.v_reset, out
    return store(scaled(wrap(total - threshold, bits), both - own), number), out


def _array(found):
    shape = tuple(np.max(list(found), axis=0) + 1)
    values = np.zeros(shape, np.int64)
    for at, value in found.items():
        values[at] = value
    return values
