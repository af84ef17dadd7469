"""A residual block that reads moved channels where they lie, and writes them where the next block reads them.

Every residual block ends with three passes over its output: normalisation, addition of the shortcut and ReLU. Nothing
forces them to read and write each channel in the same frame, nor to be three. So they are one pass here: it places the
moved channels of a block's features in the frame whose conv1 will read them, and finds those of the shortcut, which is
needed unshifted, in the frame where they lie (``placed_operators``). All else is the network's own, on whole tensors.

Traffic beyond the network's own: the frames that fall off a clip's ends, 2/T of the moved channels. Exceptions, where
the moved channels are moved in their own memory (2 F for each group, F = its bytes): before a block whose shortcut
has a convolution, as that reads the features unshifted (its branch comes after, so nothing is put back); and before the
first block, whose input another layer made (put back: 4 F; on a GPU copied). Against that stands what the two passes
saved, so its own fraction 0 tells what moving costs, and the plain network what the mechanism costs.
"""

from typing import Any, NamedTuple

from torch import Tensor, nn

from bench.ops.affine import Affine
from bench.ops.frames import Group, dense
from bench.ops.in_place import ExchangedInPlace, MovesInPlace
from bench.ops.placed_operators import finish, finishes_natively, restored
from bench.ops.residual import Layers
from bench.ops.triton_moves import move_
from bench.ops.triton_operators import takes, triton_shift
from bench.strategy import as_clip, gradients_wanted, keep


class Handed(NamedTuple):
    """Features [N*T, C, H, W] that only the block which takes them will read.

    fallen: where their moved channels lie shifted, what has fallen off the clips' ends, [N, channels, H, W]; otherwise
    None.
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
        if not self._places(frames):
            return self.block(frames if fallen is None else self._restored(frames, fallen))  # type: ignore[no-any-return]
        return self._placed(dense(frames), fallen, handed)

    def _places(self, frames: Tensor) -> bool:
        """The block ends in one pass: in inference, where there are kernels."""
        return not self.training and not gradients_wanted() and (takes(frames) or finishes_natively(frames))

    def _placed(self, frames: Tensor, fallen: Tensor | None, handed: bool) -> Tensor | Handed:
        layers, moves, none = self._layers, self._moves(self._groups), (0, 0)
        projection = layers.projection
        shortcut = projection.conv(frames) if projection and self._projects_unshifted else frames
        read, kept = frames, None
        alone = handed and shortcut is not frames  # nobody else reads them
        if fallen is None and any(moves):
            if not takes(frames):
                kept = self._move(frames)
            elif alone:
                move_(frames[:, : sum(moves)], self.num_segments, moves[0])
            else:
                read = triton_shift(frames, self.num_segments, *moves)
        if self._inplace:
            shortcut = projection.conv(read) if projection else read
        out = dense(layers.last.conv(layers.middle(layers.first.whole(read))))
        if kept is not None and not self._inplace and not alone:
            self._put_back(frames, kept)
        held = fallen if fallen is not None and not self._inplace else None
        wanted = none if self._wanted is None else self._moves(self._wanted)
        scale, offset, *scales = self._affine()
        given = (out, scale, offset, shortcut, scales[0] if scales else None, held)
        aside = finish(*given, self.num_segments, *(none if held is None else moves), *wanted, layers.rectified)
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
        return restored(frames, fallen, self.num_segments, *self._moves(self._groups))

    def _move(self, frames: Tensor) -> Any:
        """Shift the frames in their own memory; what ``_put_back`` needs."""
        return self._mover.shift(as_clip(frames, self.num_segments), self._groups)

    def _put_back(self, frames: Tensor, kept: Any) -> None:
        self._mover.restore(as_clip(frames, self.num_segments), self._groups, kept)


class StreamedBlock(PlacedBlock):
    """The same frame by frame: a block's end sets the moved channels aside and leaves room for the previous frame's.

    exchanged: the block as ``MovesInPlace.online`` returns it, whose ``ExchangedInPlace`` holds what is remembered.
    The next end finds the present frame's channels where they were set aside; they are never put back.
    """

    def __init__(self, strategy: MovesInPlace, exchanged: nn.Module, layers: Layers) -> None:
        super().__init__(strategy, exchanged, layers, num_segments=1)
        # in tuples, which hide them: the one's weights have names already, the other is no part of this block
        self._memory = tuple(module for module in exchanged.modules() if isinstance(module, ExchangedInPlace))
        self._next: tuple[StreamedBlock, ...] = ()

    def hand_to(self, after: nn.Module) -> None:
        """Set the moved channels aside for the next block of the network."""
        if isinstance(after, StreamedBlock) and after._groups and not after._projects_unshifted:
            super().hand_to(after)
            self._next = (after,)

    def _places(self, frames: Tensor) -> bool:
        return super()._places(frames) and not takes(frames)

    def _placed(self, frames: Tensor, fallen: Tensor | None, handed: bool) -> Tensor | Handed:
        if fallen is not None:
            self._memory[0].past = fallen
        out = super()._placed(frames, fallen, handed)
        if self._next and (past := self._next[0]._memory[0].past) is not None:  # else zeros: the end has left them
            frames = out.frames if isinstance(out, Handed) else out
            frames[:, : past.shape[1]] = past
        return out

    def _restored(self, frames: Tensor, fallen: Tensor) -> Tensor:
        self._put_back(frames, fallen)
        return frames

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
