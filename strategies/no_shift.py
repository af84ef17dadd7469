"""The 2-D baseline: frames never meet before the consensus. Read this file first: a strategy needs no more."""

from torch import Tensor, nn

from bench.strategy import Site, Strategy


class NoShift(Strategy):
    """No exchange between frames: the plain 2-D network (TSN), against which all others are measured."""

    name = "no_shift"
    source = "Temporal Segment Networks, arXiv 1608.00859"
    fractions = (0.0,)  # the only strategy for which fraction 0 exists
    placements = ("residual",)
    directions = ("bidirectional",)
    features = ("maps", "tokens")

    def shift(self, clip: Tensor) -> Tensor:  # [N, T, C, H, W] -> the same shape
        """The clip itself: nothing moves, nothing is copied. ``shift`` is all that most strategies define."""
        return clip

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """The block as it is, so that what is timed is the plain network, without even a call that does nothing."""
        return block
