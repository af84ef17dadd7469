"""The very kernels that are timed on a GPU, proven in the shapes and the dtype in which they are timed.

Conformance holds small tensors against each other, for which kernels take other tiles and other loads. Here a strategy
is held against the one whose function it computes on its panel's own input: block by block, where a lost shift cannot
hide, and as a whole network, where blocks hand on features in their own way. The whole is judged by what the shift
itself changes: over a network, rounding to 16 bits alone may amount to a few per cent.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bench import models
from bench.models.runtimes import Inexact, deviation, tf32, tolerance
from bench.strategy import Strategy

_OF_A_BLOCK = {torch.float32: 5e-5, torch.float16: 8e-3, torch.bfloat16: 3e-2}
"""max |difference| / max |reference|: three convolutions' rounding. A shift that is lost changes a tenth and more."""
_OF_A_BLOCK_IN_TF32 = 8e-3
_LOST, _ALL = 0.5, 0.9  # of what the shift changes: at 1 is a network that lost all of it
_COARSE = 1e-2  # a tolerance from which on two roundings of one network may lie farther apart than it


def require_same_function(
    model: models.Network, strategy: Strategy, reference: Strategy, network: models.Network, frames: Tensor
) -> None:
    """Raises Inexact where ``model``, which is ``network`` with ``strategy``, computes something else than ``network``
    with ``reference``.

    frames: the panel's input; none of the networks and no weight is changed.
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    other = copy.deepcopy(network, dict(shared))
    found = models.sites(other, reference.placement)
    paths = {module: path for path, module in other.trunk.named_modules()}
    names = [paths[parent.get_submodule(name)] for parent, name, _ in found]
    alone = [
        strategy.wrap(copy.deepcopy(parent.get_submodule(name), dict(shared)), site, network.num_segments).eval()
        for parent, name, site in found
    ]
    models.insert(reference, other).eval()
    for own, path, (parent, name, _) in zip(alone, names, found, strict=True):
        parent.get_submodule(name).register_forward_hook(_held_against(own, strategy, reference, path))
    want = other.trunk(frames)
    got, allowed = deviation(model.trunk(frames), want), tolerance(frames)
    if strategy.fraction:
        lost = deviation(network.trunk(frames), want)
        allowed = min(max(allowed, _LOST * lost) if allowed >= _COARSE else allowed, _ALL * lost)
    if not got <= allowed:
        raise Inexact(_said(strategy, reference, got, allowed, "over the whole network", frames))


def _held_against(
    own: nn.Module, strategy: Strategy, reference: Strategy, path: str
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def compare(_: nn.Module, given: tuple[Tensor, ...], want: Tensor) -> None:
        frames = given[0]
        allowed = _OF_A_BLOCK_IN_TF32 if tf32(frames) else _OF_A_BLOCK[frames.dtype]
        if not (found := deviation(own(frames.clone(memory_format=torch.preserve_format)), want)) <= allowed:
            raise Inexact(_said(strategy, reference, found, allowed, f"in {path}", frames))

    return compare


def _said(strategy: Strategy, reference: Strategy, found: float, allowed: float, where: str, frames: Tensor) -> str:
    return (
        f"{strategy.name} deviates from {reference.name} by {found:.2g} of the largest value (allowed: {allowed:.2g}) "
        f"{where}, on {list(frames.shape)}"
    )
