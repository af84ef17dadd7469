"""A strategy under test: how its code is run, and how a property that does not hold is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.models import Network
from bench.models.online import counts_taken
from bench.models.small_blocks import (
    Block,
    Reads,
    ReadsTokens,
    features_for,
    features_taken,
    reader,
    residual_blocks,
    site_in,
)
from bench.models.weights import disturb, seeded
from bench.sites import Features
from bench.strategy import Strategy

Make = Callable[[], Strategy]


class Broken(Exception):
    """A property that does not hold; the message is the smallest counter-example found."""


class Remark(Broken):
    """A property that need not hold: worth a flag, no failure."""


@dataclass(frozen=True)
class Subject:
    """A strategy under test: how to make it, what it claims to equal, and the device to test on.

    network: in which it is tested as a whole; None: in digits_resnet. given: the features that blocks show it; None:
    maps where it takes them.
    """

    make: Make
    reference: Make | None
    device: str
    network: Network | None = None
    given: Features | None = None

    @property
    def channels(self) -> int:
        """Of the features on which most is proven: 16 where the strategy takes so many."""
        return self.taken((16,))[0]

    def taken(self, counts: Sequence[int]) -> list[int]:
        """Of these counts of channels those that the strategy takes, or the least of usual ones."""
        return counts_taken(self.make(), counts)

    @property
    def features(self) -> Features:
        """Those that blocks show it."""
        return self.given or features_taken(self.make())[0]

    def clip(self, n: int, t: int, c: int) -> Tensor:
        """Random features of N clips of T frames: maps [N*T, C, H, W], or tokens [N*T, L, C]."""
        return self._random(features_for(self.features, n * t, c))

    def pictures(self, n: int, t: int, c: int, size: int) -> Tensor:
        """Random frames [N*T, C, size, size]."""
        return self._random((n * t, c, size, size))

    def _random(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(self.device)

    def reader(self, c: int) -> Reads | ReadsTokens:
        """A block whose output is what is read of so many channels."""
        return reader(self.features, c)

    def blocks(self, c: int) -> tuple[Block, ...]:
        """Residual blocks of so many channels, with random weights that are the same each time."""
        return residual_blocks(self.features, c)

    def built(
        self, block: Block, t: int, make: Make | None = None, *, seed: int = 0, trained: bool = False
    ) -> nn.Module:
        """``block`` with the strategy, as a run builds it: what it learns starts from ``seed``, all is cast at last.

        trained: the strategy's own weights have left their start.
        """
        site = site_in(block)
        weight = site.layer(block.to(self.device)).weight
        assert isinstance(weight, Tensor)
        of_block = {id(parameter) for parameter in block.parameters()}
        with seeded(seed):
            wrapped = (make or self.make)().wrap(block, site, t).to(weight.device, weight.dtype)
        if trained:
            disturb(parameter for parameter in wrapped.parameters() if id(parameter) not in of_block)
        return wrapped

    def read(self, frames: Tensor, t: int, make: Make | None = None, *, trained: bool = False) -> Tensor:
        """What conv1 reads of ``frames``, in inference; trained: see ``built``."""
        block = self.reader(frames.shape[-1 if self.features == "tokens" else 1]).to(frames.dtype)
        return infer(self.built(block, t, make, trained=trained), frames.clone())

    def gradients(
        self, block: Block, make: Make, t: int, *, autocast: bool = False, trained: bool = False
    ) -> dict[str, Tensor | None]:
        """Those of a loss on what ``block`` gives in training, with respect to its input, its first weights and all
        that the strategy learns. autocast: in bf16, as trainings compute where a device can."""
        site = site_in(block)
        channels = site.channels(block)
        weight = next(site.layer(block).parameters())  # it stays when a strategy takes the layer
        of_block = {id(parameter) for parameter in block.parameters()}
        wrapped = self.built(block, t, make, trained=trained).train()
        frames = self.clip(2, t, channels).requires_grad_()
        with torch.autocast(self.device, torch.bfloat16, enabled=autocast):
            loss = wrapped(frames * 1.0).float().square().mean()  # * 1.0: a block never sees a leaf
        loss.backward()
        own = {name: p.grad for name, p in wrapped.named_parameters() if id(p) not in of_block and p.requires_grad}
        return {"the input": frames.grad, "the first layer's weight": weight.grad, **own}


class Kept(TorchDispatchMode):
    """Sees what is computed in its body, and how much of it is still held."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._made: dict[int, ref[Tensor]] = {}  # by id: what is written in place comes out again and again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self._made |= {id(value): ref(value) for value in tree_leaves(out) if isinstance(value, Tensor)}
        return out

    @property
    def numbers(self) -> int:
        """In tensors that somebody holds."""
        return sum(tensor.numel() for own in self._made.values() if (tensor := own()) is not None)


def infer(module: nn.Module, frames: Tensor) -> Tensor:
    """What ``module`` gives in inference."""
    with torch.inference_mode():
        return module.eval()(frames)  # type: ignore[no-any-return]


def unlike(frames: Tensor) -> Tensor:
    """Other frames of the same shape: neither moved alone nor scaled alone, so that no difference or ratio stays."""
    return 1.0 - 2.0 * frames.square()


def differ(got: Tensor, want: Tensor, tolerance: float, what: str, t: int) -> None:
    """Raise Broken at the first clip, frame and channel where the two differ."""
    if got.shape != want.shape:
        raise Broken(f"{what}: shape {tuple(got.shape)} instead of {tuple(want.shape)}")
    scale = want.abs().max().clamp_min(torch.finfo(want.dtype).tiny)
    error = (got - want).abs() / scale
    error = torch.where(torch.isfinite(error), error, torch.inf)
    if error.max() <= tolerance:
        return
    first = (error.flatten(1).amax(1) > tolerance).nonzero()[0].item()
    where = f"clip {int(first) // t}, frame {int(first) % t}"
    if error.dim() == 4:
        where += f", channel {int(error[int(first)].flatten(1).amax(1).argmax())}"
    raise Broken(f"{what}: {where} is off by {error.max():.2g} of the largest value (allowed {tolerance:g}), T={t}")
