"""TDN's long-term module: differences to both neighbouring frames amplify channels and positions; then a learnable
shift.

In a sixteenth of the channels, each frame is held against the next one and against the previous one (after a 3×3
convolution of those). Each difference is seen at three scales: as it is, after a 3×3 convolution, and after one
at half the resolution. Their average, expanded, normalised and through a sigmoid, amplifies each feature by up
to one half (or damps it by as much), both ways averaged. Then each channel is convolved over three frames, which
begins as TSM's shift.

fraction: the share of channels that begins as shifted, half each way. All learn.

What it adds, per place with C channels: 2 C² / 16 + 18 (C / 16)² + 9 C / 16 parameters of convolutions, 2 C +
6 C / 16 of normalisations and 3 C of the shift; about (3 C / 8 + C / 6) FLOPs per feature, since the expansion
runs at every position, twice. Traffic: about 28 N (N = the bytes of the features), 26 N in channels_last: N to
squeeze, some 20 N for the two expansions, their normalisations, sigmoids and average, 3 N to amplify, 2 N and, in NCHW,
a copy to convolve over time.

Differences from the authors' code (Apache 2.0): their network has a short-term module too, a stem that reads
five frames around each sampled one, and leaves its first stage without the long-term one. A clip here has no
frames between, so the stem is left out, and every block takes the module, before conv2 in bottlenecks, as theirs,
and where a shift stands in other blocks. Computed as in the repository's latest version (its first one used one
difference twice); features of one pixel are not halved.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from ._family import REDUCTION, ChannelwiseConv, ModuleBefore, MotionSqueeze, difference, too_few


class TDN(ModuleBefore):
    """TDN's long-term module, differences to both neighbours, and a learnable shift; without its stem."""

    name = "tdn"
    source = "TDN, arXiv 2012.10071; github.com/MCG-NJU/TDN, ops/base_module.py"
    fractions = (0.25,)
    inside = True

    def refuses(self, channels: int) -> str | None:
        """Differences are looked at in a sixteenth of the channels."""
        return too_few(channels)

    def module(self, channels: int, num_segments: int) -> nn.Module:
        """The module, then the convolution over time."""
        shift = ChannelwiseConv(channels, num_segments, self.channels_each_way(channels))
        return nn.Sequential(_LongTerm(channels, num_segments), shift)


class _LongTerm(nn.Module):
    def __init__(self, channels: int, num_segments: int) -> None:
        super().__init__()
        few = channels // REDUCTION
        self.num_segments = num_segments
        self.motion = MotionSqueeze(channels)
        self.at_full, self.at_half = (
            nn.Sequential(nn.Conv2d(few, few, 3, padding=1, bias=False), nn.BatchNorm2d(few)) for _ in range(2)
        )
        self.expand = nn.Sequential(nn.Conv2d(few, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape."""
        here, there = self.motion(frames)
        ahead, back = (self._gate(difference(there, here, offset, self.num_segments)) for offset in (1, -1))
        return frames * (0.5 * (ahead + back) + 0.5)  # 1 + the average of both gates, each less one half

    def _gate(self, moved: Tensor) -> Tensor:
        """[N*T, C / 16, H, W] -> [N*T, C, H, W], from 0 to 1."""
        small = avg_pool2d(moved, 2) if min(moved.shape[2:]) > 1 else moved
        scales = moved + self.at_full(moved) + interpolate(self.at_half(small), moved.shape[2:])
        return torch.sigmoid(self.expand(scales / 3))
