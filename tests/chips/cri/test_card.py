"""The lines of the card, carried out, are what the neuron computes."""

import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import cri
from tests._interpreter import Interpreter

NEURONS = {
    "LIF": {"theta": 700, "leak": 2},
    "no leak": {"theta": 700},
    "leak bias": {"theta": 700, "leak_bias": True},
    "IF, soft reset": {"theta": 500, "model": "IF", "reset": "subtract"},
    "LIF, soft reset": {"theta": 500, "leak": 1, "reset": "subtract"},
    "ANN": {"theta": 90, "model": "ANN"},
    "equality": {"theta": 100, "strict": False},
    "saturates": {"theta": 2_000_000, "bits": 22},
    "wraps": {"theta": 2_000_000, "bits": 22, "overflow": "wrap"},
}


@pytest.mark.parametrize("options", NEURONS.values(), ids=NEURONS)
def test_the_card_tells_what_is_computed(options):
    neuron = cri.Neuron(**options)
    x = np.random.default_rng(0).integers(-100, 400, (30, 8)).astype(np.float32)
    x[::7] = 100
    x *= 3000 if "bits" in options else 1
    run = nj.simulate(nj.Sequential((8,), n=neuron), jnp.asarray(x)[:, None], probes=["n.v"])
    reader = Interpreter({}, {"v": np.zeros(8)})
    bits = options.get("bits", 35)
    half = 2.0 ** (bits - 1)
    reader.FUNCTIONS = Interpreter.FUNCTIONS | {"wrap": lambda n: (n + half) % (2 * half) - half}
    for t, given in enumerate(x.astype(np.float64)):
        assert (reader.step(neuron.equations(), given) == run.outputs[t, 0]).all()
        assert (reader.state["v"] == run["n.v"][t, 0]).all()
    assert run.outputs.any()


def test_what_lines_can_not_say():
    for options in ({"shift": 0}, {"refractory": 2}, {"order": "main"}, {"leak": np.array([1, 2])}):
        assert cri.Neuron(theta=1, **options).equations() == ()
