"""sinabs' network class, against sinabs' own in the same process."""

import sys
import warnings
from types import SimpleNamespace

import equinox as eqx
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import neurojax as nj
from neurojax.chips import MappingError, dynapcnn
from neurojax.converters.dynapcnn import DynapcnnCompatibleNetwork, DynapcnnNetwork
from neurojax.converters.torch import from_torch
from tests.converters._fake_samna import dynapcnn_peer
from tests.converters._live import outputs_of, peer
from tests.hardware.dynapcnn.recorder import configuration_object

sl = peer("sinabs.layers")
backend = dynapcnn_peer()
STEPS, BATCH = 6, 2


def iaf():
    return sl.IAFSqueeze(batch_size=BATCH, min_v_mem=-1.0)


def conv(*sizes, **options):
    return torch.nn.Conv2d(*sizes, bias=False, **options)


def sequential(*camera):
    return torch.nn.Sequential(
        *camera,
        conv(2, 3, 3, padding=1),
        iaf(),
        torch.nn.AvgPool2d(2),
        torch.nn.Dropout(0.5),
        torch.nn.Conv2d(3, 4, 3),
        iaf(),
        sl.SumPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 5, bias=False),
        iaf(),
    )


class Residual(torch.nn.Module):
    """Two ways from the first neurons, with pools of their own, that meet again."""

    def __init__(self):
        super().__init__()
        self.conv1, self.iaf1 = conv(2, 3, 3, padding=1), iaf()
        self.conv2, self.iaf2 = conv(3, 3, 3, padding=1), iaf()
        self.conv3, self.iaf3 = conv(3, 3, 3, padding=1, stride=2), iaf()
        self.pool2, self.pool3 = sl.SumPool2d(4), sl.SumPool2d(2)
        self.merge, self.flat = sl.Merge(), torch.nn.Flatten()
        self.out, self.iaf4 = torch.nn.Linear(12, 4, bias=False), iaf()

    def forward(self, x):
        x = self.iaf1(self.conv1(x))
        a = self.pool2(self.iaf2(self.conv2(x)))
        b = self.pool3(self.iaf3(self.conv3(x)))
        return self.iaf4(self.out(self.flat(self.merge(a, b))))


class TwoOutputs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.iaf1 = conv(2, 3, 3, padding=1), iaf()
        self.conv2, self.iaf2 = conv(3, 2, 3), iaf()
        self.conv3, self.iaf3 = conv(3, 4, 3, stride=2), iaf()

    def forward(self, x):
        x = self.iaf1(self.conv1(x))
        return self.iaf2(self.conv2(x)), self.iaf3(self.conv3(x))


def make(model, seed=0):
    torch.manual_seed(seed)
    built = model()
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5.0)
    return built


def events(seed=0, shape=(2, 8, 8)):
    counts = np.random.default_rng(seed).poisson(0.5, (BATCH * STEPS, *shape))
    return torch.tensor(counts, dtype=torch.float32)


def peer_network(model, **options):
    options = {"input_shape": (2, 8, 8), "batch_size": BATCH} | options
    return backend.DynapcnnNetwork(model, **options)


