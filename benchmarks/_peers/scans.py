"""Scans written by hand for this one network, and its matrix products alone."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks._peers import Contender, Problem, Step


def cross_entropy(counts: jax.Array, labels: jax.Array) -> jax.Array:
    log_p = jax.nn.log_softmax(counts)
    return -jnp.mean(jnp.take_along_axis(log_p, labels[:, None], axis=1))


def jax_contender(problem: Problem, run: Callable, parameters, weights: Callable) -> Contender:
    """A contender from `run(parameters, x) -> (hidden spikes or None, output spikes)`.

    `weights` gives the two weights of something like `parameters`.
    """
    x, labels = jnp.asarray(problem.inputs), jnp.asarray(problem.labels, jnp.int32)

    def loss(parameters, x, labels):
        return cross_entropy(run(parameters, x)[1].sum(0), labels)

    compiled = jax.jit(jax.value_and_grad(loss))
    return Contender(
        spikes=lambda: jax.jit(run)(parameters, x),
        train=lambda: jax.block_until_ready(compiled(parameters, x, labels)),
        result=lambda values: Step(float(values[0]), *weights(values[1])),
    )


def _lif(problem: Problem) -> Callable:
    @jax.custom_jvp
    def spike(u):
        return (u >= 0).astype(u.dtype)

    @spike.defjvp
    def _derivative(primals, tangents):
        (u,), (du,) = primals, tangents
        g = 0.5 * problem.alpha / (1 + (0.5 * jnp.pi * problem.alpha * u) ** 2)
        return spike(u), g * du

    def step(v, x):
        v = problem.decay * v + x
        spikes = spike(v - problem.threshold)
        return jnp.where(jax.lax.stop_gradient(spikes) > 0, 0, v), spikes

    return step


def _zeros(problem: Problem, x) -> tuple[jax.Array, jax.Array]:
    batch = x.shape[1]
    return (
        jnp.zeros((batch, problem.hidden.shape[0])),
        jnp.zeros((batch, problem.out.shape[0])),
    )


def _contender(problem: Problem, run: Callable) -> Contender:
    parameters = (jnp.asarray(problem.hidden), jnp.asarray(problem.out))
    return jax_contender(problem, run, parameters, lambda pair: pair)


def step_by_step(problem: Problem) -> Contender:
    """One scan over the whole network."""
    lif = _lif(problem)

    def run(parameters, x):
        hidden, out = parameters

        def step(carry, now):
            v, w = carry
            v, inner = lif(v, now @ hidden.T)
            w, outer = lif(w, inner @ out.T)
            return (v, w), (inner, outer)

        return jax.lax.scan(step, _zeros(problem, x), x)[1]

    return _contender(problem, run)


def hoisted(problem: Problem) -> Contender:
    """The products of all time steps at once, and a scan for each layer of neurons."""
    lif = _lif(problem)

    def run(parameters, x):
        hidden, out = parameters
        v, w = _zeros(problem, x)
        inner = jax.lax.scan(lif, v, x @ hidden.T)[1]
        return inner, jax.lax.scan(lif, w, inner @ out.T)[1]

    return _contender(problem, run)


def products(problem: Problem) -> Callable[[], object]:
    """The floor: the five products of a training step, and nothing else."""

    @jax.jit
    def compute(hidden, out, x, spikes):
        into = x @ hidden.T
        logits = spikes @ out.T
        back = logits @ out
        return (
            into.sum(),
            jnp.einsum("tbo,tbh->oh", logits, spikes),
            jnp.einsum("tbh,tbi->hi", back, x),
        )

    spikes, _ = hoisted(problem).spikes()
    arrays = (jnp.asarray(problem.hidden), jnp.asarray(problem.out), jnp.asarray(problem.inputs))
    return lambda: jax.block_until_ready(compute(*arrays, spikes))
