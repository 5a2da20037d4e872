"""All benchmarks, one after the other: `python -m benchmarks`, `make bench`."""

from benchmarks import convolution, cri, dynapcnn, lif_training, loihi

lif_training.main([])
convolution.main([])
loihi.main([])
cri.main([])
dynapcnn.main([])
