"""Batch normalisation in evaluation: a scale and an offset of channels, for kernels that apply them on their way."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.ops.residual import Normed


class Affine:
    """Scale and offset, in fp32, of layers whose results are added up; worked out anew where they changed."""

    def __init__(self, *layers: Normed) -> None:
        self._layers = layers
        self._known: tuple[tuple[object, ...], list[Tensor]] | None = None

    def __call__(self) -> list[Tensor]:
        """The first one's scale, the sum of all offsets, and the scales of the others; [C] each."""
        if torch.compiler.is_compiling():  # it folds them itself
            return _affine(self._layers)
        held = [layer.conv.weight for layer in self._layers]
        held += [tensor for layer in self._layers for tensor in (*layer.norm.parameters(), *layer.norm.buffers())]
        state = tuple((own.data_ptr(), own.dtype, None if own.is_inference() else own._version) for own in held)
        if self._known is None or self._known[0] != state:
            self._known = state, _affine(self._layers)
        return self._known[1]


def _affine(layers: Sequence[Normed]) -> list[Tensor]:
    first, *others = map(_of_one, layers)
    return [first[0], sum((own[1] for own in others), start=first[1]), *(own[0] for own in others)]


def _of_one(layer: Normed) -> tuple[Tensor, Tensor]:
    """(scale, offset) of its normalisation; the bias of its convolution is not in them."""
    norm = layer.norm
    if isinstance(norm, nn.Identity):
        ones = torch.ones(layer.conv.out_channels, device=layer.conv.weight.device)
        return ones, torch.zeros_like(ones)
    assert norm.running_mean is not None and norm.running_var is not None, "it keeps running statistics"
    scale = norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps)
    return scale, norm.bias.float() - norm.running_mean.float() * scale
