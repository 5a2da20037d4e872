"""The rules of hxtorch's model mapper, with its one defect put right."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.converters.hxtorch import map_from


def network():
    return nj.Sequential(
        (2,),
        syn=nj.Linear(2, 3, key=jax.random.key(0)),
        cells=nj.LIF(decay=0.5, threshold=jnp.ones(3)),
        out=nj.Linear(3, 2, key=jax.random.key(1)),
    )


STATE = {
    "syn.weight": np.full((3, 2), 1.0),
    "fc.weight": np.full((3, 2), 2.0),
    "lif.v_th": np.array([0.25]),
    "out.weight": np.full((2, 3), 3.0),
    "unused": np.ones(7),
}
MAPPING = {"syn.weight": "fc.weight", "cells.threshold": "lif.v_th"}


def reference(own, state, mapping, map_all):
    """What `MixinHXModelMapper.map_from` does, where it does not fail, by array."""
    taken = {}
    for key in own:
        if not map_all and key not in mapping:
            continue
        taken[key] = state[key if key in state else mapping[key]]
    return taken


@pytest.mark.parametrize("map_all", [True, False])
def test_as_hxtorch(map_all):
    net = network()
    own = {"syn.weight": (3, 2), "cells.threshold": (3,), "out.weight": (2, 3)}
    expected = reference(own, STATE, MAPPING, map_all)
    found = map_from(net, STATE, MAPPING, map_all)
    for key, shape in own.items():
        layer, field = key.split(".")
        value = expected[key] if key in expected else getattr(net[layer], field)
        np.testing.assert_array_equal(getattr(found[layer], field), np.broadcast_to(value, shape))
    assert (found["syn"].weight == 1).all()  # the same name wins
    assert (map_from(net, STATE, MAPPING, mapping_first=True)["syn"].weight == 2).all()


def test_unknown_keys_of_the_mapping_only_warn():
    with pytest.warns(UserWarning, match="the network has no 'sny.weight', did you mean"):
        found = map_from(network(), STATE, {**MAPPING, "sny.weight": "fc.weight"})
    assert (found["out"].weight == 3).all()


def test_what_is_missing_is_named():
    """hxtorch raises a NameError for the first, and takes the array before it for the others."""
    state = {key: value for key, value in STATE.items() if key != "out.weight"}
    with pytest.raises(ValueError) as error, warnings.catch_warnings():
        warnings.simplefilter("error")
        map_from(network(), state, {"syn.weight": "fc.weight", "cells.gain": "lif.gain"})
    text = str(error.value)
    assert "out.weight: no 'out.weight' there" in text
    assert "cells.threshold: no 'cells.threshold' there" in text
    assert "cells.gain: no 'lif.gain' there" in text
    assert "syn.weight: no" not in text
    left = map_from(network(), state, MAPPING, map_all=False)
    np.testing.assert_array_equal(left["out"].weight, network()["out"].weight)


def test_a_shape_that_does_not_repeat():
    with pytest.raises(ValueError, match=r"syn.weight from 'syn.weight': it has shape \(2, 3\)"):
        map_from(network(), {**STATE, "syn.weight": np.ones((2, 3))}, MAPPING)
