"""Neurons: populations of one kind, as layers."""

from neurojax.neurons.adaptive import AdaptiveLIF as AdaptiveLIF
from neurojax.neurons.alpha import Alpha as Alpha
from neurojax.neurons.cuba import CubaIAF as CubaIAF, CubaLI as CubaLI, CubaLIF as CubaLIF
from neurojax.neurons.iaf import IAF as IAF, IF as IF
from neurojax.neurons.li import LI as LI
from neurojax.neurons.lif import LIF as LIF
from neurojax.neurons.threshold import Threshold as Threshold
