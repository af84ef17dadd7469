"""Keep the features in parts from block to block, so that no channel is ever sliced out or put back.

The layer that writes the features is split by output channels, the one that reads them by input channels; what moves is
a tensor of its own and moves along the frame axis. Made for compilers and inference runtimes, which keep features in
blocks of channels and fuse the sums. Traffic: 2 * fraction * N (N = the bytes of the features at all sites). See
``bench.ops.residual``.

edges=pad is for OpenVINO in eight bits: its quantiser, NNCF, leaves a constant beside a concatenation in fp32, and the
plug-in then computes the convolution behind it in fp32 too; padding stays on bytes.
"""

import torch
from torch import Tensor, nn

from bench.ops.residual import PartedBlock, PartedOnline, layers_of
from bench.strategy import Parameter, Site, StepBefore, Strategy


class PartedShift(Strategy):
    """Keep each group of channels in a tensor of its own, from block to block, and move it whole."""

    name = "parted_shift"
    source = "linearity of the convolution, on both sides of the features"
    same_function_as = "copy_shift"
    owns_layer = True  # normalisations are folded into the weights, in eager mode too
    edges = Parameter("concat", ("concat", "pad"), "where the zeros at the ends of a clip come from")

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape, in one tensor: where a block cannot be parted."""
        fold, groups = self.channels_each_way(clip.shape[2]), []
        blank, rest = clip[:, :1, :fold] * 0, clip
        if self.direction == "bidirectional":
            groups.append(torch.cat((clip[:, 1:, :fold], blank), dim=1))
            rest = clip[:, :, fold:]
        groups.append(torch.cat((blank, rest[:, :-1, :fold]), dim=1))
        return torch.cat((*groups, rest[:, :, fold:]), dim=2)

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Part the block; shift in one tensor where it is no residual block of plain convolutions."""
        layers = layers_of(block, site)
        if layers is not None:
            return PartedBlock(self, block, layers, num_segments, padded=self.edges == "pad")
        if self.fraction == 0:
            return block
        self.fall_back(f"{type(block).__name__} is no residual block of plain convolutions: shifted in one tensor")
        return super().wrap(block, site, num_segments)

    def join(self, before: nn.Module, after: nn.Module) -> None:
        """Neighbouring blocks hand their parts on as they are."""
        if isinstance(before, PartedBlock):
            before.hand_to(after)

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """The part that moves, one frame later: it is the cache as it was written."""
        layers = layers_of(block, site)
        if layers is not None:
            return PartedOnline(self, block, layers)
        self.fall_back(f"{type(block).__name__} is no residual block of plain convolutions: shifted in one tensor")
        if self.placement == "inplace":
            return StepBefore(self, block)
        return site.replace(block, StepBefore(self, site.layer(block)))

    def step(self, frame: Tensor, past: Tensor) -> Tensor:
        """[S, C, H, W] with the first channels of the frame before."""
        return torch.cat((past, frame[:, past.shape[1] :]), dim=1)
