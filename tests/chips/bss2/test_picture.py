import jax
import matplotlib.image
import numpy as np
import pytest
from matplotlib.colors import to_rgb

import neurojax as nj
from neurojax.chips import bss2
from neurojax.hardware.bss2 import configure


def network(hidden=40):
    keys = jax.random.split(jax.random.key(0))
    return nj.Sequential(
        (6,), fc=nj.Linear(6, hidden, key=keys[0]), hidden=bss2.LIF(),
        out=nj.Linear(hidden, 3, key=keys[1]), readout=bss2.LI(),
    )  # fmt: skip


def test_every_synapse_has_a_pixel():
    mapped = bss2.map(network())
    ax = nj.plot.bss2(mapped, title="a chip")
    images = [image.get_array() for image in ax.images]
    assert len(images) == 8 and {image.shape for image in images} == {(64, 256, 3)}
    blue = np.isclose(images, to_rgb("#0072B2")).all(axis=-1).sum()
    grey = np.isclose(images, to_rgb("#6B6B6B")).all(axis=-1).sum()
    assert (blue, grey) == (2 * 40 * 3, 2 * 6 * 40)
    texts = [text.get_text() for text in ax.texts]
    assert "43 of 512\ncircuits" in texts and texts.count("bus 0") == 2 and "0/32" in texts
    assert ax.get_title(loc="left") == "a chip"


def test_a_configuration_and_a_fit_are_drawn_alike(tmp_path):
    mapped = bss2.map(network())
    files = []
    for i, chip in enumerate([mapped, bss2.fit(network()), configure(mapped, steps=10)]):
        files.append(tmp_path / f"{i}.png")
        nj.plot.bss2(chip).figure.savefig(files[-1], dpi=40)
    pictures = [matplotlib.image.imread(file) for file in files]
    assert all((picture == pictures[0]).all() for picture in pictures)


def test_what_is_not_on_a_chip():
    with pytest.raises(ValueError, match="does not fit on the chip:\n- network: needs 513"):
        nj.plot.bss2(bss2.fit(network(510), circuits=1))
    with pytest.raises(ValueError, match=r"plot\.bss2 takes"):
        nj.plot.bss2(network())
