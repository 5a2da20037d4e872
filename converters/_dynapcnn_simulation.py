"""The simulation behind `DynapcnnNetwork`: squeezed inputs, membranes that stay, outputs by number.

sinabs' squeezing layers have all time steps of one sample after each other on the first axis; a run
of ours has time and samples on an axis each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from neurojax._network import Network, NetworkState
from neurojax._simulate import simulate
from neurojax.chips.dynapcnn import Core, Route, cores_of, dvs_of, routes
from neurojax.layers import Add, AvgPool2d, Concat

Ways = dict[int | str, dict[int, Route]]
"""Routes by number of the source and of the destination; -1, -2, ... are outputs."""


def ways_of(network: Network) -> Ways:
    """The routes of a mapped network under sinabs' numbers."""
    number: dict[str, int | str] = {name: i for i, name in enumerate(cores_of(network))}
    if (dvs := dvs_of(network)) is not None:
        number[dvs] = "dvs"
    found: Ways = {}
    for route in routes(network):
        ways = found.setdefault(number.get(route.source, "input"), {})
        end = min(*ways, 0, 0) - 1 if route.target is None else number[route.target]
        assert isinstance(end, int)
        ways[end] = route
    return found


class Simulation:
    """Runs that go on from one another.

    Args:
        mapped: The mapped network, for its routes.
        source: The network before the mapping, if that is run; it has the same names.
        batch: Samples on the first axis, or None.
        steps: Time steps on the first axis, or None.
    """

    def __init__(
        self, mapped: Network, source: Network | None, batch: int | None, steps: int | None
    ) -> None:
        self.ways = ways_of(mapped)
        self._batch, self._steps = batch, steps
        self._mapped, self._source = mapped, source
        self._state: NetworkState | None = None
        self._running: int | None = None  # samples that the state belongs to

    def run(self, network: Network, x: Any, return_complete: bool) -> Any:
        """What `DynapcnnNetwork.forward` returns; `network` has the parameters as they are now."""
        values, wrap = _as_array(x)
        inputs, batch = self._unsqueezed(network, values)
        if self._running != batch:
            self._state, self._running = None, batch
        routes = [way for ends in self.ways.values() for way in ends.values()]
        senders = {self._sender(way) for way in routes} - {""} if return_complete else set()
        run = simulate(network, inputs, state=self._state, probes=sorted(senders))
        self._state = run.state
        several = isinstance(run.outputs, dict)

        def sent(way: Route) -> Any:
            if way.output is not None:
                y = run.outputs[way.output] if several else run.outputs
            else:
                y = run[sender] if (sender := self._sender(way)) else inputs
            y = np.asarray(y) * np.float32(self._sum_factor(way))
            return wrap(y.swapaxes(0, 1).reshape(-1, *y.shape[2:]))

        found = {
            source: {end: sent(way) for end, way in ends.items() if return_complete or end < 0}
            for source, ends in self.ways.items()
        }
        found = {source: ends for source, ends in found.items() if ends}
        if return_complete or several:
            return found
        return next(iter(next(iter(found.values())).values()))

    def reset(self, network: Network, *, randomize: bool, seed: int) -> None:
        """Forget the membranes, or draw them below the threshold."""
        self._state = None
        if not randomize:
            return
        batch = self._running or self._batch or 1
        random = np.random.default_rng(seed)
        state = network.init(batch)
        for name in cores_of(self._mapped):
            layer, old = network[name], state.layers[name]
            if isinstance(layer, Core):
                held = layer.integers()
                drawn = random.integers(held.v_min, held.threshold, old.v.shape)
            else:
                drawn = random.random(old.v.shape)
            state.layers[name] = old._replace(v=jnp.asarray(drawn, jnp.float32))
        self._state, self._running = state, batch

    def _sender(self, way: Route) -> str:
        """Name of the layer whose output takes this way, before it meets others; "" if an input."""
        name = "" if way.source in self._mapped.inputs else way.source
        for passed in way.via:
            if isinstance(self._mapped[passed], Add | Concat):
                break
            name = passed
        return name

    def _sum_factor(self, way: Route) -> int:
        """What makes averages of the network before the mapping the sums that the chip sends."""
        if self._source is None:
            return 1
        pools = [self._source[name] for name in way.via if name in self._source.names]
        return math.prod(math.prod(p.kernel_size) for p in pools if isinstance(p, AvgPool2d))

    def _unsqueezed(self, network: Network, x: np.ndarray) -> tuple[Any, int]:
        """[time, batch, ...] and the batch."""
        count = len(x)
        batch = self._batch or (1 if self._steps is None else max(count // self._steps, 1))
        steps = self._steps or count // batch
        if count == 0 or batch * steps != count:
            said = f"{batch} samples" if self._batch else f"{self._steps} steps"
            raise ValueError(
                f"DynapcnnNetwork: an input of {count} steps and samples, with {said}; the first "
                "axis holds all steps of one sample after those of another"
            )
        (shape,) = network.inputs.values()
        if shape[0] == 1 and x.shape[1:2] == (2,) and dvs_of(self._mapped) is not None:
            x = x.sum(1, keepdims=True)  # the camera's polarities, which its block merges
        shape = shape if math.prod(x.shape[1:]) == math.prod(shape) else x.shape[1:]
        x = x.reshape(batch, steps, *shape)
        return jnp.asarray(x.swapaxes(0, 1), jnp.float32), batch


def _as_array(x: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """An input in NumPy, and what makes an array of its kind."""
    if type(x).__module__.partition(".")[0] == "torch":
        import torch

        return x.detach().cpu().numpy(), lambda y: torch.from_numpy(y.copy()).to(x.device)
    if isinstance(x, np.ndarray):
        return x, lambda y: y
    return np.asarray(x), jnp.asarray
