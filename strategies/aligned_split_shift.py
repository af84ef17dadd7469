"""Split the layer that reads the shift, with every slice of channels a whole number of blocks.

Compilers keep features in blocks of 8 or 16 channels; a slice inside a block has to be unpacked to a plain layout and
packed again. Here one slice is taken, of the moved channels rounded up to whole blocks, and shifted both ways along the
frame axis; zeros in the weights say which channels of it are meant.
Traffic beyond the layer's own (B = the bytes of the slice, M = those of the layer's output): 2 B for the slice, 2 B for
each way and 1 B to convolve it, 3 M to add it. See ``bench.ops.residual``.
"""

from torch import Tensor, nn

from bench.ops.frames import from_neighbour
from bench.ops.residual import SplitConvolution
from bench.strategy import Site, Strategy

_BLOCK = 16  # channels: the blocks of AVX-512 and AMX kernels, and two of those of AVX2


class AlignedSplitShift(Strategy):
    """Shift whole blocks of channels both ways; zeros in the weights choose what each way is for."""

    name = "aligned_split_shift"
    source = "linearity of the convolution; the blocked layouts of oneDNN"
    placements = ("residual",)  # in-place also shifts the shortcut, which no layer reads
    same_function_as = "copy_shift"

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """One module takes the place of the site's layer and its normalisation."""
        return _AlignedSplit.install(self, block, site, num_segments)


class _AlignedSplit(SplitConvolution):
    """The layer, whole blocks shifted before it."""

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the layer's output for the shifted frames."""
        ahead, behind, _ = self.groups()
        weight, bias = self.parameters_in_force()
        width = min(-(-behind.stop // _BLOCK) * _BLOCK, frames.shape[1])
        blocks = frames[:, :width]
        parts = [self.convolve(from_neighbour(blocks, -1, self.num_segments), (weight * self.behind)[:, :width])]
        if ahead is not None:
            parts.append(self.convolve(from_neighbour(blocks, 1, self.num_segments), (weight * self.ahead)[:, :width]))
        return self.finish(*parts, self.still(frames, weight, bias))
