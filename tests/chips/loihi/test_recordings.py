"""What recordings show of CUBA neurons beyond that they are equal, which conformance checks."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.loihi import CUBA
from neurojax.converters import slayer
from tests.conftest import GOLDEN

LAVA = GOLDEN / "lava"
META = json.loads((LAVA / "META_sj.json").read_text())
LEARNED = [
    name
    for name, about in META.items()
    if re.fullmatch(r"slayer_cuba_\d+", name) and about["params"].get("rg")
]


def recorded(name):
    with np.load(LAVA / f"{name}.npz") as file:
        return META[name].get("params", {}), dict(file)


def run(neuron, x):
    return nj.simulate(nj.Sequential(x.shape[2:], n=neuron), jnp.asarray(x)).outputs


@pytest.mark.parametrize("name", LEARNED)
def test_slayers_gradient_to_current_decays_is_the_true_one_times_minus_4096(name):
    """Ours by default is the true one, to a decay in units of 1; theirs is to 4096 decays."""
    params, z = recorded(name)
    x, weights = (np.moveaxis(z[array], -1, 0) for array in ("x", "g_spike"))

    def loss(current_decay):
        neuron = slayer.cuba_neuron(
            threshold=params["th"],
            current_decay=current_decay,
            voltage_decay=slayer.decay(z["vd"], learned=True, spatial=False),
            tau_grad=params.get("tau_grad", 1),
            scale_grad=params.get("scale_grad", 1),
        )
        return jnp.sum(run(neuron, x) * weights)

    to_decay = jax.jit(jax.grad(loss))(slayer.decay(z["cd"], learned=True, spatial=False))
    np.testing.assert_allclose(to_decay, -z["grad_cd"], rtol=1e-5)


def test_spikingjelly_loses_its_epsilon_at_large_thresholds_and_the_chip_has_none():
    _, z = recorded("sj_cuba_equality")
    for suffix, threshold in (("", 1.0), ("_th63", 63.0), ("_th64", 64.0), ("_th100", 100.0)):
        # One neuron, one sample: the second axis is the batch.
        x = z[f"x{suffix}"][..., None]
        exact = run(CUBA(current_decay=1.0, voltage_decay=0.0, threshold=threshold), x)
        same = (exact[..., 0] == z[f"spike{suffix}"]).all()
        assert same == (threshold < 64)
