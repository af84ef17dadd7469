"""GSF: gated shift as in GSM, and learned weights per channel and frame of what came against what stayed.

What the gates take out is moved and then not added to the rest but averaged with it: the weight of a channel in
a frame comes from the spatial means of both, by a 3×3 convolution over channels and frames. At first the weights
lie around 1/2: a pre-trained network is not kept exactly, it learns back.

fraction: the share of channels that pass through it, half each way (the authors' ``gsf_ch_ratio``: by default 1/4
in ResNet-50).

What it adds, per site where G channels pass: 27 G + 2 parameters for the gates, 2 G for the normalisation, 38 for
the weights; 54 G FLOPs per position. Traffic: 2 N for the clone and about 20 N' (N, N' = the bytes of all features
and of those that pass).

Differences from the authors' code: in ResNet-50 theirs stands between conv3 and its normalisation, this one
where a shift stands. Its 3-D convolution is written as a 2-D one (``ClipConv``). Interleaving is left out, as in
``gate_shift``. An odd number of channels is rounded down, not up.
"""

import torch
from torch import Tensor, nn

from bench.strategy import as_clip

from ._family import ClipConv, ModuleBefore, from_frame


class GateShiftFuse(ModuleBefore):
    """Gated shift, and learned weights of what came against what stayed (GSF)."""

    name = "gate_shift_fuse"
    source = "Gate-Shift-Fuse, arXiv 2203.08897; github.com/swathikirans/GSF, gsf.py"

    def refuses(self, channels: int) -> str | None:
        """It needs a channel for each way."""
        taken = self.fraction == 0 or self.channels_each_way(channels)
        return None if taken else f"fraction {self.fraction:g} of {channels} is less than 2 channels"

    def module(self, channels: int, num_segments: int) -> nn.Module:
        """Two gates, the shift of what they let through, and the weights."""
        return _GateShiftFuse(self.channels_each_way(channels), num_segments)


class _GateShiftFuse(nn.Module):
    """The first ``each_way`` channels take from the next frame, as many after them from the previous one."""

    def __init__(self, each_way: int, num_segments: int) -> None:
        super().__init__()
        self.each_way, self.num_segments = each_way, num_segments
        self.norm = nn.BatchNorm2d(2 * each_way)
        self.gate = ClipConv(2 * each_way, 2, num_segments, groups=2)
        self.fuse = nn.ModuleList(nn.Conv2d(2, 1, 3, padding=1) for _ in range(2))

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape."""
        gates = torch.tanh(self.gate(torch.relu(self.norm(frames[:, : 2 * self.each_way]))))
        clip = as_clip(frames, self.num_segments)
        out = clip.clone()
        for way, gate in enumerate(as_clip(gates, self.num_segments).split(1, dim=2)):
            channels = slice(way * self.each_way, (way + 1) * self.each_way)
            part = clip[:, :, channels]
            gated = part * gate
            out[:, :, channels] = self._fused(way, from_frame(gated, -1 if way else 1), part - gated)
        return out.flatten(0, 1)

    def _fused(self, way: int, came: Tensor, stayed: Tensor) -> Tensor:
        """The weighted average of both, [N, T, each_way, H, W]."""
        means = torch.stack((came.mean((3, 4)), stayed.mean((3, 4))), dim=1)  # [N, 2, T, each_way]
        weights = torch.sigmoid(self.fuse[way](means.transpose(2, 3)))  # [N, 1, each_way, T]
        weights = weights.squeeze(1).transpose(1, 2)[..., None, None]
        return torch.lerp(stayed, came, weights.to(stayed.dtype))
