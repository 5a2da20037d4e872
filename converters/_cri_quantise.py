"""Torch models on the 16-bit grid of CRI, with hs_api's names: `Quantize_Network`, `BN_Folder`.

References:
    hs_api, `converter.py`, https://github.com/Integrated-Systems-Neuroengineering/hs_api
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from neurojax.converters.fuse import fuse_batch_norm

W_BITS = 16
LEVELS = 2 ** (W_BITS - 1) - 1
"""Largest weight; hs_api does not use -32768."""

UNWEIGHED = "attn_lif"
COMPATIBLE = (None, "main")


def isSNNLayer(layer: Any) -> bool:
    """Whether a torch module is neurons: SpikingJelly's or snnTorch's, by their threshold."""
    return _threshold_name(layer) is not None


def weight_quantization(b: int) -> Callable[[Any, Any], Any]:
    """A function `(w, alpha)` of tensors that rounds to b bits (magnitude), for training.

    Q(w) = alpha sign(c) round(|c| (2^b - 1)) / (2^b - 1) with c = clip(w / alpha, -1, 1). The
    derivative by w is 1 where w was not clipped, that by alpha sign(w) where it was.

    References:
        hs_api, `converter.weight_quantization`; Y. Li, X. Dong and W. Wang, "Additive powers-of-two
        quantization", ICLR 2020.
    """
    import torch

    levels = 2**b - 1

    class Quantise(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, w: Any, alpha: Any) -> Any:
            ratio = w / alpha
            ctx.save_for_backward(ratio)
            clipped = ratio.clamp(-1, 1)
            return (clipped.abs() * levels).round() / levels * clipped.sign() * alpha

        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            (ratio,) = ctx.saved_tensors
            outside = (ratio.abs() > 1).to(gradient.dtype)
            return gradient * (1 - outside), (gradient * outside * ratio.sign()).sum()

    def quantise(w: Any, alpha: Any) -> Any:
        return Quantise.apply(w, torch.as_tensor(alpha, dtype=w.dtype, device=w.device))

    return quantise


class Quantize_Network:
    """Weights, biases and thresholds as multiples of w_delta = alpha / 32767.

    As in hs_api, neurons called `attn_lif` keep their threshold: they add products of spikes, which
    no weights multiply.

    Args:
        w_alpha: Largest magnitude of weights and biases; larger ones are clipped (with a warning).
        dynamic_alpha: Each layer has the largest magnitude of its own weights and biases instead,
            and the neurons behind it that layer's steps.
        compat: None: weights are integers, thresholds the nearest ones. "main": as hs_api computes
            them; weights are floats that may lie a little beside their integers, thresholds are cut
            to integers, snnTorch's neurons stay as they are.

    Attributes:
        v_threshold: Of the last neurons that were visited.
        w_alpha, w_bits, w_delta: See above; w_delta of the last layer, if it is dynamic.

    Example:
        >>> import torch
        >>> from neurojax.converters.cri import Quantize_Network
        >>> fc = torch.nn.Linear(1, 2, bias=False)
        >>> _ = torch.nn.init.constant_(fc.weight, 0.5)
        >>> quantised = Quantize_Network(w_alpha=1).quantize(torch.nn.Sequential(fc))
        >>> quantised[0].weight.tolist(), fc.weight.tolist()
        ([[16384.0], [16384.0]], [[0.5], [0.5]])
    """

    def __init__(
        self, w_alpha: float = 1, dynamic_alpha: bool = False, *, compat: str | None = None
    ) -> None:
        if not w_alpha > 0:
            raise ValueError(f"Quantize_Network: w_alpha is {w_alpha!r}; it must be > 0")
        if compat not in COMPATIBLE:
            raise ValueError(f"Quantize_Network: compat is {compat!r}, not in {COMPATIBLE}")
        self.w_alpha = w_alpha
        self.dynamic_alpha = dynamic_alpha
        self.v_threshold: Any = None
        self.w_bits = W_BITS
        self.w_delta = w_alpha / LEVELS
        self._compat = compat

    def quantize(self, model: Any) -> Any:
        """A quantised copy of a model; the model stays as it is."""
        import torch

        new = copy.deepcopy(model)
        clipped = []
        with torch.no_grad():
            for name, module in new.named_modules():
                if isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d):
                    beyond = self._layer(module)
                    if beyond:
                        clipped.append(f"{beyond} of '{name}'")
                elif isSNNLayer(module) and name.rpartition(".")[2] != UNWEIGHED:
                    self._neurons(module)
        if clipped and self._compat is None:
            warnings.warn(
                f"weights or biases beyond w_alpha={self.w_alpha} are clipped: "
                f"{', '.join(clipped)}; use a larger w_alpha, or dynamic_alpha=True",
                UserWarning,
                stacklevel=2,
            )
        return new

    def _layer(self, module: Any) -> int:
        """Quantises a layer; returns how many numbers were clipped."""
        import torch

        parts = {"weight": module.weight, "bias": module.bias}
        found = {name: value for name, value in parts.items() if value is not None}
        if self.dynamic_alpha:
            largest = max(float(value.abs().max()) for value in found.values())
            self.w_alpha = largest or 1.0
            self.w_delta = self.w_alpha / LEVELS
        beyond = 0
        for name, value in found.items():
            beyond += int((value.abs() > self.w_alpha).sum())
            whole = weight_quantization(W_BITS - 1)(value, self.w_alpha) / self.w_delta
            if self._compat is None:
                whole = whole.round()
            setattr(module, name, torch.nn.Parameter(whole))
        return beyond

    def _neurons(self, module: Any) -> None:
        import torch

        name = _threshold_name(module)
        assert name is not None
        old = getattr(module, name)
        if self._compat is not None:
            if name == "v_threshold":
                module.v_threshold = self.v_threshold = int(old / self.w_delta)
            return
        if isinstance(old, torch.Tensor):
            new = (old.double() / self.w_delta).round().to(old.dtype)
            getattr(module, name).copy_(new)
            self.v_threshold = float(new.max())
        else:
            self.v_threshold = round(float(old) / self.w_delta)
            setattr(module, name, type(old)(self.v_threshold))


class BN_Folder:
    """Puts batch normalisation into the layers before it: `neurojax.converters.fuse_batch_norm`.

    Example:
        >>> import torch
        >>> from neurojax.converters.cri import BN_Folder
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.BatchNorm1d(2)).eval()
        >>> BN_Folder().fold(model)[1]
        Identity()
    """

    def fold(self, model: Any) -> Any:
        """A copy of a model in eval mode in which each norm is an Identity.

        Raises:
            ValueError: The model is in training mode.
        """
        if model.training:
            raise ValueError("BN_Folder.fold: fusion is for models in eval mode; call model.eval()")
        return fuse_batch_norm(model)


def _threshold_name(module: Any) -> str | None:
    package = type(module).__module__.partition(".")[0]
    bases = {cls.__module__.partition(".")[0] for cls in type(module).__mro__} | {package}
    if "spikingjelly" in bases and hasattr(module, "v_threshold"):
        return "v_threshold"
    if "snntorch" in bases and hasattr(module, "threshold"):
        return "threshold"
    return None


def whole_weights(weight: np.ndarray, *, cut: bool) -> np.ndarray | None:
    """Weights as integers, if they are integers but for rounding; None if they are not.

    Args:
        weight: Of a layer.
        cut: As hs_api does it: whatever they are, fractions are cut off.
    """
    if cut:
        return np.trunc(weight)
    near = np.rint(weight)
    return near if np.all(np.abs(weight - near) <= 1e-6 * np.abs(near) + 1e-6) else None
