"""A source's frame -> what a network reads: as many channels, its size, its normalisation."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

_MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]  # ImageNet's, as networks that are trained on it expect
_DEVIATION = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
_GREY = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # ITU-R BT.601

Prepare = Callable[[Tensor], Tensor]


def prepare_for(channels: int, size: int) -> Prepare:
    """[1 or 3, H, W] from 0 to 1 -> [1, channels, size, size]: the largest middle square, resized.

    channels: 1, grey as it is, for the digits; 3, normalised with ImageNet's mean and deviation.
    """

    def prepare(pixels: Tensor) -> Tensor:
        if channels == 1 and len(pixels) == 3:
            pixels = (pixels * _GREY).sum(dim=0, keepdim=True)
        elif channels == 3:
            pixels = (pixels.expand(3, -1, -1) - _MEAN) / _DEVIATION
        height, width = pixels.shape[1:]
        edge = min(height, width)
        top, left = (height - edge) // 2, (width - edge) // 2
        square = pixels[None, :, top : top + edge, left : left + edge]
        if edge == size:
            return square.contiguous()
        return interpolate(square, size=(size, size), mode="bilinear", antialias=edge > size, align_corners=False)

    return prepare
