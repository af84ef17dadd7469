"""Move nothing: the ReLU that writes the features places them for the next layer, the shortcut's addition finds them.

A residual network passes over its features twice between two convolutions, to add and to rectify. Those passes read and
write moved channels in the frame where they lie or are wanted; see ``bench.ops.placed_block`` for the traffic that
is left. Fraction 0 stands for the same native passes with nothing moved.
"""

from functools import cached_property

from torch import nn

from bench.ops import in_place, native
from bench.ops.placed_block import PlacedBlock, StreamedBlock
from bench.ops.residual import layout_of
from bench.strategy import Site


class PlacedShift(in_place.MovesInPlace):
    """Let the ReLU before a block place the moved channels, and the block's addition read them from there."""

    name = "placed_shift"
    source = "the passes that a residual block makes anyway"
    same_function_as = "copy_shift"
    devices = ("cpu",)
    owns_layer = True

    @cached_property
    def mover(self) -> in_place.Mover:  # type: ignore[override]
        """How the channels move where they cannot be placed."""
        if reason := native.why_not():
            self.fall_back(reason)
            return in_place.FrameByFrame()
        return native.Native(in_place.FrameByFrame())

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Place the block's features; move them in their own memory where it is no plain residual block."""
        layout = layout_of(block, site)
        if native.why_not() is None and layout is not None:
            return PlacedBlock(self, block, site, layout, num_segments)
        if layout is None:
            self.fall_back(f"{type(block).__name__} is no plain residual block: its channels were moved and put back")
        return super().wrap(block, site, num_segments)

    def join(self, before: nn.Module, after: nn.Module) -> None:
        """The ReLU of one block places what the next one reads."""
        if isinstance(before, PlacedBlock | StreamedBlock):
            before.hand_to(after)

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Let the ReLU before a block set moved channels aside, with those of the previous frame in their place."""
        layout = layout_of(block, site)
        exchanged = super().online(block, site)
        return exchanged if native.why_not() or layout is None else StreamedBlock(self, exchanged, layout)

    def skip(self, backbone: str, frames: int) -> str | None:
        """Without a compiler it would be ``buffer_shift`` under another name."""
        return native.why_not()
