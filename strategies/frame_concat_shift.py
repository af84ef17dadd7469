"""Slices and concatenations of frames as they lie, [N*T, C, H, W]: no 5-D view, see ``bench.ops.frames``.

Traffic: 2 N for the concatenation of the groups, and 2 F for each group's own (N = the bytes of the tensor,
F = those of one group).

edges=pad is for runtimes in eight bits: one padding of all that moves, by a frame at either end, and a window of it for
each group. Quantisers move their scales through a padding with zeros and not through a concatenation with them. Clips
of a batch are kept apart as without it.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from bench.ops.frames import Group, from_neighbour, moved_groups
from bench.strategy import Parameter, ShiftBefore, Site, Strategy


class FrameConcatShift(Strategy):
    """Shift each channel group by a concatenation along the frame axis, without a 5-D view."""

    name = "frame_concat_shift"
    source = "concat_shift, written for compilers that keep four axes"
    same_function_as = "copy_shift"
    edges = Parameter("concat", ("concat", "pad"), "where the zeros at the ends of a clip come from")

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Shift before the site's layer (residual) or before the block (in-place)."""
        shifted = _ShiftPadded if self.edges == "pad" else _ShiftFrames
        if self.placement == "inplace":
            return shifted(self, block, num_segments)
        return site.replace(block, shifted(self, site.layer(block), num_segments))


class _ShiftFrames(ShiftBefore):
    """Shift frames as they lie, then run ``net``."""

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> what ``net`` makes of the shifted frames."""
        groups = moved_groups(self.strategy.channels_each_way(frames.shape[1]), self.strategy.direction)
        moved = sum(group.last - group.first for group in groups)
        shifted = self.moved(frames[:, :moved], groups)
        return self.net(torch.cat((*shifted, frames[:, moved:]), dim=1))  # type: ignore[no-any-return]

    def moved(self, frames: Tensor, groups: tuple[Group, ...]) -> list[Tensor]:
        """What ``groups``, the only channels of ``frames``, receive: a tensor for each."""
        return [from_neighbour(frames[:, group.channels], group.offset, self.num_segments) for group in groups]


class _ShiftPadded(_ShiftFrames):
    """The same with one padding, where a batch is a single clip."""

    def moved(self, frames: Tensor, groups: tuple[Group, ...]) -> list[Tensor]:
        """What ``groups``, the only channels of ``frames``, receive: a window of the padded clip for each."""
        if len(frames) != self.num_segments:
            return super().moved(frames, groups)
        padded = pad(frames, (0, 0) * 3 + (1, 1))
        windows = []
        for group in groups:
            first = 1 + group.offset
            windows.append(padded[first : first + len(frames), group.channels])
        return windows
