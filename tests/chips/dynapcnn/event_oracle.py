"""The chip event by event in plain Python: recursion, dicts and ints; nothing of the library.

A chip is `cores`, one dict of numbers each, and `ways`: for each source a list of
`(target, pool, shift)` in the order in which a spike takes them. A target that is no core is an
output. Maps are `(features, height, width)`.
"""

import itertools


def neurons(core):
    """Features, height and width of a core's neurons."""
    _, height, width = core["in"]
    kernel, stride, padding = len(core["weight"][0][0]), core["stride"], core["padding"]
    return (
        len(core["weight"]),
        (height + 2 * padding - kernel) // stride + 1,
        (width + 2 * padding - kernel) // stride + 1,
    )


class Chip:
    """State and records of a run."""

    def __init__(self, cores, ways, in_shape, decimate=None):
        self.cores, self.ways, self.in_shape = cores, ways, in_shape
        self.decimate = decimate or {}
        self.v = {
            name: dict.fromkeys(itertools.product(*map(range, neurons(core))), 0)
            for name, core in cores.items()
        }
        self.spikes = {name: [] for name in cores}
        self.outputs = {}
        self.updates = dict.fromkeys(cores, 0)
        self.overflowed = dict.fromkeys(cores, 0)

    def run(self, events, ticks=()):
        """Take events `(t, feature, y, x)` in order, after all ticks that are not later."""
        ticks = list(ticks)
        for t, feature, y, x in events:
            while ticks and ticks[0] <= t:
                ticks.pop(0)
                self.tick()
            self.send("input", self.in_shape, t, feature, y, x)
        for _ in ticks:
            self.tick()

    def tick(self):
        for name, core in self.cores.items():
            if core["bias"] is not None:
                for place in self.v[name]:
                    self.add(name, place, core["bias"][place[0]])
                    self.v[name][place] = max(self.v[name][place], core["v_min"])

    def add(self, name, place, amount):
        v, overflow = self.v[name][place] + amount, self.cores[name]["overflow"]
        if v > 32767:
            self.overflowed[name] += 1
            v = {None: v, "saturate": 32767, "wrap": v - 65536}[overflow]
        self.v[name][place] = v

    def send(self, source, shape, t, feature, y, x):
        for target, pool, shift in self.ways[source]:
            to_y, to_x = y // pool, x // pool
            if to_y >= shape[1] // pool or to_x >= shape[2] // pool:
                continue
            if target in self.cores:
                self.arrive(target, t, feature + shift, to_y, to_x)
            else:
                self.outputs.setdefault(target, []).append((t, feature + shift, to_y, to_x))

    def arrive(self, name, t, channel, y, x):
        core, v, fired = self.cores[name], self.v[name], []
        shape, kernel = neurons(core), len(core["weight"][0][0])
        for row, column, feature in itertools.product(*map(range, (*shape[1:], shape[0]))):
            ky = y + core["padding"] - row * core["stride"]
            kx = x + core["padding"] - column * core["stride"]
            if not (0 <= ky < kernel and 0 <= kx < kernel):
                continue
            place = feature, row, column
            self.updates[name] += 1
            self.add(name, place, core["weight"][feature][channel][ky][kx])
            if v[place] >= core["threshold"]:
                v[place] = 0 if core["reset"] == "zero" else v[place] - core["threshold"]
                fired.append(place)
            v[place] = max(v[place], core["v_min"])
        for place in fired:
            self.spikes[name].append((t, *place))
            if len(self.spikes[name]) % self.decimate.get(name, 1) == 0:
                self.send(name, shape, t, *place)
