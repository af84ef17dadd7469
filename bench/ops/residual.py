"""What a residual block is made of, for mechanisms that take a part in its first and its last layers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench.strategy import Site


@dataclass(frozen=True)
class Normed:
    """A convolution and the batch normalisation after it."""

    conv: nn.Conv2d
    norm: nn.BatchNorm2d

    def whole(self, frames: Tensor) -> Tensor:
        """Both as they are."""
        return self.norm(self.conv(frames))  # type: ignore[no-any-return]

    def folded(self) -> tuple[Tensor, Tensor]:
        """(weight, bias) of one convolution that computes both in evaluation."""
        norm, bias = self.norm, self.conv.bias
        assert norm.running_mean is not None and norm.running_var is not None, "it keeps running statistics"
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        mean = norm.running_mean if bias is None else norm.running_mean - bias
        return self.conv.weight * scale[:, None, None, None], norm.bias - mean * scale

    def apply(self, frames: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution with some of its weights."""
        return conv2d(frames, weight, bias, self.conv.stride, self.conv.padding, self.conv.dilation)


@dataclass(frozen=True)
class Layout:
    """y = final(last(middle(first(x))) + matched(x)).

    first reads the features that a strategy shifts, last writes the branch's result; matched: the convolution of the
    shortcut where it has one. rectified: whether ``final`` is a ReLU; otherwise it is nothing.
    """

    first: Normed
    middle: nn.Module
    last: Normed
    matched: Normed | None
    rectified: bool

    def final(self, frames: Tensor) -> Tensor:
        """What comes after the addition."""
        return torch.relu(frames) if self.rectified else frames

    def branch(self, frames: Tensor) -> Tensor:
        """All of the residual branch, its layers as they are."""
        return self.last.whole(self.middle(self.first.whole(frames)))


def layout_of(block: nn.Module, site: Site) -> Layout | None:
    """The layers of ``block``; None where it is no residual block of plain convolutions that begins at ``site``."""
    if isinstance(block, BasicBlock | Bottleneck):
        found = _resnet(block)
    elif isinstance(block, InvertedResidual) and block.use_res_connect:
        found = _inverted(block)
    else:
        return None
    if found is None or found.first.conv is not site.layer(block):
        return None
    layers = [found.first, found.last, *([found.matched] if found.matched else [])]
    return found if all(map(_is_plain, layers)) else None


def _resnet(block: BasicBlock | Bottleneck) -> Layout | None:
    matched = block.downsample
    if matched is not None and not (isinstance(matched, nn.Sequential) and len(matched) == 2):
        return None
    deep = isinstance(block, Bottleneck)
    inner = (block.conv2, block.bn2, block.relu) if deep else ()
    return Layout(
        Normed(block.conv1, block.bn1),
        nn.Sequential(block.relu, *inner),
        Normed(block.conv3, block.bn3) if deep else Normed(block.conv2, block.bn2),
        None if matched is None else Normed(*matched),
        rectified=True,
    )


def _inverted(block: InvertedResidual) -> Layout | None:
    expand, *middle, last, norm = block.conv
    if not middle or len(expand) != 3:
        return None
    return Layout(
        Normed(expand[0], expand[1]), nn.Sequential(expand[2], *middle), Normed(last, norm), None, rectified=False
    )


def _is_plain(layer: Normed) -> bool:
    conv, norm = layer.conv, layer.norm
    plain = type(conv) is nn.Conv2d and conv.groups == 1 and conv.padding_mode == "zeros"
    return plain and type(norm) is nn.BatchNorm2d and norm.track_running_stats and norm.affine
