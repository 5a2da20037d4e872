"""Layers to map, whose weights take no compilation."""

import numpy as np

from neurojax.layers import Conv2d, Linear
from neurojax.neurons import IAF


def linear(i, o):
    return Linear.from_weights(np.random.default_rng(0).normal(size=(o, i)).astype(np.float32))


def conv(i=2, o=2, k=3, *, groups=1, bias=False, **options):
    shape = (o, i // groups, *np.broadcast_to(k, 2))
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32) / 3
    return Conv2d.from_weights(
        weight, np.ones(o, np.float32) if bias else None, groups=groups, **options
    )


def iaf(**options):
    return IAF(**({"v_min": -1.0} | options))
