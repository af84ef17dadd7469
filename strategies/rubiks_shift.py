"""RubiksShift in time: every channel learns how far it moves, in parts of a frame.

Each channel has one offset. Where it lies between two frames both are interpolated linearly, so it can be learned
by gradient descent. It begins as TSM's shift: a share of the channels at one frame ahead, as many at one frame back,
the rest near zero.

fraction: the share of channels that begin at one frame, half each way. All learn.

What it adds, per site with C channels and T frames: C parameters, 2 T FLOPs per feature. Traffic: about 4 N (N =
the bytes of the features): 2 N for the product, 2 N to bring its rows back into frames.

Differences from the authors' code (MIT): the paper's shift is one in time and space, of a network in which it
stands for every spatial convolution; a residual network has those, so only the offset in time is left, as in the
1-D shift of their repository and with its start (``init_shift1d_nfold``; the noise is on all channels here). Theirs
is a kernel for CUDA, which normalises the gradients of a channel's offsets to a length of one and learns them at
a hundredth of the rate; here a matrix over the clip's frames for each channel interpolates, gradients are exact,
and the recipe is everybody's. Attention-quantised shift is left out. An offset may become any number, so it is
not causal.
"""

import torch
from torch import Tensor, nn

from bench.strategy import as_clip

from ._family import ModuleBefore, interpolation, mix_frames

_NOISE = 1e-3  # frames: at a whole one the interpolation has no derivative, and nothing would be learned


class RubiksShift(ModuleBefore):
    """Every channel learns how far it moves in time, in parts of a frame (RubiksNet's shift, in time)."""

    name = "rubiks_shift"
    source = "RubiksNet, ECCV 2020; github.com/StanfordVL/RubiksNet, rubiksnet/shiftlib/rubiks3d/layer.py"

    def module(self, channels: int, num_segments: int) -> nn.Module:
        """An offset for each channel."""
        return _LearnedOffsets(channels, num_segments, self.channels_each_way(channels))


class _LearnedOffsets(nn.Module):
    def __init__(self, channels: int, num_segments: int, each_way: int) -> None:
        super().__init__()
        self.num_segments = num_segments
        offsets = torch.empty(channels).uniform_(-_NOISE, _NOISE)
        offsets[:each_way] += 1
        offsets[each_way : 2 * each_way] -= 1
        self.offsets = nn.Parameter(offsets)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape; beyond a clip's ends there are zeros."""
        rows = interpolation(self.offsets, self.num_segments)  # [C, T, T]
        return mix_frames(as_clip(frames, self.num_segments), rows[None]).flatten(0, 1)
