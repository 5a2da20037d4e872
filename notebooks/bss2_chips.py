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
# # No two chips are the same: BrainScaleS-2 and its mismatch
#
# BrainScaleS-2 computes with analog circuits, and no two of them come out of the factory alike.
# This notebook trains a network with ideal dynamics, puts it onto two hundred virtual chips at
# once, and then trains it on for one of them.
#
# It needs `pip install "neurojax[plot]"` and takes about a minute on two CPU cores.

# %%
from pathlib import Path
from tempfile import mkdtemp

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import neurojax as nj
from neurojax.chips import bss2
from neurojax.hardware.bss2 import configure, load

# %% [markdown]
# ## A network for Yin-Yang
#
# Points in the plane, three classes. Each of four coordinates and a bias is the time of one spike;
# five rows of synapses for each make one input strong enough. The membrane that gets highest wins.

# %%
TAU, ROWS, HIDDEN = 6e-6, 5, 60
train, test = nj.datasets.yin_yang(2000), nj.datasets.yin_yang(500, seed=40)


def encode(points, key=None):
    spikes = nj.encode.coordinates_to_spikes(
        points, steps=38, t_early=2e-6, t_late=26e-6, dt=1e-6, t_bias=2e-6
    )
    return jnp.tile(spikes, (1, 1, ROWS))


def decode(membranes):
    return 10 * nj.decode.max_over_time(membranes)


first, second = jax.random.split(jax.random.key(0))
of_input = jnp.tile(0.2 + 0.2 * jax.random.normal(first, (HIDDEN, 5)), (1, ROWS))
of_hidden = 0.02 + 0.1 * jax.random.normal(second, (3, HIDDEN))
network = nj.Sequential(
    (5 * ROWS,),
    fc=nj.Linear.from_weights(of_input),
    hidden=bss2.LIF(tau_mem=TAU, tau_syn=TAU, surrogate=nj.surrogate.SuperSpike(150.0)),
    out=nj.Linear.from_weights(of_hidden),
    readout=bss2.LI(tau_mem=TAU, tau_syn=TAU),
)


def fit(network, epochs, rate):
    steps = epochs * len(train) // 50
    return nj.train.fit(
        network,
        train,
        encode=encode,
        decode=decode,
        epochs=epochs,
        batch_size=50,
        optimiser=optax.adam(optax.cosine_decay_schedule(rate, steps)),
        key=jax.random.key(1),
        progress=False,
    )


ideal = fit(network, epochs=40, rate=2e-3).network
points, labels = jnp.asarray(test.inputs), jnp.asarray(test.labels)


def accuracy(network, key=None):
    scores = decode(nj.simulate(network, encode(points), key=key).outputs)
    return (scores.argmax(-1) == labels).mean()


print(f"ideal dynamics: {float(accuracy(ideal)):.1%}")

# %% [markdown]
# ## On the chip
#
# `bss2.map` gives every weight six bits and a sign, and every neuron and synapse a place.

# %%
mapped = bss2.map(ideal)
print(mapped.report())
print(f"\nsix bits: {float(accuracy(mapped.network)):.1%}")
nj.plot.bss2(mapped).figure

# %% [markdown]
# ## Two hundred chips
#
# How far a chip is from its equations is in `bss2.Magnitudes`: every effect with its size, and
# where that number comes from. Many of them are estimates.

# %%
print(bss2.Magnitudes())

# %% [markdown]
# Here it is the mismatch that matters. Its default size, and 0 to 1.5 times that, on 40 chips each;
# all of it is one compiled program.


# %%
@jax.jit
@jax.vmap
def on_a_chip(size, key):
    chip = bss2.draw(key, mapped, bss2.Magnitudes.mismatch().scaled(size))
    return accuracy(bss2.with_instance(mapped, chip))


sizes = np.repeat([0.0, 0.25, 0.5, 1.0, 1.5], 40)
keys = jax.random.split(jax.random.key(2), len(sizes))
found = 100 * np.asarray(on_a_chip(jnp.asarray(sizes, jnp.float32), keys))
found = {size: found[sizes == size] for size in np.unique(sizes)}
for size, each in found.items():
    print(
        f"mismatch x {size:<4g} {each.mean():5.1f} ± {each.std():4.1f} %, worst {each.min():.1f} %"
    )

# %%
_, axes = plt.subplots(figsize=(6.5, 3.5), layout="constrained")
for size, each in found.items():
    axes.plot(np.linspace(-0.04, 0.04, len(each)) + size, each, ".", color="C0", alpha=0.4)
axes.plot(list(found), [each.mean() for each in found.values()], "o-", color="C3", label="mean")
axes.set_xlabel("mismatch, in units of the default")
axes.set_ylabel("test accuracy / %")
axes.legend(frameon=False)
plt.show()

# %% [markdown]
# Nothing in the mean tells what one of these chips does. So the network is trained for the chip
# that it will run on.
#
# ## Trained for one chip
#
# With all effects now: noise, saturation and the converter too. In a laboratory, the chip's own
# spikes and membranes would take the place of the simulated ones (`simulate(measured=...)`).

# %%
chip = bss2.draw(jax.random.key(3), mapped)
noise, other = jax.random.split(jax.random.key(4))
on_chip = bss2.with_instance(mapped, chip)
tuned = fit(on_chip, epochs=8, rate=1e-3)
held = mapped.with_network(bss2.without_instance(tuned.network))
another = bss2.with_instance(held, bss2.draw(other, held))
for name, net in {"as mapped": on_chip, "tuned": tuned.network, "another chip": another}.items():
    print(f"{name:13s} {float(accuracy(net, noise)):.1%}")

# %% [markdown]
# What the chip answers, all over the plane: before and after.

# %%
grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 80)] * 2), axis=-1).reshape(-1, 2)
everywhere = jnp.asarray(np.concatenate([grid, 1 - grid], axis=1), jnp.float32)
inside = np.hypot(*(grid - 0.5).T) < 0.5
_, panels = plt.subplots(1, 3, figsize=(10, 3.5), layout="constrained")
nets = {"ideal": ideal, "on the chip": on_chip, "on the chip, tuned": tuned.network}
for axes, (name, net) in zip(panels, nets.items(), strict=True):
    answers = decode(nj.simulate(net, encode(everywhere), key=noise).outputs).argmax(-1)
    shown = np.where(inside, answers, np.nan).reshape(80, 80)
    axes.imshow(shown, origin="lower", extent=(0, 1, 0, 1), cmap="cividis")
    axes.set_title(name)
    axes.set_axis_off()
plt.show()

# %% [markdown]
# ## The file for the laboratory
#
# The configuration says what the neurons shall be and where they are; a calibration on site finds
# the settings of the chip. The script beside it builds the network with the vendor's software.

# %%
file = Path(mkdtemp()) / "yin_yang.json"
configure(held, steps=38).save(file, script=True)
again = nj.simulate(load(file).network, encode(points)).outputs
assert (again == nj.simulate(held.network, encode(points)).outputs).all()
print(*sorted(path.name for path in file.parent.iterdir()))
