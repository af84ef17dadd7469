"""No shifted tensor at all: the 1×1 convolution that reads the shift loads every channel from the frame that holds it.

In inference the normalisation and the ReLU after that convolution are the end of the same kernel, in the blocks of
torchvision's ResNet and MobileNetV2.

Traffic: none on top of the baseline, forward and backward, and 4 M less where that end is fused (M = the bytes of the
convolution's result); the shortcut is never touched. That needs the layer itself:
it works in residual placement, where the site's layer is a plain 1×1 convolution (bottleneck blocks, MobileNetV2).
Before any other layer (a 3×3 one, grouped, strided, padded, quantised) the shift takes one launch that writes the
shifted tensor: exact too, but 2 N of traffic (N = the bytes of the tensor); the table says so. So it does before
float32 in NCHW, where a pixel's channels, which the product adds up, do not lie side by side: elements of 4 bytes are
loaded one by one then. The case at fraction 0 (the same kernel, nothing moved) shows what the product costs, and what
the shift.

Written for CUDA devices; on a CPU the operators compute the same in plain torch, and its cases are skipped. How fast it
is has not been measured yet: what the shift saves, the product can lose against cuDNN's.
"""

import torch
from torch import Tensor, nn

from bench.ops import fused_block, products, triton_operators
from bench.ops.frames import is_nchw
from bench.ops.triton_operators import triton_shift
from bench.strategy import Site, Strategy


class TritonConv(Strategy):
    """Fuse the shift into the 1×1 convolution after it: shifted loads, no copy (a Triton kernel, for CUDA)."""

    name = "triton_conv"
    source = "this suite: an implicit product over the frames where they lie"
    placements = ("residual",)  # before a whole block there is no layer to fuse with
    same_function_as = "copy_shift"
    owns_layer = True
    devices = ("cuda",)

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape: the exact slower path, for layers that are no plain 1×1 convolution."""
        shifted: Tensor = triton_shift(clip.flatten(0, 1), clip.shape[1], *self.moves(clip.shape[2]))
        return shifted.view_as(clip)

    def moves(self, channels: int) -> tuple[int, int]:
        """How many channels hold the next frame, and how many after them the previous."""
        fold = self.channels_each_way(channels)
        return (fold if self.direction == "bidirectional" else 0), fold

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Replace the site's layer by one that shifts as it loads; any layer but a plain 1×1 convolution is kept."""
        layer = site.layer(block)
        why_not = _why_not(layer)
        if why_not is None:
            assert isinstance(layer, nn.Conv2d)
            return fused_block.fused(block, site, (num_segments, *self.moves(layer.in_channels)))
        if not self.fraction:
            return block
        self.fall_back(f"{site.path} {why_not}: its input was shifted in one launch before it")
        return super().wrap(block, site, num_segments)

    def skip(self, backbone: str, frames: int) -> str | None:
        """Where no Triton kernel can run."""
        return triton_operators.why_not()


def _why_not(layer: nn.Module) -> str | None:
    """Why the shift is not fused into ``layer``; None where it is. On a CPU, where nothing is timed, dtypes are alike.

    Decided as the weights lie when it is inserted; frames come in their layout. In fp16 and bf16 a tile is loaded 16
    bytes at a time in both.
    """
    if not products.takes(layer):
        return "is no plain 1×1 convolution"
    weight = layer.weight
    assert isinstance(weight, Tensor)
    if not weight.is_cpu and weight.dtype == torch.float32 and is_nchw(weight):
        return "reads float32 in NCHW, in which the fused product loads 4 bytes at a time"
    return None
