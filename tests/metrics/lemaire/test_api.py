"""What users call: functions and classes, tables, refusals, layers of their own."""

import csv
import datetime
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax import metrics, quantise
from neurojax.metrics.lemaire import Memory, Work, _work, register_cost

KEY = jax.random.key(0)
OPTIONS = {"mem_width": 8, "fifo_size": 16}


def dense(n, m, **options):
    return nj.Linear(n, m, key=KEY, **options)


@pytest.fixture(scope="module")
def counted():
    network = nj.Sequential(
        (6,), a=dense(6, 8, bias=True), s=nj.LIF(tau=2.0, threshold=0.2), b=dense(8, 3)
    )
    inputs = jnp.asarray(np.random.default_rng(0).integers(0, 2, (5, 4, 6)), jnp.float32)
    return network, inputs, metrics.count_spikes(network, inputs)


def costed(layers, shape=(4,), **options):
    """Operations of a chain, its layers' activity made up: half of all values are spikes."""
    network = nj.Sequential(shape, **layers)
    rng = np.random.default_rng(0)
    outputs = {}
    for name in ["input", *network.names]:
        spikes = rng.integers(0, 2, (4, 2, *network.out_shape(name)))
        flat = spikes.reshape(4, 2, -1)
        outputs[name] = metrics.LayerActivity(
            flat.sum(-1).T, flat.sum(-1).T * 1.0, spikes.sum((0, 1)), flat.shape[-1], True,
            spikes.sum((0, 1)) * 1.0, spikes[-1].sum(0), spikes[-1].sum(0) * 1.0,
        )  # fmt: skip
    spiking = tuple(name for name in network.names if network[name].spiking)
    activity = metrics.Activity(outputs, 4, 2, spiking, spiking)
    return metrics.operations(network, activity, **options), activity


def test_classes_are_the_functions(counted):
    network, inputs, activity = counted
    for compat in (None, "qualia"):
        wanted = metrics.energy(network, activity, **OPTIONS, compat=compat)
        metric = metrics.EnergyEstimationMetric(8, 16, compat=compat)
        assert metric(network, activity) == wanted
        counter = metrics.OperationCounter(compat=compat)
        assert counter(network, activity) == metrics.operations(network, activity, compat=compat)
    assert metrics.EnergyEstimationMetric(8, 16)(network, inputs, batch_size=4) == metrics.energy(
        network, activity, **OPTIONS
    )
    with pytest.raises(ValueError, match="give inputs, or the activity"):
        metrics.OperationCounter()(network)
    # Neurons that don't spike: inputs still matter.
    leaky = nj.Sequential((6,), a=dense(6, 8), out=nj.LI(tau=2.0))
    wanted = metrics.operations(leaky, metrics.count_spikes(leaky, inputs))
    assert metrics.OperationCounter()(leaky, inputs) == wanted
    formal = nj.Sequential((6,), a=dense(6, 8), norm=nj.BatchNorm(8))
    assert metrics.EnergyEstimationMetric(8)(formal) == metrics.energy(formal, mem_width=8)


def test_tables(counted, tmp_path):
    network, _, activity = counted
    energies = metrics.energy(network, activity, **OPTIONS)
    operations = metrics.operations(network, activity)
    for table, fields in (
        (energies, metrics.EnergyEstimationMetricLoggerFields),
        (operations, metrics.OperationCounterLoggerFields),
    ):
        path = table.to_csv(tmp_path / "costs.csv")
        header, *rows = csv.reader(path.read_text().splitlines())
        assert tuple(header) == fields._fields
        assert [row[0] for row in rows] == ["a", "s", "b", "Total"]
        for text, row in zip(rows, [*table, table.total], strict=True):
            assert text == [str(value) for value in row.asnamedtuple()]
        assert str(table).endswith(" NB = Non binary data") and len(table) == 3
        with pytest.raises(KeyError, match="no row 'c'; known names: 'a', 's', 'b'"):
            table["c"]
    row = energies["a"]
    assert row.total == row.mem_total + row.opsaddr
    assert operations["a"].asdict()["total_acc"] == operations["a"].total_acc
    # The spikes of all layers that spike count once, and those that come in.
    assert operations.total.output_count == activity.count("s")
    assert operations.total.input_count == activity.count("input")


