"""Two stages, whatever is learned: a network from single frames, then the network with a strategy in it from clips.

All that is random comes from the seed, from a stream of its own for each purpose: trials of one seed see the same data
in the same order and start from the same weights, so that they can be compared pair by pair. One thread: results do not
depend on the number of cores, and trials can run side by side.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from bench.data.images import Dataset
from bench.measure.training.checkpoint import State
from bench.models import Network, insert, lay_out
from bench.spec.axes import PRETRAINED_FORM
from bench.spec.cases import Condition
from bench.spec.training import TrainingRecipe
from bench.store.samples import Fitted
from bench.strategy import Strategy
from bench.system import environment

Report = Callable[[float], None]
"""Is given the share of the training that is done, 0 to 1, after every step."""


class Diverged(Exception):
    """The training loss, or an output of the trained network, is no longer a finite number; the message says when."""


Batch = tuple[Tensor, Any]
"""On the device that trains: frames [N * T, C, H, W], clip after clip, and the targets that the task's loss reads."""

Epoch = Callable[[], Iterator[Batch]]
"""Draws fresh data and gives it batch by batch."""


@dataclass(frozen=True)
class Fit:
    """The mean loss of each epoch, and seconds of wall time. train_seconds: of all epochs without what is done after
    each; the others are parts of it."""

    train_loss: list[float]
    train_seconds: float
    data_seconds: float
    forward_seconds: float
    backward_seconds: float
    update_seconds: float


Train = Callable[[Epoch, Callable[[], None] | None], Fit]
"""Fine-tunes the network of a trial for as many epochs as recipe and condition say, and calls the second after each,
which may look at the network and must not change it. Raises Diverged."""


@dataclass(frozen=True)
class Task(ABC):
    """What differs from task to task, for one recipe (its device and bf16 are settled), condition and seed. examples:
    test clips of which something is kept to look at."""

    recipe: TrainingRecipe
    condition: Condition
    seed: int
    dataset: Dataset
    data_version: str = ""
    examples: int = 0

    SAMPLES: ClassVar[type[Fitted]]
    MEMORY_FORMAT: ClassVar[torch.memory_format] = torch.contiguous_format
    LARGEST_GRADIENT: ClassVar[float | None] = None
    """Norm to which gradients are clipped; None: they are not."""

    @classmethod
    @abstractmethod
    def open(cls, recipe: dict[str, Any], data: dict[str, Any], condition: Condition, seed: int) -> "Task":
        """From plain values, with its data set. Raises ValueNotAllowed for a split that leaves a part empty."""

    @abstractmethod
    def network(self, backbone: str, segments: int) -> Network:
        """``backbone`` with random weights of the seed, for clips of ``segments`` frames."""

    @abstractmethod
    def pretraining(self) -> Sequence[Epoch]:
        """All epochs of single frames."""

    @abstractmethod
    def loss(self, network: Network, frames: Tensor, targets: Any) -> Tensor:
        """Of one batch, in either stage; under autocast where the recipe says bf16."""

    @abstractmethod
    def fine_tune(self, network: Network, strategy: Strategy, train: Train) -> dict[str, Any]:
        """Train on clips, judge after the last epoch: the fit's values, and what else ``SAMPLES`` has of the task."""

    def load(self, network: Network, state: State) -> None:
        """Give ``network``, which has no strategy yet, the pre-trained weights."""
        network.load_state_dict(state)

    @property
    def segments(self) -> int:
        """Frames of a clip that the network sees."""
        return self.dataset.frames

    @property
    def form(self) -> str:
        """The 2-D network that is pre-trained: a 3-D one starts from the weights of another."""
        return PRETRAINED_FORM.get(self.condition.backbone, self.condition.backbone)


def pretrain(task: Task, report: Report) -> tuple[State, Fit]:
    """The weights that all trials of a seed start from. Raises Diverged."""
    with reproducible(task.seed):
        network = task.network(task.form, 1)
        recipe = task.recipe
        steps = math.ceil(recipe.pretrain_frames / recipe.pretrain_batch)
        how = fit(task, network, task.pretraining(), recipe.pretrain_lr, steps, report)
        return _state(network), how


def fine_tune(task: Task, strategy: Strategy, state: State, report: Report) -> tuple[Fitted, State]:
    """Put ``strategy`` into the pre-trained network, train it on clips and judge it: samples, and the trained weights.

    state: what ``pretrain`` gave; it is not changed. Raises Diverged, and what the task raises.
    """
    with reproducible(task.seed):
        network = task.network(task.condition.backbone, task.segments)
        task.load(network, state)
        insert(strategy, network)
        recipe, condition = task.recipe, task.condition

        def train(epoch: Epoch, after_epoch: Callable[[], None] | None) -> Fit:
            epochs = [epoch] * max(1, round(recipe.epochs * condition.length_factor))
            steps = math.ceil(recipe.clips / recipe.batch)
            return fit(task, network, epochs, recipe.lr * condition.lr_factor, steps, report, after_epoch)

        samples = {
            "params": sum(parameter.numel() for parameter in network.parameters()),
            "machine": environment.where_trained(),
            "data_version": task.data_version,
            "judged_on": recipe.judged_on,
            **task.fine_tune(network, strategy, train),
        }
        return task.SAMPLES.model_validate(samples), _state(network)


def fit(
    task: Task,
    network: Network,
    epochs: Sequence[Epoch],
    lr: float,
    steps: int,
    report: Report,
    after_epoch: Callable[[], None] | None = None,
) -> Fit:
    """Train ``network`` on what each of ``epochs`` draws: AdamW, one cycle of the learning rate over all of them. It is
    left in evaluation mode, in which ``after_epoch`` sees it too. lr: the highest. steps: of an epoch. Raises Diverged.
    """
    device = task.recipe.device
    network.to(device)
    lay_out(network, task.MEMORY_FORMAT)
    clock, step, total = time.perf_counter, 0, len(epochs) * steps
    optimizer = torch.optim.AdamW(network.parameters(), lr, weight_decay=task.recipe.weight_decay, fused=True)
    schedule = OneCycleLR(optimizer, lr, total_steps=total)
    train_loss, train_seconds, stages = list[float](), 0.0, np.zeros(4)  # data, forward, backward, update
    for epoch in epochs:
        begin = start = clock()
        network.train()
        whole, count = 0.0, 0
        for frames, targets in epoch():
            ready = clock()
            with torch.autocast(device, torch.bfloat16, enabled=task.recipe.bf16 is True):
                loss = task.loss(network, frames, targets)
            value = loss.item()
            known = clock()
            step += 1
            if not math.isfinite(value):
                raise Diverged(f"the training loss was {value} at step {step} of {total}")
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            back = clock()
            if task.LARGEST_GRADIENT is not None:
                torch.nn.utils.clip_grad_norm_(network.parameters(), task.LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            stages += np.diff([start, ready, known, back, clock()])
            whole += value * len(frames)
            count += len(frames)
            report(step / total)
            start = clock()
        train_loss.append(whole / count)
        train_seconds += clock() - begin
        network.eval()
        if after_epoch is not None:
            after_epoch()
    return Fit(train_loss, train_seconds, *stages.tolist())


@contextmanager
def reproducible(seed: int) -> Iterator[None]:
    """One thread, torch's random numbers from ``seed``, no TF32 and no choice of algorithms by timing; afterwards all
    is as before."""
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    before = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32)
    torch.set_num_threads(1)
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = False, True, False
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)
        cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = before


def _state(network: Network) -> State:
    return {name: tensor.cpu() for name, tensor in network.state_dict().items()}
