"""Non-local blocks between residual blocks, where the released TSM code adds them, beside its shift or without.

Each position of a clip takes from all positions of all its frames, each by how alike the two are: three 1×1
convolutions give queries, keys and values, the keys and values are halved in height and width by max pooling, the
softmax of the products weighs the values, a fourth convolution and a normalisation bring them back, and all is added to
the features. The normalisation begins at zero, so a pre-trained network is kept at first.

fraction: the share of the channels in which positions are compared, the paper's half. In-place, because what it adds
goes through the shortcut of the next block too.

What it adds, per non-local block with C channels, T frames of H × W positions: 2 C² + 4.5 C parameters, 2 C of them of
the normalisation; 2 C FLOPs for each of the (T H W)² / 4 pairs of positions, and 4 C per feature. Traffic: as counted
in ResNet-50 14 N (N = the bytes of the features), and that of the products, which a fused attention keeps in the cache.

Where: before every second block of the second and third stage, in ResNet-50 the five places of the released code (after
blocks 0 and 2, and 0, 2 and 4). It knows stages by name (``layer2.1``, ``stages.1.1``, ``blocks.2.1``): MobileNetV2 of
torchvision numbers its blocks through, and takes none. In a network of 23-block stages the shift stands in every block,
where the released code leaves out every second one.
"""

import re

from torch import Tensor, nn
from torch.nn.functional import max_pool2d, scaled_dot_product_attention

from bench.ops.frames import like
from bench.strategy import Parameter, ShiftBefore, Site, Strategy, as_clip

from ._family import Before

_PLACE = re.compile(r"(?:^|\.)(layer|stages\.|blocks\.)(\d+)\.(\d+)$")  # of a block: its stage and its number there
_STAGES = {"layer": (2, 3), "stages.": (1, 2), "blocks.": (2, 3)}  # with an eighth and a sixteenth of the resolution


class NonLocal(Strategy):
    """Each position looks at all positions of all frames, in a few places of a network; beside the released shift."""

    name = "non_local"
    source = "arXiv 1711.07971; mit-han-lab/temporal-shift-module, ops/non_local.py"
    fractions = (0.5,)
    placements = ("inplace",)
    directions = ("bidirectional",)
    shift_div = Parameter(8, (0, 4, 8), "of the shift beside it: 1 / shift_div of the channels move each way; 0: none")

    def refuses(self, channels: int) -> str | None:
        """Positions are compared in some of the channels."""
        return None if int(channels * self.fraction) else f"of {channels} channels none is left to compare"

    def refuses_site(self, site: Site) -> str | None:
        """Stages must have names: non-local blocks stand in two of them."""
        if site.block and not _PLACE.search(site.block):
            return "non-local blocks stand in the second and third stage, and the names of its blocks tell no stage"
        return super().refuses_site(site)

    def shift(self, clip: Tensor) -> Tensor:
        """The released one: [N, T, C, H, W] -> the same shape."""
        fold = clip.shape[2] // self.shift_div
        back, there = slice(fold), slice(fold, 2 * fold)
        out = clip.clone()
        out[:, :-1, back], out[:, -1:, back] = clip[:, 1:, back], 0
        out[:, 1:, there], out[:, :1, there] = clip[:, :-1, there], 0
        return out

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """The block, with a non-local one before it where one stands, and the shift in its branch where asked."""
        if self.fraction == 0:
            return block
        layer, channels = site.layer(block), site.channels(block)
        if self.shift_div:
            block = site.replace(block, ShiftBefore(self, layer, num_segments))
        if site.block and not _stands_before(site.block):
            return block
        attention = _NonLocalBlock(channels, int(channels * self.fraction), num_segments)
        return Before(like(attention, layer), block)


def _stands_before(block: str) -> bool:
    place = _PLACE.search(block)
    assert place, "refuses_site leaves such a block as it is"
    kind, stage, number = place.groups()
    return int(stage) in _STAGES[kind] and int(number) % 2 == 1


class _NonLocalBlock(nn.Module):
    """The embedded Gaussian form; keys and values at half the resolution."""

    def __init__(self, channels: int, few: int, num_segments: int) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.theta, self.phi, self.g = (nn.Conv2d(channels, few, 1) for _ in range(3))
        self.out = nn.Sequential(nn.Conv2d(few, channels, 1), nn.BatchNorm2d(channels))
        nn.init.zeros_(self.out[1].weight)  # type: ignore[arg-type]

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape."""
        theta, phi, g = self.theta(frames), self.phi(frames), self.g(frames)
        if min(frames.shape[2:]) > 1:
            phi, g = max_pool2d(phi, 2), max_pool2d(g, 2)
        queries, keys, values = (self._positions(features) for features in (theta, phi, g))
        looks = scaled_dot_product_attention(queries, keys, values, scale=1.0)
        looks = looks.unflatten(1, (self.num_segments, -1)).flatten(0, 1)  # [N*T, H*W, C']
        added: Tensor = self.out(looks.transpose(1, 2).reshape(theta.shape))
        return frames + added

    def _positions(self, frames: Tensor) -> Tensor:
        """[N*T, C', h, w] -> [N, T*h*w, C']."""
        return as_clip(frames, self.num_segments).movedim(2, -1).flatten(1, 3)
