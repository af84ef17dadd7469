"""A network small enough to be exported in two seconds, and strategies that cannot be exported, or not rightly."""

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from bench import models
from bench.models import Network, OnlineNetwork
from bench.plugins.discovery import load_class, strategy_files

FRAMES = 4

FROZEN = '''
import torch
from bench.strategy import Strategy

class Frozen(Strategy):
    """Exports what it gave for the features it saw last, as a constant."""
    name = "frozen"
    last = {}

    def shift(self, clip):
        moved = self.channels_each_way(clip.shape[2])
        out = clip.clone()
        if torch.compiler.is_exporting():
            out[:, :, :moved] = self.last[clip.shape]
        else:
            out[:, 1:, :moved] = clip[:, :-1, :moved]
            self.last[clip.shape] = out[:, :, :moved].clone()
        return out
'''

BRANCHES = '''
from bench.strategy import Strategy

class Branches(Strategy):
    """Decides by the values of the features: no graph can hold that."""
    name = "branches"

    def shift(self, clip):
        out = clip.clone()
        if clip.sum() > 1e9:
            out[:, 1:] = clip[:, :-1]
        return out
'''


def _plain(segments: int) -> Network:
    torch.manual_seed(0)
    trunk = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1),
        nn.ReLU(),
        Bottleneck(64, 16),
        Bottleneck(64, 16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )
    return Network(trunk, segments).eval()


def network(strategy: str | None = None, fraction: float = 0.25) -> Network:
    """Two bottleneck blocks of 64 channels, with ``strategy`` in both."""
    plain = _plain(FRAMES)
    if strategy is None:
        return plain
    return models.insert(load_class(strategy, strategy_files())(fraction), plain).eval()


def online(strategy: str = "no_shift") -> OnlineNetwork:
    """The same frame by frame, with 1/4 of the channels from the past."""
    cls = load_class(strategy, strategy_files())
    made = cls(0.0) if strategy == "no_shift" else cls(0.25, "residual", "unidirectional")
    return models.go_online(made, _plain(1))


def frames(clips: int, seed: int = 0) -> Tensor:
    """[clips * FRAMES, 3, 16, 16]."""
    return torch.randn(clips * FRAMES, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
