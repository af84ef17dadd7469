"""The convolution that reads the shifted features, with its weights split by input channels.

A convolution within a frame is linear and knows nothing of time. So what it makes of the channels that stay needs no
shifted tensor, and what it makes of a moved group can be had from that group alone. The channels that stay are not
sliced out: the layer reads all channels, with zeros in the columns of the moved ones, which costs no traffic and wastes
the arithmetic of those columns. Zero times infinity is not a number: exact for finite features.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bench.strategy import Site, Strategy


class SplitConvolution(nn.Module):
    """A site's layer together with the batch normalisation after it; subclasses say in ``forward`` how parts are moved.

    ahead, behind, stays: [C_in, 1, 1], 1 for the input channels of each group and 0 for the others.

    In evaluation the normalisation goes into the weights, as every compiler for inference does it; left outside, it
    would stand behind a sum of convolutions, where none of them does. In training it normalises the sum.
    """

    ahead: Tensor
    behind: Tensor
    stays: Tensor

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, strategy: Strategy, num_segments: int) -> None:
        super().__init__()
        self.conv, self.norm = conv, norm
        self.strategy, self.num_segments = strategy, num_segments
        self.train(conv.training)
        for name, group in zip(("ahead", "behind", "stays"), self.groups(), strict=True):
            columns = conv.weight.new_zeros(conv.in_channels, 1, 1)
            if group is not None:
                columns[group] = 1
            self.register_buffer(name, columns, persistent=False)  # a tensor: compilers fold its product with a weight

    @classmethod
    def install(cls, strategy: Strategy, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """``block`` with its layer at ``site``, and the normalisation next to it, replaced; as it is if none move.

        Raises ValueError where the layer is no plain convolution.
        """
        conv = site.layer(block)
        if not isinstance(conv, nn.Conv2d) or conv.groups != 1 or conv.padding_mode != "zeros":
            raise ValueError(f"{strategy.name} splits plain convolutions only, and {site.path} is {conv}")
        if not strategy.channels_each_way(conv.in_channels):
            return block
        parent_path, _, name = site.path.rpartition(".")
        parent = block.get_submodule(parent_path)
        names = [child for child, _ in parent.named_children()]
        after = names[names.index(name) + 1 : names.index(name) + 2]
        norm = next((child for child in map(parent.get_submodule, after) if isinstance(child, nn.BatchNorm2d)), None)
        site.replace(block, cls(conv, norm, strategy, num_segments))
        if norm is not None:
            setattr(parent, after[0], nn.Identity())
        return block

    def groups(self) -> tuple[slice | None, slice, slice]:
        """The input channels that receive the next frame (None where causal), the previous frame, and their own."""
        fold = self.strategy.channels_each_way(self.conv.in_channels)
        if self.strategy.direction == "unidirectional":
            return None, slice(0, fold), slice(fold, self.conv.in_channels)
        return slice(0, fold), slice(fold, 2 * fold), slice(2 * fold, self.conv.in_channels)

    def parameters_in_force(self) -> tuple[Tensor, Tensor | None]:
        """(weight [C_out, C_in, k, k], bias [C_out] or None): the layer's own, or with the normalisation in them."""
        weight, bias, norm = self.conv.weight, self.conv.bias, self.norm
        if norm is None or self.training:
            return weight, bias
        assert norm.running_mean is not None and norm.running_var is not None, "it keeps running statistics"
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        mean = norm.running_mean if bias is None else norm.running_mean - bias
        return weight * scale[:, None, None, None], norm.bias - mean * scale

    def convolve(self, frames: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C_out, H', W'] with the layer's stride, padding and dilation."""
        return conv2d(frames, weight, bias, self.conv.stride, self.conv.padding, self.conv.dilation)

    def still(self, frames: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """What the channels that stay give, with the bias; None where all move and there is no bias."""
        stays = self.groups()[2]
        if stays.start < stays.stop:
            return self.convolve(frames, weight * self.stays, bias)
        return None if bias is None else bias[:, None, None]

    def finish(self, *parts: Tensor | None) -> Tensor:
        """The sum of the parts that there are; normalised where the weights are not."""
        there = [part for part in parts if part is not None]
        out = sum(there[1:], start=there[0])
        return self.norm(out) if self.norm is not None and self.training else out
