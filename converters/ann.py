"""From rates to spikes: a ReLU network becomes one of integrate-and-fire neurons.

Data-based normalisation: the largest activation that samples cause in a layer of rate units becomes
one spike a step of the neurons in its place; the weights between are rescaled accordingly.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float

from neurojax._arguments import check_network
from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network, Provenance
from neurojax.layers import (
    Add,
    AvgPool1d,
    AvgPool2d,
    BatchDropout,
    BatchNorm,
    Concat,
    Conv1d,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Pad,
    ReLU,
    Reshape,
    Scale,
    SumPool1d,
    SumPool2d,
    Upsample,
    fold_batch_norm,
)
from neurojax.neurons import IAF
from neurojax.neurons._neuron import check_choice
from neurojax.quantise import Histogram, MinMax, observe

SYNAPSES = (Linear, Conv1d, Conv2d)
MAX_POOLS: dict[type, type] = {MaxPool1d: AvgPool1d, MaxPool2d: AvgPool2d}
# What goes in as x times a factor comes out as y times that factor.
PASSING: tuple[type[Layer], ...] = (
    *(AvgPool1d, AvgPool2d, SumPool1d, SumPool2d, Flatten, Reshape, Identity, Upsample),
    *(Add, Concat, Scale, Dropout, BatchDropout, Pad),
)


def ann_to_snn(
    network: Network,
    samples: Float[ArrayLike, " samples *in_shape"],
    *,
    percent: float = 99.9,
    readout: Literal["values", "spikes"] = "values",
    v_init: float = 0.5,
    max_pool: Literal["refuse", "average"] = "refuse",
    batch_size: int = 256,
    progress: bool | None = None,
) -> Network:
    """The spiking network whose mean rates are the activations of a ReLU network.

    Every `ReLU` becomes an `IAF` with threshold 1 and soft reset. Its rate, spikes a step, stands
    for activation / lambda, where lambda is (almost) the largest activation that `samples` cause in
    that layer; the weights and biases before and after are rescaled to match. Given the same input
    in every step, the mean output over T steps approaches the output of the ReLU network with an
    error that falls as 1 / T, as far as activations don't exceed their lambda.

    Args:
        network: Linear, Conv, BatchNorm (folded), average and sum pools, Flatten, Add (residual
            connections), Concat and the like, with `ReLU` in between.
        samples: Typical inputs, without a time axis.
        percent: Percentile of the activations in a layer, over all units and samples, that becomes
            lambda; 100 is the largest. A little less makes the rates higher, and the network
            faster, at the price of a few activations that are cut off.
        readout: What the network puts out: `"values"`, whose mean over time approaches the
            outputs; or `"spikes"` of one more layer of neurons, whose counts have their order.
        v_init: Membrane potential before the first step. One half makes the expected error of a
            finite number of steps smallest; 0 rounds every rate down.
        max_pool: Spikes of one step do not know which rate is the largest, so max pooling is
            refused; `"average"` puts average pooling in its place, which changes the function
            (train with average pooling if you can).
        batch_size: Samples that are run at once.
        progress: Whether to show a bar; None: on terminals and in notebooks, after two seconds.

    Returns:
        The spiking network, its provenance saying each layer's lambda.

    Raises:
        ValueError: Layers or edges without a counterpart, all listed; or no ReLU.

    References:
        P. U. Diehl et al., "Fast-classifying, high-accuracy spiking deep networks through weight
        and threshold balancing", IJCNN 2015 (data-based normalisation); B. Rueckauer et al.,
        Frontiers in Neuroscience 11, 2017 (percentiles, biases, soft reset); T. Bu et al.,
        "Optimal ANN-SNN conversion for high-accuracy and ultra-low-latency spiking neural
        networks", ICLR 2022 (half a threshold at the start).

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.converters import ann_to_snn
        >>> w = jnp.array([[1.0, -1.0], [0.5, 1.0]])
        >>> ann = nj.Sequential((2,), first=nj.Linear.from_weights(w), rate=nj.ReLU(),
        ...                     out=nj.Linear.from_weights(jnp.array([[1.0, 2.0]])))
        >>> x = jnp.array([[1.0, 0.5]])
        >>> snn = ann_to_snn(ann, x, percent=100)
        >>> run = nj.simulate(snn, jnp.broadcast_to(x, (100, 1, 2)))
        >>> print(nj.simulate(ann, x[None]).outputs.ravel(), run.outputs.mean(0).ravel())
        [2.5] [2.5]
    """
    check_network("ann_to_snn", network)
    _check_options(percent, readout, max_pool, v_init)
    _check_layers(network, max_pool)
    averaged = {
        name: _average(network[name]) for name in network.names if type(network[name]) in MAX_POOLS
    }
    rates = fold_batch_norm(network.replace(**averaged))
    scaled = _Scaled(
        rates, _lambdas(rates, samples, percent, batch_size, progress), readout, v_init
    )
    return scaled.network()


def _lambdas(
    network: Network, samples: Any, percent: float, batch_size: int, progress: bool | None
) -> dict[str, float]:
    """The largest activation (or the percentile) of each ReLU and of each output."""
    samples = jnp.asarray(samples)
    expected = next(iter(network.inputs.values()))
    if len(network.inputs) != 1 or samples.shape[1:] != expected or not len(samples):
        raise ValueError(
            f"ann_to_snn: samples have shape {samples.shape}; they must be [samples, "
            f"{', '.join(map(str, expected))}], at least one, for a network with one input"
        )
    paths = [name for name in network.names if isinstance(network[name], ReLU)]
    paths += [name for name in network.outputs if name not in paths]
    observer = MinMax() if percent == 100 else Histogram(percent, bins=2**14)
    batches = [samples[None, i : i + batch_size] for i in range(0, len(samples), batch_size)]
    ranges = observe(network, batches, probes=paths, observer=observer, progress=progress)
    return {name: float(span.high) for name, span in ranges.items()}


class _Scaled(NamedTuple):
    """A network in the making. `factor`: what one unit of a layer's output stands for."""

    rates: Network
    lambdas: dict[str, float]
    readout: str
    v_init: float

    def network(self) -> Network:
        layers: dict[str, Layer] = {}
        edges: list[Edge] = []
        factor = dict.fromkeys(self.rates.inputs, 1.0)
        provenance: dict[str, Provenance] = {}
        for name in self.rates.names:
            incoming = self.rates.incoming(name)
            takes = self._takes(name, factor[incoming[0].source])
            for edge in incoming:
                source = edge.source
                if not np.isclose(factor[source], takes, rtol=1e-6):
                    source = f"{edge.source}.for.{name}"
                    layers[source] = Scale(factor[edge.source] / takes)
                    edges.append(Edge(edge.source, source))
                edges.append(Edge(source, name))
            layers[name], factor[name], note = self._converted(name, takes)
            known = self.rates.provenance.get(name, Provenance(type(self.rates[name]).__name__))
            provenance[name] = known._replace(notes=(*known.notes, *note))
        outputs = []
        for name in self.rates.outputs:
            spiking = isinstance(layers[name], IAF)
            if self.readout == "spikes" and spiking:
                outputs.append(name)
                continue
            wanted = self._wanted(name)
            if not np.isclose(factor[name], wanted, rtol=1e-6):
                layers[f"{name}.scaled"] = Scale(factor[name] / wanted)
                edges.append(Edge(name, f"{name}.scaled"))
                name = f"{name}.scaled"
            if self.readout == "spikes":
                layers[f"{name}.spikes"] = IAF(v_init=self.v_init)
                edges.append(Edge(name, f"{name}.spikes"))
                name = f"{name}.spikes"
            outputs.append(name)
        inputs = self.rates.inputs
        return Network(layers, edges, inputs=inputs, outputs=outputs, provenance=provenance)

    def _takes(self, name: str, first: float) -> float:
        """The factor that a layer's inputs must have."""
        layer = self.rates[name]
        if isinstance(layer, ReLU):
            return self._lambda(name)
        return self._wanted(name) if isinstance(layer, Add | Concat) else first

    def _converted(self, name: str, takes: float) -> tuple[Layer, float, tuple[str, ...]]:
        """The layer in the spiking network, its factor, and what there is to say of it."""
        layer = self.rates[name]
        if isinstance(layer, ReLU):
            top = self._lambda(name)
            note = f"one spike a step stands for the activation {top:g}"
            return IAF(v_init=self.v_init), top, (note,)
        if not isinstance(layer, SYNAPSES):
            return layer, takes, ()
        gives = self._wanted(name)
        return _rescaled(layer, takes, gives), gives, (f"weights x {takes / gives:g}",)

    def _lambda(self, name: str) -> float:
        """A layer that the samples leave silent keeps its unit."""
        return self.lambdas[name] if self.lambdas[name] > 0 else 1.0

    def _wanted(self, name: str) -> float:
        """The factor that what comes after a layer asks for."""
        if name in self.rates.outputs:
            return self._lambda(name) if self.readout == "spikes" else 1.0
        for edge in self.rates.outgoing(name):
            target = self.rates[edge.target]
            if isinstance(target, ReLU):
                return self._lambda(edge.target)
            if not isinstance(target, SYNAPSES):
                return self._wanted(edge.target)
        return 1.0  # synapses one after the other: the second one takes any factor


