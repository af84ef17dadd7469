"""A network of frames, where it takes a strategy, and how it lies in memory."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn
from torchvision.models.resnet import ResNet

from bench.models.residual_blocks import NoSites, sites
from bench.spec.axes import BASELINE, ValueNotAllowed
from bench.strategy import NotTaken, Site, Strategy, as_clip

Module = TypeVar("Module", bound=nn.Module)

NO_SITES = (
    "no residual block that could take a shift; one of your own may name its places: "
    "network.shift_sites = {'path.of.a.block': 'path.in.it.of.the.layer'}"
)
CALIBRATION_FRAMES, _CALIBRATION_SIZE = 8, 64
_GAINS, _NEXT_TO_ZERO = ("gamma", "gamma_1", "gamma_2", "layer_scale"), 1e-3  # of branches, in timm and torchvision


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


def insert(strategy: Strategy, network: Module, num_segments: int | None = None) -> Module:
    """Let ``strategy`` take its place at every site of ``network``, which is changed and returned.

    network: a ``Network``, or any module that maps frames [N*T, C, H, W] to what it gives for each frame; with
    num_segments: T, the frames in a clip. ``remove`` takes the strategy out again.

    Raises ValueError for a fraction, placement or direction that the strategy does not declare, NoSites where the
    network has no residual block that can take a shift, NotTaken where the strategy refuses them all, and ValueError
    for any strategy but the baseline in a network whose frames meet in 3-D convolutions.
    """
    own = getattr(network, "num_segments", None)
    segments = num_segments or own
    if isinstance(own, int) and segments != own:
        raise ValueError(f"num_segments={num_segments} asks for clips of {num_segments} frames; this network has {own}")
    if segments is None:
        raise ValueError("num_segments is missing: how many frames in a row are a clip?")
    _require_declared(strategy)
    if not getattr(network, "takes_shift", True):
        if strategy.name != BASELINE:
            raise ValueError(
                f"{strategy.name} cannot be put into a 3-D network: its frames meet in its convolutions already, "
                f"so it runs with {BASELINE} only"
            )
        return network
    wrap_all(strategy, network, lambda block, site: strategy.wrap(block, site, segments))
    return network


def _require_declared(strategy: Strategy) -> None:
    for axis, allowed in (("placement", strategy.placements), ("direction", strategy.directions)):
        if getattr(strategy, axis) not in allowed:
            raise ValueError(
                f"{strategy.name} is not made for {axis} {getattr(strategy, axis)}; it is for: {', '.join(allowed)}"
            )
    if strategy.fractions is not None and strategy.fraction not in (0, *strategy.fractions):
        known = ", ".join(f"{fraction:g}" for fraction in strategy.fractions)
        raise ValueError(f"{strategy.name} is not made for fraction {strategy.fraction:g}; it is for: {known}")


def remove(network: Module) -> Module:
    """Take a strategy out of ``network`` again, which is changed and returned: its blocks are what they were before
    ``insert``, with the weights of now. Raises ValueError where the strategy put weights of its own in their place."""
    before: dict[nn.Module, dict[str, nn.Module | None]] = getattr(network, "_before_insert", {})
    wrapped = _structure(network)
    held = {id(parameter) for parameter in network.parameters()}
    _restore(before)
    lost = [name for name, parameter in network.named_parameters() if id(parameter) not in held]
    if lost:
        _restore(wrapped)
        raise ValueError(f"the strategy cannot be taken out: it holds {lost[0]} in another form")
    return network


def _structure(network: nn.Module) -> dict[nn.Module, dict[str, nn.Module | None]]:
    return {module: dict(module._modules) for module in network.modules()}


def _restore(structure: dict[nn.Module, dict[str, nn.Module | None]]) -> None:
    for module, children in structure.items():
        module._modules = dict(children)


def wrap_all(strategy: Strategy, network: nn.Module, wrap: Callable[[nn.Module, Site], nn.Module]) -> None:
    """Put what ``wrap`` makes of each block that takes ``strategy`` in its place, and let neighbours join. What the
    strategy refuses stays as it is. Raises NoSites, NotTaken."""
    neighbours, wrapped = _neighbours(network), dict[int, nn.Module]()
    network.__dict__["_before_insert"] = _structure(network)  # for ``remove``; no part of the network
    found = sites(network, strategy.placement)
    if not found:
        raise NoSites(f"this network has {NO_SITES}")
    refused = refusals(strategy, found)
    why = next(iter(refused.values()), "")
    if len(refused) == len(found):
        raise NotTaken(f"{strategy.name} takes no place of this network: {why}")
    if refused:
        strategy.fall_back(f"{len(refused)} of {len(found)} places are left as they are: {why}")
    for parent, name, site in found:
        block = parent.get_submodule(name)
        if block not in refused:
            wrapped[id(block)] = wrap(block, site)
            setattr(parent, name, wrapped[id(block)])
    for before, after in neighbours.items():
        if before in wrapped and after in wrapped:
            strategy.join(wrapped[before], wrapped[after])


def refusals(strategy: Strategy, found: Sequence[tuple[nn.Module, str, Site]]) -> dict[nn.Module, str]:
    """Of the places that ``sites`` has found: {block: why ``strategy`` leaves it as it is}."""
    refuses_counts = type(strategy).refuses is not Strategy.refuses  # else no layer needs to say what it reads
    reasons = dict[nn.Module, str]()
    for parent, name, site in found:
        block = parent.get_submodule(name)
        reason = strategy.refuses_site(site)
        if reason is None and refuses_counts:
            reason = strategy.refuses(site.channels(block))
        if reason is not None:
            reasons[block] = reason
    return reasons


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
    return next((m.in_channels for m in trunk.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), 3)


def edge_of(trunk: nn.Module, usual: int) -> int:
    """px, of the frames that a trunk reads: ``usual``, unless it takes one size only, as vision transformers do."""
    if getattr(trunk, "dynamic_img_size", False):
        return usual
    declared = getattr(trunk, "image_size", None) or getattr(getattr(trunk, "patch_embed", None), "img_size", None)
    edge = declared[0] if isinstance(declared, tuple | list) and declared else declared
    return edge if isinstance(edge, int) else usual


def require_edge(trunk: nn.Module, size: int) -> None:
    """Raises ValueNotAllowed where ``trunk`` does not read frames of ``size`` px."""
    if (edge := edge_of(trunk, size)) != size:
        raise ValueNotAllowed(f"this network reads frames of {edge} px alone, not of {size}")


def calibrate(network: nn.Module, frames: int = CALIBRATION_FRAMES) -> None:
    """For random weights: BatchNorm statistics of one pass of random frames, so that no denormal or infinite values
    change the latency. A gain that starts at zero or next to it, as in timm's residual branches, becomes one, and a
    linear layer of zeros, as torchvision's ViT ends with, a random one: a GPU is faster on zeros, and a shift could not
    be seen."""
    for module in network.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():
            module.reset_parameters()
        if isinstance(module, _BatchNorm) and module.affine and not module.weight.any():
            nn.init.ones_(module.weight)
        for gain in (getattr(module, name, None) for name in _GAINS):
            if isinstance(gain, nn.Parameter) and gain.abs().max() < _NEXT_TO_ZERO:
                nn.init.ones_(gain)
    update_bn([torch.randn(frames, channels_of(network), _CALIBRATION_SIZE, _CALIBRATION_SIZE)], network)


def lay_out(network: nn.Module, memory_format: torch.memory_format) -> None:
    """Bring all weights into ``memory_format``, those of 3-D convolutions into its 3-D counterpart.

    ``Module.to`` knows one of the two and raises on the other. The parameters stay the same objects.
    """
    volumes = torch.channels_last_3d if memory_format is torch.channels_last else memory_format
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.dim() in (4, 5):
            tensor.data = tensor.data.to(memory_format=memory_format if tensor.dim() == 4 else volumes)
