"""A machine in plain Python that runs a network event by event and counts what it does.

It shares nothing with the library but the layers' parameters: it finds the targets of an event by
looking at all of them, keeps every value in a store that counts its accesses, and adds one for
every operation. Values are numbers that floats hold exactly.
"""

import collections
import itertools
import math

import numpy as np

import neurojax as nj
from neurojax.metrics import Activity, LayerActivity

MOVES = (nj.Flatten, nj.layers.Reshape)
SYNAPSES = (nj.Linear, nj.Conv1d, nj.Conv2d)
NEURONS = (nj.IAF, nj.LIF)
SUMS = (nj.SumPool1d, nj.SumPool2d)
MAXIMA = (nj.MaxPool1d, nj.MaxPool2d)
MEANS = (nj.AvgPool1d, nj.AvgPool2d)
QUEUE = None


class Store:
    """Values that remember how often they were read and written."""

    def __init__(self, counts, category, values, size=0):
        self.values = np.array(values, float)
        self.counts, self.category = counts, category
        self.size = self.values.size if size == 0 else size

    def __getitem__(self, at):
        self.counts.access("read", self.category, self.size)
        return self.values[at]

    def __setitem__(self, at, value):
        self.counts.access("write", self.category, self.size)
        self.values[at] = value


class Counts:
    """What one layer did."""

    def __init__(self):
        self.ops = collections.Counter()
        self.accesses = collections.Counter()  # by direction, category and size of the memory

    def access(self, direction, category, size):
        self.accesses[direction, category, size] += 1

    def operations(self):
        sides = {"read": 0, "write": 0}
        for (direction, _, _), number in self.accesses.items():
            sides[direction] += number
        names = ("syn_acc", "syn_mac", "addr_acc", "addr_mac")
        return {name: self.ops[name] for name in names} | {
            "mem_read": sides["read"],
            "mem_write": sides["write"],
        }

    def energy(self, add, mul, ram):
        """Energies by column; `ram(size)` is that of an access, QUEUE the size of a queue."""
        got = dict.fromkeys(("mem_pot", "mem_weights", "mem_bias", "mem_io"), 0.0)
        for (_, category, size), number in self.accesses.items():
            got[category] += number * ram(size)
        for column, kind in (("ops", "syn"), ("addr", "addr")):
            macs, accs = self.ops[f"{kind}_mac"], self.ops[f"{kind}_acc"]
            got[column] = macs * (mul + add) + accs * add
        return got


def targets(layer, at, out_shape):
    """Where a value goes: (place in the output, place in the weight), by trying all places."""
    if isinstance(layer, nj.Linear):
        return [((j,), (j, *at)) for j in range(out_shape[0])]
    windows = isinstance(layer, (*SUMS, *MAXIMA, *MEANS))
    kernel, found = layer.kernel_size, []
    dilation = (1,) * len(kernel) if windows else layer.dilation
    for place in itertools.product(*map(range, out_shape)):
        channel, point = at[0], []
        if windows:
            if place[0] != at[0]:
                continue
        else:
            per_group = layer.weight.shape[1]
            if place[0] // (out_shape[0] // layer.groups) != at[0] // per_group:
                continue
            channel = at[0] % per_group
        for x, y, k, s, (before, _), d in zip(
            at[1:], place[1:], kernel, layer.stride, layer.padding, dilation, strict=True
        ):
            steps, rest = divmod(x + before - y * s, d)
            if rest or not 0 <= steps < k:
                break
            point.append(steps)
        else:
            found.append((place, (place[0], channel, *point)))
    return found


