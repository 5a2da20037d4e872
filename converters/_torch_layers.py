"""Plain torch layers: `Linear`, `Conv1d/2d`, pools, `Flatten`, `BatchNorm`, `ReLU` and friends."""
