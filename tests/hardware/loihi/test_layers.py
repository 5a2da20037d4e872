"""Layers that no recorded file has: against slayer's other recordings, NumPy, and round trips."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.input import Input
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.mapping import map as map_network
from neurojax.chips.loihi.synapse import Synapse
from neurojax.hardware.loihi import configure, load, read
from neurojax.hardware.loihi.records import same
from tests.hardware.loihi._make import CUBA, dense, make

WINDOW = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1]}


def time_first(x):
    return jnp.moveaxis(jnp.asarray(x), -1, 0)


def saved(network, path, **options):
    """The network from the file that was made of it, whose layers are checked to stay the same."""
    configuration = configure(network, **options)
    configuration.save(path)
    assert same(read(path).layers, configuration.layers)
    shape = configuration.input_shape
    again = load(path, input_shape=shape, timing=configuration.timing)
    assert same(configure(again).layers, configuration.layers)
    return again.network


def spikes(shape, steps=30, seed=0, rate=0.4):
    return jnp.asarray(np.random.default_rng(seed).random((steps, 2, *shape)) < rate, jnp.float32)


@pytest.mark.parametrize("block", ["convT", "unpool"])
def test_transposed_layers_as_slayer_runs_them(golden, tmp_path, block):
    recorded = np.load(golden / "lava" / f"block_cuba_{block}.npz")
    meta = json.loads((golden / "lava" / "META_sj.json").read_text())[f"block_cuba_{block}"]
    kernel = recorded["param.synapse.weight"]
    quantised = np.clip(2 * np.rint(kernel * 32), -256, 254)
    x, y = recorded["x"], recorded["y"]
    neuron = {
        "type": "CUBA",
        "iDecay": int(np.rint(recorded["param.neuron.current_decay"].item())),
        "vDecay": int(np.rint(recorded["param.neuron.voltage_decay"].item())),
        "vThMant": int(meta["params"]["threshold"] * 64),
    }
    size, window = y.shape[2], kernel.shape[2]
    # slayer's blocks don't say their stride in the recording; the sizes do.
    stride = 2
    padding = max(0, ((x.shape[2] - 1) * stride + window - size + 1) // 2)
    layer = {
        "type": block,
        "shape": y.shape[1:4],
        "weight": quantised,
        "stride": [stride] * 2,
        "padding": [padding] * 2,
        "dilation": [1, 1],
        "neuron": neuron,
    }
    layer |= {"groups": 1} if block == "convT" else {}
    path = make(tmp_path / "x.net", layer)
    mapped = load(path, timing="slayer")
    assert mapped.network.inputs == {"input": x.shape[1:4]}
    run = nj.simulate(mapped.network, time_first(x))
    np.testing.assert_array_equal(run.outputs, np.moveaxis(y, -1, 0))
    assert same(configure(mapped).layers, read(path).layers)


ZOO = {
    "slayer_alif": 1,
    "slayer_adrf": 2,
    "slayer_adrf_iz": 2,
    "slayer_rf_graded": 2,
    "slayer_rf_iz_graded": 2,
}


@pytest.mark.parametrize("name", ZOO)
def test_neurons_of_the_zoo_as_slayer_runs_them(golden, tmp_path, name):
    recorded = np.load(golden / "lava" / f"{name}.npz")
    neuron = json.loads((golden / "lava" / "META_sj.json").read_text())[name]["device_params"]
    parts = [recorded["x"]] if ZOO[name] == 1 else [recorded["x_re"], recorded["x_im"]]
    # Weights of 2 steps, so that values arrive as slayer's: in steps of 1 / 4096.
    x = np.concatenate([np.trunc(part * 4096) / 4096 * 32 for part in parts], axis=1)
    eye = np.eye(4) * 2
    if ZOO[name] == 1:
        weight = eye
    else:
        weight = {"real": np.hstack([eye, 0 * eye]), "imag": np.hstack([0 * eye, eye])}
    path = make(tmp_path / "x.net", dense(weight, [4], neuron=neuron))
    mapped = load(path)
    y = nj.simulate(mapped.network, time_first(x)).outputs
    np.testing.assert_array_equal(y, np.moveaxis(recorded["spike"], -1, 0))
    assert np.any(recorded["spike"])
    again = configure(mapped).layers
    assert same(again, read(path).layers)
    assert {k: v.item() if hasattr(v, "item") else v for k, v in again[0].neuron.items()} == neuron


def test_average_and_flatten_as_slayer_runs_them(golden, tmp_path):
    recorded = np.load(golden / "lava" / "block_misc.npz")
    shape = {"type": "input", "shape": [3, 4, 5]}
    path = make(
        tmp_path / "x.net",
        shape,
        {"type": "flatten", "shape": [60, 1, 1]},
        {"type": "average", "shape": [3]},
    )
    mapped = load(path)
    run = nj.simulate(mapped.network, time_first(recorded["x"]), probes=["1.flatten"])
    np.testing.assert_array_equal(run["1.flatten"], np.moveaxis(recorded["flatten"], -1, 0))
    np.testing.assert_allclose(run.outputs, np.moveaxis(recorded["average"], -1, 0), rtol=1e-6)
    assert same(configure(mapped).layers, read(path).layers)


def test_concat_takes_outputs_of_earlier_layers(tmp_path):
    path = make(
        tmp_path / "x.net",
        dense(np.array([[100.0, 2], [0, 90]])),
        dense(np.array([[120.0, 60]]), delay=[2.0]),
        {"type": "concat", "shape": [3], "layers": [1, 0]},
        dense(np.array([[60.0, 60, 60]])),
    )
    for timing in ("aligned", "chip", "slayer"):
        mapped = load(path, timing=timing)
        assert same(configure(mapped).layers, read(path).layers)
    net = load(path).network
    x = spikes((2,))
    run = nj.simulate(net, x, probes=["0.neuron", "1.delay", "2.concat"])
    joined = np.concatenate([run["1.delay"], run["0.neuron"]], axis=-1)
    np.testing.assert_array_equal(run["2.concat"], joined)
    assert joined.any(axis=(0, 1)).all()


def test_without_neurons_the_output_is_the_sum_of_all_that_arrived(tmp_path):
    """netx means the same, and exchanges the decays; slayer's Affine is its own threshold."""
    weight = np.array([[10.0, -20], [30, 4]])
    layer = {k: v for k, v in dense(weight).items() if k != "neuron"}
    mapped = load(make(tmp_path / "x.net", layer))
    x = spikes((2,))
    sums = np.cumsum(np.asarray(x) @ weight.T, axis=0) * 64
    np.testing.assert_array_equal(nj.simulate(mapped.network, x).outputs, sums)
    assert "it has no neuron" in str(mapped.report())
    affine = CUBA | {"iDecay": 4096, "vDecay": 0, "vThMant": 2**18 - 1}
    other = load(make(tmp_path / "y.net", dense(weight, neuron=affine)))
    np.testing.assert_array_equal(nj.simulate(other.network, x).outputs, sums)


