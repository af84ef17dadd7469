"""Shift at the narrow part of the bottleneck, before conv2, where there are a quarter of the channels.

The paper states a cache of 0.9 MB for ResNet-50, which is 1/8 of every conv2 input at 224² (0.95 MB in fp32); 1/8 of
every conv1 input, where the released code shifts, is 2.81 MB. So this is where the paper's figure fits. It is another
function than the released shift: it has its own accuracy.

Only conv2 reads these features, so they are shifted in their own memory and never put back; the shortcut carries the
block's input, whatever happens here. Traffic in inference: 2 * fraction * N, where N, the bytes of all conv2 inputs, is
a third of those of all conv1 inputs in ResNet-50 (conv2 of a stage's first block still sees the larger frames).

A block without a narrow part is shifted at its usual site.
"""

from torch import nn

from bench.ops import in_place
from bench.strategy import Site


class InnerShift(in_place.MovesInPlace):
    """Shift before conv2, at the narrow part of the bottleneck: a quarter of the channels."""

    name = "inner_shift"
    placements = ("residual",)  # inside the branch by definition
    mover = in_place.FrameByFrame()

    def reader(self, block: nn.Module, site: Site) -> Site:
        """The narrow part of a bottleneck; the site of any other block."""
        return site.narrow(block) or site

    def skip(self, backbone: str, frames: int) -> str | None:
        """Blocks without a narrow part have no inner place."""
        without = ("resnet18", "resnet34", "mobilenet_v2", "digits_resnet")
        return f"{backbone} has no bottleneck blocks, so no narrow place to shift at" if backbone in without else None
