"""Batch normalisation in evaluation: a scale and an offset of channels, for kernels that apply them on their way."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Affine:
    """Scale and offset, in fp32, of normalisations whose results are added up; worked out anew where they changed."""

    def __init__(self, *norms: nn.BatchNorm2d) -> None:
        self._norms = norms
        self._known: tuple[tuple[object, ...], list[Tensor]] | None = None

    def __call__(self) -> list[Tensor]:
        """The first one's scale, the sum of all offsets, and the scales of the others; [C] each."""
        if torch.compiler.is_compiling():  # it folds them itself
            return _affine(self._norms)
        held = [tensor for norm in self._norms for tensor in (*norm.parameters(), *norm.buffers())]
        state = tuple((own.data_ptr(), own.dtype, None if own.is_inference() else own._version) for own in held)
        if self._known is None or self._known[0] != state:
            self._known = state, _affine(self._norms)
        return self._known[1]


def _affine(norms: Sequence[nn.BatchNorm2d]) -> list[Tensor]:
    scales: list[Tensor] = []
    offset = None
    for norm in norms:
        assert norm.running_mean is not None and norm.running_var is not None, "it keeps running statistics"
        scales.append(norm.weight.float() * torch.rsqrt(norm.running_var.float() + norm.eps))
        own = norm.bias.float() - norm.running_mean.float() * scales[-1]
        offset = own if offset is None else offset + own
    assert offset is not None
    return [scales[0], offset, *scales[1:]]
