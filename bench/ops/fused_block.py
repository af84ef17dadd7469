"""Residual blocks that begin with a 1×1 convolution of shifted frames: the shift is only where the product loads.

In inference on a GPU the normalisation and the ReLU after the convolution are the end of the same kernel: its result is
written once, where PyTorch writes it and then reads and writes it twice more.
"""

from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import Bottleneck

from bench.ops.affine import Affine
from bench.ops.frames import autocast
from bench.ops.residual import Layers, layers_of
from bench.ops.triton_operators import Activation, Moves, shift_conv, triton_conv
from bench.strategy import Site, gradients_wanted

_ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.ReLU: "relu", nn.ReLU6: "relu6"}


class ShiftConv(nn.Module):
    """The 1×1 convolution ``net`` of the shifted frames; its weights keep the released names (``….net.weight``)."""

    def __init__(self, net: nn.Conv2d, moves: Moves) -> None:
        super().__init__()
        self.net, self.moves = net, moves

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, O, H, W]."""
        return shift_conv(frames, self.net.weight, self.net.bias, *self.moves)


class FusedBlock(nn.Module):
    """A residual block of ``layers`` that begins with ``conv``; its parts keep the names that they have in ``block``.

    Where gradients are recorded or statistics gathered, its layers come one after the other.
    """

    def __init__(self, block: nn.Module, conv: ShiftConv, layers: Layers) -> None:
        super().__init__()
        for name, child in block.named_children():
            self.add_module(name, child)
        self.training = block.training
        self._conv, self._layers = (conv,), layers  # in a tuple, which hides it: it has a name already
        self._rectifier, *self._inner = _parts(layers)
        self._activation = _ACTIVATIONS[type(self._rectifier)]
        self._affine = Affine(layers.first)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H', W'] of the block."""
        branch = self._begun(frames)
        for layer in self._inner:
            branch = layer(branch)
        out = self._layers.last.whole(branch)
        out += self._layers.shortcut(frames)
        return out.relu_() if self._layers.rectified else out

    def _begun(self, frames: Tensor) -> Tensor:
        """Convolved, normalised and rectified."""
        conv, norm = self._conv[0], self._layers.first.norm
        if norm.training or gradients_wanted():
            return self._rectifier(norm(conv(frames)))  # type: ignore[no-any-return]
        scale, offset = (None, conv.net.bias) if isinstance(norm, nn.Identity) else self._affine()
        return triton_conv(*autocast(frames, conv.net.weight), offset, *conv.moves, False, scale, self._activation)  # type: ignore[no-any-return]


def fused(block: nn.Module, site: Site, moves: Moves) -> nn.Module:
    """``block`` with its layer at ``site``, a plain 1×1 convolution, reading shifted frames; with all that can be fused
    after it fused too, where it is the block of a ResNet or a MobileNetV2 as torchvision has it."""
    layer = site.layer(block)
    assert isinstance(layer, nn.Conv2d)
    layers, conv = layers_of(block, site), ShiftConv(layer, moves)
    site.replace(block, conv)
    return block if layers is None or not _is_known(block, layers) else FusedBlock(block, conv, layers)


def _is_known(block: nn.Module, layers: Layers) -> bool:
    """Whether the block computes what ``layers`` say, and nobody else looks at what is fused away."""
    activation = _parts(layers)[0]
    if type(block) not in (Bottleneck, InvertedResidual) or type(activation) not in _ACTIVATIONS:
        return False
    looked_at = any(own._forward_hooks or own._forward_pre_hooks for own in (block, layers.first.norm, activation))
    return not looked_at and (layers.first.conv.bias is None or isinstance(layers.first.norm, nn.Identity))


def _parts(layers: Layers) -> list[nn.Module]:
    """What stands between the first and the last normalised convolution; a ReLU may stand there twice."""
    assert isinstance(layers.middle, nn.Sequential)
    return list(layers.middle)
