"""Synaptic events against impulses sent through the layers, torch, and loops event by event."""

import dataclasses

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given

import neurojax as nj
from neurojax import metrics, quantise
from neurojax.chips import bss2, cri, dynapcnn, loihi, mcu
from neurojax.chips.bss2 import perceptron
from neurojax.chips.cri._links import BiasAxons, Index, OneToOne, Pick
from neurojax.chips.cri.crossbar import Crossbar
from neurojax.converters.sinabs._layers import Feedback
from neurojax.metrics._connectivity import connections
from neurojax.metrics._rules import RULES, WITHOUT

RNG = np.random.default_rng(0)


def reached(layer, in_shape):
    """How many outputs an impulse of each source reaches, by the layer's own arithmetic."""
    size = int(np.prod(in_shape))
    ready = layer.prepare(jax.random.key(0))
    ready = jax.tree.map(lambda x: x, eqx.nn.inference_mode(ready))

    def step(x):
        state, y = ready.step(ready.init(in_shape), x, key=None)
        return state.v if isinstance(layer, dynapcnn.Core) else y

    y = jax.vmap(step)(jnp.eye(size).reshape(size, *in_shape))
    return np.asarray(y != 0).reshape(size, -1).sum(1).reshape(in_shape)


def weights(*shape, zeros=0.3):
    """Positive whole numbers, some of them 0."""
    return RNG.integers(1, 30, shape) * (RNG.random(shape) > zeros) * 1.0


