"""Move nothing: the end of a block writes its features where the next layer reads them, and finds the shortcut's.

A residual network passes three times over its features between two convolutions, to normalise, to add and to rectify.
Here that is one pass, which reads and writes moved channels in the frame where they lie or are wanted; see
``bench.ops.placed_block`` for the traffic that is left. On a CPU it is native code, on a GPU a Triton kernel.
Fraction 0 stands for the same pass with nothing moved: what moving is to be held against, as the plain network makes
three.
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
    """Let the end of one block place the moved channels, and the end of the next find its shortcut's there."""

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
        """The end of one block places what the next one reads."""
        if isinstance(before, PlacedBlock | StreamedBlock):
            before.hand_to(after)

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """Let the end of a block set moved channels aside for the next, with the previous frame's in their place."""
        layers = layers_of(block, site)
        exchanged = super().online(block, site)
        return exchanged if native.why_not() or layers is None else StreamedBlock(self, exchanged, layers)