def _rescaled(layer: Layer, takes: float, gives: float) -> Layer:
    """A synapse whose input is multiplied with `takes` and whose output is divided by `gives`."""
    weight = layer.weight * (takes / gives)  # type: ignore[attr-defined]
    bias = layer.bias  # type: ignore[attr-defined]
    return eqx.tree_at(
        lambda s: (s.weight, s.bias),
        layer,
        (weight, None if bias is None else bias / gives),
        is_leaf=lambda node: node is None,
    )


def _average(pool: Any) -> Layer:
    return MAX_POOLS[type(pool)](pool.kernel_size, stride=pool.stride, padding=pool.padding)


def _check_options(percent: float, readout: str, max_pool: str, v_init: float) -> None:
    if not 0 < percent <= 100:
        raise ValueError(f"ann_to_snn: percent is {percent}; it must be > 0 and <= 100")
    if not 0 <= v_init < 1:
        raise ValueError(f"ann_to_snn: v_init is {v_init}; it must be >= 0 and below the threshold")
    check_choice("ann_to_snn", "readout", readout, ("values", "spikes"))
    check_choice("ann_to_snn", "max_pool", max_pool, ("refuse", "average"))


def _check_layers(network: Network, max_pool: str) -> None:
    problems = list(_problems(network, max_pool))
    if not any(isinstance(network[name], ReLU) for name in network.names):
        problems.append("the network has no ReLU, so there is nothing to make spike")
    if problems:
        raise ValueError("ann_to_snn:\n" + "\n".join(problems))


def _problems(network: Network, max_pool: str) -> Iterator[str]:
    for edge in network.edges:
        if edge.recurrent:
            yield f"edge {edge}: a recurrent edge has no rate to converge to; unroll it"
    for name in network.names:
        layer = network[name]
        if type(layer) in MAX_POOLS:
            if max_pool == "refuse":
                yield (
                    f"layer '{name}': {layer.describe()} can't be computed from the spikes of one "
                    "step; train with average pooling, or pass max_pool='average'"
                )
        elif isinstance(layer, Pad) and layer.value != 0:
            yield f"layer '{name}': pads with {layer.value:g}, which is no rate; pad with 0"
        elif not isinstance(layer, (ReLU, BatchNorm, *SYNAPSES, *PASSING)):
            yield (
                f"layer '{name}': {layer.describe()} has no counterpart; known are ReLU, Linear, "
                "Conv, BatchNorm, average and sum pools, Flatten, Add, Concat"
            )
