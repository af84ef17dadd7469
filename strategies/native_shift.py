"""``buffer_shift`` in C++: one call shifts a whole group in its own memory, another puts it back.

Each thread takes a few kilobytes of a group through all frames while they lie in its cache, so there are four calls
per site instead of some sixty. Traffic and training as in ``buffer_shift``. Any layer at the site will do.
"""

from functools import cached_property

from torch import Tensor, nn

from bench.kernels import in_place, native
from bench.kernels.groups import Group, moved_groups
from bench.strategy import Site, Strategy


class NativeShift(Strategy):
    """Move only the moved channels in their own memory, by a native kernel; restore them for the shortcut."""

    name = "native_shift"
    same_function_as = "copy_shift"

    @cached_property
    def mover(self) -> in_place.Mover:
        """The native kernel, or PyTorch's copies where there is none."""
        if reason := native.why_not():
            self.fall_back(reason)
            return in_place.FrameByFrame()
        return native.Native()

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape. Differentiable; does not overwrite ``clip``."""
        return in_place.shifted(clip, self._groups(clip.shape[2]), self.mover)

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Shift before the layer (residual: and restore after it) or before the block (in-place)."""
        layer = site.layer(block)
        groups = self._groups(layer.in_channels)  # type: ignore[arg-type]
        if self.placement == "inplace":
            return in_place.ShiftedInPlace(block, groups, num_segments, self.mover, restore=False)
        site.replace(block, in_place.ShiftedInPlace(layer, groups, num_segments, self.mover, restore=True))
        return block

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Frame by frame three copies do it all: the same as ``buffer_shift``."""
        fold = self.channels_each_way(site.layer(block).in_channels)  # type: ignore[arg-type]
        if self.placement == "inplace":
            return in_place.ExchangedInPlace(block, fold, restore=False)
        site.replace(block, in_place.ExchangedInPlace(site.layer(block), fold, restore=True))
        return block

    def skip(self, backbone: str, frames: int) -> str | None:
        """Without a compiler it would be ``buffer_shift`` under another name."""
        return native.why_not()

    def _groups(self, channels: int) -> tuple[Group, ...]:
        return moved_groups(self.channels_each_way(channels), self.direction)
