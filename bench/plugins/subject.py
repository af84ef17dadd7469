"""A strategy under test: how its code is run, and how a property that does not hold is told."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from bench.models import Network
from bench.models.online import Reads
from bench.models.weights import disturb
from bench.strategy import Site, Strategy

SITE = Site("conv1", "conv1")

Make = Callable[[], Strategy]


class Broken(Exception):
    """A property that does not hold; the message is the smallest counter-example found."""


class Remark(Broken):
    """A property that need not hold: worth a flag, no failure."""


@dataclass(frozen=True)
class Subject:
    """A strategy under test: how to make it, what it claims to equal, and the device to test on.

    network: in which it is tested as a whole; None: in digits_resnet.
    """

    make: Make
    reference: Make | None
    device: str
    network: Network | None = None

    def clip(self, n: int, t: int, c: int, size: int = 4) -> Tensor:
        """Random frames [N*T, C, size, size]."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(n * t, c, size, size, generator=generator).to(self.device)

    def read(self, frames: Tensor, t: int, make: Make | None = None, *, trained: bool = False) -> Tensor:
        """What conv1 reads of ``frames``, in inference; trained: the strategy's own weights have left their start."""
        block = Reads(frames.shape[1]).to(self.device, frames.dtype)
        of_block = {id(parameter) for parameter in block.parameters()}
        wrapped = (make or self.make)().wrap(block, SITE, t)
        if trained:
            disturb([parameter for parameter in wrapped.parameters() if id(parameter) not in of_block])
        return infer(wrapped, frames.clone())

    def gradients(self, block: Reads | Bottleneck, make: Make, t: int) -> dict[str, Tensor | None]:
        """Those of a loss on what ``block`` gives in training, with respect to its input and its first weights."""
        weight = block.to(self.device).conv1.weight  # the parameter stays when a strategy takes the layer
        wrapped = make().wrap(block, SITE, t).train()
        frames = self.clip(2, t, 16).requires_grad_()
        wrapped(frames * 1.0).square().mean().backward()  # * 1.0: a block never sees a leaf
        return {"the input": frames.grad, "conv1's weight": weight.grad}


def infer(module: nn.Module, frames: Tensor) -> Tensor:
    """What ``module`` gives in inference."""
    with torch.inference_mode():
        return module.eval()(frames)  # type: ignore[no-any-return]


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
