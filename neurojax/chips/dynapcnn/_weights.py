"""What goes into the weights of a core: batch norm, gains, factors of pools and Scale layers."""

from __future__ import annotations

import numpy as np

from neurojax.chips.dynapcnn._blocks import Block
from neurojax.layers import BatchNorm
from neurojax.layers.fold import Normalisation, fold_parameters


def core_weights(
    block: Block, gain: np.ndarray, rescale: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights and bias of a block as a convolution, folded and rescaled, in float32.

    Args:
        block: The block.
        gain: Input gain of its neurons, one a feature.
        rescale: Factors of the average pools before it, one for each feature of its input.
        notes: Gets a sentence for all that goes into the weights.
    """
    layer = block.weights
    weight = np.asarray(layer.weight, np.float32)
    bias = None if layer.bias is None else np.asarray(layer.bias, np.float32)
    if block.norm is not None:
        weight, bias = _fold(weight, bias, block.norm)
        norm_name = block.made_of[block.made_of.index(block.weights_name) + 1]
        notes.append(f"'{norm_name}' is folded into '{block.weights_name}'")
    if block.flat:
        weight = weight.reshape(-1, *block.in_shape)
        if block.in_shape[1:] != (1, 1):
            size = "x".join(str(n) for n in block.in_shape[1:])
            notes.append(f"'{block.weights_name}' is a convolution with a kernel of {size}")
    if np.any(gain != 1):
        weight = weight * gain.reshape(-1, *(1,) * (weight.ndim - 1))
        bias = None if bias is None else bias * gain
        notes.append(
            f"the input gain of '{block.name}' is in the weights of '{block.weights_name}'"
        )
    if np.any(rescale != 1):
        # A convolution in groups has fewer channels; it is refused, but read to its end.
        weight = weight * rescale.astype(np.float32)[: weight.shape[1], None, None]
        factors = " and ".join(f"{factor:.6g}" for factor in dict.fromkeys(rescale.tolist()))
        which = "factor" if len(set(rescale.tolist())) == 1 else "factors"
        notes.append(
            f"the {which} {factors} of the average pooling before '{block.weights_name}' "
            f"{'is' if which == 'factor' else 'are'} in its weights"
        )
    return _scaled(block, weight, bias, notes)


def _scaled(
    block: Block, weight: np.ndarray, bias: np.ndarray | None, notes: list[str]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights and bias with the factors of Scale layers next to them."""
    for name, factor in (*block.before, *block.behind):
        weight = weight * np.float32(factor)
        notes.append(f"the factor {factor:.6g} of '{name}' is in '{block.weights_name}'")
    for _, factor in block.behind:
        bias = None if bias is None else bias * np.float32(factor)
    return weight, bias


def _fold(
    weight: np.ndarray, bias: np.ndarray | None, norm: BatchNorm
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias that include a batch norm in inference."""
    arrays = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    mean, var, gamma, beta = (None if a is None else np.asarray(a, np.float32) for a in arrays)
    known = Normalisation(mean, var, norm.eps, gamma, beta)
    return fold_parameters(weight, bias, known)
