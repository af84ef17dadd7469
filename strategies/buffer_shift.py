"""Touch only the moved channels: shift them inside their own buffer and, for the residual, put them back.

In residual placement the shortcut still needs the unshifted tensor. So the mechanism shifts, runs the layer that
reads the shifted features, and shifts back; the two frames that fell off the ends are kept aside meanwhile. The
shortcut is exact, bit by bit.

Overwriting is possible in inference only: autograd keeps a layer's input for the backward pass. Where gradients are
recorded, the mechanism takes a differentiable path (clone, then move) that computes the same function.

Traffic in inference (F = the bytes of a channel group, T frames): in-place 2 * 2 F (each moved byte is read and
written once), that is 2 * fraction * N; residual twice that for the way back.

Frame by frame (F = the bytes of one frame's moved channels): 2 F to keep them, 2 F to put the previous frame's in their
place, and in residual placement 2 F to put them back.
"""

from torch import Tensor, nn

from bench.strategy import Recurrent, Site, Strategy, as_clip, gradients_wanted, keep


class BufferShift(Strategy):
    """Move only the moved channels, frame by frame in their own buffer; restore them for the shortcut."""

    name = "buffer_shift"
    source = "the idea of InplaceShift in mit-han-lab/temporal-shift-module, made exact"
    same_function_as = "copy_shift"

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape. Differentiable; does not overwrite ``clip``."""
        out = clip.clone()
        fold = self.channels_each_way(clip.shape[2])
        if self.direction == "bidirectional":
            out[:, :-1, :fold] = clip[:, 1:, :fold]
            out[:, -1:, :fold] = 0
        behind = self._behind(fold)
        out[:, 1:, behind] = clip[:, :-1, behind]
        out[:, :1, behind] = 0
        return out

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Shift in the buffer before the layer (residual: and restore after it) or before the block (in-place)."""
        if self.placement == "inplace":
            return _ShiftInBuffer(self, block, num_segments, restore=False)
        site.replace(block, _ShiftInBuffer(self, site.layer(block), num_segments, restore=True))
        return block

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Exchange the moved channels with those of the frame before, in the buffer."""
        if self.placement == "inplace":
            return _ExchangeInBuffer(self, block, restore=False)
        site.replace(block, _ExchangeInBuffer(self, site.layer(block), restore=True))
        return block

    def move(self, clip: Tensor) -> list[Tensor]:
        """Shift ``clip`` in its own memory. Returns the frames that fell off the ends, for ``move_back``."""
        last, fold = clip.shape[1] - 1, self.channels_each_way(clip.shape[2])
        fallen = []
        if self.direction == "bidirectional":
            ahead = clip[:, :, :fold]
            fallen.append(ahead[:, 0].clone())
            for t in range(last):  # frame t + 1 is read before it is overwritten: no second buffer
                ahead[:, t] = ahead[:, t + 1]
            ahead[:, last] = 0
        behind = clip[:, :, self._behind(fold)]
        fallen.append(behind[:, last].clone())
        for t in range(last, 0, -1):
            behind[:, t] = behind[:, t - 1]
        behind[:, 0] = 0
        return fallen

    def move_back(self, clip: Tensor, fallen: list[Tensor]) -> None:
        """Undo ``move`` exactly."""
        last, fold = clip.shape[1] - 1, self.channels_each_way(clip.shape[2])
        behind = clip[:, :, self._behind(fold)]
        for t in range(last):
            behind[:, t] = behind[:, t + 1]
        behind[:, last] = fallen[-1]
        if self.direction == "bidirectional":
            ahead = clip[:, :, :fold]
            for t in range(last, 0, -1):
                ahead[:, t] = ahead[:, t - 1]
            ahead[:, 0] = fallen[0]

    def _behind(self, fold: int) -> slice:
        """The channels that receive the previous frame: the second group, or the only one where causal."""
        return slice(fold, 2 * fold) if self.direction == "bidirectional" else slice(0, fold)


class _ShiftInBuffer(nn.Module):
    """Move in the buffer, run ``net``, and put the buffer back where the shortcut needs it."""

    def __init__(self, strategy: BufferShift, net: nn.Module, num_segments: int, *, restore: bool) -> None:
        super().__init__()
        self.strategy, self.net = strategy, net
        self.num_segments, self.restore = num_segments, restore

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> what ``net`` makes of the shifted frames."""
        clip = as_clip(frames, self.num_segments)
        if gradients_wanted():
            return self.net(self.strategy.shift(clip).flatten(0, 1))  # type: ignore[no-any-return]
        fallen = self.strategy.move(clip)
        out: Tensor = self.net(frames)
        if self.restore:
            self.strategy.move_back(clip, fallen)
        return out


class _ExchangeInBuffer(Recurrent):
    """Keep the moved channels, put the previous frame's in their place, run ``net``, and put them back if needed."""

    def __init__(self, strategy: BufferShift, net: nn.Module, *, restore: bool) -> None:
        super().__init__()
        self.strategy, self.net, self.restore = strategy, net, restore

    def remembers(self, channels: int) -> int:
        """The channels that move."""
        return self.strategy.channels_each_way(channels)

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Overwrites the moved channels of ``frame``; in residual placement they are there again at the end."""
        moved = frame[:, : past.shape[1]]
        kept = keep(frame, list(range(past.shape[1])))
        moved.copy_(past)
        out: Tensor = self.net(frame)
        if self.restore:
            moved.copy_(kept)
        return out, kept
