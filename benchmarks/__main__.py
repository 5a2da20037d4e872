"""All benchmarks, one after the other: `python -m benchmarks`, `make bench`."""

from benchmarks import (
    bss2,
    bss2_perceptron,
    convolution,
    cri,
    dynapcnn,
    lif_training,
    loihi,
    yin_yang,
)

lif_training.main([])
convolution.main([])
loihi.main([])
cri.main([])
dynapcnn.main([])
bss2.main([])
bss2_perceptron.main([])
yin_yang.main([])
