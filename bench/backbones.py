"""2-D networks, and where each of them takes a strategy.

A network maps frames [N*T, 3, H, W] to clip logits [N, classes]: every frame on its own, then the consensus, the
average of the frames' logits (TSM, section 3.1; TSN).

Weights are random from a fixed seed. BatchNorm statistics are taken from one pass of random frames, so that
activations stay near unit scale in every layer: latency then does not depend on denormal or infinite values.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18, resnet34, resnet50, resnet101
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench.axes import ACCURACY_BACKBONE, BACKBONES, ValueNotAllowed
from bench.strategy import Site, Strategy

_EVERY_SECOND_FROM = (
    23  # blocks in the longest stage: from ResNet-101 on the released code shifts in every second block
)
_CALIBRATION_FRAMES, _CALIBRATION_SIZE = 8, 64


class Network(nn.Module):
    """A trunk that sees frames one by one, and the consensus over each clip's frames.

    forward: [N*T, 3, H, W] -> [N, classes], the average of the frames' logits.
    """

    def __init__(self, trunk: nn.Module, num_segments: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.num_segments = num_segments

    def forward(self, frames: Tensor) -> Tensor:
        """Clip logits."""
        logits: Tensor = self.trunk(frames)
        clips: Tensor = logits.unflatten(0, (-1, self.num_segments))
        return clips.mean(dim=1)


class DigitsResNet(nn.Module):
    """The accuracy experiment's trunk: basic blocks 2-3-4-3, widths 16/32/48/64, two linear heads (0.44 M parameters).

    forward: [N*T, 1, 32, 32] -> logits [N*T, spatial + temporal classes], the two heads side by side.
    """

    BLOCKS, WIDTHS = (2, 3, 4, 3), (16, 32, 48, 64)

    def __init__(self, spatial: int = 10, temporal: int = 4) -> None:
        super().__init__()
        width = self.WIDTHS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        stages = []
        for depth, out in zip(self.BLOCKS, self.WIDTHS, strict=True):
            blocks = []
            for index in range(depth):
                stride = 2 if index == 0 and out != self.WIDTHS[0] else 1
                matched = None
                if stride != 1 or width != out:
                    matched = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))
                blocks.append(BasicBlock(width, out, stride, matched))
                width = out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.spatial = nn.Linear(width, spatial)
        self.temporal = nn.Linear(width, temporal)

    def forward(self, frames: Tensor) -> Tensor:
        """Frame logits of both heads."""
        features = self.stages(self.stem(frames)).mean(dim=(2, 3))
        return torch.cat((self.spatial(features), self.temporal(features)), dim=1)


def build(name: str, num_segments: int, seed: int = 0) -> Network:
    """A 2-D network with random weights, calibrated, in evaluation mode.

    Raises ValueNotAllowed for an unknown name.
    """
    makers = {
        "resnet18": resnet18,
        "resnet34": resnet34,
        "resnet50": resnet50,
        "resnet101": resnet101,
        "mobilenet_v2": mobilenet_v2,
        ACCURACY_BACKBONE: DigitsResNet,
    }
    if name not in makers:
        raise ValueNotAllowed(f"unknown backbone {name!r}; there are: {', '.join(BACKBONES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(makers[name](), num_segments)
        if name != ACCURACY_BACKBONE:  # that one is trained, and BatchNorm learns its statistics there
            _calibrate(network.trunk)
    return network.eval()


def _calibrate(trunk: nn.Module) -> None:
    """Set every BatchNorm's statistics from one batch of random frames."""
    norms = [module for module in trunk.modules() if isinstance(module, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        trunk.train()(torch.randn(_CALIBRATION_FRAMES, 3, _CALIBRATION_SIZE, _CALIBRATION_SIZE))
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum


def sites(network: nn.Module) -> Iterator[tuple[nn.Module, str, Site]]:
    """Where the released code shifts: (the block's parent, the block's name in it, the site in the block)."""
    parents = list(network.modules())
    stages = [
        (parent, [name for name, block in parent.named_children() if isinstance(block, BasicBlock | Bottleneck)])
        for parent in parents
    ]
    step = 2 if any(len(names) >= _EVERY_SECOND_FROM for _, names in stages) else 1
    for parent, names in stages:
        for name in names[::step]:
            yield parent, name, Site("conv1", "conv1")
    for parent in parents:
        for name, block in parent.named_children():
            if isinstance(block, InvertedResidual) and block.use_res_connect:
                yield parent, name, Site("conv1", "conv.0.0")


def insert(strategy: Strategy, network: Network) -> Network:
    """Let ``strategy`` take its place at every site of ``network`` (which is changed and returned).

    Raises ValueError where the network has no block that can take a shift.
    """
    places = list(sites(network))
    if not places:
        raise ValueError("this network has no residual block that could take a shift")
    for parent, name, site in places:
        block = parent.get_submodule(name)
        setattr(parent, name, strategy.wrap(block, site, network.num_segments))
    return network