FORMAT = mcu.Format(mcu.number_of("int16"), 0, None, 0, "floor", "floor")
MOCK = perceptron.MockParameter(gain=1.0, noise_std=0.0)
CONV = {"stride": 2, "padding": [(1, 2), (0, 1)]}
SPARSE = bss2.SparseLinear.from_weights(weights(4, 5), RNG.random((4, 5)) > 0.5)
LAYERS = {
    "Linear": (nj.Linear.from_weights, (4, 5), (5,)),
    "Conv1d": (
        lambda w: nj.Conv1d.from_weights(w, stride=2, dilation=2, padding=1),
        (4, 2, 3),
        (2, 9),
    ),
    "Conv2d": (lambda w: nj.Conv2d.from_weights(w, groups=2, **CONV), (4, 2, 3, 2), (4, 6, 5)),
    "ConvTranspose2d": (
        lambda w: nj.ConvTranspose2d.from_weights(
            w, groups=2, stride=2, padding=[(1, 0), (2, 1)], output_padding=1, dilation=2
        ),
        (4, 3, 3, 2),
        (4, 3, 5),
    ),
    "Quantised": (
        lambda w: quantise.Quantised(
            nj.Linear.from_weights(w / 30), {"weight": quantise.Quantiser(bits=4)}
        ),
        (4, 5),
        (5,),
    ),
    "Chain": (
        lambda w: nj.Chain(flat=nj.Flatten(), fc=nj.Linear.from_weights(w), last=nj.LI(tau=2.0)),
        (4, 6),
        (2, 3, 1),
    ),
    "loihi.Synapse": (
        lambda w: loihi.Synapse(nj.Conv2d.from_weights(w - 0.4, **CONV), message_bits=8),
        (4, 2, 3, 2),
        (2, 6, 5),
    ),
    "loihi.DelayDense": (lambda w: loihi.DelayDense(w, np.zeros((4, 5))), (4, 5), (5,)),
    "loihi.PerChannel": (
        lambda w: loihi.PerChannel(nj.Conv2d.from_weights(w, stride=2)),
        (1, 1, 2, 3),
        (3, 5, 6),
    ),
    "loihi.ComplexSynapse": (
        lambda w: loihi.ComplexSynapse(nj.Linear.from_weights(w), nj.Linear.from_weights(w[::-1])),
        (4, 5),
        (5,),
    ),
    "cri.Synapse": (lambda w: cri.Synapse(nj.Linear.from_weights(w - 0.4)), (4, 5), (5,)),
    "cri.OneToOne": (lambda w: OneToOne(w[0]), (1,), (5,)),
    "cri.Pick": (lambda w: Pick(Index.of([0, 2, 2, 1])), (1,), (3,)),
    "bss2.Synapse": (lambda w: bss2.Synapse(nj.Linear.from_weights(w)), (4, 5), (5,)),
    "perceptron.Linear": (lambda w: perceptron.Linear.from_weights(w, mock=MOCK), (4, 5), (5,)),
    "perceptron.Conv2d": (
        lambda w: perceptron.Conv2d.from_weights(
            w, mock=MOCK, stride=2, padding=[(0, 2), (1, 0)], padding_mode="circular"
        ),
        (3, 2, 3, 2),
        (2, 6, 5),
    ),
    "dynapcnn.Core": (
        lambda w: dynapcnn.Core(w, threshold=1000, stride=2, padding=1),
        (3, 2, 3, 2),
        (2, 5, 6),
    ),
    "dynapcnn.Core, flat": (
        lambda w: dynapcnn.Core(w, threshold=1000, flat=True),
        (3, 4, 1, 1),
        (4,),
    ),
    "mcu.Dense": (lambda w: mcu.Dense(w, format=FORMAT), (4, 5), (5,)),
    "mcu.Conv": (
        lambda w: mcu.Conv(w, format=FORMAT, groups=2, dilation=2, **CONV),
        (4, 2, 3, 2),
        (4, 6, 5),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_fan_out_is_what_an_impulse_reaches(name):
    """With all weights set, all targets; with some of them zero, the effective ones."""
    build, shape, in_shape = LAYERS[name]
    found = connections(build(np.full(shape, 7.0)), in_shape)
    expected = reached(build(np.full(shape, 7.0)), in_shape)
    assert np.array_equal(sum(part.fan_out for part in found.values()), expected)
    w = weights(*shape)
    found = connections(build(w), in_shape)
    effective = sum(part.effective for part in found.values())
    assert np.array_equal(effective, reached(build(w), in_shape))
    for part in found.values():
        assert part.fan_out.dtype == part.effective.dtype == np.int64
        assert part.fan_out.shape == in_shape


def test_synapses_that_are_not_there():
    (part,) = connections(SPARSE, (5,)).values()
    there = np.asarray(SPARSE.connected)
    assert np.array_equal(part.fan_out, there.sum(0))
    assert np.array_equal(part.effective, (there & (np.asarray(SPARSE.weight) != 0)).sum(0))
    wrapped = connections(bss2.Synapse(SPARSE), (5,))[""]
    assert np.array_equal(wrapped.fan_out, part.fan_out)


@given(data=st.data())
def test_convolutions_of_any_kind_against_torch(data):
    """The sum over a convolution with ones of where the inputs are not zero."""
    draw, number = data.draw, st.integers
    ndim, groups = draw(number(1, 2)), draw(number(1, 3))
    kernel = [draw(number(1, 4)) for _ in range(ndim)]
    stride = [draw(number(1, 3)) for _ in range(ndim)]
    dilation = [draw(number(1, 3)) for _ in range(ndim)]
    pads = [draw(number(0, 3)) for _ in range(ndim)]
    sizes = [draw(number(d * (k - 1) + 1, 12)) for k, d in zip(kernel, dilation, strict=True)]
    n, m = groups * draw(number(1, 2)), groups * draw(number(1, 3))
    transposed = draw(st.booleans())
    rng = np.random.default_rng(draw(number(0, 2**31)))
    shape = (n, m // groups) if transposed else (m, n // groups)
    w = rng.integers(-1, 2, (*shape, *kernel)).astype(np.float64)
    x = rng.integers(-2, 3, (n, *sizes)).astype(np.float64) * (rng.random((n, *sizes)) < 0.4)
    options = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    kind = ("ConvTranspose" if transposed else "Conv") + f"{ndim}d"
    theirs = getattr(torch.nn.functional, ("conv_transpose" if transposed else "conv") + f"{ndim}d")
    try:
        layer = getattr(nj, kind).from_weights(jnp.asarray(w, jnp.float32), **options)
        layer.out_shape((n, *sizes))
    except ValueError:
        return  # padding cuts all of the output off
    part = connections(layer, (n, *sizes))[""]
    arrived = lambda w: int(  # noqa: E731
        theirs(torch.tensor(1.0 * (x != 0))[None], torch.tensor(w), **options).sum()
    )
    assert int(((x != 0) * part.fan_out).sum()) == arrived(np.ones_like(w))
    assert int(((x != 0) * part.effective).sum()) == arrived(1.0 * (w != 0))


def test_events_of_a_network_event_by_event():
    """Two samples, several edges, recurrence in both ways: every spike to every synapse."""
    keys = jax.random.split(jax.random.key(1), 6)
    net = nj.Network(
        {
            "a": nj.Linear(3, 4, key=keys[0]),
            "hidden": nj.IAF(threshold=0.2, max_spikes=None),
            "back": nj.Linear(4, 4, key=keys[1]),
            "again": nj.Recurrent(nj.LIF(tau=2.0, threshold=0.2), nj.Linear(4, 4, key=keys[2])),
            "late": Feedback(nj.LIF(tau=2.0, threshold=0.1), nj.Linear(4, 4, key=keys[3])),
            "out": nj.Linear(4, 2, key=keys[4]),
        },
        [
            ("input", "a"),
            ("a", "hidden"),
            ("hidden", "back", True),
            ("back", "hidden"),
            ("hidden", "again"),
            ("hidden", "late"),
            ("again", "out"),
            ("late", "out"),
        ],
        inputs=(3,),
    )
    x = jax.random.randint(keys[5], (7, 2, 3), -1, 4).astype(jnp.float32)
    run = nj.simulate(net, x, probes=["hidden", "again", "late"])
    trace = {"input": np.asarray(x), **{n: np.asarray(v) for n, v in run.traces.items()}}
    # The synapse, what it gets, how many steps late, and to how many targets.
    ways = [
        ("a", "input", 0, 4),
        ("back", "hidden", 1, 4),
        ("again.synapse", "again", 1, 4),
        ("late.synapse", "late", 1, 4),
        ("out", "again", 0, 2),
        ("out", "late", 0, 2),
    ]
    counts, values = {}, {}
    for key, source, delay, targets in ways:
        for t in range(7):
            for sample in range(2):
                for value in trace[source][t, sample]:
                    if value != 0 and t + delay < 7:
                        for _ in range(targets):
                            counts[key] = counts.get(key, 0) + 1
                            values[key] = values.get(key, 0) + value
    events = metrics.synaptic_events(net, metrics.count_spikes(net, x))
    assert {key: event.events for key, event in events.items()} == counts
    assert {key: event.by_value for key, event in events.items()} == values
    assert events["a"].by_value != events["a"].events
    assert events["back"].dense == 7 * 2 * 16
    assert events["back"].count == counts["back"] / 2
    assert events["out"].synapses == 8


def test_events_of_a_crossbar_event_by_event():
    """Its spikes reach their targets in the step of the spike."""
    axons, recurrent = weights(3, 4), weights(4, 4)
    neuron = cri.Neuron(theta=20, model="IF")
    chip = Crossbar(axons, recurrent, neuron=neuron, outputs=[2, 0, 3, 1])
    net = nj.Sequential((3,), chip=chip)
    x = np.asarray(RNG.random((8, 2, 3)) < 0.5, np.float32)
    y = np.asarray(nj.simulate(net, x).outputs)
    counts = {"chip.axon": 0, "chip.recurrent": 0}
    for t, sample in np.ndindex(8, 2):
        for axon in np.flatnonzero(x[t, sample]):
            counts["chip.axon"] += sum(w != 0 for w in axons[axon])
        for place in np.flatnonzero(y[t, sample]):
            counts["chip.recurrent"] += sum(w != 0 for w in recurrent[[2, 0, 3, 1][place]])
    events = metrics.synaptic_events(net, metrics.count_spikes(net, x))
    assert {key: event.events for key, event in events.items()} == counts
    hidden = nj.Sequential((3,), chip=Crossbar(axons, recurrent, neuron=neuron, outputs=[1]))
    with pytest.raises(ValueError, match="layer 'chip': only 1 of its 4 neurons are outputs"):
        metrics.synaptic_events(hidden, metrics.count_spikes(hidden, x))


def test_axons_that_the_host_activates():
    net = nj.Sequential((2, 3), bias=BiasAxons(np.array([5.0, 0.0]), start=2))
    event = metrics.synaptic_events(net, metrics.count_spikes(net, np.zeros((6, 4, 2, 3))))["bias"]
    assert event.events == (6 - 2) * 4 * 2 * 3
    assert event.effective == (6 - 2) * 4 * 3


def test_counts_are_exact_beyond_what_float32_holds():
    net = nj.Sequential((1,), fc=nj.Linear.from_weights(jnp.ones((5001, 1))))
    activity = metrics.count_spikes(net, np.ones((3001, 3, 1), np.float32))
    assert metrics.synaptic_events(net, activity)["fc"].events == 3001 * 3 * 5001


CHIPS = {"loihi": loihi, "cri": cri, "dynapcnn": dynapcnn, "bss2": bss2, "mcu": mcu}


@pytest.mark.parametrize("chip", CHIPS)
def test_mapped_networks(chip):
    """On a chip a layer has the synapses that it had before."""
    keys = jax.random.split(jax.random.key(2), 2)
    net = nj.Sequential(
        (12,),
        fc=nj.Linear(12, 8, key=keys[0]),
        a=bss2.LIF() if chip == "bss2" else nj.IAF(reset="zero"),
        out=nj.Linear(8, 3, key=keys[1]),
        b=bss2.LIF() if chip == "bss2" else nj.IAF(reset="zero"),
    )
    x = np.asarray(RNG.random((5, 2, 12)) < 0.5, np.float32)
    mapped = CHIPS[chip].map(net, **({"calibration": x} if chip == "mcu" else {}))
    activity = metrics.count_spikes(mapped, x, key=jax.random.key(0))
    events = metrics.synaptic_events(mapped, activity)
    assert sum(event.synapses for event in events.values()) == 12 * 8 + 8 * 3
    assert next(iter(events.values())).events == int((x != 0).sum()) * 8


def test_every_layer_with_weights_is_known():
    """Of all packages that are imported by now; abstract ones have no rule of their own."""

    def types(kind):
        for below in kind.__subclasses__():
            yield below
            yield from types(below)

    unknown = {
        kind.__name__
        for kind in types(nj.Layer)
        if kind.__module__.startswith("neurojax.")
        and any("weight" in field.name for field in dataclasses.fields(kind))
        and not {*kind.__mro__} & {*RULES, *WITHOUT}
    }
    assert unknown == {"KernelLayer", "MACLayer", "Affine"}


class Unknown(nj.Layer):
    """Layers that metrics has never heard of."""

    array: jax.Array

    def step(self, state, x, *, key=None):
        return state, x * self.array

    def out_shape(self, in_shape):
        return in_shape


class Weighted(Unknown):
    """The same with an array that may be a weight by its name only."""

    weight: jax.Array


def test_unknown_layers_are_refused_all_at_once():
    net = nj.Sequential(
        (4, 3),
        fine=Unknown(jnp.ones((4, 1))),
        known=nj.LIF(tau=jnp.full((1, 3), 2.0)),
        one=Unknown(jnp.ones((1, 3))),
        two=Weighted(jnp.ones(()), jnp.ones(())),
        wrapped=nj.Recurrent(
            nj.LIF(tau=jnp.full((4, 3), 2.0)), nj.Chain(a=Unknown(jnp.ones((1, 3))))
        ),
    )
    activity = metrics.count_spikes(net, np.ones((2, 1, 4, 3), np.float32))
    with pytest.raises(TypeError, match="register_connectivity") as error:
        metrics.synaptic_events(net, activity)
    lines = str(error.value).splitlines()
    assert [line.split("'")[1] for line in lines] == ["one", "two", "wrapped"]


def test_registered_layers_are_counted():
    class Mine(Weighted):
        """A type of its own, because rules stay."""

    net = nj.Sequential((3,), Mine(jnp.ones(3), jnp.ones(3)))
    activity = metrics.count_spikes(net, np.ones((2, 1, 3), np.float32))
    metrics.register_connectivity(Mine, None)
    assert metrics.synaptic_events(net, activity) == {}
    three = np.full(3, 3)
    metrics.register_connectivity(
        Mine, lambda layer, shape: {"up": metrics.Connections(three, three, "output")}
    )
    assert metrics.synaptic_events(net, activity)["mine1.up"].events == 2 * 9
    for rule, error, words in (
        (lambda layer, shape: three, TypeError, "for Mine returned a ndarray; it must be a dict"),
        (
            lambda layer, shape: {"": metrics.Connections(three[:1], three[:1])},
            ValueError,
            r"has a fan_out of shape \(1,\), but its source 'input' has shape \(3,\)",
        ),
    ):
        metrics.register_connectivity(Mine, rule)
        with pytest.raises(error, match=words):
            metrics.synaptic_events(net, activity)
    with pytest.raises(TypeError, match=r"takes a type of layer first, such as nj\.Linear, got"):
        metrics.register_connectivity(net["mine1"], None)
    with pytest.raises(TypeError, match=r"takes a function or None for Mine, got \{\}"):
        metrics.register_connectivity(Mine, {})


def test_synapses_behind_layers_without_a_name_are_refused():
    activity, fc = (
        metrics.Activity({}, steps=1, samples=1),
        nj.Linear.from_weights(jnp.ones((2, 2))),
    )
    net = nj.Sequential((2,), chain=nj.Chain(a=fc, n=nj.IAF(), b=fc))
    with pytest.raises(ValueError, match="'b' within it has synapses"):
        metrics.synaptic_events(net, activity)
    net = nj.Sequential((2,), nj.Recurrent(nj.Chain(a=fc, n=nj.IAF()), fc))
    with pytest.raises(ValueError, match="have synapses of their own"):
        metrics.synaptic_events(net, activity)


def test_sources_that_were_not_counted_are_asked_for():
    net = nj.Sequential((2,), nj.Linear(2, 2, key=jax.random.key(0)))
    with pytest.raises(KeyError, match="no activity of 'input' was counted"):
        metrics.synaptic_events(net, metrics.Activity({}, steps=1, samples=1))
