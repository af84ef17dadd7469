"""``view_matmul`` in C++: the three products of a small tile are added up before it leaves a core's cache.

In ``view_matmul`` the sum of a few frames is written once and read and written again by each further product; here a
tile of a quarter of a megabyte stays in the cache meanwhile, and the tiles are shared out over the threads in one call.
The products themselves are those of PyTorch's matrix library. Training takes ``view_matmul``'s way.
"""

from torch import nn

from bench.ops import in_place, native, products
from bench.ops.groups import moved_groups
from bench.strategy import Site, Strategy


class NativeMatmul(Strategy):
    """Conv1 as matrix products over views, added up tile by tile by a native kernel."""

    name = "native_matmul"
    placements = ("residual",)
    same_function_as = "copy_shift"
    devices = ("cpu",)
    owns_layer = True

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Put the products in the place of the site's layer."""
        layer, reason = site.layer(block), native.why_not()
        groups = moved_groups(self.channels_each_way(layer.in_channels), self.direction)  # type: ignore[arg-type]
        if reason:
            self.fall_back(reason)
        if products.takes(layer):
            product = None if reason else native.multiply
            site.replace(block, products.ShiftedProduct(layer, groups, num_segments, product))  # type: ignore[arg-type]
        elif groups:
            self.fall_back(f"{site.path} is no 1×1 matrix product: its channels were moved in their own memory")
            mover: in_place.Mover = in_place.FrameByFrame() if reason else native.Native(in_place.FrameByFrame())
            site.replace(block, in_place.ShiftedInPlace(layer, groups, num_segments, mover, restore=True))
        return block

    def skip(self, backbone: str, frames: int) -> str | None:
        """Without a compiler it would be ``view_matmul`` under another name."""
        return native.why_not()
