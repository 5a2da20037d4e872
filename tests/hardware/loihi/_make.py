"""Files from dictionaries, with h5py alone: groups for dictionaries, datasets for the rest."""

import h5py

CUBA = {"type": "CUBA", "iDecay": 1024, "vDecay": 128, "vThMant": 80}


def make(path, *layers):
    """A .net file; returns its path."""

    def put(group, items):
        for name, value in items.items():
            if isinstance(value, dict):
                put(group.create_group(name), value)
            else:
                group[name] = value

    with h5py.File(path, "w") as file:
        file.create_group("layer")
        put(file["layer"], {str(number): layer for number, layer in enumerate(layers)})
    return path


def dense(weight, shape=None, **more):
    """A dense layer of CUBA neurons, in the fields that netx needs."""
    shape = [len(weight)] if shape is None else shape
    return {"type": "dense", "shape": shape, "weight": weight, "neuron": CUBA} | more
