"""Loihi: neurons in 24-bit fixed point, weights of 8 bits with a common exponent.

Neurons and synapses compute in the integers of the chip, as Lava, lava-dl's slayer and
SpikingJelly's lava_exchange simulate them.
"""

from neurojax.chips.loihi._phase import PhaseExponential as PhaseExponential
from neurojax.chips.loihi.adaptive_resonator import (
    AdRF as AdRF,
    AdRFIzhikevich as AdRFIzhikevich,
    AdRFState as AdRFState,
)
from neurojax.chips.loihi.alif import ALIF as ALIF, ALIFState as ALIFState
from neurojax.chips.loihi.atrlif import ATRLIF as ATRLIF, ATRLIFState as ATRLIFState
from neurojax.chips.loihi.axonal_delay import AxonalDelay as AxonalDelay
from neurojax.chips.loihi.complex_synapse import ComplexSynapse as ComplexSynapse
from neurojax.chips.loihi.cuba import CUBA as CUBA, CUBAState as CUBAState
from neurojax.chips.loihi.delay_dense import DelayDense as DelayDense
from neurojax.chips.loihi.float import FloatLIF as FloatLIF, FloatLIFState as FloatLIFState
from neurojax.chips.loihi.input import Input as Input
from neurojax.chips.loihi.lif import (
    LIF as LIF,
    STEPS_PER_WEIGHT as STEPS_PER_WEIGHT,
    LIFState as LIFState,
)
from neurojax.chips.loihi.mapping import map as map, overflow as overflow
from neurojax.chips.loihi.norm import ShiftNorm as ShiftNorm
from neurojax.chips.loihi.pool import PerChannel as PerChannel
from neurojax.chips.loihi.quantise import (
    EightBit as EightBit,
    QuantisedInput as QuantisedInput,
    integers_of as integers_of,
    quantise_8bit as quantise_8bit,
    quantise_hook as quantise_hook,
    quantised as quantised,
    step_quantise as step_quantise,
)
from neurojax.chips.loihi.real import to_real as to_real
from neurojax.chips.loihi.resonator import (
    RF as RF,
    RFIzhikevich as RFIzhikevich,
    RFState as RFState,
)
from neurojax.chips.loihi.resources import Use as Use, cores as cores
from neurojax.chips.loihi.sigma_delta import (
    Delta as Delta,
    DeltaState as DeltaState,
    Sigma as Sigma,
    SigmaDelta as SigmaDelta,
    SigmaDeltaState as SigmaDeltaState,
    SigmaState as SigmaState,
)
from neurojax.chips.loihi.spec import LoihiSpec as LoihiSpec, spec as spec
from neurojax.chips.loihi.synapse import Synapse as Synapse, conv as conv, dense as dense
from neurojax.chips.loihi.weights import (
    clip_weights as clip_weights,
    legal_weights as legal_weights,
    optimise_weight_bits as optimise_weight_bits,
    sign_mode as sign_mode,
    smallest_bits as smallest_bits,
    truncate_weights as truncate_weights,
)
