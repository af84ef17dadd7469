"""Touch only the moved channels: shift them inside their own buffer and, for the residual, put them back.

In residual placement the shortcut still needs the unshifted tensor. So the mechanism shifts, runs the layer that
reads the shifted features, and shifts back; the two frames that fell off the ends are kept aside meanwhile. The
shortcut is exact, bit by bit. PyTorch's own copies do it, one frame of one group at a time; ``native_shift`` does the
same with one call for each group.

Traffic in inference (F = the bytes of a channel group, T frames): in-place 2 * 2 F (each moved byte is read and
written once), that is 2 * fraction * N; residual twice that for the way back. Training: as in inference where the layer
is a convolution, forward and backward, and a copy of the tensor before anything else. Frame by frame (F = the bytes of
one frame's moved channels): 2 F to keep them, 2 F to put the previous frame's in their place, and in residual placement
2 F to put them back.
"""

from torch import Tensor, nn

from bench.kernels import in_place
from bench.kernels.groups import Group, moved_groups
from bench.strategy import Site, Strategy


class BufferShift(Strategy):
    """Move only the moved channels, frame by frame in their own buffer; restore them for the shortcut."""

    name = "buffer_shift"
    source = "the idea of InplaceShift in mit-han-lab/temporal-shift-module, made exact"
    same_function_as = "copy_shift"
    mover = in_place.FrameByFrame()

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape. Differentiable; does not overwrite ``clip``."""
        return in_place.shifted(clip, self._groups(clip.shape[2]), self.mover)

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Shift in the buffer before the layer (residual: and restore after it) or before the block (in-place)."""
        layer = site.layer(block)
        groups = self._groups(layer.in_channels)  # type: ignore[arg-type]
        if self.placement == "inplace":
            return in_place.ShiftedInPlace(block, groups, num_segments, self.mover, restore=False)
        site.replace(block, in_place.ShiftedInPlace(layer, groups, num_segments, self.mover, restore=True))
        return block

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Exchange the moved channels with those of the frame before, in the buffer."""
        fold = self.channels_each_way(site.layer(block).in_channels)  # type: ignore[arg-type]
        if self.placement == "inplace":
            return in_place.ExchangedInPlace(block, fold, restore=False)
        site.replace(block, in_place.ExchangedInPlace(site.layer(block), fold, restore=True))
        return block

    def _groups(self, channels: int) -> tuple[Group, ...]:
        return moved_groups(self.channels_each_way(channels), self.direction)