def test_decays_of_channels_and_pools_with_padding_at_the_end(tmp_path):
    """7x7 pooled by 2x2 to 4x4: slayer pads sizes that are no multiple of the window."""
    kernel = {"weight": np.full((1, 1, 2, 2), 70.0), "padding": [0, 0]}
    decays = CUBA | {"iDecay": np.array([4096, 1000]), "vDecay": [4096, 10], "vThMant": 69}
    layer = WINDOW | {"type": "pool", "shape": [2, 4, 4], "stride": [2, 2], "neuron": decays}
    path = make(tmp_path / "x.net", layer | kernel)
    with pytest.raises(ValueError, match=r"give input_shape=\(2, height, width\)"):
        load(path)
    with pytest.raises(ValueError, match=r"input_shape is \(3, 7, 7\); layer 0"):
        load(path, input_shape=(3, 7, 7))
    mapped = load(path, input_shape=(2, 7, 7))
    x = spikes((2, 7, 7))
    padded = np.pad(np.asarray(x), ((0, 0), (0, 0), (0, 0), (0, 1), (0, 1)))
    any_spike = padded.reshape(*x.shape[:3], 4, 2, 4, 2).max(axis=(-3, -1))
    y = nj.simulate(mapped.network, x).outputs
    np.testing.assert_array_equal(y[:, :, 0], any_spike[:, :, 0])  # without memory: an "or"
    assert np.any(y[:, :, 1] != any_spike[:, :, 1])
    assert same(configure(mapped).layers, read(path).layers)


