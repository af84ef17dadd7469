"""Split the layer that reads the shift by input channels, and give the moved ones to a convolution of their own.

Only the moved channels are ever sliced, shifted and concatenated; those that stay are read by the layer where they are.
Traffic beyond the layer's own: 2 F to slice each group, 2 F to shift it, 2 F to concatenate and 1 F to convolve, and
3 M to add (F = the bytes of a group, M = those of the layer's output). See ``bench.ops.residual``.
"""

import torch
from torch import Tensor, nn

from bench.ops.frames import from_neighbour
from bench.ops.residual import SplitConvolution
from bench.strategy import Site, Strategy


class SplitInputShift(Strategy):
    """Shift only the moved channels, for a convolution of their own, and add."""

    name = "split_input_shift"
    source = "linearity of the convolution"
    placements = ("residual",)  # in-place also shifts the shortcut, which no layer reads
    same_function_as = "copy_shift"

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """One module takes the place of the site's layer and its normalisation."""
        return _SplitInput.install(self, block, site, num_segments)


class _SplitInput(SplitConvolution):
    """The layer, its moved groups shifted before it."""

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the layer's output for the shifted frames."""
        ahead, behind, _ = self.groups()
        weight, bias = self.parameters_in_force()
        moved = from_neighbour(frames[:, behind], -1, self.num_segments)
        if ahead is not None:
            moved = torch.cat((from_neighbour(frames[:, ahead], 1, self.num_segments), moved), dim=1)
        return self.finish(self.convolve(moved, weight[:, : behind.stop]), self.still(frames, weight, bias))
