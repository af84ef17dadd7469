"""The networks that the accuracy experiment trains: trunks with two heads, for frames of one grey channel.

Their BatchNorm learns its statistics in training. Two of them are 3-D; they are made from ``digits_resnet`` of the same
seed and compute at first what that one computes, so all networks of a seed begin with the same heads.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer, resnet50
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench.models.inflation import SpaceThenTime, VolumeConv
from bench.models.network import Network
from bench.models.weights import seeded
from bench.spec.axes import ACCURACY_BACKBONES, PRETRAINED_FORM, ValueNotAllowed

CLASSES = (10, 4)  # spatial and temporal, where the data set does not say otherwise


class TwoHeads(nn.Module):
    """Features of a frame, and two linear heads that read them."""

    channels: ClassVar[int] = 1

    def add_heads(self, width: int, spatial: int, temporal: int) -> None:
        """Two heads for features of ``width`` channels."""
        self.spatial, self.temporal = nn.Linear(width, spatial), nn.Linear(width, temporal)

    def features(self, frames: Tensor) -> Tensor:
        """[N*T, 1, H, W] -> [N*T, width]."""
        raise NotImplementedError

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, 1, H, W] -> logits [N*T, spatial + temporal classes], the two heads side by side."""
        features = self.features(frames)
        return torch.cat((self.spatial(features), self.temporal(features)), dim=1)


class SlimBottleneck(Bottleneck):  # type: ignore[misc]
    """torchvision's bottleneck block, twice as wide outside as inside instead of four times."""

    expansion = 2


class DigitsResNet(TwoHeads):
    """A small residual network: a 3×3 stem with stride 2, four stages, each but the first begun with stride 2.

    BLOCKS per stage; WIDTHS of the 3×3 convolutions. 0.44 M parameters.
    """

    BLOCK: ClassVar[type[BasicBlock] | type[Bottleneck]] = BasicBlock
    BLOCKS: ClassVar[tuple[int, ...]] = (2, 3, 4, 3)
    WIDTHS: ClassVar[tuple[int, ...]] = (16, 32, 48, 64)

    def __init__(self, spatial: int = CLASSES[0], temporal: int = CLASSES[1]) -> None:
        super().__init__()
        first = width = self.WIDTHS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.stages = nn.Sequential()
        for depth, inner in zip(self.BLOCKS, self.WIDTHS, strict=True):
            stage, out = nn.Sequential(), inner * self.BLOCK.expansion
            for index in range(depth):
                stride = 2 if index == 0 and inner != first else 1
                matched = None
                if stride != 1 or width != out:
                    matched = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))
                stage.append(self.BLOCK(width, inner, stride, matched))
                width = out
            self.stages.append(stage)
        self.add_heads(width, spatial, temporal)

    def features(self, frames: Tensor) -> Tensor:
        """[N*T, 1, H, W] -> [N*T, width], averaged over space and never over time."""
        return self.stages(self.stem(frames)).mean(dim=(2, 3))  # type: ignore[no-any-return]


class DigitsBottleneck(DigitsResNet):
    """Bottleneck blocks as in ResNet-50, of other widths: 0.22 M parameters."""

    BLOCK = SlimBottleneck
    BLOCKS, WIDTHS = (3, 4, 6, 3), (16, 24, 32, 48)


class GreyResNet50(TwoHeads):
    """torchvision's ResNet-50 with the two heads in place of its own; a grey frame is shown to it as three channels."""

    def __init__(self, spatial: int = CLASSES[0], temporal: int = CLASSES[1]) -> None:
        super().__init__()
        self.resnet = resnet50()
        width = self.resnet.fc.in_features
        self.resnet.fc = nn.Identity()
        self.add_heads(width, spatial, temporal)

    def features(self, frames: Tensor) -> Tensor:
        """[N*T, 1, H, W] -> [N*T, 2048]."""
        return self.resnet(frames.expand(-1, 3, -1, -1))  # type: ignore[no-any-return]


class DigitsTransformer(TwoHeads):
    """torchvision's ViT, small, for frames of 32 px: 16 patches of 8×8 and a class token, which the heads read."""

    PATCH, BLOCKS, WIDTH = 8, 6, 64

    def __init__(self, spatial: int = CLASSES[0], temporal: int = CLASSES[1]) -> None:
        super().__init__()
        self.image_size = 32
        self.vit = VisionTransformer(self.image_size, self.PATCH, self.BLOCKS, 4, self.WIDTH, 2 * self.WIDTH)
        self.vit.conv_proj = nn.Conv2d(1, self.WIDTH, self.PATCH, self.PATCH)
        self.vit.heads = nn.Identity()
        self.add_heads(self.WIDTH, spatial, temporal)

    def features(self, frames: Tensor) -> Tensor:
        """[N*T, 1, 32, 32] -> [N*T, width], the class token."""
        return self.vit(frames)  # type: ignore[no-any-return]


_FLAT = {
    "digits_resnet": DigitsResNet,
    "digits_bottleneck": DigitsBottleneck,
    "digits_vit": DigitsTransformer,
    "resnet50": GreyResNet50,
}
_IN_TIME = {"digits_r3d": VolumeConv, "digits_r2plus1d": SpaceThenTime}
"""A 3-D network, and what takes the place of each 3×3 convolution in the blocks of the 2-D one that it is made from."""


def pretrained_form(name: str) -> str:
    """The 2-D network that is trained on single frames in place of ``name``; a 2-D network stands for itself.

    Raises ValueNotAllowed for a network that cannot be trained.
    """
    if name not in ACCURACY_BACKBONES:
        raise ValueNotAllowed(
            f"unknown backbone of the accuracy section {name!r}; there are: {', '.join(ACCURACY_BACKBONES)}"
        )
    return PRETRAINED_FORM.get(name, name)


def build_trainable(name: str, num_segments: int, seed: int = 0, classes: tuple[int, int] = CLASSES) -> Network:
    """One of ``axes.ACCURACY_BACKBONES`` with random weights, in evaluation mode; classes: spatial, temporal.

    It maps frames [N*T, 1, H, W] to clip logits [N, spatial + temporal], its trunk to frame logits, the 3-D ones too.
    Raises ValueNotAllowed for an unknown name.
    """
    flat = pretrained_form(name)
    with seeded(seed):
        network = Network(_FLAT[flat](*classes), num_segments, takes_shift=name == flat)
        if name in _IN_TIME:
            for block in [module for module in network.modules() if isinstance(module, BasicBlock)]:
                block.conv1 = _IN_TIME[name](block.conv1, num_segments)
                block.conv2 = _IN_TIME[name](block.conv2, num_segments)
    return network.eval()
