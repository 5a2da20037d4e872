"""Pools between populations: they wait for weights to go into, or become synapses themselves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from neurojax._layer import Layer
from neurojax.chips.loihi._draft import Draft, Flow, plain
from neurojax.chips.loihi._lowering import (
    Kernel,
    Pool,
    into_kernel,
    into_linear,
    why_not_into_kernel,
)
from neurojax.chips.loihi._population import TRANSPOSED, Part
from neurojax.chips.loihi.pool import PerChannel
from neurojax.layers import Conv1d, Conv2d, Flatten, Linear, Reshape


def collected(draft: Draft, name: str, layer: Pool, flow: Flow) -> Flow:
    """The flow with one more pool, which waits for what comes behind it."""
    if flow.parts is not None or flow.flat:
        draft.problem(
            name,
            "a pool of what synapses give" if flow.parts is not None else "a pool of a vector",
            "pools are synapses: they sum up spikes",
            "put the pool behind the neurons",
        )
        return flow._replace(shape=draft.network.out_shape(name))
    return flow._replace(
        map_shape=flow.map_shape if flow.pools else flow.shape,
        shape=draft.network.out_shape(name),
        pools=(*flow.pools, (name, layer)),
        via=(*flow.via, name),
    )


def as_synapses(draft: Draft, name: str, flow: Flow) -> Flow:
    """Pools whose sums go to neurons: synapses of their own, with one weight for all."""
    if not flow.pools or flow.flat:
        draft.problem(
            name,
            "neurons without synapses before them" + (" (but for a Flatten)" * flow.flat),
            "spikes reach neurons through synapses",
            "put Linear, Conv or a pool directly before them",
        )
        return flow
    ndim = len(flow.map_shape) - 1
    one = Kernel(np.ones((1,) * (ndim + 2)), (1,) * ndim, ((0, 0),) * ndim, (1,) * ndim)
    kernel = _with_pools(draft, one, flow)
    if kernel is None:
        return flow
    channels, options = flow.map_shape[0], {"stride": kernel.stride, "padding": kernel.padding}
    weight = kernel.weight * flow.factor
    if len(kernel.stride) == 2:
        build: Callable[[Any], Layer] = lambda w: PerChannel(  # noqa: E731
            Conv2d.from_weights(w, **options)
        )
    else:
        weight = np.repeat(weight, channels, axis=0)
        build = lambda w: Conv1d.from_weights(w, groups=channels, **options)  # noqa: E731
    own = flow.pools[-1][0]
    draft.check_source(own, flow.carries)
    axis = None if len(kernel.stride) == 2 else 0  # one kernel for all channels, or one each
    part = Part(own, "pool", weight, build, flow.map_shape, flow.shape, axis)
    part.made_of, part.carries = list(flow.via), flow.carries
    draft.node(own, flow)
    return Flow(own, flow.shape, (part,))


def into_weights(
    draft: Draft, name: str, layer: Any, weight: np.ndarray, flow: Flow
) -> tuple[Any, np.ndarray]:
    """Weights that do what pools and the layer do."""
    if isinstance(layer, Linear):
        pools = [pool for _, pool in flow.pools]
        weight = into_linear(weight, pools, flow.map_shape)
        return Linear.from_weights(weight.astype(np.float32)), weight
    if flow.flat or isinstance(layer, TRANSPOSED):
        draft.problem(
            name,
            f"a {type(layer).__name__} behind a pool"
            + (" and another shape" if flow.flat else "")
            + " without neurons between them",
            "such a pool goes into the weights of Conv or Linear",
            "put neurons behind the pool",
        )
        return layer, weight
    kernel = _with_pools(draft, Kernel(weight, layer.stride, layer.padding, layer.dilation), flow)
    if kernel is None:
        return layer, weight
    made = type(layer).from_weights(
        kernel.weight.astype(np.float32),
        stride=kernel.stride,
        padding=kernel.padding,
        dilation=kernel.dilation,
        groups=layer.groups,
    )
    return made, kernel.weight


def flattened(draft: Draft, flow: Flow) -> Flow:
    """The flow with its Flatten acting before the pools."""
    name = next(n for n in flow.via if isinstance(plain(draft.network[n]), Flatten | Reshape))
    if name not in draft.result.kept:
        draft.keep(name, Flatten(), flow)
    return flow._replace(
        layer=name,
        recurrent=False,
        shape=(math.prod(flow.map_shape),),
        via=tuple(n for n in flow.via if n != name),
    )


def _with_pools(draft: Draft, kernel: Kernel, flow: Flow) -> Kernel | None:
    """The kernel with the pools before it, or None with a problem for each that can't go in."""
    count = len(draft.problems)
    sizes = [flow.map_shape[1:]]
    for _, pool in flow.pools[:-1]:
        sizes.append(pool.out_shape((1, *sizes[-1]))[1:])
    for (name, pool), size in zip(reversed(flow.pools), reversed(sizes), strict=True):
        reason = why_not_into_kernel(kernel, pool, size)
        if reason:
            draft.problem(
                name,
                "a pool that can't go into the convolution behind it: " + reason,
                "what neurons do not follow is put into the next weights",
                "put neurons behind the pool, or pad neither of the two",
            )
        else:
            kernel = into_kernel(kernel, pool)
    return kernel if len(draft.problems) == count else None
