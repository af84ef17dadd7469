"""GSM: a learned gate says, for each position, how much of a feature moves to the neighbouring frame.

The channels are halved. Of each half a gate between -1 and 1, from a 3×3×3 convolution of the normalised features,
takes a part out of its frame and adds it to the previous frame (first half, which receives from the next one)
or to the next frame (second half). Gates begin at zero, so a pre-trained network is kept at first.

What it adds, per site with C channels: 27 C + 2 parameters for the gates and 2 C for the normalisation; 54 C FLOPs
per position. Traffic: about 18 N (N = the bytes of the features): 2 N each for normalising, rectifying and cloning,
N for the gates, the rest to weigh, to take out and to add.

Differences from the authors' code (BSD 2-Clause): it stands where a shift stands; theirs is in branches of
Inception. Its 3-D convolution is written as a 2-D one (``ClipConv``). They interleave the channels of each half
afterwards, a fixed permutation, which would scramble what a pre-trained layer behind it reads: left out. For an
odd number of channels the last one stays as it is.
"""

import torch
from torch import Tensor, nn

from bench.strategy import as_clip

from ._family import ClipConv, ModuleBefore, too_few


class GateShift(ModuleBefore):
    """Learned gates say how much of each feature moves to the neighbouring frame (GSM)."""

    name = "gate_shift"
    source = "Gate-Shift Networks, arXiv 1912.00381; github.com/swathikirans/GSM, gsm.py"
    fractions = (1.0,)  # half of the channels each way

    def refuses(self, channels: int) -> str | None:
        """It needs a channel for each way."""
        return too_few(channels, 2)

    def module(self, channels: int, num_segments: int) -> nn.Module:
        """Two gates, and the shift of what they let through."""
        return _GateShift(self.channels_each_way(channels), num_segments)


class _GateShift(nn.Module):
    """The first ``each_way`` channels take from the next frame, as many after them from the previous one."""

    def __init__(self, each_way: int, num_segments: int) -> None:
        super().__init__()
        self.each_way, self.num_segments = each_way, num_segments
        self.norm = nn.BatchNorm2d(2 * each_way)
        self.gate = ClipConv(2 * each_way, 2, num_segments, groups=2)
        for parameter in self.gate.parameters():
            nn.init.zeros_(parameter)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape."""
        gates = torch.tanh(self.gate(torch.relu(self.norm(frames[:, : 2 * self.each_way]))))
        gate_next, gate_previous = as_clip(gates, self.num_segments).split(1, dim=2)  # [N, T, 1, H, W] each
        clip = as_clip(frames, self.num_segments)
        out = clip.clone()
        first, second = (slice(way * self.each_way, (way + 1) * self.each_way) for way in range(2))
        gated = clip[:, :, first] * gate_next
        out[:, :, first] -= gated
        out[:, :-1, first] += gated[:, 1:]
        gated = clip[:, :, second] * gate_previous
        out[:, :, second] -= gated
        out[:, 1:, second] += gated[:, :-1]
        return out.flatten(0, 1)
