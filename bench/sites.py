"""Where in a block a strategy stands, and what is read there: maps of a convolutional network, tokens of a transformer.

Maps are frames [N*T, C, H, W]; tokens are [N*T, L, C], of which the first is the class token, where there is one, and
the last ones are the patches, row by row. Tokens are shown to ``Strategy.shift`` as maps, [N*T, C, L, 1], a view: the
memory is that of channels_last, and a shift of channels need not know the difference.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor, nn

from bench.spec.axes import ValueNotAllowed

Features = Literal["maps", "tokens"]


@dataclass(frozen=True)
class Site:
    """Where in a block the shifted features are read: the layer's usual name and its path in the block.

    ``Site("conv1", "conv1")`` in a ResNet block, ``Site("conv1", "conv.0.0")`` in MobileNetV2's. block: the path of the
    block in its network, ``layer2.1``; empty where it stands alone.
    """

    name: str
    path: str
    block: str = field(default="", kw_only=True, compare=False)

    features: ClassVar[Features] = "maps"

    def layer(self, block: nn.Module) -> nn.Module:
        """The layer of ``block`` that stands at this site."""
        return block.get_submodule(self.path)

    def channels(self, block: nn.Module) -> int:
        """How many channels that layer reads. Raises ValueNotAllowed where it does not say."""
        layer = self.layer(block)
        for name in ("in_channels", "in_features", "num_features"):
            if isinstance(count := getattr(layer, name, None), int):
                return count
        if isinstance(shape := getattr(layer, "normalized_shape", None), tuple):  # of LayerNorm and RMSNorm
            return int(shape[-1])
        raise ValueNotAllowed(f"a {type(layer).__name__} does not say how many channels it reads")

    def narrow(self, block: nn.Module) -> "Site | None":
        """conv2 of a bottleneck, whose conv1, at this site, is 1×1; None in any other block."""
        narrows = getattr(self.layer(block), "kernel_size", None) == (1, 1) and hasattr(block, "conv2")
        return Site("conv2", "conv2") if narrows else None

    def replace(self, block: nn.Module, layer: nn.Module) -> nn.Module:
        """``block`` with ``layer`` where this site's layer stood."""
        parent, _, child = self.path.rpartition(".")
        setattr(block.get_submodule(parent), child, layer)
        return block


@dataclass(frozen=True)
class TokenSite(Site):
    """Of a transformer's block: the normalisation through which its attention reads tokens.

    mlp: the path of the one through which its MLP reads them, once attention has been added. attention: that of the
    attention; empty: there is none. leading: tokens before those of the patches. grid: rows and columns of patches;
    None: they vary. class_token: whether the first of the leading tokens is that of the class.
    """

    mlp: str
    attention: str = ""
    leading: int = 1
    grid: tuple[int, int] | None = None
    class_token: bool = True

    features: ClassVar[Features] = "tokens"

    @property
    def before_mlp(self) -> Site:
        """The place before the MLP."""
        return TokenSite(self.mlp, self.mlp, self.mlp, "", self.leading, self.grid, self.class_token)


def as_maps(features: Tensor) -> Tensor:
    """Tokens [N*T, L, C] -> a view [N*T, C, L, 1]; maps [N*T, C, H, W] as they are."""
    return features if features.dim() == 4 else features.transpose(1, 2).unsqueeze(3)


def as_given(maps: Tensor, given: Tensor) -> Tensor:
    """``maps``, which ``as_maps`` or a shift made of ``given``, with the axes of ``given``: a view."""
    return maps if given.dim() == 4 else maps.squeeze(3).transpose(1, 2)