def assert_same(ours, theirs):
    """Equal but for the shape of Linear layers, which sinabs leaves (n, 1, 1)."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    assert (ours.reshape(theirs.shape) == theirs).all()
    assert theirs.any()


def camera(**options):
    return backend.dvs_layer.DVSLayer((8, 8), **options)


@pytest.mark.parametrize(
    "model",
    [
        sequential,
        Residual,
        lambda: sequential(camera(flip_x=True, swap_xy=True, disable_pixel_array=False)),
    ],
    ids=["sequential", "residual", "camera"],
)
def test_what_sinabs_simulates(model):
    snn, x = make(model), [events(seed) for seed in range(2)]
    theirs = peer_network(snn)
    ours = DynapcnnNetwork(snn, input_shape=(2, 8, 8), dvs_input=None)
    outputs = [ours(part) for part in x]
    for part, y in zip(x, outputs, strict=True):  # the second call goes on
        assert isinstance(y, torch.Tensor)
        assert_same(y, theirs(part))
    assert not (outputs[0] == ours(x[0])).all()
    ours.reset_states()
    assert (ours(x[0].numpy()) == outputs[0].numpy()).all()
    # What the layers need, and where they go.
    shift = int(ours.has_dvs_layer())  # sinabs counts the camera's block as a layer
    summary = theirs.memory_summary()
    for kind, words in ours.memory_summary().items():
        assert {i + shift: n for i, n in words.items()} == summary[kind]
        assert all(type(n) is int for n in words.values())
    builder = backend.chips.Speck2FConfigBuilder()
    placed = builder.map_layers_to_cores(theirs.dynapcnn_layers)
    ours.make_config(device="speck2fmodule")
    assert {i + shift: core for i, core in ours.layer2core_map.items()} == placed


def test_several_outputs_and_all_layers():
    snn, x = make(TwoOutputs), events()
    theirs, ours = peer_network(snn), DynapcnnNetwork(snn, (2, 8, 8))
    expected, found = theirs(x), ours(x)
    assert found.keys() == expected.keys() == {1, 2}
    for i, ends in expected.items():
        assert found[i].keys() == ends.keys() == {-1}
        assert_same(found[i][-1], ends[-1])
    assert ours.exit_layer_ids == [1, 2]
    assert ours.layer_destination_map == {0: [1, 2], 1: [-1], 2: [-1]}

    snn = make(Residual)
    theirs, ours = peer_network(snn), DynapcnnNetwork(snn, (2, 8, 8))
    expected, found = theirs(x, return_complete=True), ours(x, return_complete=True)
    assert found.keys() == expected.keys()
    for i, ends in expected.items():
        assert found[i].keys() == ends.keys()
        for end, value in ends.items():
            assert_same(found[i][end], value)


def test_real_numbers():
    snn, x = make(sequential), events()
    snn.append(torch.nn.Identity())
    theirs = peer_network(snn, discretize=False)
    ours = DynapcnnNetwork(snn, (2, 8, 8), discretize=False)
    assert_same(ours(x), theirs(x))
    # A pool at the end sums on the chip, whatever the model averages.
    snn = torch.nn.Sequential(conv(2, 3, 3, padding=1), iaf(), torch.nn.AvgPool2d(2))
    theirs = peer_network(snn, discretize=False)
    ours = DynapcnnNetwork(snn, (2, 8, 8), discretize=False)
    assert_same(ours(x), theirs(x))
    assert ours.make_config().cores == {"1": 0}


@settings(deadline=None, max_examples=5)
@given(st.data())
def test_camera_layers(data):
    flags = ("merge_polarities", "flip_x", "flip_y", "swap_xy", "disable_pixel_array")
    options = {name: data.draw(st.booleans(), label=name) for name in flags}
    options["pool"] = data.draw(st.tuples(*(st.sampled_from((1, 2)),) * 2), label="pool")
    options["crop"] = data.draw(st.sampled_from((None, ((1, 3), (0, 4)))), label="crop")
    layer = backend.dvs_layer.DVSLayer((8, 10), **options)
    net = from_torch(torch.nn.Sequential(layer), input_shape=(2, 8, 10), time_axis=None)
    assert net["0"].pixel_array != options["disable_pixel_array"]
    x = events(shape=(2, 8, 10))
    assert (outputs_of(net, x[None].numpy())[0] == layer(x).numpy()).all()


def test_camera_parts():
    parts = [backend.crop2d.Crop2d(((1, 7), (2, 20))), backend.flipdims.FlipDims(True, False, True)]
    net = from_torch(torch.nn.Sequential(*parts), input_shape=(2, 8, 10), time_axis=None)
    x = events(shape=(2, 8, 10))
    expected = torch.nn.Sequential(*parts)(x).numpy()
    assert (outputs_of(net, x[None].numpy())[0] == expected).all()


def network():
    rng = np.random.default_rng(0)
    weights = [
        jnp.asarray(rng.normal(0, 0.5, s), jnp.float32) for s in ((3, 2, 3, 3), (2, 3, 1, 1))
    ]
    neuron = nj.IAF(v_min=-1.0, max_spikes=None)
    a, b = (nj.Conv2d.from_weights(w) for w in weights)
    return nj.Sequential((2, 6, 6), a=a, first=neuron, pool=nj.SumPool2d(2), b=b, last=neuron)


def test_a_network_of_neurojax():
    net, x = network(), np.random.default_rng(1).poisson(1.0, (12, 2, 6, 6))
    chip = DynapcnnNetwork(net)
    run = nj.simulate(dynapcnn.map(net).network, jnp.asarray(x[:, None], jnp.float32))
    y = chip.forward(jnp.asarray(x))
    assert isinstance(y, jnp.ndarray) and (y == run.outputs[:, 0]).all()
    # Samples one after the other.
    run = nj.simulate(
        dynapcnn.map(net).network, jnp.asarray(x.reshape(3, 4, 2, 6, 6).swapaxes(0, 1), jnp.float32)
    )
    for options in ({"batch_size": 3}, {"num_timesteps": 4}):
        y = DynapcnnNetwork(net, **options)(x)
        assert (y.reshape(3, 4, *y.shape[1:]) == np.asarray(run.outputs).swapaxes(0, 1)).all()
    with pytest.raises(ValueError, match="12 steps and samples, with 5 samples"):
        DynapcnnNetwork(net, batch_size=5)(x)


def test_random_states():
    chip = DynapcnnNetwork(network())
    quiet = np.zeros((1, 2, 6, 6))
    assert not chip(quiet).any()
    chip.reset_states(randomize=True)
    v = np.asarray(chip._simulation._state.layers["first"].v)
    held = chip.dynapcnn_layers[0].integers()
    assert held.v_min <= v.min() < 0 < v.max() < held.threshold and (v == np.round(v)).all()
    chip.reset_states(randomize=True)
    assert (v == chip._simulation._state.layers["first"].v).all()
    chip.reset_states()
    assert not chip(quiet).any()


def test_configurations():
    chip = DynapcnnNetwork(network())
    assert chip.layer2core_map is None and chip.chip_layers_ordering is None
    with pytest.raises(ValueError, match="no cores yet; call make_config"):
        chip.find_chip_layer(0)
    config = chip.make_config(chip_layers_ordering=[4, 2], device="speck2e", monitor_layers=[0])
    assert config.device == "speck2e" and config.monitored == ("first",)
    assert chip.chip_layers_ordering == [4, 2] and chip.layer2core_map == {0: 4, 1: 2}
    assert (chip.find_chip_layer(0), chip.find_chip_layer(-1)) == (4, 2)
    assert chip.make_config(layer2core_map={1: 0, 0: 1}).cores == {"first": 1, "last": 0}
    assert chip.make_config().monitored == chip.make_config(monitor_layers=[-1]).monitored
    assert chip.make_config(monitor_layers="all").monitored == ("first", "last")

    def modify(vendor):
        vendor["cnn_layers"][0]["monitor_enable"] = True

    assert chip.make_config(config_modifier=modify).monitored == ("first", "last")
    assert "'last' on core 1" in repr(chip)
    for wrong, message in (
        ({"chip_layers_ordering": [0]}, "layers 0 to 1, and each needs a core"),
        ({"monitor_layers": [7]}, "no layer 7 to monitor"),
        ({"device": "speck3"}, "no device 'speck3'"),
        ({"chip_layers_ordering": [0, 0]}, "a core holds one layer"),
    ):
        with pytest.raises(ValueError, match=message):
            chip.make_config(**wrong)
    with pytest.raises(IndexError, match="no layer 2"):
        chip.find_chip_layer(2)


def test_trained_numbers_reach_the_configuration():
    chip = DynapcnnNetwork(network())
    layer = chip.network["first"]
    trained = eqx.tree_at(lambda n: n["first"].weight, chip.network, layer.weight * 0 + 7)
    chip.mapped = chip.mapped.with_network(trained)
    core = chip.make_config().network["first"]
    assert (core.integers().weight == 7).all()


def test_compatible_devices():
    small = DynapcnnNetwork(network())
    assert all(small.is_compatible_with(name) for name in ("speck2e", "speck2cmini:0"))
    weights = jnp.ones((2, 2, 1, 1))
    layers = {}
    for i in range(6):
        layers |= {f"w{i}": nj.Conv2d.from_weights(weights), f"n{i}": nj.IAF(v_min=-1.0)}
    deep = DynapcnnNetwork(nj.Sequential((2, 4, 4), **layers))
    assert deep.is_compatible_with("speck2e") and not deep.is_compatible_with("speck2cmini")
    with pytest.raises(MappingError):
        deep.make_config(device="speck2cmini")
    with pytest.raises(ValueError, match="no device"):
        small.is_compatible_with("speck9")


def test_input_of_the_camera():
    chip = DynapcnnNetwork(network(), dvs_input=True)
    assert chip.has_dvs_layer() and chip.dvs_layer.pixel_array
    assert chip.make_config(monitor_layers=["dvs", 1]).monitored == ("last", "dvs")
    assert not DynapcnnNetwork(network()).has_dvs_layer()
    snn = torch.nn.Sequential(camera(merge_polarities=True), conv(1, 2, 3), iaf())
    chip = DynapcnnNetwork(snn)  # the DVSLayer knows the shape
    assert_same(chip(events()), peer_network(snn, input_shape=(1, 8, 8))(events()))
    assert not chip.dvs_layer.pixel_array
    with pytest.raises(ValueError, match=r"\(1, 9, 9\), but the DVSLayer takes \(1, 8, 8\)"):
        DynapcnnNetwork(snn, (1, 9, 9))


def test_refusals():
    with pytest.raises(ValueError, match="give input_shape="):
        DynapcnnNetwork(sequential())
    with pytest.raises(ValueError, match=r"\(8, 8\); it must be \(features, height, width\)"):
        DynapcnnNetwork(sequential(), (8, 8))
    other = torch.nn.Sequential(conv(2, 2, 1), iaf(), conv(2, 2, 1), sl.IAFSqueeze(batch_size=3))
    with pytest.raises(ValueError, match="batch_size is 2, 3 in different layers"):
        DynapcnnNetwork(other, (2, 8, 8))
    with pytest.raises(MappingError, match="integrate and fire"):
        DynapcnnNetwork(nj.Sequential((2, 4, 4), w=network()["a"], n=nj.LIF(tau=5.0)))


class Samna:
    """The vendor's library as far as sinabs uses it, which answers every event with another."""

    def __init__(self):
        self.calls, events = [], []
        spike = SimpleNamespace
        self.speck2f = SimpleNamespace(__name__="samna.speck2f", event=SimpleNamespace(Spike=spike))
        self.speck2f.configuration = SimpleNamespace(
            SpeckConfiguration=lambda: configuration_object("speck2fmodule")
        )
        self.speck2f.validate_configuration = lambda config: (True, "")
        model = SimpleNamespace(
            apply_configuration=lambda config: self.calls.append(config.plain()),
            get_sink_node=lambda: "in",
            get_source_node=lambda: "out",
        )
        watch = [SimpleNamespace(reset=lambda: None, start=lambda: None, stop=lambda: None)]
        board = SimpleNamespace(get_model=lambda: model, get_stop_watch=lambda: watch[0])
        self.device = SimpleNamespace(
            open_device=lambda name: self.calls.append(name) or board,
            close_device=lambda opened: self.calls.append("closed"),
        )

        def take():
            new = [spike(**(vars(e) | {"layer": 0, "timestamp": e.timestamp + 5})) for e in events]
            events.clear()
            return new

        source = SimpleNamespace(write=events.extend)
        self.BasicSourceNode_speck2f_event_input_event = lambda: source
        self.BasicSinkNode_speck2f_event_output_event = lambda: SimpleNamespace(get_events=take)
        graph = SimpleNamespace(sequential=self.calls.append, start=lambda: 0, stop=lambda: 0)
        self.graph = SimpleNamespace(EventFilterGraph=lambda: graph)


