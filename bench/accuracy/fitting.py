"""One training: batches in, a trained network and its learning curve out. Both stages of the experiment use it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR

from bench.backbones import Network

Report = Callable[[float], None]
"""Is told the share of the training that is done, 0 to 1, after every step."""

Batches = tuple[Tensor, Tensor]  # clips or frames [N, F, 1, H, W], and their classes [N, heads]


class Diverged(Exception):
    """The training loss, or a logit of the trained network, is no longer a finite number; the message says when."""


@dataclass(frozen=True)
class Plan:
    """How to train: samples (clips or frames) per epoch and per batch; the classes of each head that is trained."""

    lr: float
    weight_decay: float
    batch: int
    samples: int
    classes: tuple[int, ...]
    bf16: bool


@dataclass(frozen=True)
class Fit:
    """How a training went. Seconds of wall time; data_seconds is a part of train_seconds.

    train_loss: the mean of each epoch, summed over the heads that are trained.
    """

    train_loss: list[float]
    train_seconds: float
    data_seconds: float


def fit(network: Network, epochs: Sequence[Callable[[], Batches]], plan: Plan, report: Report) -> Fit:
    """Train ``network`` on what each of ``epochs`` draws; AdamW and one cycle of the learning rate over all of them."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), plan.lr, weight_decay=plan.weight_decay, fused=True)
    total = len(epochs) * math.ceil(plan.samples / plan.batch)
    schedule = OneCycleLR(optimizer, plan.lr, total_steps=total)
    begin, data_seconds, step = time.perf_counter(), 0.0, 0
    losses = []
    for draw in epochs:
        start = time.perf_counter()
        pixels, labels = draw()
        data_seconds += time.perf_counter() - start
        epoch_loss = 0.0
        for first in range(0, len(pixels), plan.batch):
            part = slice(first, first + plan.batch)
            loss = _loss(network, pixels[part], labels[part], plan)
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(f"the training loss was {value} at step {step + 1} of {total}")
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            epoch_loss += value * len(pixels[part])
            step += 1
            report(step / total)
        losses.append(epoch_loss / len(pixels))
    return Fit(losses, time.perf_counter() - begin, data_seconds)


def _loss(network: Network, batch: Tensor, targets: Tensor, plan: Plan) -> Tensor:
    """The sum of the heads' cross-entropies on the clip logits; the first head has the first logits."""
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.bf16):
        logits: Tensor = network(batch.flatten(0, 1))
    loss, first = torch.zeros(()), 0
    for head, count in enumerate(plan.classes):
        loss = loss + cross_entropy(logits[:, first : first + count].float(), targets[:, head])
        first += count
    return loss


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One thread, and torch's random numbers from ``seed``; afterwards both are as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
