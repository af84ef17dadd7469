"""Residual blocks taken apart: their layers, and convolutions split by channels for graph compilers.

A convolution within a frame is linear and knows nothing of time. So what it makes of the channels that stay needs no
shifted tensor, and what it makes of a moved group can be had from that group alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench.ops.frames import Group, from_neighbour, moved_groups
from bench.strategy import Recurrent, Site, Strategy

Frames = Tensor | tuple[Tensor, ...]
"""Features [N*T, C, H, W], whole or in parts of their channels."""


@dataclass(frozen=True)
class Normed:
    """A convolution and the batch normalisation after it; nothing where that has been folded."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d | nn.Identity

    def whole(self, frames: Tensor) -> Tensor:
        """Both as they are."""
        return self.norm(self.conv(frames))  # type: ignore[no-any-return]

    def folded(self) -> tuple[Tensor, Tensor]:
        """(weight, bias) of one convolution that computes both in evaluation."""
        norm, bias = self.norm, self.conv.bias
        if isinstance(norm, nn.Identity):
            return self.conv.weight, self.conv.weight.new_zeros(self.conv.out_channels) if bias is None else bias
        assert norm.running_mean is not None and norm.running_var is not None, "it keeps running statistics"
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        mean = norm.running_mean if bias is None else norm.running_mean - bias
        return self.conv.weight * scale[:, None, None, None], norm.bias - mean * scale

    @property
    def can_fold(self) -> bool:
        """Whether ``folded`` is all there is to say about it."""
        norm = self.norm
        if type(norm) is nn.Identity:
            return is_plain(self.conv)
        return is_plain(self.conv) and type(norm) is nn.BatchNorm2d and norm.track_running_stats and norm.affine


