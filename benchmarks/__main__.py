"""All benchmarks, one after the other: `python -m benchmarks`, `make bench`."""

from benchmarks import bss2, convolution, cri, dynapcnn, lif_training, loihi, yin_yang

lif_training.main([])
convolution.main([])
loihi.main([])
cri.main([])
dynapcnn.main([])
bss2.main([])
yin_yang.main([])
