"""Move nothing: the ReLU that writes the features places them for the next layer, the shortcut's addition finds them.

A residual network passes over its features twice between two convolutions, to add and to rectify. Those passes read and
write moved channels in the frame where they lie or are wanted; see ``bench.ops.placed_block`` for the traffic that
is left. Fraction 0 stands for the same native passes with nothing moved.
"""

from torch import nn

from bench.ops import native
from bench.ops.placed_block import PlacedBlock, StreamedBlock
from bench.ops.residual import layers_of
from bench.strategy import Site


class PlacedShift(native.MovesNatively):
    """Let the ReLU before a block place the moved channels, and the block's addition read them from there."""

    name = "placed_shift"
    source = "the passes that a residual block makes anyway"
    same_function_as = "copy_shift"
    devices = ("cpu",)
    owns_layer = True

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Place the block's features; move them in their own memory where it is no plain residual block."""
        layers = layers_of(block, site)
        if layers is None:
            self.fall_back(f"{type(block).__name__} is no plain residual block: its channels were moved and put back")
        wrapped = super().wrap(block, site, num_segments)
        return wrapped if native.why_not() or layers is None else PlacedBlock(self, wrapped, layers, num_segments)

    def join(self, before: nn.Module, after: nn.Module) -> None:
        """The ReLU of one block places what the next one reads."""
        if isinstance(before, PlacedBlock | StreamedBlock):
            before.hand_to(after)

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Let the ReLU before a block set moved channels aside, with those of the previous frame in their place."""
        layers = layers_of(block, site)
        exchanged = super().online(block, site)
        return exchanged if native.why_not() or layers is None else StreamedBlock(self, exchanged, layers)
