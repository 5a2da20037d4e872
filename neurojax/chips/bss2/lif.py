"""The neurons of most networks: leaky integrate and fire, a readout, integrate and fire.

hxtorch's model neurons of two generations are the same but for two points: today the input acts
with 1 / c_mem and the leak with 1 / tau_mem, in 2023 both had 1 / tau_mem, as here where `c_mem` is
not given; and an `IAF` began at its reset potential, see `generation`.
"""

from __future__ import annotations

from neurojax.chips.bss2._integrator import AbstractFiring, AbstractLeaky, AbstractReadout
from neurojax.neurons._neuron import Parameter, check_choice, option

GENERATIONS = ("head", "seed")


class LIF(AbstractLeaky, AbstractFiring):
    """Leaky integrate-and-fire neuron with a current-based synapse.

    v <- v + dt/tau_mem (leak - v) + dt/c_mem i, i <- i - dt/tau_syn i + x, a spike where
    v > threshold, which sets v to `reset`. The current that drives v is that of the step before.
    Every number may be an array, one value or one a neuron: then it is a parameter that gradients
    reach. No gradient goes through the spike into the reset.

    Args:
        leak: Potential that the membrane decays to, and starts from.
        reset: Potential after a spike, and during the refractory period.
        threshold: Potential above which the neuron spikes.
        tau_mem: Time constant of the membrane in seconds.
        tau_syn: Time constant of the synaptic current in seconds.
        c_mem: Capacitance, in seconds: what the input is divided by. Default: that of `tau_mem`,
            so that a constant current i ends at leak + i.
        refractory_time: Seconds after a spike without another one, rounded up to whole steps.
        dt: Duration of a time step in seconds; that of the chip is a thousandth of the model's in
            biological time.
        method: `"euler"`, or `"exact"`: exp(-dt/tau) is left in a step instead of 1 - dt/tau.
        gain: What the synaptic current is multiplied with.
        v_min: Lower bound of v.
        v_init: Potential before the first step. Default: `leak`.
        surrogate: Derivative of the spike, see `neurojax.surrogate`.

    References:
        hxtorch (3bfc7aa), `hxtorch.spiking.functional.lif`; (23943cf), `cuba_lif_integration`;
        `method="exact"` is its former `exp_cuba_lif_integration`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((1,), hidden=bss2.LIF(tau_mem=4e-6, tau_syn=4e-6))
        >>> run = nj.simulate(net, jnp.array([3.0, 0, 0, 0]).reshape(4, 1, 1), probes=["hidden.v"])
        >>> print(run["hidden.v"].ravel(), run.outputs.ravel())
        [0.       0.75     0.       0.421875] [0. 0. 1. 0.]
    """


class LI(AbstractLeaky, AbstractReadout):
    """Leaky integrator with a current-based synapse, for reading out; the output is v.

    Args:
        leak, tau_mem, tau_syn, c_mem, dt, method, gain, v_min, v_init: See `LIF`.

    References:
        hxtorch (3bfc7aa), `hxtorch.spiking.functional.li`; (23943cf), `cuba_li_integration`.

    Example:
        >>> from neurojax.chips import bss2
        >>> bss2.LI(tau_mem=6e-6).describe()
        'bss2.LI tau_mem 6 us, tau_syn 10 us'
    """


class IAF(AbstractFiring):
    """Integrate-and-fire neuron: a `LIF` without its leak.

    Args:
        tau_mem, c_mem: The input is divided by `c_mem`, by default `tau_mem`.
        reset, threshold, tau_syn, refractory_time, dt, method, gain, v_min, surrogate: See `LIF`.
        generation: What v is before the first step, unless `v_init` says: 0 with `"head"`, `reset`
            with `"seed"`.

    References:
        hxtorch (3bfc7aa), `hxtorch.spiking.functional.aelif` without leak; (23943cf),
        `cuba_iaf_integration` and `cuba_refractory_iaf_integration`.

    Example:
        >>> from neurojax.chips import bss2
        >>> float(bss2.IAF(reset=-0.5, generation="seed").init((1,)).v[0])
        -0.5
    """

    generation: str = option("head")

    def __check_init__(self) -> None:
        check_choice(self.name, "generation", self.generation, GENERATIONS)

    @property
    def resting(self) -> Parameter:
        return self.reset if self.generation == "seed" else 0.0
