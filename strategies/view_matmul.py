"""Move nothing: conv1 as matrix products that read each channel group from the frame where it already lies.

A 1×1 convolution is a matrix product over channels. Split by channel group, it is a sum of three products, of which
two read the next and the previous frame: a shift is then only another address, and the shortcut's tensor is never
touched. Works in inference and in training, NCHW and channels_last.

Traffic: none on top of the convolution, except that the sum of conv1's output (a quarter as wide as its input in a
bottleneck) is read and written again for the second and third product; frames are taken a few at a time, so that this
happens in the cache. Since the convolution itself is computed in another way, the case at fraction 0 (the same way,
with nothing moved) shows what the way costs and what the shift costs.

A conv1 that is no plain matrix product (3×3, strided, grouped) is left to the layer, and the moved channels are
shifted in their own memory, frame by frame, and put back after it.
"""

from torch import nn

from bench.ops import in_place, products
from bench.strategy import Site, Strategy


class ViewMatmul(Strategy):
    """Conv1 as matrix products over views: each channel group is read from the frame where it lies."""

    name = "view_matmul"
    placements = ("residual",)  # in-place shifts the shortcut too: there is no layer to read it from elsewhere
    same_function_as = "copy_shift"
    owns_layer = True

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Put the products in the place of the site's layer."""
        return products.install(self, block, site, num_segments)

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Frame by frame: the moved channels' product reads what was kept of the previous frame."""
        layer = site.layer(block)
        fold = self.channels_each_way(layer.in_channels)  # type: ignore[arg-type]
        if products.takes(layer):
            return site.replace(block, products.ProductOfPast(layer, fold))  # type: ignore[arg-type]
        return site.replace(block, in_place.ExchangedInPlace(layer, fold, restore=True))
