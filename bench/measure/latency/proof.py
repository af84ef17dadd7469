"""The very kernels that are timed on a GPU, proven in the shapes and the dtype in which they are timed.

Conformance holds small tensors against each other, for which kernels take other tiles and other loads. Here a strategy
is held against the one whose function it computes on its panel's own input: block by block, where a lost shift cannot
hide, and as a whole network, where blocks hand on features in their own way. Over a network, rounding to 16 bits alone
may amount to more than is allowed: then it may lie a little farther from fp32 than the reference in 16 bits does.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from bench import models
from bench.models.network import refusals
from bench.models.runtimes import AS_COARSE, NETWORK_TOLERANCE, Inexact, deviation, in_fp32, tf32, tolerance
from bench.models.weights import seeded
from bench.strategy import Strategy

_OF_A_BLOCK = {torch.float32: 5e-5, torch.float16: 8e-3, torch.bfloat16: 3e-2}
"""max |difference| / max |reference|: three convolutions' rounding. A shift that is lost changes a tenth and more."""
_OF_A_BLOCK_IN_TF32 = 8e-3
_LOST = 0.5  # of what the shift changes: at 1 is a network that lost all of it
_LOST_IN_HALF = 0.9  # where 16 bits round by more than is allowed: by up to half of it in EfficientNet, with bf16


def require_same_function(
    model: models.Network, strategy: Strategy, reference: Strategy, network: models.Network, frames: Tensor
) -> None:
    """Raises Inexact where ``model``, which is ``network`` with ``strategy``, computes something else than ``network``
    with ``reference``.

    frames: the panel's input; none of the networks and no weight is changed.
    """
    shared: dict[int, Any] = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    other = copy.deepcopy(network, dict(shared))
    places = models.sites(other, reference.placement)
    refused = refusals(strategy, places)
    taken = [(parent, name, site) for parent, name, site in places if parent.get_submodule(name) not in refused]
    paths = {module: path for path, module in other.trunk.named_modules()}
    names = [paths[parent.get_submodule(name)] for parent, name, _ in taken]
    with seeded():  # as ``model`` was built: what learns has the same start
        alone = [
            strategy.wrap(copy.deepcopy(parent.get_submodule(name), dict(shared)), site, network.num_segments)
            for parent, name, site in taken
        ]
    with seeded():
        models.insert(reference, other).to(frames.device, frames.dtype).eval()
    hooks = [
        parent.get_submodule(name).register_forward_hook(
            _held_against(own.to(frames.device, frames.dtype).eval(), strategy, reference, path)
        )
        for own, path, (parent, name, _) in zip(alone, names, taken, strict=True)
    ]
    want = other.trunk(frames)
    for hook in hooks:
        hook.remove()
    got = model.trunk(frames)
    found, allowed, least, what = deviation(got, want), tolerance(frames), _LOST, reference.name
    if not found <= allowed and allowed > NETWORK_TOLERANCE[torch.float32]:
        exact = in_fp32(lambda network, frames: network.trunk(frames), other, frames)  # type: ignore[operator]
        found, allowed = deviation(got, exact), max(allowed, AS_COARSE * deviation(want, exact))
        want, least, what = exact, _LOST_IN_HALF, f"{what} in fp32"
    if strategy.fraction:
        allowed = min(allowed, least * deviation(network.trunk(frames), want))
    if not found <= allowed:
        raise Inexact(_said(strategy, what, found, allowed, "over the whole network", frames))


def _held_against(
    own: nn.Module, strategy: Strategy, reference: Strategy, path: str
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def compare(_: nn.Module, given: tuple[Tensor, ...], want: Tensor) -> None:
        frames = given[0]
        allowed = _OF_A_BLOCK_IN_TF32 if tf32(frames) else _OF_A_BLOCK[frames.dtype]
        if not (found := deviation(own(frames.clone(memory_format=torch.preserve_format)), want)) <= allowed:
            raise Inexact(_said(strategy, reference.name, found, allowed, f"in {path}", frames))

    return compare


def _said(strategy: Strategy, reference: str, found: float, allowed: float, where: str, frames: Tensor) -> str:
    return (
        f"{strategy.name} deviates from {reference} by {found:.2g} of the largest value (allowed: {allowed:.2g}) "
        f"{where}, on {list(frames.shape)}"
    )
