"""How long an inference takes on a device, where something is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neurojax._network import Network
from neurojax.chips import bss2, cri, loihi
from neurojax.chips._mapped import MappedNetwork
from neurojax.metrics._activity import Activity
from neurojax.metrics.devices import Device, Estimate, Work, device as find, work
from neurojax.metrics.devices._device import EVENTS, LAYER, STEP, UPDATES

UNKNOWN = Estimate(None)


@dataclass(frozen=True)
class Latency:
    """The time of an inference.

    Attributes:
        device: Whose times these are.
        steps: Time steps of an input.
        late_steps: Steps from an input to the output that belongs to it, where the chip computes
            in steps and each population passes its spikes on in the next one.
        delay: Seconds from the last input to the last output.
        duration: Seconds from the first input to the last output, the input's own included.
        notes: How these came about.
    """

    device: Device
    steps: int
    late_steps: int
    delay: Estimate
    duration: Estimate
    notes: tuple[str, ...]

    def __str__(self) -> str:
        late = f" and {self.late_steps} until the output" if self.late_steps else ""
        lines = [
            f"{self.device.title}: {self.steps} steps{late}",
            f"an inference takes {self.duration.text('s')}, "
            f"of which {self.delay.text('s')} after the last input",
            *(f"- {note}" for note in self.notes),
        ]
        return "\n".join(lines)

    __repr__ = __str__


def latency(
    network: Network | MappedNetwork,
    activity: Activity,
    device: str | Device,
    *,
    dt: float | None = None,
    cores: Mapping[str, int] | None = None,
) -> Latency:
    """How long an inference takes on a device, from what the network did.

    - Speck has no time steps: an event passes a layer in 0.37 us (3.36 us through nine), so the
      output follows the last input by the depth of the network. Inputs come in real time, `dt` a
      step.
    - Loihi's cores compute the updates and synaptic events of a step one after the other, in
      parallel to each other, and then wait for the slowest. A population's work is shared evenly by
      its cores, those of `loihi.cores` for a mapped network. With `dt` a step takes no less.
    - On BrainScaleS-2 the time that is simulated is the time that it takes; the circuits run a
      thousand times faster than the neurons that they stand for.
    - For others the number of steps is given, and the time is unknown, unless a device of yours has
      a constant for `"time steps"`.

    Args:
        network: The network, or what a chip's `map` returned.
        activity: What `count_spikes` counted in it.
        device: A name, see `metrics.devices.names()`, or a `Device`.
        dt: Seconds of a time step of the input. A network on BrainScaleS-2 has its own, which
            counts there.
        cores: Number of cores of each population. Default: one, or those of a mapping onto Loihi.

    Raises:
        ValueError: A layer with weights of a type whose connections are not known, or `dt` <= 0.

    References:
        Speck: SynSense, product page. Loihi: M. Davies et al., IEEE Micro 38(1), 2018, table 2, and
        the constants of the simulator SANA-FE.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((4,), fc=nj.Linear.from_weights(jnp.ones((3, 4))), out=nj.IAF())
        >>> activity = metrics.count_spikes(net, jnp.ones((5, 2, 4)))
        >>> print(metrics.latency(net, activity, "speck", dt=1e-3))  # doctest: +ELLIPSIS
        Speck: 5 steps
        an inference takes 5 ms (range unknown), of which 373 ns (range unknown) after the last ...
    """
    return latency_of(network, work(network, activity), device, dt=dt, cores=cores)


def latency_of(
    network: Network | MappedNetwork,
    done: Work,
    device: str | Device,
    *,
    dt: float | None = None,
    cores: Mapping[str, int] | None = None,
) -> Latency:
    """As `latency`, of work that is known already."""
    chosen = find(device)
    mapped = network if isinstance(network, MappedNetwork) else None
    net = network.network if isinstance(network, MappedNetwork) else network
    chip = None if mapped is None else mapped.chip
    if dt is not None and dt <= 0:
        raise ValueError(f"latency: dt is {dt}; a time step takes seconds, more than 0")
    populations = {name for name, layer in done.layers.items() if layer.neurons}
    deep = depth(net, populations)
    if LAYER in chosen.times:
        return _events_through_layers(chosen, done.steps, deep, dt)
    if chosen.chip_time:
        return _emulated(chosen, done.steps, _dt_of(network) or dt)
    if chosen.times:
        # A network with the delays of its chip was simulated until its last output, and a processor
        # computes all layers within a step.
        delayed = isinstance(chip, cri.CRISpec) or (mapped is not None and mapped.timing == "chip")
        late = 0 if delayed or not chosen.spiking else deep
        if cores is None and mapped is not None and isinstance(chip, loihi.LoihiSpec):
            cores = {name: use.cores for name, use in loihi.cores(mapped).items()}
        return _stepped(chosen, net, done, late, dt, cores or {})
    if mapped is not None and isinstance(chip, cri.CRISpec):
        note = "the machine's clocks a step depend on its spikes; no time has been published"
        late = cri.latency(mapped)
        return Latency(chosen, done.steps, late, UNKNOWN, UNKNOWN, (note,))
    note = "no times are known of this device"
    return Latency(chosen, done.steps, 0, UNKNOWN, UNKNOWN, (note,))


def depth(network: Network, populations: set[str]) -> int:
    """Populations on the longest way from an input to an output, without recurrent edges."""
    found = dict.fromkeys(network.inputs, 0)
    for name in network.names:
        before = [found[e.source] for e in network.incoming(name) if not e.recurrent]
        found[name] = max(before, default=0) + (name in populations)
    return max(found[name] for name in network.outputs)


def _events_through_layers(device: Device, steps: int, deep: int, dt: float | None) -> Latency:
    delay = device.times[LAYER].estimate * deep
    notes = [f"an event passes {deep} {'layer' if deep == 1 else 'layers'} without waiting"]
    if dt is None:
        notes.append("how long an input lasts is not known: give dt, the seconds of a step")
        return Latency(device, steps, 0, delay, UNKNOWN, tuple(notes))
    notes.append(f"inputs come in real time: {steps} steps of {Estimate.exact(dt).text('s')}")
    return Latency(device, steps, 0, delay, delay + Estimate.exact(steps * dt), tuple(notes))


def _emulated(device: Device, steps: int, dt: float | None) -> Latency:
    if dt is None:
        note = "the time that is simulated is the chip's: give dt, the seconds of a step"
        return Latency(device, steps, 0, UNKNOWN, UNKNOWN, (note,))
    note = "the time that is simulated is the chip's; loading and reading out are not in it"
    took = Estimate.exact(steps * dt)
    return Latency(device, steps, 0, Estimate.exact(0.0), took, (note,))


def _stepped(
    device: Device,
    network: Network,
    done: Work,
    late: int,
    dt: float | None,
    cores: Mapping[str, int],
) -> Latency:
    """Every step takes as long as the slowest population, and the waiting for each other."""
    zero = Estimate.exact(0.0)
    times = {what: device.times[what].estimate if what in device.times else zero for what in (
        EVENTS, UPDATES, STEP,
    )}  # fmt: skip
    arriving = _events_by_population(network, done)
    busy = {
        name: (times[UPDATES] * layer.updates + times[EVENTS] * arriving.get(name, 0.0))
        * (1 / (done.steps * max(cores.get(name, 1), 1)))
        for name, layer in done.layers.items()
        if layer.neurons
    }
    slowest = max(busy, key=lambda name: busy[name].value or 0.0, default=None)
    step = times[STEP] + (busy[slowest] if slowest else zero)
    notes = [f"a step takes {step.text('s')}"]
    if slowest and busy[slowest].value:
        count = cores.get(slowest, 1)
        notes.append(f"the slowest population is '{slowest}', on {_cores_text(count)}")
    if dt is not None:
        step = Estimate(*(None if x is None else max(x, dt) for x in _numbers(step)))
        notes.append(f"inputs come in real time, a step in {Estimate.exact(dt).text('s')}")
    notes.append("the mean of all steps; input and output over the host are not in it")
    return Latency(
        device, done.steps, late, step * max(late, 1), step * (done.steps + late), tuple(notes)
    )


def _events_by_population(network: Network, done: Work) -> dict[str, float]:
    """Synaptic events that each population has to add up: those of the synapses before it."""
    found: dict[str, float] = {}
    for name, layer in done.layers.items():
        targets, seen = [name], {name}
        while layer.events and targets:
            here = targets.pop()
            if here in done.layers and done.layers[here].neurons:
                found[here] = found.get(here, 0.0) + layer.events
                continue
            following = [edge.target for edge in network.outgoing(here)]
            targets += [target for target in following if target not in seen]
            seen |= set(following)
    return found


def _dt_of(network: Network | MappedNetwork) -> float | None:
    """The time step of the neurons on BrainScaleS-2, of which there is one."""
    if not isinstance(network, MappedNetwork) or not isinstance(network.chip, bss2.ChipSpec):
        return None
    layers = (network.network[name] for name in network.network.names)
    return next((float(dt) for layer in layers if (dt := getattr(layer, "dt", None))), None)


def _numbers(estimate: Estimate) -> tuple[Any, Any, Any]:
    return estimate.value, estimate.low, estimate.high


def _cores_text(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"
