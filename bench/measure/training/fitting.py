"""One training: batches in, a trained network and its learning curve out. Both stages of the experiment use it."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate
from torch.optim.lr_scheduler import OneCycleLR

from bench.models import Network

Report = Callable[[float], None]
"""Is told the share of the training that is done, 0 to 1, after every step."""

Batches = tuple[Tensor, Tensor]  # clips or frames [N, F, 1, H, W], and their classes [N, heads]


class Diverged(Exception):
    """The training loss, or a logit of the trained network, is no longer a finite number; the message says when."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    samples: clips or frames per epoch; batch: per step. heads: the number of classes of each head, whose logits stand
    side by side; trained: which of them the loss asks for. size: of a frame, in px. device: ``cpu`` or ``cuda``.
    """

    lr: float
    weight_decay: float
    batch: int
    samples: int
    heads: tuple[int, ...]
    trained: tuple[bool, ...]
    bf16: bool
    size: int
    device: str


@dataclass
class Spent:
    """Seconds of wall time by what they went to."""

    data: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    update: float = 0.0


@dataclass(frozen=True)
class Fit:
    """How a training went. train_seconds: wall time of all epochs, without what is done after each; data_seconds,
    forward_seconds, backward_seconds and update_seconds are parts of it.

    train_loss: the mean of each epoch, summed over the heads that are trained.
    """

    train_loss: list[float]
    train_seconds: float
    data_seconds: float
    forward_seconds: float
    backward_seconds: float
    update_seconds: float


def fit(
    network: Network,
    epochs: Sequence[Callable[[], Batches]],
    plan: Plan,
    report: Report,
    after_epoch: Callable[[], None] = lambda: None,
) -> Fit:
    """Train ``network`` on what each of ``epochs`` draws; AdamW and one cycle of the learning rate over all of them.

    after_epoch: may look at the network (in evaluation mode), and must not change it. Raises Diverged.
    """
    course = _Course(network, len(epochs), plan)
    seconds = 0.0
    losses = []
    for draw in epochs:
        begin = time.perf_counter()
        network.train()
        losses.append(course.epoch(draw, report))
        seconds += time.perf_counter() - begin
        after_epoch()
    spent = {f"{name}_seconds": value for name, value in vars(course.spent).items()}
    return Fit(losses, seconds, **spent)


@dataclass
class _Course:
    """A training in progress: optimiser, schedule, and where the time went."""

    network: Network
    epochs: int
    plan: Plan
    spent: Spent = field(default_factory=Spent)
    step: int = 0

    def __post_init__(self) -> None:
        plan = self.plan
        self.total = self.epochs * math.ceil(plan.samples / plan.batch)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), plan.lr, weight_decay=plan.weight_decay, fused=True
        )
        self.schedule = OneCycleLR(self.optimizer, plan.lr, total_steps=self.total)

    def epoch(self, draw: Callable[[], Batches], report: Report) -> float:
        """All that ``draw`` gives, batch by batch; the mean loss."""
        clock = time.perf_counter
        start = clock()
        pixels, labels = draw()
        self.spent.data += clock() - start
        whole = 0.0
        for first in range(0, len(pixels), self.plan.batch):
            part = slice(first, first + self.plan.batch)
            start = clock()
            batch, targets = on_device(pixels[part], self.plan), labels[part].to(self.plan.device)
            ready = clock()
            loss = _loss(self.network, batch, targets, self.plan)
            value = loss.item()
            known = clock()
            if not math.isfinite(value):
                raise Diverged(f"the training loss was {value} at step {self.step + 1} of {self.total}")
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            back = clock()
            self.optimizer.step()
            self.schedule.step()
            done = clock()
            self.spent.data += ready - start
            self.spent.forward += known - ready
            self.spent.backward += back - known
            self.spent.update += done - back
            whole += value * len(batch)
            self.step += 1
            report(self.step / self.total)
        return whole / len(pixels)


def on_device(pixels: Tensor, plan: Plan) -> Tensor:
    """Clips [N, F, 1, H, W] as frames [N * F, 1, size, size] where they are trained on; enlarged bilinearly."""
    frames = pixels.flatten(0, 1).to(plan.device)
    if frames.shape[-1] != plan.size:
        frames = interpolate(frames, size=(plan.size, plan.size), mode="bilinear", align_corners=False)
    return frames


def _loss(network: Network, frames: Tensor, targets: Tensor, plan: Plan) -> Tensor:
    """The sum of the cross-entropies of the heads that are trained, on the clip logits; frames [N * F, 1, H, W]."""
    with torch.autocast(plan.device, torch.bfloat16, enabled=plan.bf16):
        logits: Tensor = network(frames)
    loss, first = torch.zeros((), device=plan.device), 0
    for head, (count, wanted) in enumerate(zip(plan.heads, plan.trained, strict=True)):
        if wanted:
            loss = loss + cross_entropy(logits[:, first : first + count].float(), targets[:, head])
        first += count
    return loss
