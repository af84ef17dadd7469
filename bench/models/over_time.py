"""Convolutions over time that read frames as 2-D networks hold them: [N*T, C, H, W] in, [N*T, C', H', W'] out.

They take the place of 2-D convolutions, and everything else of the network stays 2-D. That is no approximation: a
BatchNorm over [N*T, C, H, W] takes the same statistics as one over [N, C, T, H, W], a 1×1 convolution of frames is a
1×1×1 convolution of clips. Nothing is strided in time, and beyond a clip's ends there are zeros.

In the accuracy experiment they start out as the function that they replace: in a 3×3×3 kernel the weight of the present
frame is the 2-D one and those of its neighbours are zero; a 3×1×1 convolution is the identity.
"""

import torch
from torch import Tensor, nn

from bench.strategy import as_clip


class VolumeConv(nn.Conv3d):
    """A k×h×w convolution in place of the h×w one ``flat``, k odd; its weight, [O, I, k, h, w], keeps its name."""

    def __init__(self, flat: nn.Conv2d, num_segments: int, taps: int = 3) -> None:
        super().__init__(
            flat.in_channels,
            flat.out_channels,
            (taps, *flat.kernel_size),  # type: ignore[arg-type]
            (1, *flat.stride),  # type: ignore[arg-type]
            (taps // 2, *flat.padding),
            bias=False,
        )
        self.num_segments = num_segments
        self.inflate(flat.weight)

    def inflate(self, flat: Tensor) -> None:
        """Compute what the 2-D ``flat`` [O, I, h, w] computes: it goes to the present frame, zeros to the others."""
        with torch.no_grad():
            self.weight.zero_()
            self.weight[:, :, self.kernel_size[0] // 2] = flat

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H', W']."""
        clip = as_clip(frames, self.num_segments).transpose(1, 2)
        return super().forward(clip).transpose(1, 2).flatten(0, 1)


class OverTime(nn.Conv2d):
    """A 3×1×1 convolution over all channels, at first the identity where it keeps their number.

    It runs as a 3×1 convolution of [N, C, T, H*W], which is a view. The same kernel as a 3-D one would take PyTorch's
    slow path on a CPU (``slow_conv3d``: fp32, one thread or batch 1), up to three times as long.
    """

    def __init__(self, in_channels: int, out_channels: int, num_segments: int) -> None:
        super().__init__(in_channels, out_channels, (3, 1), padding=(1, 0), bias=False)
        self.num_segments = num_segments
        self.become_identity()

    def become_identity(self) -> None:
        """Every channel's present frame, and nothing else."""
        nn.init.dirac_(self.weight)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H, W]."""
        clip = as_clip(frames, self.num_segments).transpose(1, 2)
        mixed = super().forward(clip.flatten(3))
        return mixed.unflatten(3, frames.shape[2:]).transpose(1, 2).flatten(0, 1)  # type: ignore[no-any-return]


class SpaceThenTime(nn.Conv2d):
    """The 3×3 convolution ``flat`` followed by a 3×1×1 one of the same width.

    Unlike R(2+1)D (Tran et al., arXiv 1711.11248) it has no BatchNorm and ReLU between the two, so that it can start as
    the 2-D network, and no width chosen to match the parameters of 3×3×3. The first weight keeps the 2-D one's name.
    """

    def __init__(self, flat: nn.Conv2d, num_segments: int) -> None:
        super().__init__(flat.in_channels, flat.out_channels, 3, flat.stride, padding=1, bias=False)  # type: ignore[arg-type]
        self.time = OverTime(flat.out_channels, flat.out_channels, num_segments)
        with torch.no_grad():
            self.weight.copy_(flat.weight)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H', W']."""
        return self.time(super().forward(frames))  # type: ignore[no-any-return]
