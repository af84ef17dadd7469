"""A residual block that reads moved channels where they lie, and writes them where the next block reads them.

Every residual block ends with two passes over its output: the addition of the shortcut and the ReLU. Nothing forces
them to read and write each channel in the same frame. So the ReLU that writes a block's features places the moved
channels in the frame whose conv1 will read them, and the addition at the end of that block, for which the shortcut is
needed unshifted, reads them from there. Convolutions and normalisations are the network's own, on whole tensors.

Traffic beyond the network's own: the frames that fall off a clip's ends, 2/T of the moved channels. Exceptions, where
the moved channels are copied in their own memory (2 F for each group, F = its bytes): before a block whose shortcut
has a convolution, as that reads the features unshifted (its branch comes after, so nothing is put back); behind a block
without a ReLU (MobileNetV2); and before the first block, whose input another layer made (put back: 4 F).

Blocks hand features on as ``Handed`` to one that knows it (``PlacedBlock.hand_to``); at both ends there is one tensor.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.ops import native
from bench.ops.groups import Group, moved_groups
from bench.ops.in_place import ExchangedInPlace, FrameByFrame, ShiftedInPlace
from bench.ops.layout import is_channels_last
from bench.ops.residual import Layout
from bench.strategy import Site, Strategy, as_clip, gradients_wanted, keep

_DTYPES = (torch.float32, torch.bfloat16)  # those of the native passes


class Handed(NamedTuple):
    """Features that nobody but the block that takes them will read.

    frames: [N*T, C, H, W]; fallen: what has fallen off the clips' ends, [N, elements], where the moved channels of
    ``frames`` lie shifted; None where all lie in their own frame.
    """

    frames: Tensor
    fallen: Tensor | None


class PlacedBlock(nn.Module):
    """``block``, its features placed for their readers; its weights are the block's own, named ``block.…``.

    Where gradients are recorded it is the block with its features moved and put back around the site's layer, as
    ``in_place`` does it. Raises native.Unavailable where there are no native kernels.
    """

    def __init__(self, strategy: Strategy, block: nn.Module, site: Site, layout: Layout, num_segments: int) -> None:
        super().__init__()
        channels = layout.first.conv.in_channels
        self._mover = native.Native(FrameByFrame())
        self._layout, self._groups = layout, _groups(strategy, channels)
        self._inplace, self.num_segments = strategy.placement == "inplace", num_segments
        self._bidirectional = strategy.direction == "bidirectional"
        self._hands_on = False  # and if so, what the next block wants moved; None: all in their own frame
        self._wanted: tuple[Group, ...] | None = None
        if self._inplace:
            block = ShiftedInPlace(block, self._groups, num_segments, self._mover, restore=False)
        else:
            around = ShiftedInPlace(site.layer(block), self._groups, num_segments, self._mover, restore=True)
            site.replace(block, around)
        self.block = block
        self.train(layout.first.norm.training)

    def hand_to(self, after: nn.Module) -> None:
        """Place features for the next block of the network."""
        if isinstance(after, PlacedBlock):
            self._hands_on, self._wanted = True, after._groups if after.reads_placed else None

    @property
    def reads_placed(self) -> bool:
        """Whether nothing in it needs the features unshifted but its addition, which can read them from elsewhere."""
        return self._inplace or self._layout.matched is None

    def forward(self, features: Tensor | Handed) -> Tensor | Handed:
        """[N*T, C, H, W] -> [N*T, C', H', W'] of the block, placed for the next one if that reads it so."""
        handed = features if isinstance(features, Handed) else None
        frames = features if isinstance(features, Tensor) else features.frames
        if gradients_wanted() or self.training or frames.dtype not in _DTYPES or not frames.is_cpu:
            return self.block(self._whole(frames, handed))  # type: ignore[no-any-return]
        out = self._added(frames, handed)
        return self._given(out)

    def _whole(self, frames: Tensor, handed: Handed | None) -> Tensor:
        """The features in their own frames."""
        if handed is not None and handed.fallen is not None and self._groups:
            parts = handed.fallen.chunk(len(self._groups), dim=1)
            clip = as_clip(frames, self.num_segments)
            self._mover.restore(clip, self._groups, [part.contiguous() for part in parts])
        return frames

    def _added(self, frames: Tensor, handed: Handed | None) -> Tensor:
        """Branch and shortcut, before the ReLU."""
        layout, matched = self._layout, self._layout.matched
        if handed is None or handed.fallen is None:
            first = matched is not None and not self._inplace  # the shortcut's convolution needs them unshifted
            shortcut = matched.whole(frames) if matched is not None and first else frames
            clip = as_clip(frames, self.num_segments)
            fallen = self._mover.shift(clip, self._groups)
            out = layout.branch(frames)
            if not self._inplace and (handed is None or not first):
                self._mover.restore(clip, self._groups, fallen)
            return out.add_(shortcut if first or matched is None else matched.whole(frames))
        out = layout.branch(frames)
        if self._inplace:
            return out.add_(frames if matched is None else matched.whole(frames))
        if is_channels_last(out) != is_channels_last(frames):
            return out.add_(self._whole(frames, handed))
        native.operators().add_placed_(out, frames, handed.fallen, *self._how(self._groups))
        return out

    def _given(self, out: Tensor) -> Tensor | Handed:
        """The ReLU, in the memory of its input, and the features as the next block wants them."""
        wanted = self._wanted
        if wanted is None or not self._layout.rectified:
            if self._layout.rectified:
                out.relu_()
            fallen = None
            if wanted is not None:
                parts = self._mover.shift(as_clip(out, self.num_segments), wanted)
                fallen = torch.cat(parts, dim=1) if parts else out.new_empty(len(out) // self.num_segments, 0)
            return Handed(out, fallen) if self._hands_on else out
        return Handed(out, native.operators().relu_placed_(out, *self._how(wanted)))

    def _how(self, groups: tuple[Group, ...]) -> tuple[int, int, bool]:
        """num_segments, channels that move each way, and whether they move both ways."""
        return self.num_segments, groups[0].last if groups else 0, self._bidirectional


class StreamedBlock(nn.Module):
    """The same frame by frame: the ReLU sets the moved channels aside and leaves room for the previous frame's.

    What is remembered lies in the ``ExchangedInPlace`` of ``exchanged``, and weights keep their names. Where the block
    before hands on, the present frame's channels are never put back: the addition finds them where they were set aside.
    Raises native.Unavailable where there are no native kernels.
    """

    def __init__(self, strategy: Strategy, exchanged: nn.Module, layout: Layout) -> None:
        super().__init__()
        native.operators()
        self.block, self._layout, self._inplace = exchanged, layout, strategy.placement == "inplace"
        # in tuples, which hide them: the one's weights have names already, the other is no part of this block
        self._places = tuple(module for module in exchanged.modules() if isinstance(module, ExchangedInPlace))
        self._next: tuple[StreamedBlock, ...] = ()

    @property
    def _place(self) -> ExchangedInPlace:
        """Where the previous frame's channels are remembered."""
        return self._places[0]

    def hand_to(self, after: nn.Module) -> None:
        """Set the moved channels aside for the next block of the network."""
        if self._layout.rectified and isinstance(after, StreamedBlock) and after._place.fold:
            read_as_they_are = after._layout.matched is not None and not after._inplace  # by its shortcut
            self._next = () if read_as_they_are else (after,)

    def forward(self, features: Tensor | Handed) -> Tensor | Handed:
        """[S, C, H, W] -> those of the block; ``Handed``: with the previous frame's channels in their place."""
        handed = features if isinstance(features, Handed) else None
        frames = features if isinstance(features, Tensor) else features.frames
        slow = gradients_wanted() or self.training or frames.dtype not in _DTYPES or not frames.is_cpu
        if slow or not self._layout.rectified:
            if handed is not None:
                frames[:, : self._place.fold] = self._set_aside(frames, handed)
            return self.block(frames)  # type: ignore[no-any-return]
        out = self._added(frames) if handed is None else self._added_apart(frames, handed)
        if not self._next:
            return out.relu_()
        place = self._next[0]._place
        aside = native.operators().relu_placed_(out, 1, place.fold, False)
        if place.past is not None:  # else zeros, which it has left there
            out[:, : place.fold] = place.past
        return Handed(out, aside)

    def _added(self, frames: Tensor) -> Tensor:
        """Branch and shortcut of features that lie as they are; exchanged here, and put back."""
        matched, place = self._layout.matched, self._place
        moved, kept = frames[:, : place.fold], keep(frames, list(range(place.fold)))
        shortcut = frames if matched is None or self._inplace else matched.whole(frames)
        if place.past is None:
            moved.zero_()
        else:
            moved.copy_(place.past)
        place.past = kept
        out = self._layout.branch(frames)
        if self._inplace:
            return out.add_(frames if matched is None else matched.whole(frames))
        moved.copy_(kept)
        return out.add_(shortcut)

    def _added_apart(self, frames: Tensor, handed: Handed) -> Tensor:
        """The same where the previous frame's channels are in place already."""
        matched, place = self._layout.matched, self._place
        place.past = self._set_aside(frames, handed)
        out = self._layout.branch(frames)
        if self._inplace:
            return out.add_(frames if matched is None else matched.whole(frames))
        if is_channels_last(out) != is_channels_last(frames):
            frames[:, : place.fold] = place.past
            return out.add_(frames)
        native.operators().add_placed_(out, frames, handed.fallen, 1, place.fold, False)
        return out

    def _set_aside(self, frames: Tensor, handed: Handed) -> Tensor:
        """The present frame's moved channels, [S, K, H, W]."""
        assert handed.fallen is not None
        streams, _, height, width = frames.shape
        if is_channels_last(frames):
            return handed.fallen.view(streams, height, width, -1).permute(0, 3, 1, 2)
        return handed.fallen.view(streams, -1, height, width)


def _groups(strategy: Strategy, channels: int) -> tuple[Group, ...]:
    return moved_groups(strategy.channels_each_way(channels), strategy.direction)
