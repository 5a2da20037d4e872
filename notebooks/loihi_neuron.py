# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One neuron on Loihi: float, quantised, bit-accurate
#
# A network that was trained in floating point is not the network that runs. This notebook takes one
# neuron and goes to the chip in two steps, so that it shows where each difference comes from:
#
# 1. **float**: the neuron as it was trained;
# 2. **quantised**: the numbers that Loihi can store (weights of 8 bits, decays in steps of 1/4096,
#    a threshold in weight steps), still with real-valued states;
# 3. **bit-accurate**: the same numbers, and states that are integers of 24 bits, cut towards zero
#    in every step. This is what Lava computes, bit for bit.
#
# It needs `pip install "neurojax[plot]"`.

# %%
from pathlib import Path
from tempfile import mkdtemp

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import neurojax as nj
from neurojax.chips import loihi
from neurojax.hardware.loihi import configure, load

# %% [markdown]
# ## The neuron as it was trained
#
# Twenty synapses, a synaptic current that decays with a time constant of 8 time steps, a membrane
# with one of 30. It fires above 1 and is reset to 0.

# %%
STEPS, SYNAPSES = 120, 20
weight_key, spike_key = jax.random.split(jax.random.key(2))
weights = 0.08 * jax.random.normal(weight_key, (1, SYNAPSES)) + 0.03
trained = nj.Sequential(
    (SYNAPSES,),
    synapses=nj.Linear.from_weights(weights),
    neuron=nj.CubaLIF(tau=30.0, tau_syn=8.0, reset="zero", strict=True),
)
spikes_in = jax.random.bernoulli(spike_key, 0.08, (STEPS, 1, SYNAPSES)).astype(float)
print(nj.describe(trained))

# %% [markdown]
# ## On the chip
#
# `loihi.map` chooses one scale for the weights, the threshold and the states of a population: so
# many integer steps to one unit. The report says what that costs.

# %%
mapped = loihi.map(trained, device="loihi2")
print(mapped.report())

# %% [markdown]
# ## The step in between
#
# `loihi.to_real` goes back: a network in real numbers with exactly the weights, decays and the
# threshold that the chip stores.

# %%
scale = mapped.report().rows[0]["scale"]
networks = {
    "float": trained,
    "quantised": loihi.to_real(mapped, scale=scale),
    "bit-accurate": mapped.network,
}
runs = {name: nj.simulate(net, spikes_in, probes=["neuron.v"]) for name, net in networks.items()}

# One unit is `scale` weight steps, and a weight step is 64 steps of the state.
unit = {"float": 1.0, "quantised": 1.0, "bit-accurate": 64 * scale}
membranes = {name: np.asarray(run["neuron.v"][:, 0, 0]) / unit[name] for name, run in runs.items()}


# %%
def draw(membranes, spikes):
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 5), sharex=True, height_ratios=[2, 1], layout="constrained"
    )
    for color, (name, v) in zip(("lightgrey", "C0", "C3"), membranes.items(), strict=True):
        above.plot(v, color=color, lw=4 if name == "float" else 1, label=name)
        above.plot(spikes[name], np.full(len(spikes[name]), 1.08), "|", color=color, ms=10)
        if name != "float":
            below.plot(1000 * (v - membranes["float"]), color=color, lw=1)
    above.axhline(1.0, color="grey", ls="--", lw=1)
    above.set_ylabel("membrane after the reset\n(ticks above: spikes)")
    below.set_ylabel("difference from float\n(1/1000)")
    below.set_xlabel("time step")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)


spikes = {name: np.flatnonzero(run.outputs) for name, run in runs.items()}
for name, times in spikes.items():
    print(f"{name:13s} {len(times)} spikes, in steps {', '.join(map(str, times))}")
draw(membranes, spikes)

# %% [markdown]
# The spikes are the same; the membranes differ by some thousandths of the threshold. The difference
# has two causes: the numbers that are stored (float to quantised), and the integers of the state,
# which are cut towards zero in every step (quantised to bit-accurate).
#
# ## How much is too much
#
# Spikes change when a membrane comes as close to the threshold as the error. Then a spike is late
# or missing, and so are some of the later ones. How often that happens depends on the scale.
# lava-dl always trains with 64 weight steps to one unit; this neuron's weights are small, so that
# few of the 256 integers are in use. On 200 random inputs:

# %%
many = jax.random.bernoulli(jax.random.key(9), 0.08, (200, 200, SYNAPSES)).astype(float)
expected = nj.simulate(trained, many).outputs
wrong = {}
for steps in (16, 32, 64, 128, 256, scale):
    other = loihi.map(trained, scale=steps)
    different = jnp.abs(nj.simulate(other.network, many).outputs - expected)
    wrong[steps] = float(different.sum() / expected.sum())
    row = other.report().rows[0]
    print(
        f"scale {steps:7.5g}: {wrong[steps]:6.1%} of the spikes missing or additional, "
        f"{row['vanished']} of {SYNAPSES} weights became 0, threshold {row['vth']}"
    )

# %%
_, axes = plt.subplots(figsize=(6, 3), layout="constrained")
axes.semilogx(list(wrong), [100 * share for share in wrong.values()], "o-", base=2)
axes.set_xlabel("weight steps per unit")
axes.set_ylabel("spikes missing or additional,\nshare of all")
# %% [markdown]
# ## Where 24 bits end
#
# The current wraps around when it leaves its register, the membrane stops at its limit. In the
# chip's own integers: weights of 254 with the exponent 7, and a current that does not decay.

# %%
strong = nj.Sequential(
    (64,),
    synapses=loihi.Synapse(nj.Linear.from_weights(jnp.full((1, 64), 254.0)), exponent=7),
    neuron=loihi.LIF(du=-1, dv=2048, vth=None, count_overflow=True),
)
run = nj.simulate(strong, jnp.ones((12, 1, 64)), probes=["neuron.u", "neuron.wrapped"])
for u, wrapped in zip(run["neuron.u"].ravel(), run["neuron.wrapped"].ravel(), strict=True):
    print(f"current {float(u):12,.0f}, overflows so far {float(wrapped):.0f}")

# %% [markdown]
# `loihi.overflow(mapped, inputs)` counts this for a mapped network; a network that was mapped with
# headroom has none.

# %%
loihi.overflow(mapped, spikes_in)


# %% [markdown]
# ## A gradient through the integers
#
# The derivative is that of the real-valued equations, at the states that the integers have. So a
# mapped network is trained like any other.


# %%
def rate(network):
    return nj.simulate(network, spikes_in).outputs.mean()


slopes = {
    "float": jax.grad(rate)(trained)["synapses"].weight[0],
    "bit-accurate": jax.grad(rate)(mapped.network)["synapses"].synapse.weight[0] * scale,
}
print("largest slope   ", {name: float(jnp.abs(s).max()) for name, s in slopes.items()})
print("correlation     ", float(jnp.corrcoef(jnp.stack(list(slopes.values())))[0, 1]))

# %% [markdown]
# ## The file of the device
#
# `.net` is the format that lava-dl writes and Lava reads. Loaded again, it replays the same
# integers.

# %%
file = Path(mkdtemp()) / "neuron.net"
configure(mapped).save(file)
again = nj.simulate(load(file).network, spikes_in)
assert (again.outputs == runs["bit-accurate"].outputs).all()
print(f"{file.name}: {file.stat().st_size:,} bytes, the same {int(again.outputs.sum())} spikes")
