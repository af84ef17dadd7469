"""Gather frames by index, with one frame of zeros for those that have no neighbour.

The shift is a permutation of frames for each channel group; a gather along the outermost axis copies whole frames, and
the indices are constants of the graph. Traffic: 2 N for the concatenation, and 4 F for each group: one copy to append
the zero frame, one to gather (N = the bytes of the tensor, F = those of one group).
"""

import torch
from torch import Tensor, nn

from bench.strategy import ShiftBefore, Site, Strategy


class GatherShift(Strategy):
    """Gather each channel group's frames by index, a frame of zeros among them."""

    name = "gather_shift"
    same_function_as = "copy_shift"

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Shift before the site's layer (residual) or before the block (in-place)."""
        if self.placement == "inplace":
            return _GatherFrames(self, block, num_segments)
        return site.replace(block, _GatherFrames(self, site.layer(block), num_segments))


class _GatherFrames(ShiftBefore):
    """Gather frames, then run ``net``."""

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> what ``net`` makes of the shifted frames."""
        fold, groups = self.strategy.channels_each_way(frames.shape[1]), []
        rest = frames
        if self.strategy.direction == "bidirectional":
            groups.append(self._neighbours(frames[:, :fold], 1))
            rest = frames[:, fold:]
        groups.append(self._neighbours(rest[:, :fold], -1))
        return self.net(torch.cat((*groups, rest[:, fold:]), dim=1))  # type: ignore[no-any-return]

    def _neighbours(self, group: Tensor, step: int) -> Tensor:
        """Each frame's neighbour ``step`` frames on; index N*T stands for the frame of zeros."""
        count = group.shape[0]
        frame = torch.arange(count, device=group.device)
        wanted = frame % self.num_segments + step
        inside = (wanted >= 0) & (wanted < self.num_segments)
        with_blank = torch.cat((group, group.new_zeros(1, *group.shape[1:])))
        return with_blank.index_select(0, torch.where(inside, frame + step, count))
