"""From a network of real numbers to CRI's integers.

Everything between two populations becomes synapses of 16 bits: batch norm, averages and factors go
into the weights, biases become axons that the host activates. A population and its synapses get one
scale. Maximum pools become OR neurons. What the crossbar can't do is refused, with every reason at
once.

References:
    hs_api, `converter.py`, for what a converted network looks like; the limits: see `spec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._arguments import check_inputs
from neurojax._layer import Layer
from neurojax._network import Network, Provenance
from neurojax._simulate import simulate
from neurojax.chips._checks import check_scale, folded, mappable
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips._surrogate import InSteps
from neurojax.chips.cri import _scales
from neurojax.chips.cri._links import BiasAxons, OneToOne
from neurojax.chips.cri._plan import Bias, Gate, Link, Plan, Population
from neurojax.chips.cri._reading import read
from neurojax.chips.cri._report import Origin, PartOrigin, explain
from neurojax.chips.cri.neuron import Neuron
from neurojax.chips.cri.spec import CRISpec, spec
from neurojax.chips.cri.synapse import Synapse
from neurojax.layers.batch_norm import BatchNorm
from neurojax.surrogate import Surrogate

SUMS = ("exact", "unlimited")


def map(
    network: Network,
    *,
    scale: float | Mapping[str, float] | None = None,
    strict: bool = True,
    sums: Literal["exact", "unlimited"] = "exact",
    surrogate: Surrogate | None = None,
    device: CRISpec | None = None,
) -> MappedNetwork:
    """Map a network onto CRI.

    Args:
        network: Linear, convolutions and pools with LIF or IAF; branches that are added are
            possible, feedback is not. Its inputs are spikes. Call it outside of `jit`.
        scale: Weight steps per unit, for all populations or by name. None: numbers on a grid
            (integers, say) stay exact, in front of leaks in the largest power of two that fits;
            others get the largest scale that 16 bits allow.
        strict: Neurons fire at V > theta, as the chip does. False: at V >= theta, as hs_api's main
            simulator does, which differs only where thresholds are subtracted.
        sums: "exact": scales keep the sums of a step within 2^24, which layers compute exactly.
            "unlimited": as the chip, whose sums have 35 bits; layers round larger ones to floats,
            the engines of `describe_network` do not.
        surrogate: Derivative of the spikes, of the membrane in weight steps. Default: that of each
            population, scaled with it.
        device: The machine; default: `spec()`.

    Returns:
        The network in integers, layers with their names. Spikes take one step from population to
        population, so the output comes `latency(mapped)` steps later, see `run`.

    Raises:
        MappingError: With every reason at once, each with the layer, the value found, what the
            chip can do, and what to change.
        TypeError: It is called within `jit`, or with something else than a network.
        ValueError: An option is out of range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.cri.mapping import latency, map as map_network, run
        >>> net = nj.Sequential((1,), fc=nj.Linear.from_weights(jnp.array([[0.5]])),
        ...                     spikes=nj.IAF(reset="zero"))
        >>> mapped = map_network(net)
        >>> mapped.network["fc"].weight.tolist(), latency(mapped)
        ([[1.0]], 1)
        >>> print(run(mapped, jnp.ones((4, 1, 1))).ravel())
        [0. 1. 0. 1.]
    """
    network = mappable("cri.map", network)
    check_scale("cri.map", network, scale, example=100)
    if sums not in SUMS:
        raise ValueError(f"cri.map: sums is {sums!r}; it must be in {SUMS}")
    chip = spec() if device is None else device
    problems: list[Problem] = []
    normless = folded(
        network, problems, legal="batch norm goes into weights", remedy="move or remove it"
    )
    plan = read(normless, problems)
    scales, held = _scales.choose(
        plan, scale, strict=strict, unlimited=sums == "unlimited", problems=problems
    )
    problems.extend(_refractory(plan, chip))
    if not problems and not plan.populations:
        problems.append(
            Problem("network", "no neurons", "the chip computes with neurons", "add some")
        )
    if problems:
        raise MappingError(chip.name, problems)
    mapped = _assemble(normless, plan, scales, held, strict, surrogate, chip)
    origins = _origins(network, plan, scales, held, strict)
    return MappedNetwork(mapped, chip, origins, explain)


def latency(mapped: MappedNetwork) -> int:
    """Steps from an input to the output that belongs to it: the populations in between."""
    return _latency(mapped.network)


def run(
    mapped: MappedNetwork, inputs: Any, *, key: PRNGKeyArray | None = None
) -> Array | dict[str, Array]:
    """The outputs of all inputs, aligned: the chip runs on until the last one has come through.

    Args:
        mapped: What `map` returned.
        inputs: `[time, batch, *in_shape]`, or a dict of such arrays.
        key: Of noise, if the neurons have any.

    Returns:
        Outputs `[time, batch, ...]`: the one at t is that of the input at t.
    """
    network = mapped.network
    late = _latency(network)
    named = check_inputs(network, inputs)
    longer = {name: jnp.pad(x, [(0, late), *[(0, 0)] * (x.ndim - 1)]) for name, x in named.items()}
    given = longer if len(longer) > 1 else next(iter(longer.values()))
    outputs = simulate(network, given, key=key).outputs
    if isinstance(outputs, Mapping):
        return {name: x[late:] for name, x in outputs.items()}
    return outputs[late:]


def depths(network: Network) -> dict[str, int]:
    """Steps that each layer of a mapped network is behind the input."""
    found = dict.fromkeys(network.inputs, 0)
    for name in network.names:
        before = max(found[edge.source] for edge in network.incoming(name))
        found[name] = before + isinstance(network[name], Neuron)
    return found


def _latency(network: Network) -> int:
    found = depths(network)
    return max(found[name] for name in network.outputs)


def _refractory(plan: Plan, chip: CRISpec) -> list[Problem]:
    return [
        Problem(
            population.name,
            f"a refractory period of {population.wanted.refractory} steps",
            f"periods are at most {chip.largest_refractory} steps",
            "use a shorter one",
        )
        for population in plan.populations
        if population.wanted.refractory > chip.largest_refractory
    ]


def _assemble(
    network: Network,
    plan: Plan,
    scales: Mapping[str, _scales.Scale],
    held: Mapping[str, _scales.Held],
    strict: bool,
    surrogate: Surrogate | None,
    chip: CRISpec,
) -> Network:
    layers: dict[str, Layer] = {}
    for name, layer in plan.layers.items():
        if isinstance(layer, Population):
            layers[name] = _neuron(layer, scales[layer.name], strict, surrogate)
        elif isinstance(layer, Gate):
            layers[name] = Neuron(theta=layer.needed - strict, model="ANN", strict=strict)
        elif isinstance(layer, Bias):
            layers[name] = BiasAxons(jnp.asarray(held[layer.of].bias), start=layer.start)
        elif isinstance(layer, Link):
            layers[name] = OneToOne(
                jnp.asarray(held[name].weight if name in held else 1.0, jnp.float32)
            )
        elif name in held:
            whole = eqx.tree_at(
                lambda s: (s.weight, s.bias),
                layer,
                (jnp.asarray(held[name].weight, jnp.float32), None),
                is_leaf=lambda node: node is None,
            )
            layers[name] = Synapse(whole)
        else:
            layers[name] = layer
    provenance = {
        name: Provenance(known.source, known.name, (*known.notes, f"mapped onto {chip.name}"))
        for name, known in network.provenance.items()
        if name in layers
    }
    outputs = list(dict.fromkeys(plan.outputs))
    return Network(
        layers, plan.edges, inputs=network.inputs, outputs=outputs, provenance=provenance
    )


def _neuron(
    population: Population, scale: _scales.Scale, strict: bool, surrogate: Surrogate | None
) -> Neuron:
    want = population.wanted
    unit = scale.steps / want.gain
    theta: Any = scale.theta
    if "theta" in want.arrays:
        theta = jnp.asarray(theta, jnp.float32)  # is trained, as it was before
    else:
        theta = int(theta) if theta.ndim == 0 else theta.astype(np.int64)
    leak = int(want.leak) if want.leak.ndim == 0 else want.leak.astype(np.int32)
    return Neuron(
        theta=theta,
        leak=leak,
        model=want.model,
        strict=strict,
        reset=want.reset,
        refractory=want.refractory,
        detach_reset=population.neuron.detach_reset,
        surrogate=InSteps(want.surrogate, unit) if surrogate is None else surrogate,
    )


def _origins(
    network: Network,
    plan: Plan,
    scales: Mapping[str, _scales.Scale],
    held: Mapping[str, _scales.Held],
    strict: bool,
) -> tuple[Origin, ...]:
    origins = []
    for population in plan.populations:
        scale, want = scales[population.name], population.wanted
        parts = tuple(
            PartOrigin(
                key,
                held[key].rms_error,
                held[key].largest_error,
                held[key].bias_error,
                held[key].vanished,
                held[key].clipped,
            )
            for key in population.parts
        )
        notes = list(want.notes)
        if scale.worst > _scales.EXACT:
            notes.append(
                f"'{population.name}': sums of up to {scale.worst:,.0f}, of which layers compute "
                f"those up to {_scales.EXACT:,} exactly, and describe_network all"
            )
        if strict and want.reset == "subtract" and not want.strict:
            notes.append(
                f"'{population.name}': fires at V > theta and subtracts theta, where the network "
                "fires at v >= threshold, which differs in ties"
            )
        origins.append(
            Origin(
                population.name,
                scale.steps,
                scale.limited_by,
                parts,
                scale.threshold_error,
                want.decay_error,
                scale.worst,
                tuple(notes),
            )
        )
    notes = []
    norms = [name for name in network.names if isinstance(network[name], BatchNorm)]
    for names, text in (
        (norms, "folded into the weights before"),
        (plan.dropped, "without an effect on the chip, or a factor in the weights; dropped"),
    ):
        if names:
            notes.append(f"{text}: " + ", ".join(f"'{name}'" for name in names))
    if plan.relays:
        notes.append(
            f"{plan.relays} populations of relays make branches equally long; each of their "
            "neurons passes on the spikes of another"
        )
    if plan.gates:
        notes.append(
            f"products of spikes take {plan.gates:,} AND neurons, one for each of their terms"
        )
    steps = "1 step" if plan.latency == 1 else f"{plan.latency} steps"
    notes.append(f"the output comes {steps} after its input; `run` aligns them")
    origins[-1] = origins[-1]._replace(network_notes=tuple(notes))
    return tuple(origins)