def test_weights_that_are_not_on_slayers_grid(tmp_path):
    """Odd ones that netx shifts, excitatory ones to 255: exact; what would change is refused."""
    x = spikes((3,))
    for weight in ([[3.0, -128, 127]], [[255.0, 1, 0]], [[-255.0, -1, 0]], [[254.0, -256, 2]]):
        neuron = CUBA | {"vThMant": 2**18 - 1, "iDecay": 4096, "vDecay": 4096}
        mapped = load(make(tmp_path / "x.net", dense(np.array(weight), neuron=neuron)))
        expected = np.asarray(x) @ np.array(weight).T * 64
        np.testing.assert_array_equal(nj.simulate(mapped.network, x).outputs, expected)
        assert configure(mapped).layers[0].fields["weight"].tolist() == weight


def populations():
    key = iter(jax.random.split(jax.random.key(3), 8))
    conv = nj.Conv2d(2, 3, 3, stride=2, padding=1, key=next(key))
    loop = nj.Linear(5, 5, key=next(key))
    yield nj.Sequential(
        (2, 6, 5),
        conv=conv,
        a=nj.CubaLIF(tau=8.0, tau_syn=3.0, reset="zero", threshold=0.3),
        pool=nj.SumPool2d(2, padding=((0, 1), (0, 1))),
        b=nj.LIF(tau=5.0, reset="zero", threshold=0.9),
        delay=nj.layers.Delay(3),
        flatten=nj.layers.Flatten(),
        fc=nj.Linear(12, 5, key=next(key)),
        c=nj.Recurrent(nj.LIF(tau=9.0, reset="zero", threshold=0.5), loop),
        read=nj.Linear(5, 3, key=next(key)),
        out=nj.LI(tau=10.0),
    )
    up = nj.layers.ConvTranspose2d(2, 1, 3, stride=2, output_padding=1, key=next(key))
    yield nj.Sequential((2, 3, 3), up=up, a=nj.LIF(tau=4.0, reset="zero", threshold=0.4))


@pytest.mark.parametrize(("index", "timing"), [(0, "chip"), (1, "aligned")])
def test_mapped_networks_come_back(tmp_path, index, timing):
    net = list(populations())[index]
    mapped = map_network(net, timing=timing, exponent=0)
    again = saved(mapped, tmp_path / "x.net", timing=timing, round_biases=True)
    x = spikes(net.inputs["input"], rate=0.5)
    runs = [nj.simulate(n, x).outputs for n in (mapped.network, again)]
    assert np.any(runs[0])
    np.testing.assert_array_equal(*runs)


def test_the_timing_of_a_mapping_is_not_guessed(tmp_path):
    """Delays of one step behind all neurons are the network's own, not slayer's."""
    weight = jnp.array([[0.5, 0.25], [-0.25, 0.75]])
    net = nj.Sequential(
        (2,),
        fc=nj.Linear.from_weights(weight),
        a=nj.IAF(reset="zero", strict=True),
        wait=nj.layers.Delay(1),
        out_in=nj.Linear.from_weights(weight),
        out=nj.LI(decay=0.5),
    )
    mapped = map_network(net, exponent=0)
    assert mapped.timing == mapped.with_network(mapped.network).timing == "aligned"
    assert configure(mapped.network).timing == "slayer"
    configuration = configure(mapped)
    assert configuration.timing == "aligned"
    configuration.save(tmp_path / "x.net")
    x = spikes((2,), rate=0.6)
    runs = [nj.simulate(n, x).outputs for n in (mapped.network, load(tmp_path / "x.net").network)]
    assert np.any(runs[0])
    np.testing.assert_array_equal(*runs)


def test_effective_weights_are_written(tmp_path):
    """Mantissas with an exponent are one integer in a file, if netx can find them again."""
    weight = jnp.array([[62.0, -60.0, 100.0], [0.0, 4.0, -124.0]])
    neuron = LIF(du=4095, dv=100, vth=60)
    x = spikes((3,))
    for exponent, inputs in ((1, weight), (-1, weight), (0, weight)):
        net = nj.Sequential(
            (3,), fc=Synapse(nj.Linear.from_weights(inputs), exponent=exponent), n=neuron
        )
        again = saved(net, tmp_path / "x.net")
        np.testing.assert_array_equal(nj.simulate(net, x).outputs, nj.simulate(again, x).outputs)
        held = read(tmp_path / "x.net").layers[0].fields["weight"]
        np.testing.assert_array_equal(held, np.asarray(inputs) * 2.0**exponent)


