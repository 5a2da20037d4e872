"""Training networks: `fit`, its losses, and files of parameters."""

from neurojax.train import losses as losses
from neurojax.train._evaluate import evaluate as evaluate, predict as predict
from neurojax.train._fit import fit as fit
from neurojax.train._loop import (
    Fit as Fit,
    FitState as FitState,
    History as History,
    NotFiniteError as NotFiniteError,
)
from neurojax.train._parameters import (
    load_parameters as load_parameters,
    save_parameters as save_parameters,
)
from neurojax.train._stopping import EarlyStopping as EarlyStopping
from neurojax.train._trainable import trainable_mask as trainable_mask
