"""Legal integers against Lava's recordings, and weights of 8 bits in training."""

import json

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import neurojax as nj
from neurojax.chips.loihi.quantise import (
    integers_of,
    quantise_8bit,
    quantise_hook,
    quantised,
    step_quantise,
)
from neurojax.chips.loihi.synapse import Synapse
from neurojax.chips.loihi.weights import (
    MODES,
    clip_weights,
    legal_weights,
    optimise_weight_bits,
    sign_mode,
    smallest_bits,
    truncate_weights,
)
from neurojax.train._trainable import parameters
from tests.conftest import GOLDEN

LAVA = GOLDEN / "lava"
RESULTS = json.loads((LAVA / "META_lava.json").read_text())["lava_weightutils"]["results"]
NETX_MODES = {1: "mixed", 2: "excitatory", 3: "inhibitory"}

integers = hnp.arrays(np.int64, (3, 4), elements=st.integers(-300, 300))


def recorded(name):
    with np.load(LAVA / f"{name}.npz") as file:
        return dict(file)


# Integers


@pytest.mark.parametrize("name", RESULTS)
def test_lavas_weight_tools(name):
    z = recorded("lava_weightutils")
    w, theirs = z[name], RESULTS[name]
    ours = optimise_weight_bits(w)
    assert (ours.weight == z[f"{name}_wu"]).all()
    assert ours.bits == theirs["weightutils"]["num_weight_bits"]
    assert ours.exponent == theirs["weightutils"]["weight_exp"]
    assert ours.sign == theirs["weightutils"]["sign_mode"].lower()
    netx = optimise_weight_bits(w, inhibitory_limit=-256)
    assert (netx.weight == z[f"{name}_nx"]).all()
    assert netx.bits == theirs["netx"]["num_weight_bits"]
    assert netx.exponent == theirs["netx"]["weight_exponent"]
    assert netx.sign == NETX_MODES[theirs["netx"]["sign_mode"]]
    assert (optimise_weight_bits(w, loihi2=True).weight == z[f"{name}_wu_l2"]).all()
    for bits in (8, 5):
        sign = sign_mode(w)
        ours = truncate_weights(clip_weights(w, sign=sign), bits, sign=sign)
        assert (ours == z[f"{name}_trunc{bits}"]).all()


@given(w=integers, sign=st.sampled_from([None, *MODES]))
def test_optimised_weights_are_legal_and_the_same(w, sign):
    """Nothing is lost, unless mixed weights are so large that their lowest bit is cut."""
    result = optimise_weight_bits(w, sign=sign)
    assert 1 <= result.bits <= 8 and -8 <= result.exponent <= 7
    assert np.isin(result.weight, legal_weights(result.bits, result.sign)).all()
    low = {"mixed": -256, "excitatory": 0, "inhibitory": -255}[result.sign]
    high = {"mixed": 254, "excitatory": 255, "inhibitory": 0}[result.sign]
    limited = np.clip(w, low, high)
    error = limited - result.weight * 2.0**result.exponent
    assert (error == 0).all() or (set(error.flat) <= {0, 1} and result.sign == "mixed")
    held = smallest_bits(result.weight, sign=result.sign)
    assert held is not None and held <= result.bits
    second = optimise_weight_bits(w, sign=sign, loihi2=True)
    assert (second.weight << second.exponent == limited).all()
    signed = second.sign == "mixed"
    span = (-(1 << second.bits - 1), (1 << second.bits - 1) - 1) if signed else (0, 2**second.bits)
    magnitude = second.weight if signed else np.abs(second.weight)
    assert span[0] <= magnitude.min() and magnitude.max() <= span[1]


@given(w=integers, bits=st.integers(1, 8), sign=st.sampled_from(MODES))
def test_legal_weights_are_what_clipping_and_cutting_leave_alone(w, bits, sign):
    """The chip's own wording: |w| >> n << n, n = 8 - bits, and one more if the sign takes a bit."""
    cut = truncate_weights(clip_weights(w, sign=sign), bits, sign=sign)
    legal = legal_weights(bits, sign)
    assert np.isin(cut, legal).all() and legal.size == 2**bits
    assert (truncate_weights(clip_weights(legal, sign=sign), bits, sign=sign) == legal).all()


def test_all_zero_weights():
    assert optimise_weight_bits(np.zeros((2, 2), int)).bits == 1
    assert optimise_weight_bits(np.array([0, -3]), sign="mixed").exponent == -6


def test_refusals():
    with pytest.raises(ValueError, match="weight must hold integers, got float64"):
        sign_mode(np.array([0.5]))
    with pytest.raises(ValueError, match="bits is 9; a synapse has"):
        legal_weights(9)
    with pytest.raises(ValueError, match="sign is 'both'; use one of 'mixed'"):
        clip_weights(np.array([1]), sign="both")


