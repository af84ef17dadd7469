"""A network of frames, where it takes a strategy, and how it lies in memory."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from bench.spec.axes import BASELINE
from bench.strategy import Site, Strategy, as_clip

_LONG_STAGE = 23  # blocks: from ResNet-101 on, which has such a stage, the released code shifts in every second block


class Network(nn.Module):
    """A trunk that gives logits for every frame, and the consensus over each clip's frames.

    trunk: frames -> frame logits [N*T, classes].
    takes_shift: whether a strategy can let its frames exchange channels; False where 3-D convolutions do so already.
    """

    def __init__(self, trunk: nn.Module, num_segments: int, *, takes_shift: bool = True) -> None:
        super().__init__()
        self.trunk, self.num_segments, self.takes_shift = trunk, num_segments, takes_shift

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> clip logits [N, classes], the average of the frames' logits."""
        logits: Tensor = self.trunk(frames)
        clips: Tensor = logits.unflatten(0, (-1, self.num_segments))
        return clips.mean(dim=1)


class ClipNetwork(Network):
    """A 3-D trunk that reads whole clips and pools over time itself: it has no frame logits and takes no shift.

    trunk: clips [N, 3, T, H, W] -> clip logits. Where the frames are channels_last in memory, the clips that the trunk
    sees are channels_last_3d: a view, no copy.
    """

    def __init__(self, trunk: nn.Module, num_segments: int) -> None:
        super().__init__(trunk, num_segments, takes_shift=False)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, 3, H, W] -> clip logits [N, classes], so that it is timed exactly as a 2-D network is."""
        return self.trunk(as_clip(frames, self.num_segments).transpose(1, 2))  # type: ignore[no-any-return]


def sites(network: nn.Module) -> Iterator[tuple[nn.Module, str, Site]]:
    """Where the released code shifts: (the block's parent, the block's name in it, the site in the block)."""
    if isinstance(network, Network) and not network.takes_shift:
        return
    parents = list(network.modules())
    stages = [
        (parent, [name for name, block in parent.named_children() if isinstance(block, BasicBlock | Bottleneck)])
        for parent in parents
    ]
    step = 2 if any(len(names) >= _LONG_STAGE for _, names in stages) else 1
    for parent, names in stages:
        for name in names[::step]:
            yield parent, name, Site("conv1", "conv1")
    for parent in parents:
        for name, block in parent.named_children():
            if isinstance(block, InvertedResidual) and block.use_res_connect:
                yield parent, name, Site("conv1", "conv.0.0")


def insert(strategy: Strategy, network: Network) -> Network:
    """Let ``strategy`` take its place at every site of ``network`` (which is changed and returned).

    A network that takes no shift runs with the baseline only: ValueError for any other strategy there, and where the
    network has no block that can take a shift.
    """
    if not network.takes_shift:
        if strategy.name != BASELINE:
            raise ValueError(
                f"{strategy.name} cannot be put into a 3-D network: its frames meet in its convolutions already, "
                f"so it runs with {BASELINE} only"
            )
        return network
    if not list(sites(network)):
        raise ValueError("this network has no residual block that could take a shift")
    wrap_all(strategy, network, lambda block, site: strategy.wrap(block, site, network.num_segments))
    return network


def wrap_all(strategy: Strategy, network: Network, wrap: Callable[[nn.Module, Site], nn.Module]) -> None:
    """Put what ``wrap`` makes of each block that takes ``strategy`` in its place, and let neighbours join."""
    neighbours, wrapped = _neighbours(network), dict[int, nn.Module]()
    for parent, name, site in list(sites(network)):
        block = parent.get_submodule(name)
        wrapped[id(block)] = wrap(block, site)
        setattr(parent, name, wrapped[id(block)])
    for before, after in neighbours.items():
        if before in wrapped and after in wrapped:
            strategy.join(wrapped[before], wrapped[after])


def _neighbours(network: nn.Module) -> dict[int, int]:
    """Of a module's ``id``, that of the one which alone reads what it gives: those that follow it in ``Sequential``s.

    The stages of a torchvision ResNet follow each other too.
    """
    found: dict[int, int] = {}
    for module in network.modules():
        chain = [module.layer1, module.layer2, module.layer3, module.layer4] if isinstance(module, ResNet) else [module]
        in_order = [inner for part in chain for inner in _unpacked(part)]
        found |= {id(before): id(after) for before, after in pairwise(in_order)}
    return found


def _unpacked(module: nn.Module) -> list[nn.Module]:
    """The modules in nested ``Sequential``s, in order."""
    if not isinstance(module, nn.Sequential) or not len(module):
        return [module]
    return [inner for child in module for inner in _unpacked(child)]


def channels_of(trunk: nn.Module) -> int:
    """Of the frames that a trunk reads: 3, or 1 for networks that read grey ones."""
    declared: int | None = getattr(trunk, "channels", None)
    if declared is not None:
        return declared
    return next(module.in_channels for module in trunk.modules() if isinstance(module, nn.Conv2d | nn.Conv3d))


def lay_out(network: nn.Module, memory_format: torch.memory_format) -> None:
    """Bring all weights into ``memory_format``, those of 3-D convolutions into its 3-D counterpart.

    ``Module.to`` knows one of the two and raises on the other. The parameters stay the same objects.
    """
    volumes = torch.channels_last_3d if memory_format is torch.channels_last else memory_format
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() in (4, 5):
            tensor.data = tensor.data.to(memory_format=memory_format if tensor.dim() == 4 else volumes)
