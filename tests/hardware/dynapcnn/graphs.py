"""Networks to configure: one to be mapped, and others built directly out of cores."""

import functools

import numpy as np
from hypothesis import strategies as st

import neurojax as nj
from neurojax.chips import MappedNetwork
from neurojax.chips.dynapcnn import DVS, Core, Origin, cores_of, devices
from neurojax.chips.dynapcnn._report import explain
from neurojax.layers import Add, AvgPool2d, Concat, Conv2d, Flatten, SumPool2d
from neurojax.neurons import IAF
from neurojax.surrogate import ATan


def weights(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def network(seed=0, **options):
    rng = np.random.default_rng(seed)
    options = {"v_min": -1.0, "max_spikes": None} | options
    return nj.Sequential(
        (2, 9, 11),
        conv=Conv2d.from_weights(weights(rng, 4, 2, 3, 3), stride=(1, 2), padding=(1, 2)),
        spikes=IAF(**options),
        pool=AvgPool2d(2),
        conv2=Conv2d.from_weights(weights(rng, 3, 4, 3, 3), weights(rng, 3), padding=1),
        spikes2=IAF(**options),
        pool2=SumPool2d(2),
        flat=Flatten(),
    )


def on_chip(network, device="speck2fmodule", scale=2.0):
    """A network of cores as if it had been mapped: the n-th layer on core n."""
    names = cores_of(network)
    origins = tuple(Origin(name, (name,), scale, core=i) for i, name in enumerate(names))
    return MappedNetwork(network, devices[device], origins, explain)


def core(rng, features, channels, kernel=3, *, bias=False, threshold=50, v_min=-20, **options):
    options = {"padding": kernel // 2} | options
    return Core(
        rng.integers(-99, 100, (features, channels, kernel, kernel)).astype(np.float32),
        rng.integers(-9, 10, features).astype(np.float32) if bias else None,
        threshold=threshold,
        v_min=v_min,
        **options,
    )


@functools.cache
def camera_graph(device="speck2fmodule"):
    """A camera, a branch with two poolings, a concatenation, and two outputs."""
    rng = np.random.default_rng(0)
    layers = {
        "camera": DVS(
            pool=(2, 1), crop=((1, 9), (2, 10)), flip_x=True, swap_xy=True, pixel_array=True
        ),
        "a": core(rng, 4, 2),
        "half": SumPool2d(2),
        "b": core(rng, 3, 4, bias=True, reset="zero", max_spikes=2),
        "half_b": SumPool2d(2),
        "both": Concat(),
        "c": core(rng, 5, 7, 4, flat=True, padding=0),
    }
    edges = [
        ("input", "camera"), ("camera", "a"), ("a", "half"), ("a", "b"), ("b", "half_b"),
        ("half", "both"), ("half_b", "both"), ("both", "c"),
    ]  # fmt: skip
    network = nj.Network(layers, edges, inputs=(2, 20, 12), outputs=["half_b", "c"])
    return on_chip(network, device)


@st.composite
def graphs(draw):
    """One to four cores, branching, merging, pooled; with a camera's block or without."""
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    rng = np.random.default_rng(number(0, 2**32 - 1))
    layers, edges, in_shape = {}, [], (2, draw(st.sampled_from([6, 9])), 8)
    sources, free = (
        [("input", in_shape)],
        {},
    )  # what may feed on, and destinations left of each core
    if draw(st.booleans()):
        block = DVS(
            pool=(number(1, 2), 1),
            crop=draw(st.sampled_from([None, ((0, 2), (1, 5))])),
            merge_polarities=draw(st.booleans()),
            flip_x=draw(st.booleans()),
            flip_y=draw(st.booleans()),
            swap_xy=draw(st.booleans()),
            pixel_array=draw(st.booleans()),
        )
        layers["camera"] = block
        edges.append(("input", "camera"))
        sources, free = [("camera", block.out_shape(in_shape))], {"camera": 2}
    for i in range(number(1, 4)):
        possible = [s for s in sources if free.get(s[0], 9) > 0]
        name, shape = draw(st.sampled_from(possible))
        others = [
            s for s in possible if s[0] != name and s[1][1:] == shape[1:] and s[0] != "camera"
        ]
        feeding = name
        free[name] = free.get(name, 9) - 1
        if name.startswith("core") and min(shape[1:]) > 1 and draw(st.booleans()):
            layers[f"pool{i}"] = SumPool2d(2)
            edges.append((name, f"pool{i}"))
            feeding, shape = f"pool{i}", layers[f"pool{i}"].out_shape(shape)
        elif others and name != "camera" and draw(st.booleans()):
            other, other_shape = draw(st.sampled_from(others))
            free[other] = free.get(other, 9) - 1
            same = other_shape == shape and draw(st.booleans())
            layers[f"merge{i}"] = Add() if same else Concat()
            edges += [(feeding, f"merge{i}"), (other, f"merge{i}")]
            feeding = f"merge{i}"
            shape = shape if same else (shape[0] + other_shape[0], *shape[1:])
        layers[f"core{i}"] = core(
            rng, draw(st.sampled_from([1, 3])), shape[0], number(1, 3),
            bias=draw(st.booleans()),
            bias_bits=draw(st.sampled_from([8, 16])),
            threshold=number(1, 300),
            v_min=-number(1, 300),
            stride=draw(st.sampled_from([1, (1, 2)])),
            reset=draw(st.sampled_from(["subtract", "zero"])),
            max_spikes=draw(st.sampled_from([None, 1, 4])),
            surrogate=ATan(alpha=draw(st.sampled_from([1.0, 3.0]))),
            overflow=draw(st.sampled_from([None, "saturate", "wrap"])),
            leak_every=draw(st.sampled_from([None, 3])),
        )  # fmt: skip
        edges.append((feeding, f"core{i}"))
        sources.append((f"core{i}", layers[f"core{i}"].out_shape(shape)))
        free[f"core{i}"] = 2
    outputs = [name for name, _ in sources if name.startswith("core") and free[name] == 2]
    if draw(st.booleans()):
        layers["flat"] = Flatten()
        edges.append((outputs[-1], "flat"))
        outputs[-1] = "flat"
    network = nj.Network(layers, edges, inputs=in_shape, outputs=outputs)
    return on_chip(network, scale=draw(st.sampled_from([1.0, 12.5])))
