"""A residual block whose features stay in parts: each group of channels that moves together is a tensor of its own.

A shift written on one tensor has to slice channels out and put them together again. Runtimes keep features in blocks
of 8 or 16 channels, and every such slice unpacks what it touches. Here nobody slices: the layer that writes the
features is split by output channels, the one that reads them by input channels, and a part that moves is moved along
the frame axis, whole. The arithmetic is the same, in more and smaller convolutions, whose sums runtimes fuse into them
as they do with the shortcut's.

Traffic beyond the network's own: 2 F for each part that moves (F = its bytes) to write it anew beside the frames that
the shortcut keeps, and the sums where a runtime does not fuse them.

Two blocks that follow each other hand parts on as a tuple (``PartedBlock.hand_to``); at both ends there is one tensor.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.ops.frame_axis import from_next_frame, from_previous_frame
from bench.ops.groups import Group, moved_groups
from bench.ops.residual import Layout, Normed
from bench.strategy import Strategy

Frames = Tensor | tuple[Tensor, ...]
"""Features [N*T, C, H, W], whole or in parts of their channels."""


class PartedBlock(nn.Module):
    """``block`` with its features in parts; its weights are the block's own, under the block's names after ``block.``.

    In training it is the block itself, its input shifted in one tensor: the normalisations take their statistics there.
    """

    def __init__(self, strategy: Strategy, block: nn.Module, layout: Layout, num_segments: int) -> None:
        super().__init__()
        self.block, self.num_segments = block, num_segments
        self._strategy, self._layout = strategy, layout
        self._hands_on = False
        self.train(block.training)

    def hand_to(self, after: nn.Module) -> None:
        """Hand the parts on as they are where the next block of the network reads parts."""
        self._hands_on = isinstance(after, PartedBlock)

    def forward(self, frames: Frames) -> Frames:
        """[N*T, C, H, W], whole or in parts, -> [N*T, C', H', W'] of the block; in parts if the next one takes them."""
        if self.training:
            return self._trained(frames if isinstance(frames, Tensor) else torch.cat(frames, dim=1))
        layout = self._layout
        groups = self._groups(layout.first.conv.in_channels)
        parts = frames if isinstance(frames, tuple) else tuple(frames[:, group.channels] for group in groups)
        shifted = tuple(map(self._moved, parts, groups))
        if self._strategy.placement == "inplace":
            frames = parts = shifted
        branch = layout.middle(_sum_over(layout.first, shifted, groups))
        weight, bias = layout.last.folded()
        if not self._hands_on:
            return layout.final(layout.last.apply(branch, weight, bias) + self._shortcut(frames, groups))
        rows = [group.channels for group in self._groups(layout.last.conv.out_channels)]
        shortcuts = [self._shortcut(frames, groups, own) for own in rows] if layout.matched else parts
        written = [layout.last.apply(branch, weight[own], bias[own]) for own in rows]
        return tuple(layout.final(part + shortcut) for part, shortcut in zip(written, shortcuts, strict=True))

    def _trained(self, frames: Tensor) -> Tensor:
        layout, groups = self._layout, self._groups(frames.shape[1])
        moved = torch.cat([self._moved(frames[:, group.channels], group) for group in groups], dim=1)
        kept = moved if self._strategy.placement == "inplace" else frames
        shortcut = kept if layout.matched is None else layout.matched.whole(kept)
        return layout.final(layout.last.whole(layout.middle(layout.first.whole(moved))) + shortcut)

    def _shortcut(self, frames: Frames, groups: Sequence[Group], rows: slice = slice(None)) -> Tensor:
        """What is added to the branch, in one tensor; of its channels those in ``rows``."""
        matched = self._layout.matched
        if matched is None:
            return frames if isinstance(frames, Tensor) else torch.cat(frames, dim=1)
        if isinstance(frames, tuple):
            return _sum_over(matched, frames, groups, rows)
        weight, bias = matched.folded()
        return matched.apply(frames, weight[rows], bias[rows])

    def _moved(self, part: Tensor, group: Group) -> Tensor:
        if group.offset == 0:
            return part
        return (from_next_frame if group.offset > 0 else from_previous_frame)(part, self.num_segments)

    def _groups(self, channels: int) -> list[Group]:
        """The channels of each part, in order: those that move, then those that stay (offset 0) if there are any."""
        groups = list(moved_groups(self._strategy.channels_each_way(channels), self._strategy.direction))
        moved = groups[-1].last if groups else 0
        return groups if moved == channels else [*groups, Group(moved, channels, 0)]


def _sum_over(layer: Normed, parts: Sequence[Tensor], groups: Sequence[Group], rows: slice = slice(None)) -> Tensor:
    """``layer``, some of its output channels, over features in parts: a convolution of each, the last part's first."""
    weight, bias = layer.folded()
    (part, group), *others = zip(parts[::-1], groups[::-1], strict=True)
    out = layer.apply(part, weight[rows, group.channels], bias[rows])
    for part, group in others:
        out = layer.apply(part, weight[rows, group.channels], None) + out
    return out
