"""Recordings of generated code that nobody made: layers and scales beyond those of our files."""

import json

import numpy as np

from neurojax.chips import mcu
from tests.chips.mcu import oracle
from tests.conformance import _qualia_codegen

NUMBER = mcu.number_of("int8", long_width=32)


def scales(weights_q, output_q, bias_q=None):
    rounds = {"weights_round_mode": "nearest", "output_round_mode": "nearest"}
    own = {"weights_q": weights_q, "bias_q": bias_q, "output_q": output_q}
    return own | rounds | {"width": 8, "long_width": 32}


def form(own):
    own = {key: own[key] for key in ("weights_q", "bias_q", "output_q")}
    return mcu.Format(NUMBER, **own, weights_round="nearest", output_round="nearest")


QUANTIZATION = {
    "input": scales(0, 4),
    "c1": scales(5, 4, bias_q=7),  # without bias: the sum is brought to its scale all the same
    "c2": scales(4, 3),
    "both": scales(4, 3),
    "pool": scales(4, 3),
    "fl": scales(4, 3),
    "fc": scales(5, 2, bias_q=3),
}
GRAPH = [
    ("input", "TInputLayer", [], {}),
    ("c1", "TConv1DLayer", ["input"], {"kernel_size": [3], "strides": [1], "padding": [1, 1]}),
    ("c2", "TConv1DLayer", ["c1"], {"kernel_size": [1], "strides": [1], "padding": [0, 0]}),
    ("both", "TAddLayer", ["c2", "c1"], {}),
    ("pool", "TAvgPooling1DLayer", ["both"], {"pool_size": [3], "strides": [2]}),
    ("fl", "TFlattenLayer", ["pool"], {}),
    ("fc", "TDenseLayer", ["fl"], {}),
]
SPEC = [("c1", "conv1d"), ("r1", "relu6"), ("c2", "conv1d"), ("both", "add"), ("pool", "avgpool1d")]


def recorded():
    """Feature maps of the oracle, channels last, and the parameters, of a frame of 7 x 2."""
    rng = np.random.default_rng(0)
    arrays = {
        "float/c1/kernel": rng.normal(0, 1, (3, 3, 2)),
        "float/c2/kernel": rng.normal(0, 1, (3, 1, 3)),
        "float/c2/bias": rng.normal(0, 1, 3),
        "float/fc/kernel": rng.normal(0, 1, (2, 9)),
        "float/fc/bias": rng.normal(0, 1, 2),
    }
    held = {}
    for key, values in arrays.items():
        _, layer, name = key.split("/")
        own = form(QUANTIZATION[layer])
        q = own.bias_scale if name == "bias" else own.weights_q
        held[f"{layer}/{name}"] = oracle.weights(values, q, NUMBER, "nearest")
    x = rng.normal(0, 2, (7, 2))
    geometry = {"stride": (1,), "dilation": (1,), "groups": 1}
    c1, c2, both, pool, fc = (form(QUANTIZATION[n]) for n in ("c1", "c2", "both", "pool", "fc"))
    x_in = oracle.weights(x, 4, NUMBER, "nearest")
    kernels = {n: np.moveaxis(held[f"{n}/kernel"], -1, 1) for n in ("c1", "c2")}
    options = geometry | {"padding": ((1, 1),), "activation": "relu6"}
    a = oracle.conv(x_in.T, kernels["c1"], None, c1, 4, **options)
    options = geometry | {"padding": ((0, 0),)}
    b = oracle.conv(a, kernels["c2"], held["c2/bias"], c2, c1.output_q, **options)
    s = oracle.add([b, a], [c2.output_q, c1.output_q], both)
    p = oracle.pool(s, "average", (3,), (2,), ((0, 0),), pool, both.output_q)
    flat = p.T.ravel()
    out = oracle.dense(flat, held["fc/kernel"], held["fc/bias"], fc, pool.output_q)
    maps = {"c1": a.T, "c2": b.T, "both": s.T, "pool": p.T, "fl": flat, "fc": out}
    arrays |= {f"quant/{key}": values for key, values in held.items()}
    arrays |= {f"fm/{name}": values[None, None] for name, values in maps.items()}
    return arrays | {"x_float": x[None, None], "x_in": x_in[None, None], "out": out[None, None]}


def run(folder, arrays, graph):
    graph = [
        {"name": name, "type": kind, "innodes": sources, "unknown": 1} | options
        for name, kind, sources, options in graph
    ]
    spec = [{"name": name, "kind": kind} for name, kind in SPEC]
    case = {"key": "net", "quantize": "int8", "spec": spec, "graph": graph, "input_shape": [7, 2]}
    cases = [case | {"quantization": QUANTIZATION, "another": None}]
    (folder / "codegen.json").write_text(json.dumps({"cases": cases}))
    np.savez(folder / "codegen.npz", **{f"net/{key}": value for key, value in arrays.items()})
    return next(_qualia_codegen.run(folder))


def test_branches_rates_and_pools_of_other_strides(tmp_path):
    arrays = recorded()
    result = run(tmp_path, arrays, GRAPH)
    assert (result.equal, result.difference) == (True, "")
    arrays["fm/both"][0, 0, 2, 1] += 1
    result = run(tmp_path, arrays, GRAPH)
    assert not result.equal and result.difference.startswith("values of both differs")


def test_layers_that_nobody_knows_are_left_out(tmp_path):
    graph = [*GRAPH, ("last", "TSoftmaxLayer", ["fc"], {})]
    result = run(tmp_path, recorded(), graph)
    assert not result.covered and "a layer of kind 'softmax'" in result.expectation
