"""The routing of a chip, event by event and synapse by synapse: plain Python, no arrays."""

from collections import Counter


def placed_synapses(routing):
    """{(hemisphere, row, column): [(source, target, sign, projection)]}."""
    table = {}
    s = routing.synapses
    for p, source, target, sign, h, column, row in zip(*(c.tolist() for c in s), strict=True):
        table.setdefault((h, row, column), []).append((source, target, sign, p))
    return table


def wanted_synapses(demand, first):
    """All synapses that the network has, as a multiset of (source, target, sign, projection)."""
    wanted = Counter()
    for number, p in enumerate(demand.projections):
        for sign, mask in ((1, p.excitatory), (-1, p.inhibitory)):
            for post in range(mask.shape[0]):
                for pre in range(mask.shape[1]):
                    if mask[post][pre]:
                        wanted[first[p.source] + pre, post, sign, number] += 1
    return wanted


def check(demand, placement, routing):
    """Raise AssertionError unless every event reaches its synapses, and no others."""
    table = placed_synapses(routing)
    assert all(len(entries) == 1 for entries in table.values()), "two synapses in one place"
    got = Counter(entries[0] for entries in table.values())
    assert got == wanted_synapses(demand, routing.first_source)

    # Synapses lie in columns of their targets.
    for (h, _, column), ((_, target, _, p),) in table.items():
        circuits = placement.circuits[demand.projections[p].target][target].tolist()
        assert [h, column] in circuits

    # A column has 256 rows, 64 of each bus.
    per_bus = Counter((h, row // 2 % 4, column) for h, row, column in table)
    assert max(per_bus.values(), default=0) <= 64
    assert all(0 <= row < 256 for _, row, _ in table)

    # A row has the sign of its synapses, and a driver one group.
    mode, owner = {}, {}
    for group in routing.groups:
        assert len(group.sources) <= 64 and 0 <= group.address < 32
        for driver in group.drivers:
            where = (group.hemisphere, group.bus, driver.number)
            assert 0 <= driver.number < 32 and where not in owner
            owner[where] = (group, driver)
        for sign, rows in ((1, group.excitatory_rows), (-1, group.inhibitory_rows)):
            for row in rows:
                assert (group.hemisphere, row) not in mode
                mode[group.hemisphere, row] = sign
                number, bus = row // 2 // 4, row // 2 % 4
                assert bus == group.bus and number in [d.number for d in group.drivers]
    assert all(mode[h, row] == entry[0][2] for (h, row, _), entry in table.items())

    # What a synapse compares: the label that its source has in the row's group.
    position = {g: {source: i for i, source in enumerate(g.sources)} for g in routing.groups}
    compares = {}  # {(hemisphere, row): {label: synapses}}
    for (h, row, _), (entry,) in table.items():
        group, _ = owner[h, row // 2 % 4, row // 2 // 4]
        compares.setdefault((h, row), {}).setdefault(position[group][entry[0]], []).append(entry)

    # Where the sources' events go. A neuron's column says the bus, and three bits of the address.
    anchors = {}
    for name, circuits in placement.circuits.items():
        for i, place in enumerate(circuits.tolist()):
            anchors[routing.first_source[name] + i] = place[0]
    sent = {}
    for group in routing.groups:
        for i, source in enumerate(group.sources):
            event = (group.bus, group.address, i)
            if source in anchors:
                output = anchors[source][1] // 32
                assert not group.host and group.bus == output % 4
                assert group.address >> 2 == (output // 4) << 2 | group.bus
                assert sent.setdefault((source, "neuron"), event) == event, "one event a neuron"
            else:
                assert group.host
            sent[source, group.hemisphere] = event

    # Each event, at every driver of its bus, at every synapse of the driver's rows.
    reached = Counter()
    for (source, h), (bus, address, label) in sent.items():
        if h == "neuron":
            continue
        for number in range(32):
            _, driver = owner.get((h, bus, number), (None, None))
            if driver is None or address & driver.mask != number & driver.mask:
                continue
            for which in (0, 1):
                row = 2 * (4 * number + bus) + which
                for entry in compares.get((h, row), {}).get(label, ()):
                    assert entry[0] == source, "an event reaches a synapse of another source"
                    reached[entry] += 1
    assert reached == got


def rows_needed(demand, placement):
    """What a bus needs at least, counted one by one: {(hemisphere, bus): rows} of neurons."""
    degree = Counter()
    turn = Counter()
    for p in demand.projections:
        for sign, mask in ((1, p.excitatory), (-1, p.inhibitory)):
            for post in range(mask.shape[0]):
                circuits = placement.circuits[p.target][post].tolist()
                for pre in range(mask.shape[1]):
                    if not mask[post][pre]:
                        continue
                    h, column = circuits[turn[p.target, post] % len(circuits)]
                    turn[p.target, post] += 1
                    if demand.population(p.source).external:
                        continue
                    output = placement.circuits[p.source][pre].tolist()[0][1] // 32
                    degree[h, column, output, sign] += 1
    drivers = Counter()
    for h in (0, 1):
        for output in range(8):
            rows = 0
            for sign in (1, -1):
                rows += max(degree[h, column, output, sign] for column in range(256))
            drivers[h, output % 4] += (rows + 1) // 2
    return drivers