def busy(network, **values):
    """An activity in which every value of a layer is one number in all 2 steps of a sample."""
    outputs = {}
    for name in [*network.inputs, *network.names]:
        value = values.get(name, 1.0)
        ones = np.full(network.out_shape(name), int(value != 0))
        each = np.full((1, 2), ones.sum())
        outputs[name] = metrics.LayerActivity(
            each, each * value, ones * 2, ones.size, value in (0.0, 1.0), ones * 2 * value, ones,
            ones * value,
        )  # fmt: skip
    spiking = tuple(name for name in network.names if network[name].spiking)
    return metrics.Activity(outputs, 2, 1, spiking, spiking)


def both(network, **values):
    """Operations as they are, and as the plug-in counts them."""
    activity = busy(network, **values)
    return [metrics.operations(network, activity, compat=c) for c in (None, "qualia")]


def test_deviations_of_the_plug_in():
    """Each of docs/costs.md, on numbers small enough to be counted by hand.

    2 channels in 2 groups become 4; 4x4 places become 2x2. Padded and by steps of 2, the windows
    of 3 see 2 + 3 of the 4 places of a line: 5 x 5 synapses for each of the 4 kernels.
    """
    weights = np.ones((4, 1, 3, 3), np.float32)
    conv = nj.Conv2d.from_weights(weights, stride=2, padding=1, groups=2)
    net = nj.Sequential((2, 4, 4), c=conv, s=nj.LIF(tau=2.0), f=nj.Flatten(), d=dense(16, 3))
    ours, theirs = both(net)
    arriving, spikes, steps, outputs = 25 * 4, 32, 2, 16
    ours, theirs = ours["c"], theirs["cs"]
    # Borders, strides, groups: additions by ceil(k / s), memory by the whole kernel, all channels.
    assert ours.syn_acc == steps * arriving and ours.mem_write == steps * arriving
    assert theirs.syn_acc == steps * (spikes * 2 * 2 * 4 + outputs + outputs)
    assert theirs.mem_write == steps * (spikes * 9 * 4 + outputs + outputs)
    # Addresses: one for each target, not for each point of the kernel.
    assert (ours.addr_acc, theirs.addr_acc) == (steps * arriving, steps * spikes * 9)
    assert ours.addr_mac == theirs.addr_mac == steps * spikes * 2
    # Formal: groups.
    assert metrics.operations(net)["c"].syn_mac == arriving
    assert metrics.operations(net, compat="qualia")["c"].syn_mac == 16 * 2 * 9
    # A dense layer: addresses of one input's targets instead of all inputs'.
    ours, theirs = both(net)
    assert (ours["d"].addr_acc, theirs["d"].addr_acc) == (steps * 16 * 3, steps * 3)
    # A bias is added also where there is none.
    assert (ours["d"].syn_acc, theirs["d"].syn_acc) == (steps * 16 * 3, steps * (16 * 3 + 3))
    # Totals: each spike once, not for each module that hands it on.
    assert (ours.total.output_count, theirs.total.output_count) == (32, (16 * 3 + 3 * 2) * 2 + 32)


def test_deviations_where_values_are_graded():
    """Everything of all steps, not operations of one step and membranes of all of them."""
    net = nj.Sequential((4,), d=dense(4, 3), s=nj.LIF(tau=2.0))
    ours, theirs = both(net, input=0.5)
    assert ours["d"].is_sj == theirs["ds"].is_sj == "Hybrid"
    assert (ours["d"].syn_mac, theirs["ds"].syn_mac) == (2 * 12, 12 + 3)  # leaks of one step
    assert ours["s"].syn_mac == 2 * 3
    assert ours["d"].mem_read == 2 * (4 + 12 + 12)  # inputs, weights, membranes
    assert theirs["ds"].mem_read == 4 + 2 * (12 + 12 + 3)


def test_deviations_behind_the_layer():
    """A pool or a norm between a layer and its neurons: no leak, no reset, no outputs."""
    net = nj.Sequential(
        (1, 4, 4),
        c=nj.Conv2d.from_weights(np.ones((1, 1, 1, 1), np.float32)),
        p=nj.MaxPool2d(2),
        s=nj.LIF(tau=2.0),
    )
    ours, theirs = both(net)
    assert [row.name for row in theirs] == ["c", "ps", "s"]
    for name in ("ps", "s"):
        assert theirs[name].total_acc == theirs[name].total_mac == theirs[name].mem_read == 0
    assert theirs["c"].syn_mac == 0 and theirs["c"].syn_acc == 2 * (16 + 16)
    assert ours["p"].syn_acc == 2 * 16 and ours["p"].mem_write == 2 * (16 + 4)
    assert ours["s"].syn_mac == 2 * 4 and ours["s"].syn_acc == 2 * (4 + 4)  # and resets