class Machine:
    """A network on the machine.

    Args:
        network: The network.
        inputs: `[time, batch, *shape]` by name.
        once: Whether graded inputs are computed in the first step only.
    """

    def __init__(self, network, inputs, *, once=False):
        self.network, self.inputs, self.once = network, inputs, once
        self.names = list(network.names)
        self.spikes = dict.fromkeys([*network.inputs, *self.names], False)
        self.run()  # to see which values are spikes
        for name in self.spikes:
            self.spikes[name] = self.are_spikes(name)
        self.run()

    def are_spikes(self, name):
        if np.isin(self.traces[name], (0, 1)).all():
            return True
        if name in self.network.inputs:
            return False
        layer = self.network[name]
        if isinstance(layer, (*NEURONS, nj.Recurrent)):
            return True
        hands_on = isinstance(layer, (*MOVES, *SUMS, *MAXIMA, nj.Add, nj.Delay))
        sources = [edge.source for edge in self.network.incoming(name)]
        return hands_on and all(self.are_spikes(source) for source in sources)

    def direct(self, name):
        """The neurons that a synapse adds right into, if these are all that it leads to."""
        ends = self.ends(name)
        if len(ends) != 1 or not isinstance(self.network[name], SYNAPSES):
            return None
        (end,) = ends
        neuron = end and isinstance(self.network[end], (*NEURONS, nj.Recurrent))
        return end if neuron else None

    def ends(self, name):
        found = set()
        for edge in self.network.outgoing(name):
            if edge.recurrent:
                found.add("")
            elif isinstance(self.network[edge.target], MOVES):
                found |= self.ends(edge.target)
            else:
                found.add(edge.target)
        return found

    def run(self):
        steps, samples = next(iter(self.inputs.values())).shape[:2]
        self.counts = {name: Counts() for name in self.names}
        shapes = {name: self.network.out_shape(name) for name in self.spikes}
        self.traces = {n: np.zeros((steps, samples, *shape)) for n, shape in shapes.items()}
        for sample in range(samples):
            self.stores = {name: self.stores_of(name) for name in self.names}
            before = {name: np.zeros(shape) for name, shape in shapes.items()}
            for self.step in range(steps):
                values = {
                    n: np.asarray(x[self.step, sample], float) for n, x in self.inputs.items()
                }
                for name in self.names:
                    if isinstance(self.network[name], NEURONS):
                        self.visit(name, self.network[name])
                    if isinstance(self.network[name], nj.Recurrent):
                        self.visit(name, self.network[name].neuron)
                for name in self.names:
                    arriving = [
                        (e.source, before[e.source] if e.recurrent else values[e.source])
                        for e in self.network.incoming(name)
                    ]
                    values[name] = self.layer(name, arriving, before[name])
                for name, value in values.items():
                    self.traces[name][self.step, sample] = value
                before = values
        self.samples, self.steps = samples, steps

    def stores_of(self, name):
        layer, counts = self.network[name], self.counts[name]
        out = self.network.out_shape(name)
        stores = {"acc": Store(counts, "mem_pot", np.zeros(out))}
        synapse = layer.synapse if isinstance(layer, nj.Recurrent) else layer
        for field, category in (("weight", "mem_weights"), ("bias", "mem_bias")):
            if isinstance(layer, nj.BatchNorm):
                scale = layer.weight / np.sqrt(layer.running_var + layer.eps)
                values = scale if field == "weight" else layer.bias - layer.running_mean * scale
                stores[field] = Store(counts, category, values)
            elif getattr(synapse, field, None) is not None:
                stores[field] = Store(counts, category, getattr(synapse, field))
        if isinstance(layer, nj.Delay):
            size = layer.longest * math.prod(out)
            stores["past"] = Store(counts, "mem_pot", np.zeros((layer.longest, *out)), size)
        return stores

    def visit(self, name, neuron):
        """Once a step: the leak, and whatever a bias adds."""
        membrane, ops = self.stores[name]["acc"], self.counts[name].ops
        for at in np.ndindex(membrane.values.shape):
            v = membrane[at]
            if isinstance(neuron, nj.LIF):
                v = v * float(neuron.decay)
                ops["syn_mac"] += 1
            membrane[at] = v

    def events(self, name, arriving):
        """What comes out of the queues: (source, place, value), each spike by itself."""
        for source, values in arriving:
            for at in zip(*np.nonzero(values), strict=True):
                many = int(values[at]) if self.spikes[source] else 1
                for _ in range(many):
                    self.counts[name].access("read", "mem_io", QUEUE)
                    yield at, 1.0 if self.spikes[source] else values[at], self.spikes[source]

    def put_out(self, name, values):
        """What goes into the queue."""
        number = values.sum() if self.spikes[name] else np.count_nonzero(values)
        for _ in range(int(number)):
            self.counts[name].access("write", "mem_io", QUEUE)
        return values

    def layer(self, name, arriving, own_before):
        layer, stores, ops = self.network[name], self.stores[name], self.counts[name].ops
        out = self.network.out_shape(name)
        if isinstance(layer, MOVES):
            return sum(values for _, values in arriving).reshape(out)
        if isinstance(layer, SYNAPSES):
            return self.synapse(name, layer, arriving, out)
        if isinstance(layer, NEURONS):
            self.take(name, arriving)
            return self.put_out(name, self.fire(name, layer))
        if isinstance(layer, nj.Recurrent):
            self.take(name, arriving)
            feedback = [at for at in zip(*np.nonzero(own_before), strict=True)]
            for at in feedback:
                for _ in range(int(own_before[at])):
                    self.counts[name].access("read", "mem_io", QUEUE)
                    for place, point in targets(layer.synapse, at, out):
                        self.add_product(name, stores["acc"], place, stores["weight"][point], 1.0)
                        ops["addr_acc"] += 1
            return self.put_out(name, self.fire(name, layer.neuron))
        if isinstance(layer, nj.Add):
            total = sum(values for _, values in arriving)
            if self.spikes[name]:
                return total
            self.take(name, arriving, out)
            return self.put_out(name, total)
        if isinstance(layer, nj.BatchNorm):
            values = np.zeros(out)
            for at in np.ndindex(out):
                ops["syn_mac"] += 1
                ops["addr_acc"] += 1
                x = sum(v[at] for _, v in arriving)
                stores["acc"][at] = x
                values[at] = stores["weight"][at[0]] * stores["acc"][at] + stores["bias"][at[0]]
            return values
        if isinstance(layer, nj.Delay):
            values, past = np.zeros(out), stores["past"]
            oldest = past.values[0].copy()
            shifted = np.concatenate([past.values[1:], np.zeros((1, *out))])
            past.values[:] = shifted
            for at, value, _ in self.events(name, arriving):
                self.counts[name].access("write", "mem_pot", past.size)
                past.values[(-1, *at)] += value
            number = oldest.sum() if self.spikes[name] else np.count_nonzero(oldest)
            for _ in range(int(number)):
                self.counts[name].access("read", "mem_pot", past.size)
            values += oldest
            return self.put_out(name, values)
        return self.pool(name, layer, arriving, out)

    def add_product(self, name, store, place, weight, value, *, spike=True):
        self.counts[name].ops["syn_acc" if spike else "syn_mac"] += 1
        # The access belongs to the synapse, whosever membrane it is.
        self.counts[name].access("read", "mem_pot", store.size)
        self.counts[name].access("write", "mem_pot", store.size)
        store.values[place] += weight * value

    def take(self, name, arriving, shape=None):
        """Adds up what comes from layers that don't add right into this one's store."""
        store, ops = self.stores[name]["acc"], self.counts[name].ops
        for source, values in arriving:
            origin = source
            while origin in self.network and isinstance(self.network[origin], MOVES):
                (edge,) = self.network.incoming(origin)
                origin = edge.source
            if origin in self.network and self.direct(origin) == name:
                continue
            for at, value, _ in self.events(name, [(source, values)]):
                ops["addr_acc"] += 1
                ops["syn_acc"] += 1
                store[at] = store[at] + value
        if shape is not None:
            store.values[:] = 0.0

    def synapse(self, name, layer, arriving, out):
        stores, ops = self.stores[name], self.counts[name].ops
        direct = self.direct(name)
        store = self.stores[direct]["acc"] if direct else stores["acc"]
        spikes = all(self.spikes[source] for source, _ in arriving)
        kept = self.once and not spikes
        currents = np.zeros(out)
        own = Store(self.counts[name], "mem_pot", np.zeros(out))
        if kept and self.step:
            currents = stores["kept"].copy()
        else:
            for at, value, spike in self.events(name, arriving):
                if layer.weight.ndim > 2:
                    ops["addr_mac"] += 2
                for place, point in targets(layer, at, out):
                    ops["addr_acc"] += 1
                    self.add_product(
                        name, own, place, stores["weight"][point], value, spike=spikes and spike
                    )
            currents = own.values
            if "bias" in stores:
                for at in np.ndindex(out):
                    ops["syn_acc"] += 1
                    currents[at] += stores["bias"][at[0]]
                    if kept:
                        self.counts[name].access("read", "mem_pot", currents.size)
                        self.counts[name].access("write", "mem_pot", currents.size)
            stores["kept"] = currents.copy()
        for _ in range(currents.size):
            if kept:
                ops["syn_acc"] += 1
                self.counts[name].access("read", "mem_pot", currents.size)
            elif not direct:
                self.counts[name].access("read", "mem_pot", currents.size)
                self.counts[name].access("write", "mem_pot", currents.size)
        if direct:
            store.values += currents.reshape(store.values.shape)
        return currents

    def fire(self, name, neuron):
        membrane, ops = self.stores[name]["acc"].values, self.counts[name].ops
        threshold = float(neuron.threshold)
        spikes = np.zeros(membrane.shape)
        for at in np.ndindex(membrane.shape):
            if membrane[at] >= threshold:
                most = neuron.max_spikes or math.inf
                spikes[at] = min(membrane[at] // threshold, most)
                ops["syn_acc"] += int(spikes[at])
                membrane[at] -= threshold * spikes[at]
        return spikes

    def pool(self, name, layer, arriving, out):
        ops, store = self.counts[name].ops, self.stores[name]["acc"]
        hands_on = isinstance(layer, SUMS) and self.spikes[name]
        total, largest = np.zeros(out), np.full(out, -math.inf)
        ((_, values),) = arriving
        for at in np.ndindex(values.shape):  # also zeros take part in a maximum
            for place, _ in targets(layer, at, out):
                total[place] += values[at]
                largest[place] = max(largest[place], values[at])
        for at, _, _ in self.events(name, arriving):
            ops["addr_mac"] += 2
            for place, _ in targets(layer, at, out):
                ops["addr_acc"] += 1
                if not hands_on:
                    ops["syn_acc"] += 1
                    store[place] = store[place]
        if isinstance(layer, MAXIMA):
            return self.put_out(name, largest)
        if isinstance(layer, MEANS):
            total /= math.prod(layer.kernel_size)
            ops["syn_mac"] += np.count_nonzero(total)
        return self.put_out(name, total)

    def activity(self):
        """What `count_spikes` says, from the machine's own values."""
        neurons = [n for n in self.names if isinstance(self.network[n], (*NEURONS, nj.Recurrent))]
        outputs = {}
        for name, values in self.traces.items():
            flat = values.reshape(*values.shape[:2], -1)
            outputs[name] = LayerActivity(
                nonzero=np.count_nonzero(flat, axis=-1).T,
                total=flat.sum(-1).T,
                neurons=np.count_nonzero(values, axis=(0, 1)),
                size=flat.shape[-1],
                binary=bool(np.isin(values, (0, 1)).all()),
                sums=values.sum((0, 1)),
                last=np.count_nonzero(values[-1], axis=0),
                last_sums=values[-1].sum(0),
            )
        layers = {name: self.network[name] for name in neurons}
        most = {name: getattr(layer, "neuron", layer).max_spikes for name, layer in layers.items()}
        several = tuple(name for name in neurons if most[name] != 1)
        return Activity(outputs, self.steps, self.samples, tuple(neurons), several)
