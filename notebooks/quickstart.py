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
# # Quick start: from a spiking network to a configured chip
#
# This notebook does by hand, for one chip, what `make demo` does: it builds a spiking network,
# trains it on real handwritten digits, maps it onto a Speck 2f, simulates it exactly as the chip
# computes, fine-tunes it through that simulation, and writes the file that configures the device.
#
# It needs `pip install "neurojax[plot,data]"` and takes about a minute on two CPU cores.

# %%
from pathlib import Path
from tempfile import mkdtemp

import jax
import jax.numpy as jnp
import numpy as np
import optax

import neurojax as nj
from neurojax.chips import dynapcnn
from neurojax.hardware.dynapcnn import configure, load

# %% [markdown]
# ## A network
#
# A network is a graph of named layers; `Sequential` makes a chain. Shapes are channels first, and
# they are checked here, not when it runs. Printing it shows the layers.
#
# The neurons integrate, fire once for each whole threshold in their membrane, subtract it, and are
# bounded below: what the chip's cores do, in real numbers.


# %%
def neurons():
    return nj.IAF(v_min=-1.0, max_spikes=None, surrogate=nj.surrogate.Exponential())


keys = jax.random.split(jax.random.key(0), 3)
network = nj.Sequential(
    (1, 8, 8),
    conv1=nj.Conv2d(1, 8, 3, padding=1, key=keys[0]),
    spikes1=neurons(),
    pool1=nj.AvgPool2d(2),
    conv2=nj.Conv2d(8, 16, 3, padding=1, key=keys[1]),
    spikes2=neurons(),
    pool2=nj.AvgPool2d(2),
    flatten=nj.Flatten(),
    dense=nj.Linear(64, 10, key=keys[2]),
    digit=neurons(),
)
network = jax.tree.map(lambda weight: 2 * weight, network)  # a network is a pytree
network

# %% [markdown]
# ## Spikes
#
# The ink of a pixel, from 0 to 1, is its probability of a spike in each step. Time always comes
# first, the batch second.

# %%
train, test = nj.datasets.digits()


def encode(images, key):
    return nj.encode.poisson(images, steps=16, key=key)


spikes = encode(jnp.asarray(test.inputs), jax.random.key(1))
print("[time, batch, channels, height, width] =", spikes.shape)

# %% [markdown]
# ## Simulation
#
# `simulate` is a pure function of the network and its input. Probes say what to record: here the
# membranes of the output neurons, and how often each neuron of the first layer spiked, counted
# while it runs, without storing a trace.

# %%
run = nj.simulate(network, spikes, probes=["digit.v", nj.Probe("spikes1", "count")])
print("output", run.outputs.shape)
print("membranes", run["digit.v"].shape)
print("most spikes of a neuron", int(run["spikes1:count"].max()))

# %% [markdown]
# ## Training
#
# By back-propagation through time: spikes are exactly 0, 1, 2, ... going forward, and have a
# surrogate derivative going back. The same key gives the same result.

# %%
fit = nj.train.fit(
    network,
    train,
    key=jax.random.key(2),
    epochs=10,
    batch_size=32,
    encode=encode,
    optimiser=optax.adam(5e-3),
)
nj.plot.training_curves(fit.history).figure


# %%
def accuracy(network):
    return nj.train.evaluate(network, test, encode=encode, key=jax.random.key(3))["accuracy"]


print(f"float network: {accuracy(fit.network):.1%}")

# %% [markdown]
# ## The chip
#
# Mapping turns average pooling into the chip's sum pooling, the dense layer into a convolution, and
# the weights into 8-bit integers. The result explains itself. What the chip cannot do is refused,
# with every reason at once.

# %%
mapped = dynapcnn.map(fit.network, device="speck2fmodule")
mapped.report()

# %% [markdown]
# `mapped.network` is a `Network` again, but its layers compute like the chip: integers, bit for
# bit.

# %%
chip_run = nj.simulate(mapped.network, spikes, probes=["digit.v"])
print("membranes are integers:", np.unique(chip_run["digit.v"])[:5])
print(f"mapped: {accuracy(mapped.network):.1%}")

# %% [markdown]
# ## Fine-tuning through the chip
#
# Gradients flow through the chip model, so it can be trained like any other network. One unit of a
# weight is one step of the chip's 8-bit grid, hence the learning rate.

# %%
tuned_fit = nj.train.fit(
    mapped.network,
    train,
    key=jax.random.key(4),
    epochs=4,
    batch_size=32,
    encode=encode,
    optimiser=optax.adam(0.3),
)
tuned = mapped.with_network(tuned_fit.network)
print(f"fine-tuned: {accuracy(tuned.network):.1%}")

# %% [markdown]
# ## The device
#
# `configure` places the layers on cores and writes down what the device has to be told. The file
# loads back, and replays bit for bit.

# %%
nj.plot.placement(dynapcnn.core_use(tuned)).figure

# %%
file = Path(mkdtemp()) / "digits.json"
configure(tuned).save(file)
before = nj.simulate(tuned.network, spikes).outputs
after = nj.simulate(load(file).network, spikes).outputs
print(
    f"{file.stat().st_size / 1000:.0f} kB; the same output spikes:", bool((before == after).all())
)

# %% [markdown]
# ## One digit on the chip

# %%
layers = ["spikes1", "spikes2", "digit"]
one = nj.simulate(tuned.network, spikes[:, :1], probes=[*layers, "digit.v"])
nj.plot.raster({"input": spikes[:, :1], **{name: one[name] for name in layers}}).figure

# %%
threshold = tuned.network["digit"].integers().threshold
nj.plot.traces(one["digit.v"], threshold=threshold, spikes=one["digit"], label="membrane").figure

# %% [markdown]
# ## Where to go from here
#
# The pages in `docs/` go deeper: neurons and how to write those of other libraries, surrogate
# derivatives, running and recording, training, data, and the details of the DYNAP-CNN family.
