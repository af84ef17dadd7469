"""TIN, temporal interlacing: each clip says how far its channels move in time, and how much each frame counts.

The channels that take part are four groups. From the spatial means a small branch computes two offsets of less than
two frames: the first two groups move forward by them, the other two backward. Between frames it is interpolated
linearly. A second branch weighs every frame of a group, with up to 2. Offsets begin around half a frame, weights
around 1: a pre-trained network is not kept exactly.

fraction: the share of channels that move (the authors' 1 / ``shift_div``: 1/4 in their scripts).

What it adds, per site where G channels take part, T frames: 9 G + 3 parameters of convolutions and T² + 3 T + 2
of linear layers; 2 T FLOPs per feature that takes part. Traffic: five times the share of N that takes part, for the
means, mixing and putting back, and 2 N for all features to stand side by side again (N = their bytes); at 1/4 that is
3.3 N, and 5.8 N in channels_last, which the product leaves and has to be brought back to.

Differences from the authors' code: theirs copies frames twice by a kernel that exists for CUDA only, and interpolates;
here the interpolation is a matrix over the clip's frames for each group, which takes the weights too, and one matrix
product moves everything. The count is rounded down to a multiple of four; theirs fails there. Offsets are a clip's,
not a channel's, so it reads the whole clip: it is not causal.
"""

import torch
from torch import Tensor, nn

from bench.strategy import as_clip

from ._family import ModuleBefore, interpolation, mix_frames

_GROUPS = 4  # two forward, two backward by the same offsets
_FARTHEST = 2.0  # frames
_FIRST = 0.5108  # the bias before the sigmoid: offsets begin at half a frame


class TIN(ModuleBefore):
    """Offsets in time that each clip computes for itself, and weights of its frames (temporal interlacing)."""

    name = "tin"
    source = "Temporal Interlacing Network, arXiv 2001.06499; github.com/deepcs233/TIN, ops/temporal_interlace.py"

    def refuses(self, channels: int) -> str | None:
        """It needs a channel for each of its groups."""
        taken = self.fraction == 0 or self._moved(channels)
        return None if taken else f"fraction {self.fraction:g} of {channels} is less than {_GROUPS} channels"

    def module(self, channels: int, num_segments: int) -> nn.Module:
        """Both branches, and the mixing."""
        return _Interlace(self._moved(channels), num_segments)

    def _moved(self, channels: int) -> int:
        return 2 * self.channels_each_way(channels) // _GROUPS * _GROUPS


class _Interlace(nn.Module):
    """The first ``moved`` channels, a multiple of four, take part."""

    def __init__(self, moved: int, num_segments: int) -> None:
        super().__init__()
        self.moved, self.num_segments = moved, num_segments
        self.squeeze = nn.Conv1d(moved, 1, 3, padding=1)
        self.offset = nn.Sequential(
            nn.Linear(num_segments, num_segments), nn.ReLU(), nn.Linear(num_segments, _GROUPS // 2)
        )
        self.importance = nn.Conv1d(moved, _GROUPS // 2, 3, padding=1)
        last, bias = self.offset[-1].bias, self.importance.bias
        assert isinstance(last, Tensor) and bias is not None
        nn.init.constant_(last, _FIRST)
        nn.init.zeros_(bias)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape; beyond a clip's ends there are zeros."""
        clip = as_clip(frames[:, : self.moved], self.num_segments)
        means = clip.mean((3, 4)).transpose(1, 2)  # [N, moved, T]
        offset = 2 * _FARTHEST * (torch.sigmoid(self.offset(self.squeeze(means).squeeze(1))) - 0.5)  # [N, 2]
        weight = 2 * torch.sigmoid(self.importance(means))  # [N, 2, T]
        forward = torch.cat((offset, -offset), dim=1)  # [N, 4]: a group that moves forward takes from earlier frames
        rows = interpolation(-forward, self.num_segments) * weight.repeat(1, 2, 1)[..., None]  # [N, 4, T, T]
        mixed = mix_frames(clip, rows).flatten(0, 1)
        return torch.cat((mixed, frames[:, self.moved :]), dim=1)
