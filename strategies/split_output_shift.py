"""Split the layer that reads the shift by input channels, and move its narrow output instead of its wide input.

In a bottleneck block conv1 gives a quarter of the channels that it reads, so that what moves is small whatever the
fraction. Each moved group is convolved on its own, shifted in time, and added to what the other channels gave.
Traffic beyond the layer's own: 2 F to slice each group out, and for each group 5 M to convolve, shift and add (F = the
bytes of a group, M = those of the layer's output). See ``bench.ops.residual``.
"""

from torch import Tensor, nn

from bench.ops.frames import from_neighbour
from bench.ops.residual import SplitConvolution
from bench.strategy import Site, Strategy


class SplitOutputShift(Strategy):
    """Convolve each moved channel group on its own, shift what comes out, and add."""

    name = "split_output_shift"
    source = "linearity of the convolution"
    placements = ("residual",)  # in-place also shifts the shortcut, which no layer reads
    same_function_as = "copy_shift"

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """One module takes the place of the site's layer and its normalisation."""
        return _SplitOutput.install(self, block, site, num_segments)


class _SplitOutput(SplitConvolution):
    """The layer, its moved groups shifted behind it."""

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the layer's output for the shifted frames."""
        ahead, behind, _ = self.groups()
        weight, bias = self.parameters_in_force()
        from_past = from_neighbour(self.convolve(frames[:, behind], weight[:, behind]), -1, self.num_segments)
        from_future = None
        if ahead is not None:
            from_future = from_neighbour(self.convolve(frames[:, ahead], weight[:, ahead]), 1, self.num_segments)
        return self.finish(from_past, from_future, self.still(frames, weight, bias))
