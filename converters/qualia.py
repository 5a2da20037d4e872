"""Qualia's post-processing of torch models: batch normalisation into the weights before it.

What else the plug-in for spiking networks does has its place elsewhere: operations and energies in
`neurojax.metrics`, fixed point in `neurojax.chips.mcu`, C code in `neurojax.hardware.c`.
"""

from __future__ import annotations

from typing import Any

from neurojax.converters.fuse import fuse_batch_norm


class FuseBatchNorm:
    """`fuse_batch_norm` in the form that Qualia's users know.

    Args:
        evaluate: Whether calls with an example compare what each folded layer gives with what the
            two layers gave, and raise where it differs.

    Example:
        >>> import torch
        >>> from neurojax.converters.qualia import FuseBatchNorm
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4))
        >>> fused = FuseBatchNorm().fuse(model)
        >>> fused[1], model[1].num_features
        (Identity(), 4)
    """

    def __init__(self, evaluate: bool = True) -> None:
        self.evaluate = bool(evaluate)

    def fuse(self, model: Any, *, inplace: bool = False, example_input: Any = None) -> Any:
        """The model with batch normalisation folded, in eval mode; errors as `fuse_batch_norm`.

        Args:
            model: A `torch.nn.Module`.
            inplace: Change the model itself. Else it stays as it is, and a copy is returned.
            example_input: An input, or a tuple of several, to check with.
        """
        fused = fuse_batch_norm(model, example_input if self.evaluate else None)
        if not inplace:
            return fused
        # The copy's parts in the place of the model's: whoever holds the model sees them.
        vars(model).update(vars(fused))
        return model

    def __call__(self, model: Any, example_input: Any = None) -> Any:
        """Folds in place, as Qualia's post-processing does, and returns the model."""
        return self.fuse(model, inplace=True, example_input=example_input)