# 8 bits in training


@pytest.mark.parametrize("scale", [64, 32, 10, 100])
def test_slayers_hook_of_some_bits(scale):
    z = recorded("quantize")
    for bits in (8, 4):
        assert (
            quantise_hook(z[f"x_{scale}"], scale=scale, num_bits=bits)
            == z[f"sl_hook{bits}_{scale}"]
        ).all()
    seven = quantise_hook(z[f"x_{scale}"], scale=scale, num_bits=7)
    assert (seven == quantise_8bit(z[f"x_{scale}"], scale=scale)).all()


@pytest.mark.parametrize("step", [1.0, 2.0, 0.5, 0.03125])
def test_step_quantise(step):
    z = recorded("quantize")
    for theirs in ("step", "slround"):
        assert (step_quantise(z["step_x"], step=step) == z[f"{theirs}_{step}"]).all()
    assert (step_quantise(z["step_x"], step=step, floor=True) == z[f"slfloor_{step}"]).all()
    slope = jax.jit(jax.grad(lambda x: step_quantise(x, step=step).sum()))
    assert slope(jnp.ones(2)).tolist() == [1, 1]


def test_weights_are_trained_behind_the_quantisation():
    weight = jnp.array([[0.3, -0.01], [9.0, 0.02]])
    net = nj.Sequential((2,), fc=quantised(nj.Linear.from_weights(weight)))
    x = jnp.ones((1, 1, 2))
    used = [[0.3125, -0.0], [254 / 64, 0.03125]]
    assert (net["fc"].prepare(None).weight == jnp.array(used)).all()
    slope = jax.jit(jax.grad(lambda n: nj.simulate(n, x).outputs.sum()))(net)["fc"].layer.weight
    assert slope.tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_weight_normalisation_and_mask():
    weight, gain = jnp.array([[3.0, 4.0], [0.0, 2.0]]), jnp.array([2.5, 1.0])
    fc = quantised(nj.Linear.from_weights(weight), gain=gain)
    assert fc.baked().weight.tolist() == [[1.5, 2.0], [0.0, 1.0]]
    names = [name for name, _ in parameters(nj.Sequential((2,), fc=fc))]
    assert names == ["fc.layer.weight", "fc.rules['weight'].gain"]
    masked = quantised(nj.Linear.from_weights(weight), mask=jnp.array([[1, 0], [1, 1]]))
    assert masked.baked().weight.tolist() == [[3.0, 0.0], [0.0, 2.0]]
    assert [name for name, _ in parameters(nj.Sequential((2,), fc=masked))] == ["fc.layer.weight"]


def test_tools_of_quantised_networks_know_the_rule():
    net = nj.Sequential((2,), fc=quantised(nj.Linear.from_weights(jnp.array([[0.3, 9.0]]))))
    (entry,) = nj.quantise.quantisation_report(net).entries
    assert (entry.scale, entry.used, entry.clipped) == ("64", 2, 1)
    assert nj.quantise.bake(net)["fc"].weight.tolist() == [[0.3125, 254 / 64]]
    assert net["fc"].describe() == "Linear 2->1, weight 8 bit"


def test_final_integers():
    weight = jnp.array([[0.3, -0.01, 9.0]])
    assert integers_of(quantised(nj.Linear.from_weights(weight))).tolist() == [[20, 0, 254]]
    assert integers_of(nj.Linear.from_weights(weight[:, :1] * 0 + 0.7), scale=10).tolist() == [[7]]
    with pytest.raises(ValueError, match=r"Linear 3->1 has a weight of 19.2 steps"):
        integers_of(nj.Linear.from_weights(weight))
    mapped = Synapse(nj.Linear.from_weights(jnp.array([[64.0, -128.0]])), exponent=-6, bits=2)
    assert integers_of(mapped).tolist() == [[0, -2]]  # 64 is a tie
    with pytest.raises(ValueError, match="Linear 1->1, 8 bit, times 2\\^-6 has a weight of"):
        integers_of(Synapse(nj.Linear.from_weights(jnp.array([[98.0]])), exponent=-6))


def test_layers_that_are_no_synapses_of_the_chip():
    with pytest.raises(ValueError, match="has a bias, which Loihi's synapses have not"):
        quantised(nj.Linear(2, 3, bias=True, key=jax.random.key(0)))
    with pytest.raises(TypeError, match="Flatten has no weight"):
        quantised(nj.Flatten())
    with pytest.raises(ValueError, match="gain has 2 values, but the weight"):
        quantised(nj.Linear(2, 3, key=jax.random.key(0)), gain=jnp.ones(2))
    with pytest.raises(ValueError, match=r"mask has shape \(2,\), the weight \(3, 2\)"):
        quantised(nj.Linear(2, 3, key=jax.random.key(0)), mask=jnp.ones(2))
