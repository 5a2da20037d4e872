"""Yin-Yang, learnt from exact spike times with EventProp."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips.bss2 import events
from neurojax.datasets import yin_yang

TAU_SYN, HIDDEN, BATCH, EPOCHS = 5e-6, 60, 64, 12
TRAIN, TEST = yin_yang(2048, seed=42), yin_yang(512, seed=43)


def first_times(net, x):
    train = events.encode(x, t_late=2 * TAU_SYN, t_bias=0.0)
    room = {"hidden": HIDDEN + 5, "out": HIDDEN + 3}  # each neuron spikes at most once
    run = events.simulate(net, train, t_max=8 * TAU_SYN, max_events=room)
    return events.first_spike(run.outputs, 3)


@eqx.filter_jit
def accuracy(net):
    first = first_times(net, jnp.asarray(TEST.inputs))
    return jnp.mean(jnp.argmin(first, axis=-1) == TEST.labels)


def test_yin_yang_is_learnt():
    """jaxsnn's tests ask for 85 % after ten epochs of its own."""
    one_spike = bss2.LIF(tau_mem=2 * TAU_SYN, tau_syn=TAU_SYN, threshold=0.6, reset=-1000.0)
    k1, k2, shuffle = jax.random.split(jax.random.key(0), 3)
    net = nj.Sequential(
        (5,),
        s1=nj.Linear.from_weights(2.0 + 1.6 * jax.random.normal(k1, (HIDDEN, 5))),
        hidden=one_spike,
        s2=nj.Linear.from_weights(0.5 + 0.8 * jax.random.normal(k2, (3, HIDDEN))),
        out=one_spike,
    )
    steps = len(TRAIN.labels) // BATCH
    # Spikes that only just happen have very large gradients.
    rate = optax.exponential_decay(2e-2, steps, 0.97)
    optimiser = optax.chain(optax.clip(0.01), optax.adam(rate))
    x, y = jnp.asarray(TRAIN.inputs), jnp.asarray(TRAIN.labels)

    def loss(net, x, y):
        target = events.target_times(y, 3, correct=0.9 * TAU_SYN, wrong=1.1 * TAU_SYN)
        first = first_times(net, x)
        return jnp.mean(events.target_time_loss(first, target, tau=2 * TAU_SYN))

    @eqx.filter_jit
    def epoch(net, state, key):
        def step(carry, batch):
            net, state = carry
            gradients = eqx.filter_grad(loss)(net, x[batch], y[batch])
            updates, state = optimiser.update(gradients, state)
            return (eqx.apply_updates(net, updates), state), None

        batches = jax.random.permutation(key, len(x)).reshape(steps, BATCH)
        return jax.lax.scan(step, (net, state), batches)[0]

    state = optimiser.init(eqx.filter(net, eqx.is_inexact_array))
    before = accuracy(net)
    for key in jax.random.split(shuffle, EPOCHS):
        net, state = epoch(net, state, key)
    assert before < 0.6
    assert accuracy(net) > 0.85