def test_what_a_file_cannot_say_is_refused_at_once(tmp_path):
    linear = lambda *w: nj.Linear.from_weights(jnp.array(w))  # noqa: E731
    net = nj.Sequential(
        (2,),
        first=nj.layers.Delay(2),
        rounds=Synapse(linear([2.0, 6.0], [0.0, 2.0]), exponent=-2),
        ternary=LIF(du=4095, dv=0, vth=10, vth_lo=-10, reset_interval=5),
        large=Synapse(linear([254.0, 2.0], [0.0, 2.0]), exponent=2),
        biased=LIF(du=4095, dv=0, vth=10, bias_mant=jnp.array([3.0, 64.0])),
        real=nj.Linear.from_weights(jnp.ones((1, 2))),
        spiking=nj.LIF(tau=3.0),
    )
    with pytest.raises(ValueError) as error:
        configure(net)
    text = str(error.value)
    for part in (
        "layer 'rounds': its sums are divided by 2^2 and cut",
        "layer 'ternary': vth_lo is -10",
        "layer 'ternary': reset_interval is 5",
        "layer 'large': weights of 0..1016 steps",
        "layer 'biased': bias 3 is no multiple of 64",
        "layer 'real': Linear",
    ):
        assert part in text, part
    fed = nj.Sequential((2,), n=LIF(du=1, dv=1, vth=1))
    with pytest.raises(ValueError, match="layer 'n': there is no synapse in front of it"):
        configure(fed)
    open_end = nj.Sequential((2,), s=Synapse(linear([2.0, 6.0])))
    with pytest.raises(ValueError, match="layer 's': there are no neurons behind it"):
        configure(open_end)
    late = nj.Sequential(
        (2,), d=nj.layers.Delay(1), s=Synapse(linear([2.0, 6.0])), n=LIF(du=1, dv=1, vth=1)
    )
    assert configure(late).timing == "chip"
    with pytest.raises(ValueError, match="layer 'd': there are no neurons"):
        configure(late, timing="aligned")
    with pytest.raises(ValueError, match=r"no Delay\(1\) behind every neuron"):
        configure(late, timing="slayer")


def test_branches_other_than_concat_are_refused():
    def population():
        return Synapse(nj.Linear.from_weights(jnp.eye(2) * 8)), LIF(du=1, dv=1, vth=1)

    layers = {}
    for name in "abc":
        layers[f"s{name}"], layers[name] = population()
    edges = [("input", "sa"), ("sa", "a"), ("a", "sb"), ("sb", "b")]
    net = nj.Network(layers, [*edges, ("a", "sc"), ("sc", "c")], inputs=(2,))
    with pytest.raises(ValueError, match="layer 'sc': it takes 'a'; in a"):
        configure(net)
    net = nj.Network(
        {k: v for k, v in layers.items() if "c" not in k},
        [*edges, nj.Edge("b", "sa", recurrent=True)],
        inputs=(2,),
    )
    with pytest.raises(ValueError, match="layer 'sa': it has a recurrent edge"):
        configure(net)


def test_input_layers(tmp_path):
    """One that scales what comes in, and one that only says the shape."""
    synapse = Synapse(nj.Conv2d.from_weights(jnp.full((1, 1, 2, 2), 6.0), stride=2))
    net = nj.Sequential(
        (1, 4, 4),
        x=Input(weight=jnp.array([32.4]), bias=6),
        a=LIF(du=4095, dv=4096, vth=20),
        s=synapse,
        n=LIF(du=4095, dv=0, vth=19),
    )
    again = saved(net, tmp_path / "x.net")
    x = jnp.asarray(np.random.default_rng(0).integers(-80, 80, (9, 2, 1, 4, 4)), jnp.float32)
    runs = [nj.simulate(n, x).outputs for n in (net, again)]
    assert np.any(runs[0])
    np.testing.assert_array_equal(*runs)
    held = read(tmp_path / "x.net").layers[0]
    assert held.fields["weight"].tolist() == [32] and held.fields["bias"].tolist() == [6]
    plain = nj.Sequential((1, 4, 4), s=synapse, n=LIF(du=4095, dv=0, vth=19))
    configure(plain, input_layer=True).save(tmp_path / "y.net")
    loaded = load(tmp_path / "y.net").network
    assert loaded.inputs == {"input": (1, 4, 4)} and loaded.names[0] == "0.input"
    with pytest.raises(ValueError, match="give input_shape"):
        configure(plain).save(tmp_path / "z.net")
        load(tmp_path / "z.net")


