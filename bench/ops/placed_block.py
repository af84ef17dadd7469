"""A residual block that reads moved channels where they lie, and writes them where the next block reads them.

Every residual block ends with two passes over its output: the addition of the shortcut and the ReLU. Nothing forces
them to read and write each channel in the same frame. So the ReLU that writes a block's features places the moved
channels in the frame whose conv1 will read them, and the addition at the end of that block, for which the shortcut is
needed unshifted, reads them from there. Convolutions and normalisations are the network's own, on whole tensors.

Traffic beyond the network's own: the frames that fall off a clip's ends, 2/T of the moved channels. Exceptions, where
the moved channels are copied in their own memory (2 F for each group, F = its bytes): before a block whose shortcut
has a convolution, as that reads the features unshifted (its branch comes after, so nothing is put back); behind a block
without a ReLU (MobileNetV2); and before the first block, whose input another layer made (put back: 4 F).

On a GPU the last normalisation, the addition and the ReLU are one launch, which places (``placed_operators``); the
copies of the exceptions are a launch each, and behind a block without a ReLU there is none.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.ops import native
from bench.ops.affine import Affine
from bench.ops.frames import Group, dense, is_channels_last
from bench.ops.in_place import ExchangedInPlace, MovesInPlace
from bench.ops.placed_operators import finish_block_, restored
from bench.ops.residual import Layers
from bench.ops.triton_moves import move_
from bench.ops.triton_operators import takes, triton_shift
from bench.strategy import as_clip, gradients_wanted, keep


class Handed(NamedTuple):
    """Features [N*T, C, H, W] that only the block which takes them will read.

    fallen: where their moved channels lie shifted, what has fallen off the clips' ends, [N, elements], on a GPU
    [N, channels, H, W]; otherwise None.
    """

    frames: Tensor
    fallen: Tensor | None


class PlacedBlock(nn.Module):
    """A block of ``layers`` with its features placed for their readers; its weights are named ``block.…``.

    wrapped: the block as ``MovesInPlace.wrap`` returns it: what runs where gradients are recorded, and where there are
    neither native kernels nor Triton's. Blocks hand features on as ``Handed`` to one that knows it; at both ends there
    is one tensor.
    """

    def __init__(self, strategy: MovesInPlace, wrapped: nn.Module, layers: Layers, num_segments: int) -> None:
        super().__init__()
        self.block, self.num_segments = wrapped, num_segments
        self._layers, self._mover = layers, strategy.mover
        self._groups = strategy.groups(layers.first.conv.in_channels)
        self._inplace, self._bidirectional = strategy.placement == "inplace", strategy.direction == "bidirectional"
        self._hands_on = False  # and if so, what the next block wants moved; None: all in their own frame
        self._wanted: tuple[Group, ...] | None = None
        self._affine = Affine(*(own for own in (layers.last, layers.projection) if own is not None))
        self.train(layers.first.norm.training)

    def hand_to(self, after: nn.Module) -> None:
        """Place features for the next block of the network."""
        if isinstance(after, PlacedBlock):
            self._hands_on, self._wanted = True, None if after._projects_unshifted else after._groups

    def forward(self, features: Tensor | Handed) -> Tensor | Handed:
        """[N*T, C, H, W] -> [N*T, C', H', W'] of the block, placed for the next one if that reads it so."""
        handed = isinstance(features, Handed)
        frames, fallen = features if isinstance(features, Handed) else (features, None)
        if self._finishes(frames):
            return self._finished(frames, fallen, handed)
        if not self._runs_natively(frames):
            return self.block(frames if fallen is None else self._restored(frames, fallen))  # type: ignore[no-any-return]
        if fallen is None:
            return self._rectified(self._added(frames, handed))
        return self._rectified(self._added_from_places(frames, fallen))

    def _runs_natively(self, frames: Tensor) -> bool:
        native_dtype = frames.dtype in (torch.float32, torch.bfloat16) and not native.why_not()
        return native_dtype and frames.is_cpu and not self.training and not gradients_wanted()

    def _finishes(self, frames: Tensor) -> bool:
        """The block ends in one launch: on a GPU, in inference."""
        return not self.training and not gradients_wanted() and takes(frames)

    def _finished(self, frames: Tensor, fallen: Tensor | None, handed: bool) -> Tensor | Handed:
        """The block on a GPU."""
        layers, moves, none = self._layers, self._moves(self._groups), (0, 0)
        projection, frames = layers.projection, dense(frames)
        shortcut = projection.conv(frames) if projection and self._projects_unshifted else frames
        read = frames
        if fallen is None and any(moves):
            if handed and shortcut is not frames:  # nobody else reads them
                move_(frames[:, : sum(moves)], self.num_segments, moves[0])
            else:
                read = triton_shift(frames, self.num_segments, *moves)
        if self._inplace:
            shortcut = projection.conv(read) if projection else read
        out = dense(layers.last.conv(layers.middle(layers.first.whole(read))))
        is_placed = fallen is not None and not self._inplace
        wanted = none if self._wanted is None else self._moves(self._wanted)
        scale, offset, *scales = self._affine()
        given = (out, scale, offset, shortcut, scales[0] if scales else None, fallen if is_placed else None)
        how = *(moves if is_placed else none), *wanted
        aside = finish_block_(*given, self.num_segments, *how, layers.rectified)
        return Handed(out, None if self._wanted is None else aside) if self._hands_on else out

    def _moves(self, groups: tuple[Group, ...]) -> tuple[int, int]:
        """How many channels hold the next frame, and how many after them the previous."""
        fold = groups[0].last if groups else 0
        return (fold if self._bidirectional else 0), fold

    @property
    def _projects_unshifted(self) -> bool:
        """Whether the shortcut's convolution reads the features unshifted: then they cannot be placed before."""
        return self._layers.projection is not None and not self._inplace

    def _restored(self, frames: Tensor, fallen: Tensor) -> Tensor:
        """Features that lie shifted, in their own frames."""
        if fallen.dim() == frames.dim():  # a GPU placed them
            return restored(frames, fallen, self.num_segments, *self._moves(self._groups))
        if self._groups:
            parts = fallen.chunk(len(self._groups), dim=1)
            self._put_back(frames, [part.contiguous() for part in parts])
        return frames

    def _added(self, frames: Tensor, handed: bool) -> Tensor:
        """Branch and shortcut, before the ReLU, of features in their own frames."""
        layers = self._layers
        shortcut = layers.shortcut(frames) if self._projects_unshifted else None
        kept = self._move(frames)
        out = layers.branch(frames)
        if not self._inplace and not (handed and shortcut is not None):
            self._put_back(frames, kept)
        return out.add_(layers.shortcut(frames) if shortcut is None else shortcut)

    def _added_from_places(self, frames: Tensor, fallen: Tensor) -> Tensor:
        """The same where the moved channels lie shifted already."""
        out = self._layers.branch(frames)
        if self._inplace:
            return out.add_(self._layers.shortcut(frames))
        if is_channels_last(out) != is_channels_last(frames):
            return out.add_(self._restored(frames, fallen))
        native.operators().add_placed_(out, frames, fallen, *self._how(self._groups))
        return out

    def _rectified(self, out: Tensor) -> Tensor | Handed:
        """The ReLU, in the memory of its input, and the features as the next block wants them."""
        wanted, fallen = self._wanted, None
        if wanted is not None and self._layers.rectified:
            return Handed(out, native.operators().relu_placed_(out, *self._how(wanted)))
        if self._layers.rectified:
            out.relu_()
        if wanted is not None:
            parts = self._mover.shift(as_clip(out, self.num_segments), wanted)
            fallen = torch.cat(parts, dim=1) if parts else out.new_empty(len(out) // self.num_segments, 0)
        return Handed(out, fallen) if self._hands_on else out

    def _how(self, groups: tuple[Group, ...]) -> tuple[int, int, bool]:
        """num_segments, channels that move each way, and whether they move both ways."""
        return self.num_segments, groups[0].last if groups else 0, self._bidirectional

    def _move(self, frames: Tensor) -> Any:
        """Shift the frames in their own memory; what ``_put_back`` needs."""
        return self._mover.shift(as_clip(frames, self.num_segments), self._groups)

    def _put_back(self, frames: Tensor, kept: Any) -> None:
        self._mover.restore(as_clip(frames, self.num_segments), self._groups, kept)


class StreamedBlock(PlacedBlock):
    """The same frame by frame: the ReLU sets the moved channels aside and leaves room for the previous frame's.

    exchanged: the block as ``MovesInPlace.online`` returns it, whose ``ExchangedInPlace`` holds what is remembered.
    The addition finds the present frame's channels where they were set aside; they are never put back.
    """

    def __init__(self, strategy: MovesInPlace, exchanged: nn.Module, layers: Layers) -> None:
        super().__init__(strategy, exchanged, layers, num_segments=1)
        # in tuples, which hide them: the one's weights have names already, the other is no part of this block
        self._memory = tuple(module for module in exchanged.modules() if isinstance(module, ExchangedInPlace))
        self._next: tuple[StreamedBlock, ...] = ()

    def hand_to(self, after: nn.Module) -> None:
        """Set the moved channels aside for the next block of the network."""
        able = isinstance(after, StreamedBlock) and after._groups and not after._projects_unshifted
        if able and self._layers.rectified:
            super().hand_to(after)
            self._next = (after,)  # type: ignore[assignment]

    def _finishes(self, frames: Tensor) -> bool:
        return False

    def _runs_natively(self, frames: Tensor) -> bool:
        return self._layers.rectified and super()._runs_natively(frames)

    def _restored(self, frames: Tensor, fallen: Tensor) -> Tensor:
        self._put_back(frames, self._set_aside(frames, fallen))
        return frames

    def _added_from_places(self, frames: Tensor, fallen: Tensor) -> Tensor:
        self._memory[0].past = self._set_aside(frames, fallen)
        return super()._added_from_places(frames, fallen)

    def _rectified(self, out: Tensor) -> Tensor | Handed:
        handed = super()._rectified(out)
        if self._next and (past := self._next[0]._memory[0].past) is not None:  # else zeros: the ReLU has left them
            out[:, : past.shape[1]] = past
        return handed

    def _move(self, frames: Tensor) -> Any:
        memory = self._memory[0]
        moved, kept = frames[:, : memory.fold], keep(frames, list(range(memory.fold)))
        if memory.past is None:
            moved.zero_()
        else:
            moved.copy_(memory.past)
        memory.past = kept
        return kept

    def _put_back(self, frames: Tensor, kept: Any) -> None:
        frames[:, : kept.shape[1]] = kept

    def _set_aside(self, frames: Tensor, fallen: Tensor) -> Tensor:
        """The present frame's moved channels, [S, K, H, W]."""
        streams, _, height, width = frames.shape
        if is_channels_last(frames):
            return fallen.view(streams, height, width, -1).permute(0, 3, 1, 2)
        return fallen.view(streams, -1, height, width)
