"""One step of an optimiser, compiled once for a whole training run."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, PRNGKeyArray

from neurojax._network import Network
from neurojax._simulate import Run
from neurojax.train._task import Task


class Carry(NamedTuple):
    """What goes from one step to the next."""

    arrays: Network  # the arrays of the network; its other parts never change
    optimiser: Any  # optax's state
    healthy: Bool[Array, ""]  # no step so far made a number that is not finite


Step = Callable[[Carry, Any, Any, PRNGKeyArray, Any], tuple[Carry, dict[str, Array]]]


def make_step(
    static: Network,
    mask: Network,
    optimiser: optax.GradientTransformation,
    task: Task,
    regularise: Callable[[Run], Array] | None,
) -> Step:
    """A compiled function `(carry, inputs, labels, key, index) -> (carry, record of the step)`.

    A step that makes a loss or an array which is not finite changes nothing, nor does any later
    one: the carry then keeps the last good network, and the host may look at `healthy` late,
    without waiting for every single step.

    The carry is not donated: its arrays may be the user's own, and after a KeyboardInterrupt
    between a call and its return the old carry must still be there.
    """

    def step(
        carry: Carry, inputs: Array, labels: Array, key: PRNGKeyArray, index: Array
    ) -> tuple[Carry, dict[str, Array]]:
        trained, rest = eqx.partition(carry.arrays, mask)

        def objective(trained: Network) -> tuple[Array, tuple[Any, dict[str, Array]]]:
            network = eqx.combine(trained, rest, static)
            run = task.run(network, inputs, jax.random.fold_in(key, index))
            record = {name: jnp.mean(x) for name, x in task.judge(run.outputs, labels).items()}
            total = record["loss"]
            if regularise is not None:
                record["penalty"] = jnp.mean(jnp.asarray(regularise(run), jnp.float32))
                total = total + record["penalty"]
            return total, (run.state, record)

        gradient = jax.value_and_grad(objective, has_aux=True)
        (total, (state, record)), slopes = gradient(trained)
        updates, after = optimiser.update(slopes, carry.optimiser, trained)
        network = eqx.combine(optax.apply_updates(trained, updates), rest, static).absorb(state)
        arrays = eqx.filter(network, eqx.is_array)

        healthy = carry.healthy & jnp.isfinite(total) & _finite(arrays)
        kept = jax.tree.map(
            lambda new, old: jnp.where(healthy, new, old), Carry(arrays, after, healthy), carry
        )
        return kept._replace(healthy=healthy), record | {"healthy": healthy}

    return jax.jit(step)


def start(
    network: Network, mask: Network, optimiser: optax.GradientTransformation
) -> tuple[Carry, Network]:
    """The first carry, and the parts of the network that are no arrays."""
    arrays, static = eqx.partition(network, eqx.is_array)
    arrays = jax.tree.map(_strong, arrays)
    state = optimiser.init(eqx.filter(arrays, mask))
    return Carry(arrays, jax.tree.map(_strong, state), jnp.array(True)), static


def restart(network: Network, optimiser: Any) -> Carry:
    """The carry of a run that stopped with this network and state of the optimiser."""
    return Carry(eqx.filter(network, eqx.is_array), optimiser, jnp.array(True))


def _strong(x: Any) -> Any:
    """An array of the same type that is not weakly typed: a second type would compile twice."""
    return jnp.asarray(x, x.dtype) if eqx.is_array(x) else x


def _finite(tree: Any) -> Array:
    leaves = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree) if eqx.is_inexact_array(x)]
    return reduce(jnp.logical_and, leaves, jnp.array(True))
