"""Small blocks on which a strategy is proven: of convolutions, of tokens, or of both where it takes both."""

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.models.vision_transformer import EncoderBlock

from bench.models.weights import seeded
from bench.sites import Features, Site, TokenSite
from bench.strategy import Strategy

_EDGE, _GRID = 4, (3, 5)  # of maps 4×4; of tokens as many, a class token and 3×5 patches


class Reads(nn.Module):
    """A block whose output is what its conv1 reads: conv1 is a 1×1 identity, and there is no shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.dirac_(self.conv1.weight)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape."""
        return self.conv1(frames)  # type: ignore[no-any-return]


class ReadsTokens(nn.Module):
    """The same of tokens: conv1 is what attention and MLP would read through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Linear(channels, channels, bias=False)
        nn.init.eye_(self.conv1.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """[N*T, L, C] -> the same shape."""
        return self.conv1(tokens)  # type: ignore[no-any-return]


Block: TypeAlias = Reads | ReadsTokens | BasicBlock | Bottleneck | EncoderBlock


def features_taken(strategy: Strategy) -> tuple[Features, ...]:
    """Those on which ``strategy`` is proven: all that it takes, maps first."""
    return tuple(site.features for site in (_MAPS, _TOKENS) if strategy.refuses_site(site) is None)


def reader(features: Features, channels: int) -> Reads | ReadsTokens:
    """A block whose output is what is read in it."""
    return Reads(channels) if features == "maps" else ReadsTokens(channels)


def residual_blocks(features: Features, channels: int) -> tuple[BasicBlock | Bottleneck | EncoderBlock, ...]:
    """Blocks that read and give so many channels, with random weights that are the same each time."""
    with seeded():
        if features == "tokens":
            return (EncoderBlock(1, channels, 2 * channels, 0.0, 0.0),)
        return BasicBlock(channels, channels), Bottleneck(channels, channels // 4)


def site_in(block: nn.Module) -> Site:
    """The place of a strategy in one of these blocks."""
    if isinstance(block, EncoderBlock):
        return TokenSite("norm1", "ln_1", "ln_2", "self_attention", 1, _GRID)
    return _TOKENS if isinstance(block, ReadsTokens) else _MAPS


def features_for(features: Features, frames: int, channels: int) -> tuple[int, ...]:
    """The shape of so many frames of features."""
    maps = (frames, channels, _EDGE, _EDGE)
    return maps if features == "maps" else (frames, 1 + _GRID[0] * _GRID[1], channels)


def silence(block: nn.Module) -> None:
    """Let the residual branches of ``block`` give zero: its output is its shortcut."""
    last = [block.self_attention.out_proj, block.mlp[-2]] if isinstance(block, EncoderBlock) else []
    last += [block.bn2] if isinstance(block, BasicBlock) else []
    last += [block.bn3] if isinstance(block, Bottleneck) else []
    with torch.no_grad():
        for layer in last:
            layer.weight.zero_()
            layer.bias.zero_()


def first_layers(block: nn.Module, site: Site) -> list[nn.Module]:
    """Through which the residual branches of a network's ``block`` read."""
    layers = [site.layer(block)]
    return [*layers, block.get_submodule(site.mlp)] if isinstance(site, TokenSite) else layers


_MAPS = Site("conv1", "conv1")
_TOKENS = TokenSite("conv1", "conv1", "conv1", "", 1, _GRID)
