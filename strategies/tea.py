"""TEA's motion excitation before a channel-wise temporal convolution, without its Res2Net cascade.

In a sixteenth of the channels, each frame is held against the next one (after a 3×3 convolution of that): the
spatial mean of the difference, expanded and through a sigmoid, says which channels have to do with motion, and
these are amplified by up to one half (or damped by as much). Then each channel is convolved over three frames.

fraction: the share of channels that begins as shifted, half each way: the last quarter, as in the authors'
code. All learn.

What it adds, per place with C channels: 2 C² / 16 + 9 C / 16 parameters of motion excitation, 2 C + C / 8 of its
normalisations, 3 C of the convolution; about (C / 8 + 8) FLOPs per feature. Traffic: about 8 N (N = the bytes of
the features), 6 N in channels_last: N to squeeze, 3 N to amplify, 2 N and, in NCHW, a copy to convolve over time.

Differences from the authors' code: there, multiple temporal aggregation takes the place of conv2: a cascade of
four fragments, of which three have a 3×3 convolution of their own, with weights from a pre-trained Res2Net. A
bottleneck as it is has one 3×3 convolution, whose pre-trained weights do not fit, so of the aggregation only the
temporal convolutions are here, and a stack of blocks enlarges the window. Motion excitation is the authors'. It
stands before conv2 in bottlenecks, as theirs, and where a shift stands in other blocks.
"""

import torch
from torch import Tensor, nn

from ._family import REDUCTION, ChannelwiseConv, ModuleBefore, MotionSqueeze, difference, too_few


class TEA(ModuleBefore):
    """TEA's motion excitation and its channel-wise temporal convolutions, without the Res2Net cascade."""

    name = "tea"
    source = "TEA, arXiv 2004.01398; github.com/Phoenix1327/tea-action-recognition, ops/tea50_8f.py"
    fractions = (0.25,)
    inside = True

    def refuses(self, channels: int) -> str | None:
        """Motion is looked for in a sixteenth of the channels."""
        return too_few(channels)

    def module(self, channels: int, num_segments: int) -> nn.Module:
        """Motion excitation, then the convolution over time."""
        each_way = self.channels_each_way(channels)
        time = ChannelwiseConv(channels, num_segments, each_way, first=channels - 2 * each_way)
        return nn.Sequential(_MotionExcitation(channels, num_segments), time)


class _MotionExcitation(nn.Module):
    def __init__(self, channels: int, num_segments: int) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.motion = MotionSqueeze(channels)
        self.expand = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape."""
        here, there = self.motion(frames)
        moved = difference(there, here, 1, self.num_segments).mean((2, 3), keepdim=True)
        return frames * (torch.sigmoid(self.norm(self.expand(moved))) + 0.5)
