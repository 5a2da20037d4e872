"""Neurons with random options, for hypothesis."""

import jax.numpy as jnp
from hypothesis import strategies as st

from neurojax import neurons, surrogate


def options(draw, *, leaky, spiking):
    """Options of a neuron, numbers on the grid, each sometimes an array of parameters."""

    def number(low, high, part=8):
        value = draw(st.integers(round(low * part), round(high * part))) / part
        return jnp.full(draw(st.sampled_from([(), (4,)])), value) if draw(st.booleans()) else value

    o = {"gain": draw(st.sampled_from([1.0, 0.5])), "v_min": draw(st.sampled_from([None, -0.5]))}
    if draw(st.booleans()):
        o["v_init"] = number(-0.5, 0.5)
    if leaky:
        o |= {"decay": number(0, 1, part=2), "v_rest": number(-0.5, 0.5)}
        o["normalize_input"] = draw(st.booleans())
    if not spiking:
        return o
    o |= {"threshold": number(0.5, 1), "detach_reset": draw(st.booleans())}
    o["reset"] = draw(st.sampled_from(["subtract", "zero", "value", "none"]))
    o["reset_delay"] = draw(st.sampled_from([False, True, "before", "compensated"]))
    o["max_spikes"] = draw(st.sampled_from([1, 1, 3, None]))
    o["strict"] = o["max_spikes"] == 1 and draw(st.booleans())
    if draw(st.booleans()):
        o["refractory"] = float(draw(st.integers(0, 3)))
    if o["reset"] == "value":
        o["reset_value"] = number(-0.5, 0.25)
    o["amplitude"] = draw(st.sampled_from([None, 0.5]))
    o["winner_take_all"] = draw(st.booleans())
    o["detach_threshold"] = draw(st.booleans())
    o["surrogate"] = draw(st.sampled_from([surrogate.ATan(), surrogate.Triangle()]))
    return o


SPIKING = ("IAF", "LIF", "CubaIAF", "CubaLIF", "AdaptiveLIF")


@st.composite
def random_neuron(draw, kinds=SPIKING):
    kind = draw(st.sampled_from(kinds))
    o = options(draw, leaky="IAF" not in kind, spiking=kind not in ("LI", "CubaLI"))
    if kind.startswith("Cuba"):
        o["decay_syn"] = draw(st.sampled_from([0.5, jnp.float32(0.5)]))
        o["order"] = draw(st.sampled_from(["new", "old", "jump_then_decay", "decay_input"]))
    if kind == "AdaptiveLIF":
        o |= {"decay_adapt": 0.5, "adaptation": draw(st.sampled_from([0.5, jnp.ones(4)]))}
    return getattr(neurons, kind)(**o)
