"""Discretisation against the same steps in PyTorch, which sinabs performs them in."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.chips.dynapcnn import discretise, quantise, scale_of

torch = pytest.importorskip("torch")

floats = st.floats(-1000, 1000, width=32, allow_subnormal=False)
tensors = st.lists(
    st.one_of(floats, st.sampled_from([0.0, 0.5, -0.5, 1.5, 2.5, 127.0, -128.0, 1e-6, -1e-6])),
    min_size=1,
    max_size=12,
)


def torch_scale(values, bits):
    """`determine_discretization_scale` of sinabs."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    smallest, largest = torch.min(values), torch.max(values)
    if torch.abs(smallest) <= torch.abs(largest) * abs(low / high):
        return torch.abs(high / largest)
    return torch.abs(low / smallest)


@given(tensors, st.sampled_from([8, 16]))
def test_scale(values, bits):
    ours = scale_of(np.float32(values), bits)
    theirs = torch_scale(torch.tensor(values, dtype=torch.float32), bits).numpy()
    assert ours == theirs


@given(
    tensors,
    st.floats(2**-20, 1000, width=32),
    st.one_of(st.none(), st.floats(-1000, 0, width=32, allow_subnormal=False)),
    st.one_of(st.none(), tensors),
    st.sampled_from([8, 16]),
    st.booleans(),
)
def test_layer(weight, threshold, v_min, bias, bias_bits, peer):
    w = torch.tensor(weight, dtype=torch.float32).reshape(-1, 1, 1, 1)
    low = -32768.0 if v_min is None and peer else v_min
    pair = torch.tensor([threshold] if low is None else [low, threshold], dtype=torch.float32)
    scales = [torch_scale(w, 8), torch_scale(pair, 16)]
    if bias is not None:
        b = torch.tensor(bias, dtype=torch.float32)
        scales.append(torch_scale(b, bias_bits))
    scale = min(scales)
    options = {"bias_bits": bias_bits, "peer_lower_bound": peer}
    ours = discretise(
        w.numpy(), threshold, v_min, bias=None if bias is None else np.float32(bias), **options
    )
    assert np.float32(ours.scale) == scale.numpy()
    np.testing.assert_array_equal(ours.weight, torch.round(w * scale).numpy())
    pair = torch.round(pair * scale).tolist()
    assert ours.threshold == pair[-1]
    assert ours.v_min == (-32768 if low is None else pair[0])
    if bias is not None:
        np.testing.assert_array_equal(ours.bias, torch.round(b * scale).numpy())
    # what the scale is for: everything fits without clipping
    assert ours.weight.min() >= -128 and ours.weight.max() <= 127
    assert ours.v_min >= -32768 and ours.threshold <= 32767


def test_ties_go_to_the_even_integer():
    assert quantise([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], 1).tolist() == [0, 2, 2, 0, -2, -2]


def test_no_bound_leaves_the_scale_alone():
    weight = np.float32([0.4, -0.2]).reshape(2, 1, 1, 1)
    kept, peer = discretise(weight, 1.0), discretise(weight, 1.0, peer_lower_bound=True)
    assert kept.weight.ravel().tolist() == [127, -64] and kept.threshold == 318
    assert peer.weight.ravel().tolist() == [0, 0] and peer.threshold == 1
    assert kept.v_min == peer.v_min == -32768


def test_wide_biases_keep_the_resolution_of_the_weights():
    weight, bias = np.float32([0.5, -0.25]).reshape(2, 1, 1, 1), np.float32([20.0, -3.0])
    narrow = discretise(weight, 1.0, -1.0, bias=bias)
    wide = discretise(weight, 1.0, -1.0, bias=bias, bias_bits=16)
    assert narrow.weight.ravel().tolist() == [3, -2] and narrow.bias.tolist() == [127, -19]
    assert wide.weight.ravel().tolist() == [127, -64] and wide.bias.tolist() == [5080, -762]


@pytest.mark.parametrize("weight", [0.0, float("nan"), float("inf")])
def test_no_finite_scale(weight):
    threshold = 1e-40 if weight == 0 else 1.0
    with pytest.raises(ValueError, match="no finite scale"):
        discretise(np.full((1, 1, 1, 1), weight, np.float32), threshold, -1e-40)
