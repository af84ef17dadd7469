"""ACTION-Net: a learnable shift, and three excitations: of positions, of channels, and of moving channels.

Each channel is first convolved over three frames, which begins as TSM's shift. What comes out is weighted by the
sum of three gates, each 1 + a sigmoid: of each position and frame (a 3×3×3 convolution of the mean over channels),
of each channel and frame (the spatial means through a convolution over time), and of channels that move (differences
of neighbouring frames, as in TEA). At first all is therefore about 4.5 times as large, and the normalisation after
the layer has to learn that.

fraction: the share of channels that begins as shifted, half each way. All learn.

What it adds, per site with C channels: 3 C parameters of the shift, 27 + 4 C² / 16 + 3 (C / 16)² + 11 C / 16 of
the excitations; about (C / 8 + 8) FLOPs per feature. Traffic: about 12 N (N = the bytes of the features), 10 N in
channels_last: 2 N and, in NCHW, a copy to convolve over time, N for each of two means and for squeezing, 5 N for the
gates and for weighing with them.

Differences from the authors' code: none in what is computed; the three products are one, with the sum of the gates,
and the 3-D convolution is written as a 2-D one (``ClipConv``).
"""

import torch
from torch import Tensor, nn

from bench.strategy import as_clip

from ._family import REDUCTION, ChannelwiseConv, ClipConv, ModuleBefore, MotionSqueeze, difference, too_few


class ActionNet(ModuleBefore):
    """A learnable shift, and excitations of positions, channels and motion (ACTION-Net)."""

    name = "action_net"
    source = "ACTION-Net, arXiv 2103.07372; github.com/V-Sense/ACTION-Net, models/action.py"
    fractions = (0.25,)

    def refuses(self, channels: int) -> str | None:
        """Two excitations work on a sixteenth of the channels."""
        return too_few(channels)

    def module(self, channels: int, num_segments: int) -> nn.Module:
        """The shift, then the excitations."""
        shift = ChannelwiseConv(channels, num_segments, self.channels_each_way(channels))
        return nn.Sequential(shift, _Excitations(channels, num_segments))


class _Excitations(nn.Module):
    def __init__(self, channels: int, num_segments: int) -> None:
        super().__init__()
        few = channels // REDUCTION
        self.num_segments = num_segments
        self.position = ClipConv(1, 1, num_segments, bias=False)
        self.squeeze = nn.Conv2d(channels, few, 1, bias=False)
        self.time = nn.Conv1d(few, few, 3, padding=1, bias=False)
        self.expand = nn.Conv2d(few, channels, 1, bias=False)
        self.motion = MotionSqueeze(channels)
        self.expand_motion = nn.Conv2d(few, channels, 1, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape."""
        position = torch.sigmoid(self.position(frames.mean(1, keepdim=True)))
        of_channels = torch.sigmoid(self.expand(self._over_time(self.squeeze(frames.mean((2, 3), keepdim=True)))))
        here, there = self.motion(frames)
        moved = difference(there, here, 1, self.num_segments).mean((2, 3), keepdim=True)
        of_motion = torch.sigmoid(self.expand_motion(moved))
        return frames * (position + (of_channels + of_motion + 3))

    def _over_time(self, means: Tensor) -> Tensor:
        """[N*T, C / 16, 1, 1] -> the same shape, convolved over time and rectified."""
        clip = as_clip(means.flatten(1), self.num_segments).transpose(1, 2)
        return torch.relu(self.time(clip)).transpose(1, 2).flatten(0, 1)[..., None, None]
