"""Move nothing: the ReLU that writes the features places them for the next layer, the shortcut's addition finds them.

A residual network passes over its features twice between two convolutions, to add and to rectify. Those passes read and
write moved channels in the frame where they lie or are wanted; see ``bench.ops.placed_block`` for the traffic that
is left. On a CPU they are native code; on a GPU one Triton kernel ends each block. Fraction 0 stands for the same
passes with nothing moved.
"""

from functools import cached_property

import torch
from torch import nn

from bench.ops import native, triton_operators
from bench.ops.in_place import FrameByFrame
from bench.ops.placed_block import PlacedBlock, StreamedBlock
from bench.ops.residual import layers_of
from bench.strategy import Site


class PlacedShift(native.MovesNatively):
    """Let the ReLU before a block place the moved channels, and the block's addition read them from there."""

    name = "placed_shift"
    source = "the passes that a residual block makes anyway"
    same_function_as = "copy_shift"
    devices = ("cpu", "cuda")
    owns_layer = True

    @cached_property
    def mover(self) -> FrameByFrame:  # type: ignore[override]
        """How the bytes move where a block cannot be placed."""
        return FrameByFrame() if native.why_not() else native.Native()

    def skip(self, backbone: str, frames: int) -> str | None:
        """Without kernels it would be ``buffer_shift`` under another name."""
        on_gpu = torch.cuda.is_available() and triton_operators.why_not() is None
        return None if on_gpu else native.why_not()

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Place the block's features; move them in their own memory where it is no plain residual block."""
        layers = layers_of(block, site)
        if layers is None:
            self.fall_back(f"{type(block).__name__} is no plain residual block: its channels were moved and put back")
            return super().wrap(block, site, num_segments)
        on_gpu = layers.first.conv.weight.is_cuda
        if reason := triton_operators.why_not() if on_gpu else native.why_not():
            self.fall_back(reason)
        return PlacedBlock(self, super().wrap(block, site, num_segments), layers, num_segments)

    def join(self, before: nn.Module, after: nn.Module) -> None:
        """The ReLU of one block places what the next one reads."""
        if isinstance(before, PlacedBlock | StreamedBlock):
            before.hand_to(after)

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Let the ReLU before a block set moved channels aside, with those of the previous frame in their place."""
        layers = layers_of(block, site)
        exchanged = super().online(block, site)
        return exchanged if native.why_not() or layers is None else StreamedBlock(self, exchanged, layers)
