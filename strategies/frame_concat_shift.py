"""Slices and concatenations of frames as they lie, [N*T, C, H, W]: no 5-D view, see ``bench.ops.frames``.

Traffic: 2 N for the concatenation of the groups, and 2 F for each group's own (N = the bytes of the tensor,
F = those of one group).
"""

import torch
from torch import Tensor, nn

from bench.ops.frames import from_neighbour
from bench.strategy import ShiftBefore, Site, Strategy


class FrameConcatShift(Strategy):
    """Shift each channel group by a concatenation along the frame axis, without a 5-D view."""

    name = "frame_concat_shift"
    source = "concat_shift, written for compilers that keep four axes"
    same_function_as = "copy_shift"

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Shift before the site's layer (residual) or before the block (in-place)."""
        if self.placement == "inplace":
            return _ShiftFrames(self, block, num_segments)
        return site.replace(block, _ShiftFrames(self, site.layer(block), num_segments))


class _ShiftFrames(ShiftBefore):
    """Shift frames as they lie, then run ``net``."""

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> what ``net`` makes of the shifted frames."""
        fold, groups = self.strategy.channels_each_way(frames.shape[1]), []
        rest = frames
        if self.strategy.direction == "bidirectional":
            groups.append(from_neighbour(frames[:, :fold], 1, self.num_segments))
            rest = frames[:, fold:]
        groups.append(from_neighbour(rest[:, :fold], -1, self.num_segments))
        return self.net(torch.cat((*groups, rest[:, fold:]), dim=1))  # type: ignore[no-any-return]