def test_complex_convolutions(tmp_path):
    from neurojax.chips.loihi.resonator import RF

    part = lambda w: Synapse(nj.Conv2d.from_weights(jnp.full((2, 1, 3, 3), w)))  # noqa: E731
    net = nj.Sequential(
        (1, 5, 5),
        s=ComplexSynapse(part(20.0), part(-34.0)),
        n=RF(sin_decay=0.5, cos_decay=0.75, threshold=30, scale=1, bits=24),
    )
    again = saved(net, tmp_path / "x.net")
    x = spikes((1, 5, 5), rate=0.3)
    runs = [nj.simulate(n, x).outputs for n in (net, again)]
    assert np.any(runs[0])
    np.testing.assert_array_equal(*runs)


def test_training_a_loaded_network(golden):
    """Gradients reach the weights; what is saved after training is legal again."""
    mapped = load(golden / "lava" / "net_dense.net")
    x = spikes((8,), steps=12)

    def loss(network):
        return jnp.sum(nj.simulate(network, x).outputs)

    gradient = jax.grad(lambda n: loss(n), allow_int=True)(mapped.network)
    steps = gradient["0.synapse"].synapse.weight
    assert np.isfinite(steps).all() and np.any(steps)
    moved = jax.tree.map(lambda p, g: p - 3.3 * jnp.sign(g), mapped.network, gradient)
    layers = configure(mapped.with_network(moved)).layers
    assert not same(layers, configure(mapped).layers)
    assert np.all(layers[0].fields["weight"] % 2 == 0)


def test_an_output_with_and_without_its_delay_is_refused(tmp_path):
    """A file delays all that its layer sends, so this concat would exchange one for the other."""
    weight = nj.Linear.from_weights(jnp.array([[64.0, 32.0], [-32.0, 64.0]]))
    wide = nj.Linear.from_weights(jnp.ones((2, 4)) * 32)
    layers = {
        "a_in": Synapse(weight), "a": LIF(du=4095, dv=0, vth=64), "wait": nj.layers.Delay(1),
        "both": nj.layers.Concat(), "b_in": Synapse(wide), "b": LIF(du=4095, dv=0, vth=64),
        "end": nj.layers.Delay(1),
    }  # fmt: skip
    edges = [("input", "a_in"), ("a_in", "a"), ("a", "wait"), ("a", "both"), ("wait", "both")]
    edges += [("both", "b_in"), ("b_in", "b"), ("b", "end")]
    net = nj.Network(layers, edges, inputs=(2,), outputs=["end"])
    for timing in (None, "slayer", "aligned"):
        with pytest.raises(ValueError, match="the layer ends at 'wait'"):
            configure(net, timing=timing)


def test_biases_beyond_13_bits_are_refused():
    neuron = LIF(du=4095, dv=0, vth=64, bias_mant=4095, bias_exp=7)
    net = nj.Sequential((2,), fc=Synapse(nj.Linear.from_weights(jnp.eye(2))), a=neuron)
    with pytest.raises(ValueError, match=r"a bias of 8190 weight steps.*smaller scale"):
        configure(net)


def test_a_recurrent_read_out_is_not_late(tmp_path):
    """slayer shifts spikes, and 2^18 - 1 says that there are none."""
    layer = dense(np.full((2, 3), 4.0)) | {"type": "dense_rec", "weight_rec": np.full((2, 2), -2.0)}
    layer["neuron"] = CUBA | {"vThMant": (1 << 18) - 1}
    path = make(tmp_path / "x.net", layer)
    mapped = load(path, timing="slayer")
    assert mapped.network.names == ("0.synapse", "0.neuron")
    assert same(configure(mapped).layers, read(path).layers)