def test_deviations_of_a_sum():
    """The plug-in adds the sizes of the axes up: 2 + 5 + 5 values instead of 50."""
    net = nj.Network(
        {"a": nj.ReLU(), "b": nj.ReLU(), "c": nj.ReLU(), "add": nj.Add()},
        [("input", n) for n in "abc"] + [(n, "add") for n in "abc"],
        inputs=(2, 5, 5),
    )
    ours, theirs = (metrics.operations(net, compat=c)["add"] for c in (None, "qualia"))
    assert (ours.syn_acc, theirs.syn_acc) == (2 * 50, 2 * 12)
    assert (ours.addr_acc, theirs.addr_acc) == (50, 12)
    assert (ours.mem_read, theirs.mem_read) == (3 * 50, 3 * 12)
    assert (ours.mem_write, theirs.mem_write) == (50, 2)


def test_paths_of_the_plug_in():
    when = datetime.datetime(2026, 1, 2, 3, 4, 5)
    metric = metrics.EnergyEstimationMetric(16, 64)
    assert metric.csv_path("digits", "snn", when=when).as_posix() == (
        "logs/digits/EnergyEstimationMetric/2026-01-02_03-04-05_snn_mem16bit_0.1_3.1_ICONIP"
        "_sramICONIP.csv"
    )
    path = metrics.OperationCounter().csv_path("digits", "snn", prefix="a_", when=when)
    assert path.as_posix() == "logs/digits/OperationCounter/a_2026-01-02_03-04-05_snn.csv"


def test_names_with_commas(tmp_path):
    table = metrics.operations(nj.Sequential((4,), **{"a, b": dense(4, 3)}))
    header, row, _ = csv.reader(table.csv.splitlines())
    assert row[0] == "a, b" and len(row) == len(header)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"fifo_size": 0}, "fifo_size is 0; a spiking network reads and writes spikes"),
        ({"compat": "paper"}, "compat is 'paper'; it must be one of"),
        ({"formal": ["aa"]}, "formal: no layer 'aa'; did you mean 'a'"),
        ({"formal": "bb"}, "formal: no layer 'bb'; did you mean 'b'"),
        ({"graded": "twice"}, "graded is 'twice'"),
        ({"unknown": "zero"}, "unknown is 'zero'"),
    ],
)
def test_refusals(counted, options, words):
    network, _, activity = counted
    with pytest.raises(ValueError, match=words):
        metrics.energy(network, activity, **OPTIONS | options)


def test_activity_of_another_network(counted):
    _, _, activity = counted
    other = nj.Sequential((6,), c=dense(6, 8))
    with pytest.raises(ValueError, match="no counts of c; call count_spikes"):
        metrics.operations(other, activity)


