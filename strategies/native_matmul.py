"""``view_matmul`` in C++: the three products of a small tile are added up before it leaves a core's cache.

In ``view_matmul`` the sum of a few frames is written once and read and written again by each further product; here a
tile of a quarter of a megabyte stays in the cache meanwhile, and the tiles are shared out over the threads in one call.
The products themselves are those of PyTorch's matrix library. Training takes ``view_matmul``'s way.
"""

from torch import nn

from bench.ops import native, products
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
        if reason := native.why_not():
            self.fall_back(reason)
            return products.install(self, block, site, num_segments)
        return products.install(self, block, site, num_segments, native.multiply, native.Native)

    def skip(self, backbone: str, frames: int) -> str | None:
        """Without a compiler it would be ``view_matmul`` under another name."""
        return native.why_not()
