"""The card of a network. Its equations are carried out, so that they can't lie."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax._describe import describe
from neurojax.chips import dynapcnn, loihi
from neurojax.chips.loihi.pool import PerChannel
from neurojax.converters import spikingjelly
from neurojax.converters.sinabs import _layers as sinabs_layers
from neurojax.neurons._equations import equations_of
from tests._interpreter import Interpreter
from tests._random_neurons import SPIKING, random_neuron

N, STEPS = 4, 6


def carried_out(layer, x, state):
    """Outputs `[time, neurons]` and the last state of what the card says."""
    fields = {
        path[-1].name: np.asarray(leaf, np.float64)
        for path, leaf in jax.tree_util.tree_leaves_with_path(layer)
    }
    machine = Interpreter(fields, state)
    ys = [machine.step(equations_of(layer), now) for now in x]
    return np.array([np.broadcast_to(y, N) for y in ys]), machine.state


def first_state(layer):
    state = layer.init((N,))
    names = {"v": "v", "i": "i", "b": "b", "refractory": "left"}
    names |= {"excitatory": "excitatory", "inhibitory": "inhibitory"}
    return {
        new: np.asarray(getattr(state, old), np.float64)
        for old, new in names.items()
        if getattr(state, old, None) is not None
    }


def run(layer, x):
    network = nj.Sequential((N,), cells=layer)
    found = nj.simulate(network, x[:, None].astype(np.float32))
    return np.asarray(found.outputs)[:, 0], found.state.layers["cells"]


@settings(max_examples=25)
@given(random_neuron((*SPIKING, "LI", "CubaLI")), st.integers(0, 2**32 - 1))
def test_the_equations_are_what_the_neuron_computes(layer, seed):
    x = np.random.default_rng(seed).integers(-4, 9, (STEPS, N)) / 4
    y, state = carried_out(layer, x, first_state(layer))
    expected, held = run(layer, x)
    np.testing.assert_array_equal(y, expected, err_msg="\n".join(equations_of(layer)))
    np.testing.assert_array_equal(state["v"], held.v[0])


_IAF = nj.IAF(reset="none", threshold=0.5, max_spikes=None)
OF_OTHERS = [
    spikingjelly.SynapseFilter(decay=0.75),
    spikingjelly.SynapseFilter(decay=jnp.full(N, 0.75)),
    sinabs_layers.OwnReset(_IAF, 0.25, subtract=True, v_min=-1.0),
    sinabs_layers.OwnReset(_IAF, 0.25, subtract=False),
    sinabs_layers.AdaptiveCubaLIF(
        nj.AdaptiveLIF(decay=0.5, decay_adapt=0.5, threshold=0.75), decay_syn=0.5, compounding=True
    ),
]


@pytest.mark.parametrize("layer", OF_OTHERS, ids=lambda layer: layer.describe())
def test_the_equations_of_other_libraries_layers(layer):
    x = np.random.default_rng(0).integers(-4, 9, (STEPS, N)) / 4
    y, _ = carried_out(layer, x, {"i": np.zeros(N)} | first_state(layer))
    expected, _ = run(layer, x)
    np.testing.assert_array_equal(y, expected, err_msg="\n".join(equations_of(layer)))
    assert len(np.unique(expected)) > 1


TIMES = [
    nj.LIF(tau=7.0, dt=0.5, method="euler", normalize_input=True, v_rest=0.3, threshold=0.6),
    nj.LIF(tau=jnp.float32(7.0), gain=0.7, normalize_input=True, threshold=0.4, detach_reset=True),
    nj.LIF(tau=jnp.full(N, 7.0), dt=0.5, method="euler", refractory=jnp.full(N, 1.0)),
    nj.CubaLIF(tau=5.0, tau_syn=jnp.full(N, 2.0), gain=jnp.full(N, 0.3), dt=0.25, refractory=0.6),
    nj.AdaptiveLIF(tau=9.0, tau_adapt=jnp.float32(3.0), reset="zero"),
    nj.Alpha(tau=9.0, tau_fast=4.0, threshold=0.3, reset="zero"),
    nj.Alpha(decay=jnp.float32(0.9), decay_fast=0.7, threshold=0.3, reset="subtract"),
    nj.Alpha(decay=0.9, decay_fast=0.7, scale=2.0, gain=0.5, threshold=jnp.full(N, 0.2)),
    nj.neurons.Threshold(jnp.full(N, 0.5)),
    nj.neurons.Threshold(0.7, strict=True),
]


@pytest.mark.parametrize("layer", TIMES, ids=lambda layer: layer.describe())
def test_equations_with_time_constants(layer):
    x = np.random.default_rng(3).random((20, N))
    state = {} if layer.init((N,)) is None else first_state(layer)
    y, after = carried_out(layer, x, state)
    expected, held = run(layer, x)
    np.testing.assert_array_equal(y, expected)
    assert 0 < expected.sum() < expected.size
    if state:
        np.testing.assert_allclose(after["v"], held.v[0], atol=2e-5)


def test_numbers_and_words():
    layer = nj.LIF(decay=0.9, strict=True, reset_delay=True, detach_reset=True, v_rest=-0.5)
    assert equations_of(layer) == (
        "spikes of the step before: late <- [v > 1]",
        "leak and input: v <- -0.5 + 0.9 (v + 0.5) + x",
        "reset, one step late, no gradient: v <- v - late",
        "spikes: s <- [v > 1]",
        "output: y <- s",
    )


class Own(nj.LIF):
    """Computes something else, about which the card says nothing rather than what LIF does."""


def test_a_neuron_of_your_own_has_no_equations_unless_it_says_them():
    assert equations_of(Own(tau=1.0)) == () and equations_of(nj.Identity()) == ()
    net = nj.Sequential((2,), cells=Own(tau=1.0))
    assert describe(net).equations == {}


def network():
    return nj.Network(
        {
            "conv": nj.Conv2d(1, 2, 3, padding=1, key=jax.random.key(0)),
            "iaf": nj.IAF(max_spikes=None),
            "flat": nj.Flatten(),
            "bn": nj.BatchNorm(32, inference=True),
            "drop": nj.Dropout(0.5),
            "fc": nj.Linear(32, 3, bias=True, key=jax.random.key(1)),
            "rec": nj.Recurrent(
                nj.LIF(tau=jnp.array([3.0, 4, 5]), surrogate=nj.surrogate.Sigmoid()),
                nj.Linear(3, 3, key=jax.random.key(2)),
            ),
            "back": nj.Linear(3, 3, key=jax.random.key(3)),
        },
        [("input", "conv"), ("conv", "iaf"), ("iaf", "flat"), ("flat", "bn"), ("bn", "drop")]
        + [("drop", "fc"), ("fc", "rec"), ("back", "rec"), nj.Edge("rec", "back", True)],
        inputs=(1, 4, 4),
        outputs=["rec"],
        provenance={
            "fc": nj.Provenance("torch.Linear", "net.1", ("its bias is a current in every step",)),
            "rec": nj.Provenance("snntorch.RLeaky", "rec"),
        },
    )


def test_the_card_of_a_network():
    card = describe(network())
    rows = {row[0].removesuffix(" (output)"): row for row in card.layers[1:]}
    assert rows["conv"][1:] == (
        "Conv2d 1->2, 3x3, padding 1", "input", "1x4x4", "2x4x4", "18", "", "",
    )  # fmt: skip
    assert rows["bn"][5:] == ("64", "64", "")
    assert rows["rec"][2:] == ("fc + back", "3", "3", "12", "", "5")
    assert card.totals["neurons"] == "35"
    # 2 channels x (4 + 3 + 3) taps along each axis squared, but for corners: 10 x 10 pairs.
    assert card.totals["synapses"] == f"{2 * 10 * 10 + 32 * 3 + 9 + 9}"
    assert card.totals["parameters"].startswith(f"{18 + 64 + 99 + 12 + 9} trainable, 64 in buff")
    assert card.totals["one step late (~)"] == "rec ~> back"
    assert card.parameters == {"rec.neuron.tau": "3 to 5, 3 values"}
    assert card.origins == (
        "fc: torch.Linear 'net.1'; its bias is a current in every step",
        "rec: snntorch.RLeaky",
    )
    heads = list(card.equations)
    assert heads == [
        "iaf: IAF, 32 neurons, surrogate ATan(alpha=2.0)",
        "rec: LIF with feedback, 3 neurons, surrogate Sigmoid(alpha=4.0)",
    ]
    assert card.equations[heads[1]][0].startswith("feedback through Linear 3->3: x <- x + synapse")
    text = str(card)
    for part in (card.title, *heads, *card.origins, "8 layers, from 1x4x4 to 3 values"):
        assert part in text


def test_synapses_are_the_products_of_a_convolution():
    """With all weights and inputs 1, the sum of the outputs counts the products."""
    x, weight = torch.ones(1, 4, 7, 6), torch.ones(6, 2, 3, 3)
    for options in (
        {"padding": 2, "stride": 2},
        {"dilation": 2, "padding": 1},
        {"padding": "same"},
        {"stride": (1, 3)},
    ):
        conv = nj.Conv2d.from_weights(weight.numpy(), groups=2, **options)
        card = describe(nj.Sequential((4, 7, 6), conv=conv))
        products = torch.nn.functional.conv2d(x, weight, groups=2, **options).sum()
        assert card.totals["synapses"] == f"{int(products):,}", options


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1, "stride": 2, "output_padding": 1},
        {"dilation": 2, "padding": (0, 2)},
        {"stride": (3, 1), "output_padding": (2, 0)},  # of which some outputs see nothing
    ],
)
def test_synapses_are_the_products_of_a_transposed_convolution(options):
    x, weight = torch.ones(1, 4, 5, 4), torch.ones(4, 3, 3, 2)
    conv = nj.ConvTranspose2d.from_weights(weight.numpy(), groups=2, **options)
    products = torch.nn.functional.conv_transpose2d(x, weight, groups=2, **options).sum()
    card = describe(nj.Sequential((4, 5, 4), conv=conv))
    assert card.totals["synapses"] == f"{int(products):,}"


def test_synapses_within_other_layers():
    """As many as there are without the layer around."""
    dense, conv = np.ones((3, 5), np.float32), np.ones((2, 3, 2, 2), np.float32)
    window = nj.Conv2d.from_weights(np.ones((1, 1, 2, 2), np.float32), stride=2)
    fc, image = nj.Linear.from_weights(dense), nj.Conv2d.from_weights(conv)
    rules = {"weight": nj.quantise.Quantiser(bits=8)}
    for shape, layer, expected in (
        ((5,), loihi.Synapse(fc), 15),
        ((3, 4, 4), loihi.Synapse(image), 2 * 3 * 4 * 9),
        ((5,), loihi.ComplexSynapse(fc, fc), 30),
        ((5,), loihi.ComplexSynapse(loihi.Synapse(fc), loihi.Synapse(fc)), 30),
        ((5,), nj.quantise.Quantised(fc, rules), 15),
        ((5,), loihi.DelayDense(dense, np.ones((3, 5), int)), 15),
        ((5,), loihi.Synapse(loihi.DelayDense(dense, np.ones((3, 5), int))), 15),
        ((3, 4, 4), PerChannel(window), 3 * 4 * 4),
        ((3,), nj.Recurrent(loihi.CUBA(current_decay=1.0, voltage_decay=0.0),
                            loihi.Synapse(nj.Linear.from_weights(np.ones((3, 3))))), 9),
    ):  # fmt: skip
        assert describe(nj.Sequential(shape, layer)).totals["synapses"] == f"{expected:,}"


def test_layers_that_compute_the_same_share_their_equations():
    net = nj.Sequential((2,), a=nj.IAF(), b=nj.IAF(), c=nj.IAF(threshold=2.0))
    assert list(describe(net).equations) == [
        "a, b: IAF, 4 neurons, surrogate ATan(alpha=2.0)",
        "c: IAF, 2 neurons, surrogate ATan(alpha=2.0)",
    ]


def test_with_inputs_the_card_says_how_active_layers_are():
    net = nj.Sequential((2,), drop=nj.Dropout(0.0), cells=nj.IAF(threshold=2.0))
    card = describe(net, np.ones((4, 3, 2)))
    assert [row[-1] for row in card.layers] == ["mean output", "1", "0.5"]
    with pytest.raises(ValueError, match="input"):
        describe(net, np.ones((4, 3, 5)))
    assert describe(network(), np.ones((2, 1, 1, 4, 4))).layers[0][-1] == "mean output"


def test_a_chain_names_its_parts():
    chain = nj.layers.Chain(i=nj.LI(decay=0.5), s=nj.IAF())
    card = describe(nj.Sequential((2,), chain=chain))
    (lines,) = card.equations.values()
    assert lines[0] == "i: leak and input: v <- 0.5 v + x" and lines[-1] == "s: output: y <- s"
    assert card.totals["neurons"] == "4"


def test_layers_say_their_mode_and_integrators_their_number():
    net = nj.Sequential((2,), norm=nj.BatchNorm(2), drop=nj.Dropout(0.5), li=nj.LI(decay=0.5))
    what = lambda net: [row[1] for row in describe(net).layers[1:3]]  # noqa: E731
    assert what(net) == ["BatchNorm 2, training", "Dropout 0.5, training"]
    assert what(eqx.nn.inference_mode(net)) == ["BatchNorm 2, inference", "Dropout 0.5, inference"]
    assert list(describe(net).equations) == ["li: LI, 2 neurons"]


def test_html_is_escaped():
    net = nj.Sequential((2,), **{"<b>": nj.LIF(tau=2.0)})
    page = describe(net)._repr_html_()
    assert "&lt;b&gt;" in page and "<b>:" not in page and "v &lt;- 0.6065307 v + x" in page


def test_a_network_on_a_chip():
    net = nj.Sequential(
        (2, 8, 8), conv=nj.Conv2d(2, 4, 3, key=jax.random.key(0)), iaf=nj.IAF(max_spikes=None)
    )
    mapped = dynapcnn.map(net, device="speck2fmodule")
    card = describe(mapped)
    assert "on speck2f" in card.title
    assert card.totals["neurons"] == f"{4 * 6 * 6}"
    with pytest.raises(TypeError, match="takes a Network"):
        describe("network")