def test_activity_of_other_shapes(counted):
    """Layers of the same names: a number would come out, and it would be wrong."""
    _, _, activity = counted
    other = nj.Sequential((6,), a=dense(6, 1), s=nj.LIF(tau=2.0), b=dense(1, 3))
    words = r"'a' has shape \(1,\), but the activity is that of \(8,\)"
    for call in (
        lambda: metrics.operations(other, activity),
        lambda: metrics.operations(other, activity, compat="qualia"),
        lambda: metrics.synaptic_events(other, activity),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_networks_that_the_plug_in_does_not_know():
    layers = {"a": dense(2, 2), "n": nj.CubaLIF(tau=2.0, tau_syn=2.0), "back": dense(2, 2)}
    edges = [("x", "a"), ("y", "a"), ("a", "n"), nj.Edge("n", "back", recurrent=True)]
    network = nj.Network(layers, edges, inputs={"x": (2,), "y": (2,)})
    with pytest.raises(ValueError, match=r"layer 'n' is CubaLIF.*no such layer") as error:
        metrics.operations(network, compat="qualia")
    for words in ("'a' adds up 2 edges", "n ~> back is recurrent", "there are 2 inputs"):
        assert words in str(error.value)


class Mystery(nj.Layer):
    """A layer that nobody has said the cost of."""

    def step(self, state, x, *, key=None):
        return state, x

    def out_shape(self, in_shape):
        return in_shape


def test_unknown_layers_are_never_free():
    layers = {"a": dense(4, 4), "what": Mystery(), "why": Mystery()}
    with pytest.raises(ValueError, match="layer 'what': what a Mystery costs is not known") as e:
        costed(layers)
    assert "layer 'why'" in str(e.value)
    table, _ = costed(layers, unknown="nan")
    assert math.isnan(table["what"].syn_acc) and math.isnan(table.total.mem_read)
    assert table["a"].syn_acc > 0
    assert "what a Mystery costs is not known" in str(table)
    pooled = nj.Sequential((1, 4), pool=nj.SumPool1d(2))
    table = metrics.operations(pooled, compat="qualia")
    assert "no cost was counted for pool, as in the plug-in" in str(table)


def test_register_cost(monkeypatch):
    monkeypatch.setattr(_work, "_COSTS", dict(_work._COSTS))

    def cost(traffic):
        return [Work(syn_acc=traffic.events), Work(inputs=Memory(traffic.visits, 0, traffic.size))]

    register_cost(Mystery, cost)
    table, activity = costed({"what": Mystery()})
    assert table["what"].syn_acc == activity.count("input")
    assert table["what"].mem_read == 4 * 4
    register_cost(Mystery, lambda traffic: {"syn_acc": 1})
    with pytest.raises(TypeError, match="registered for Mystery returned a dict; it must be a"):
        costed({"what": Mystery()})
    with pytest.raises(TypeError, match="takes a function for Mystery, got None"):
        register_cost(Mystery, None)


def test_synapses_that_are_registered_as_others():
    class Wireless(nj.Linear):
        """Synapses, says its type; none, says its rule."""

    metrics.register_connectivity(Wireless, None)
    with pytest.raises(ValueError, match="layer 'a': the connectivity registered for a Wireless"):
        costed({"a": Wireless(4, 3, key=KEY)})


def test_layers_of_chips_are_referred_to_their_chip():
    network = nj.Sequential((1, 4, 4), c=nj.Conv2d(1, 2, 3, key=KEY), n=nj.IAF(reset="zero"))
    mapped = nj.chips.dynapcnn.map(network, device="speck2fmodule")
    for compat in (None, "qualia"):
        with pytest.raises(ValueError, match="take the network before it was mapped"):
            metrics.operations(mapped, compat=compat)


def test_neurons_with_more_state():
    """Each state variable is read and written in each step, and each of those that leak decays."""
    sized = {
        nj.IAF(): (1, 0),
        nj.LI(tau=2.0): (1, 1),
        nj.CubaLIF(tau=2.0, tau_syn=2.0): (2, 2),
        nj.CubaIAF(tau_syn=2.0): (2, 1),
        nj.AdaptiveLIF(tau=2.0, tau_adapt=2.0): (2, 2),
        nj.Alpha(tau=4.0, tau_fast=2.0): (3, 2),
        nj.LIF(tau=2.0, refractory=2): (2, 1),
    }
    for neuron, (states, leaks) in sized.items():
        table, activity = costed({"a": dense(4, 4), "n": neuron})
        row = table["n"]
        assert row.mem_read == states * 4 * 4, neuron
        assert row.mem_write == states * 4 * 4 + activity.count("n"), neuron
        assert row.syn_mac == leaks * 4 * 4, neuron
        assert row.syn_acc == (activity.count("n") if neuron.spiking else 0), neuron


def test_layers_around_layers():
    """Quantised weights cost what weights cost; a chain what its layers do."""
    plain, _ = costed({"a": dense(4, 4), "n": nj.IAF()})
    rules = {"weight": quantise.Quantiser(bits=4)}
    layers = {"a": quantise.Quantised(dense(4, 4), rules), "n": nj.IAF()}
    wrapped, _ = costed(layers)
    assert plain.rows == wrapped.rows
    compatible, _ = costed(layers, compat="qualia")
    assert compatible["an"].syn_acc > 0
    chained, _ = costed({"a": nj.Chain(first=dense(4, 4), n=nj.IAF())})
    # What comes out of the chain was drawn anew: compare what does not depend on it.
    assert chained["a"].addr_acc == plain["a"].addr_acc
    assert chained["a"].mem_read == plain["a"].mem_read + plain["n"].mem_read
    filtered, activity = costed({"c": nj.Chain(current=nj.LI(tau=2.0), n=nj.IAF())})
    # The filter gets spikes, the neurons all of its values.
    values = 4 * 4
    assert filtered["c"].syn_acc == activity.count("input") + values + activity.count("c")
    with pytest.raises(ValueError, match="in the midst of a Chain"):
        costed({"c": nj.Chain(n=nj.IAF(), b=dense(4, 4))})


def test_products_of_values():
    layers = {"a": nj.Reshape((2, 3)), "b": nj.Reshape((3, 2)), "m": nj.MatMul()}
    edges = [("input", "a"), ("input", "b"), ("a", "m"), ("b", "m")]
    network = nj.Network(layers, edges, inputs=(6,))
    row = metrics.operations(network)["m"]
    assert (row.syn_mac, row.mem_read, row.mem_write) == (2 * 2 * 3, 2 * 2 * 2 * 3, 4)
    activity = metrics.count_spikes(network, jnp.ones((1, 1, 6)))
    with pytest.raises(ValueError, match="layer 'm': how many values that are not zero meet"):
        metrics.operations(network, activity)


def test_the_rest():
    """Layers that copy, hold back or compare."""
    layers = {"up": nj.Upsample((2,)), "late": nj.Delay(1), "relu": nj.ReLU(), "t": nj.Threshold()}
    table, activity = costed(layers)
    count = activity.count
    assert table["up"].mem_read == count("input") and table["up"].addr_acc == count("up")
    assert table["late"].mem_read == count("up") + count("late")
    assert table["late"].mem_write == table["late"].mem_read
    assert table["relu"].syn_acc == count("late") and table["t"].syn_acc == count("relu")
    scaled, _ = costed({"s": nj.Scale(2.0), "p": nj.Pad([(1, 1)]), "d": nj.layers.Dropout(0.5)})
    assert scaled["s"].syn_mac == 4 * 4
    assert scaled["p"].mem_read == scaled["d"].mem_read == 0
    formal = metrics.operations(nj.Sequential((4,), **layers))
    assert formal["up"].mem_write == 8 and formal["late"].mem_read == 0


def test_what_a_chain_only_moves():
    layers = {"p": nj.Permute((1, 0)), "f": nj.Flatten(), "a": dense(4, 4)}
    table, activity = costed({"c": nj.Chain(**layers)}, shape=(2, 2))
    products = activity.count("input") * 4
    assert (table["c"].syn_acc, table["c"].syn_mac) == (products, 0)
    assert table["c"].mem_write == products + 4 * 4


def test_loops_without_neurons():
    layers = {"same": nj.Identity(), "late": nj.Delay(1), "n": nj.IAF()}
    edges = [("input", "same"), ("same", "late"), ("late", "n")]
    edges.append(nj.Edge("late", "same", recurrent=True))
    network = nj.Network(layers, edges, inputs=(2,), outputs=["n"])
    activity = metrics.count_spikes(network, jnp.ones((5, 1, 2)))
    table = metrics.operations(network, activity)
    # Everything that comes in goes round and round as spikes.
    assert table["n"].syn_acc == activity["late"].total.sum() + activity.count("n")


def test_currents_beside_spikes():
    """Neurons that get more than what a synapse adds up take all of it as events."""
    layers = {"a": dense(2, 2), "both": nj.Concat(), "n": nj.IAF()}
    edges = [("input", "a"), ("a", "both"), ("input", "both"), ("both", "n")]
    network = nj.Network(layers, edges, inputs=(2,))
    activity = metrics.count_spikes(network, jnp.ones((3, 1, 2)))
    table = metrics.operations(network, activity)
    assert table["n"].addr_acc == activity.count("both")
    assert table["a"].mem_write == 3 * 4 + 3 * 2  # its own accumulators: events, and visits


def test_edges_that_add_up():
    layers = {"a": dense(4, 4), "b": dense(4, 4), "n": nj.IAF()}
    edges = [("input", "a"), ("input", "b"), ("a", "n"), ("b", "n")]
    network = nj.Network(layers, edges, inputs=(4,))
    assert metrics.operations(network)["n"].syn_acc == 4 + 4  # a sum, an activation
    activity = metrics.count_spikes(network, jnp.ones((2, 1, 4)))
    assert metrics.operations(network, activity)["n"].syn_acc == activity.count("n")