def test_on_a_board(monkeypatch):
    samna = Samna()
    monkeypatch.setitem(sys.modules, "samna", samna)
    chip = DynapcnnNetwork(network())
    assert chip.to("speck2fmodule:1", monitor_layers=[0]) is chip
    assert chip.is_deployed_on_dynapcnn_device
    name, vendor, *graphs = samna.calls
    assert name == "Speck2fModuleDevKit:1" and vendor == chip.configuration.vendor
    assert [ends[1] for ends in graphs[:1]] + [ends[0] for ends in graphs[1:]] == ["in", "out"]
    stream = dynapcnn.make_events(x=[1, 2], y=0, t=[10, 20], feature=1, layer=0)
    back = chip(stream)
    assert back["t"].tolist() == [15, 25] and back["x"].tolist() == [1, 2]
    assert [e.timestamp for e in chip(dynapcnn.to_records(stream, SimpleNamespace))] == [15, 25]
    chip.reset_states()
    assert samna.calls[-1] == vendor
    with pytest.raises(ValueError, match="on a board"):
        chip.reset_states(randomize=True)
    assert chip.to("cpu") is chip and samna.calls[-1] == "closed"
    assert not chip.is_deployed_on_dynapcnn_device
    assert chip(np.zeros((1, 2, 6, 6))).shape == (1, 2, 2, 2)


def test_without_the_vendors_library():
    with pytest.raises(ImportError, match="samna"):
        DynapcnnNetwork(network()).to("speck2fmodule")


def test_the_former_name():
    with pytest.warns(DeprecationWarning, match="now called DynapcnnNetwork"):
        chip = DynapcnnCompatibleNetwork(network())
    assert isinstance(chip, DynapcnnNetwork)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DynapcnnNetwork(network())