def is_plain(conv: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether ``conv`` is a convolution of one group with zeros around its input."""
    return type(conv) is nn.Conv2d and conv.groups == 1 and conv.padding_mode == "zeros"


def convolve(conv: nn.Conv2d, frames: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``conv`` with some of its weights."""
    return conv2d(frames, weight, bias, conv.stride, conv.padding, conv.dilation)


@dataclass(frozen=True)
class Layers:
    """A residual block: y = final(last(middle(first(x))) + projection(x)).

    first reads the features that a strategy shifts; projection: the convolution of the shortcut where it has one.
    rectified: whether ``final`` is a ReLU; otherwise it is nothing.
    """

    first: Normed
    middle: nn.Module
    last: Normed
    projection: Normed | None
    rectified: bool

    def final(self, frames: Tensor) -> Tensor:
        """What comes after the addition."""
        return torch.relu(frames) if self.rectified else frames

    def branch(self, frames: Tensor) -> Tensor:
        """All of the residual branch, its layers as they are."""
        return self.last.whole(self.middle(self.first.whole(frames)))

    def shortcut(self, frames: Tensor) -> Tensor:
        """The frames, through the shortcut's convolution where it has one."""
        return frames if self.projection is None else self.projection.whole(frames)


def layers_of(block: nn.Module, site: Site) -> Layers | None:
    """The layers of ``block``; None where it is no residual block of plain convolutions that begins at ``site``."""
    found = None
    if isinstance(block, BasicBlock | Bottleneck):
        found = _resnet(block)
    elif isinstance(block, InvertedResidual) and block.use_res_connect:
        found = _inverted(block)
    if found is None or found.first.conv is not site.layer(block):
        return None
    layers = (found.first, found.last, found.projection)
    return found if all(layer.can_fold for layer in layers if layer) else None


def _resnet(block: BasicBlock | Bottleneck) -> Layers | None:
    matched = block.downsample
    if matched is not None and not (isinstance(matched, nn.Sequential) and len(matched) == 2):
        return None
    deep = isinstance(block, Bottleneck)
    inner = (block.conv2, block.bn2, block.relu) if deep else ()
    last = Normed(block.conv3, block.bn3) if deep else Normed(block.conv2, block.bn2)
    projection = None if matched is None else Normed(*matched)
    return Layers(Normed(block.conv1, block.bn1), nn.Sequential(block.relu, *inner), last, projection, rectified=True)


def _inverted(block: InvertedResidual) -> Layers | None:
    expand, *middle, last, norm = block.conv
    if not middle or len(expand) != 3:
        return None
    first = Normed(expand[0], expand[1])
    return Layers(first, nn.Sequential(expand[2], *middle), Normed(last, norm), None, rectified=False)


class SplitConvolution(nn.Module):
    """The layer at a site, and the normalisation after it, with weights split by input channels; subclasses say how.

    The channels that stay are not sliced out: the layer reads all channels, with zeros in the columns of the moved
    ones, which costs no traffic and wastes the arithmetic of those columns. Zero times infinity is not a number: exact
    for finite features. In evaluation the normalisation goes into the weights, as in every compiler for inference; in
    training it normalises the sum.

    ahead, behind, stays: [C_in, 1, 1], 1 for the input channels of each group and 0 for the others.
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
        if not is_plain(conv):
            raise ValueError(f"{strategy.name} splits plain convolutions only, and {site.path} is {conv}")
        if not strategy.channels_each_way(conv.in_channels):
            return block
        parent = block.get_submodule(site.path.rpartition(".")[0])
        names, children = zip(*parent.named_children(), strict=True)
        after = children.index(conv) + 1
        beside = children[after] if after < len(children) else None  # a subclass may do more than normalise
        norm = beside if type(beside) is nn.BatchNorm2d and Normed(conv, beside).can_fold else None
        site.replace(block, cls(conv, norm, strategy, num_segments))
        if norm is not None:
            setattr(parent, names[after], nn.Identity())
        return block

    def groups(self) -> tuple[slice | None, slice, slice]:
        """The input channels that receive the next frame (None where causal), the previous frame, and their own."""
        fold, channels = self.strategy.channels_each_way(self.conv.in_channels), self.conv.in_channels
        if self.strategy.direction == "unidirectional":
            return None, slice(0, fold), slice(fold, channels)
        return slice(0, fold), slice(fold, 2 * fold), slice(2 * fold, channels)

    def parameters_in_force(self) -> tuple[Tensor, Tensor | None]:
        """(weight [C_out, C_in, k, k], bias [C_out] or None): the layer's own, or with the normalisation in them."""
        if self.norm is None or self.training:
            return self.conv.weight, self.conv.bias
        return Normed(self.conv, self.norm).folded()

    def convolve(self, frames: Tensor, weight: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C_out, H', W'] with the layer's stride, padding and dilation."""
        return convolve(self.conv, frames, weight)

    def still(self, frames: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """What the channels that stay give, with the bias; None where all move and there is no bias."""
        stays = self.groups()[2]
        if stays.start < stays.stop:
            return convolve(self.conv, frames, weight * self.stays, bias)
        return None if bias is None else bias[:, None, None]

    def finish(self, *parts: Tensor | None) -> Tensor:
        """The sum of the parts that there are; normalised where the weights are not."""
        first, *others = (part for part in parts if part is not None)
        out = sum(others, start=first)
        return self.norm(out) if self.norm is not None and self.training else out


class PartedBlock(nn.Module):
    """A residual block whose features stay in parts: each group that moves together is a tensor of its own.

    Runtimes keep features in blocks of 8 or 16 channels, and every slice of channels unpacks what it touches. So no
    channel is sliced: the layer that writes the features is split by output channels, the one that reads them by input
    channels, and a part that moves is moved along the frame axis, whole. Traffic beyond the network's own: 2 F for each
    part that moves (F = its bytes), and the sums of the smaller convolutions where a runtime does not fuse them.

    padded: see ``from_neighbour``.

    Blocks that follow each other hand on a tuple (``hand_to``); at both ends there is one tensor. Weights are named
    ``block.…``. In training the input is shifted in one tensor: normalisations need the statistics of the whole.
    """

    def __init__(
        self, strategy: Strategy, block: nn.Module, layers: Layers, num_segments: int, padded: bool = False
    ) -> None:
        super().__init__()
        self.block, self.num_segments = block, num_segments
        self._strategy, self._layers, self._padded = strategy, layers, padded
        self._hands_on = False
        self.train(block.training)

    def hand_to(self, after: nn.Module) -> None:
        """Hand the parts on as they are where the next block of the network reads parts."""
        self._hands_on = isinstance(after, PartedBlock)

    def forward(self, frames: Frames) -> Frames:
        """[N*T, C, H, W], whole or in parts, -> [N*T, C', H', W'] of the block; in parts if the next one takes them."""
        if self.training:
            return self._trained(frames if isinstance(frames, Tensor) else torch.cat(frames, dim=1))
        layers = self._layers
        groups = self._groups(layers.first.conv.in_channels)
        parts = frames if isinstance(frames, tuple) else tuple(self._cut(frames, group) for group in groups)
        shifted = tuple(map(self._moved, parts, groups))
        if self._strategy.placement == "inplace":
            frames = parts = shifted
        branch = layers.middle(_sum_over(layers.first, shifted, groups))
        last, (weight, bias) = layers.last.conv, layers.last.folded()
        if not self._hands_on:
            return layers.final(convolve(last, branch, weight, bias) + self._shortcut(frames, groups))
        rows = [group.channels for group in self._groups(last.out_channels)]
        shortcuts = [self._shortcut(frames, groups, own) for own in rows] if layers.projection else parts
        written = [convolve(last, branch, weight[own], bias[own]) for own in rows]
        return tuple(layers.final(part + shortcut) for part, shortcut in zip(written, shortcuts, strict=True))

    def _trained(self, frames: Tensor) -> Tensor:
        moved = [self._moved(frames[:, group.channels], group) for group in self._groups(frames.shape[1])]
        shifted = torch.cat(moved, dim=1)
        shortcut = self._layers.shortcut(shifted if self._strategy.placement == "inplace" else frames)
        return self._layers.final(self._layers.branch(shifted) + shortcut)

    def _shortcut(self, frames: Frames, groups: Sequence[Group], rows: slice = slice(None)) -> Tensor:
        """What is added to the branch, in one tensor; of its channels those in ``rows``."""
        projection = self._layers.projection
        if projection is None:
            return frames if isinstance(frames, Tensor) else torch.cat(frames, dim=1)
        if isinstance(frames, tuple):
            return _sum_over(projection, frames, groups, rows)
        weight, bias = projection.folded()
        return convolve(projection.conv, frames, weight[rows], bias[rows])

    def _cut(self, frames: Tensor, group: Group) -> Tensor:
        return frames[:, group.channels]

    def _moved(self, part: Tensor, group: Group) -> Tensor:
        return from_neighbour(part, group.offset, self.num_segments, self._padded) if group.offset else part

    def _groups(self, channels: int) -> list[Group]:
        """The channels of each part, in order: those that move, then those that stay (offset 0) if there are any."""
        groups = list(moved_groups(self._strategy.channels_each_way(channels), self._strategy.direction))
        moved = groups[-1].last if groups else 0
        return groups if moved == channels else [*groups, Group(moved, channels, 0)]


class PartedOnline(PartedBlock):
    """The same frame by frame: in place of the part that moves stands what it was in the frame before.

    What is remembered is that part itself: where the block before wrote it as a tensor of its own, nothing is sliced
    and nothing is copied between two frames.
    """

    def __init__(self, strategy: Strategy, block: nn.Module, layers: Layers) -> None:
        super().__init__(strategy, block, layers, 1)
        moves = strategy.channels_each_way(layers.first.conv.in_channels) > 0
        self.delay = _Delay() if moves else None

    def _cut(self, frames: Tensor, group: Group) -> Tensor:
        own = super()._cut(frames, group)
        return own.clone() if group.offset else own  # a view would hold on to all channels

    def _moved(self, part: Tensor, group: Group) -> Tensor:
        return part if self.delay is None or not group.offset else self.delay(part)


class _Delay(Recurrent):
    """What it is given, one frame later."""

    def remembers(self, channels: int) -> int:
        return channels

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        return past, frame


def _sum_over(layer: Normed, parts: Sequence[Tensor], groups: Sequence[Group], rows: slice = slice(None)) -> Tensor:
    """``layer``, some of its output channels, over features in parts: a convolution of each, the last part's first."""
    weight, bias = layer.folded()
    (part, group), *others = zip(parts[::-1], groups[::-1], strict=True)
    out = convolve(layer.conv, part, weight[rows, group.channels], bias[rows])
    for part, group in others:
        out = convolve(layer.conv, part, weight[rows, group.channels]) + out
    return out
