"""Two stages, whatever is learned: a network from single frames, then the network with a strategy in it from clips.

A task that starts from weights of its own has the second stage only. All that is random comes from the seed, from a
stream of its own for each purpose: trials of one seed see the same data in the same order and start from the same
weights, so that they can be compared pair by pair. One thread: results do not depend on the number of cores, and trials
can run side by side.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR

from bench.measure.training.checkpoint import State
from bench.models import Network, insert, lay_out
from bench.spec.axes import PRETRAINED_FORM
from bench.spec.cases import Condition
from bench.spec.training import RenderedRecipe, TrainingRecipe
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

Look = Callable[[], Any]
"""Looks at the network after an epoch, must not change it, and gives what is to be kept of it."""


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


@dataclass(frozen=True)
class Kept:
    """So that a training that is killed goes on with its next epoch and ends with the same result. before: what was
    kept of it, None where it begins; keep: is given all that there is to keep, after every epoch."""

    before: dict[str, Any] | None
    keep: Callable[[dict[str, Any]], None]


Train = Callable[[Callable[[int], Iterator[Batch]], int, Look], tuple[Fit, list[Any]]]
"""Fine-tunes the network of a trial for as many epochs as recipe and condition say: on what the first draws for the
epoch of that number, so many clips. Gives what was kept of each look, too. Raises Diverged."""


@dataclass(frozen=True)
class Task(ABC):
    """What differs from task to task, for one recipe (its device and bf16 are settled), condition and seed. examples:
    test clips of which something is kept to look at. alive: is called now and then while nothing is trained."""

    recipe: TrainingRecipe
    condition: Condition
    seed: int
    dataset: Any
    data_version: str = ""
    examples: int = 0
    alive: Callable[[], None] = field(default=lambda: None)

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
        """``backbone`` as it starts, for clips of ``segments`` frames; what is random in it is the seed's."""

    def pretraining(self) -> Sequence[Epoch]:
        """All epochs of single frames; a task whose ``network`` is trained already has none."""
        return ()

    @abstractmethod
    def loss(self, network: Network, frames: Tensor, targets: Any) -> Tensor:
        """Of one batch, in either stage; under autocast where the recipe says bf16."""

    @abstractmethod
    def fine_tune(self, network: Network, strategy: Strategy, train: Train) -> dict[str, Any]:
        """Train on clips, judge after the last epoch: the fit's values, and what else ``SAMPLES`` has of the task."""

    def load(self, network: Network, state: State) -> None:
        """Give ``network``, which has no strategy yet, the pre-trained weights."""
        network.load_state_dict(state)

    def parameters(self, network: Network) -> list[tuple[float, list[nn.Parameter]]]:
        """All that learns, by the factor of its learning rate."""
        return [(1.0, list(network.parameters()))]

    def trained(self, network: Network) -> State:
        """The weights that are kept of a network that has learned and been judged."""
        return _state(network)

    @property
    def segments(self) -> int:
        """Frames of a clip that the network sees."""
        return int(self.dataset.frames)

    @property
    def form(self) -> str:
        """The 2-D network that is pre-trained: a 3-D one starts from the weights of another."""
        return PRETRAINED_FORM.get(self.condition.backbone, self.condition.backbone)


def pretrain(task: Task, report: Report) -> tuple[State, Fit]:
    """The weights that all trials of a seed start from. Raises Diverged."""
    recipe = task.recipe
    assert isinstance(recipe, RenderedRecipe)
    with reproducible(task.seed):
        network = task.network(task.form, 1)
        steps = math.ceil(recipe.pretrain_frames / recipe.pretrain_batch)
        how, _ = fit(task, network, task.pretraining(), recipe.pretrain_lr, steps, report)
        return _state(network), how


def fine_tune(
    task: Task, strategy: Strategy, state: State | None, report: Report, kept: Kept | None = None
) -> tuple[Fitted, State]:
    """Put ``strategy`` into the network, train it on clips and judge it: samples, and the trained weights.

    state: what ``pretrain`` gave, which is not changed; None: the task's network is trained already. kept: what was
    and is kept after each epoch. Raises Diverged, and what the task raises.
    """
    with reproducible(task.seed):
        network = task.network(task.condition.backbone, task.segments)
        if state is not None:
            task.load(network, state)
        insert(strategy, network)
        recipe, condition = task.recipe, task.condition

        def train(draw: Callable[[int], Iterator[Batch]], clips: int, look: Look) -> tuple[Fit, list[Any]]:
            epochs = [partial(draw, number) for number in range(max(1, round(recipe.epochs * condition.length_factor)))]
            steps = math.ceil(clips / recipe.batch)
            return fit(task, network, epochs, recipe.lr * condition.lr_factor, steps, report, look, kept)

        samples = {
            "params": sum(parameter.numel() for parameter in network.parameters()),
            "machine": environment.where_trained(),
            "data_version": task.data_version,
            "judged_on": recipe.judged_on,
            **task.fine_tune(network, strategy, train),
        }
        return task.SAMPLES.model_validate(samples), task.trained(network)


def fit(
    task: Task,
    network: Network,
    epochs: Sequence[Epoch],
    lr: float,
    steps: int,
    report: Report,
    look: Look = lambda: None,
    kept: Kept | None = None,
) -> tuple[Fit, list[Any]]:
    """Train ``network`` on what each of ``epochs`` draws: AdamW, one cycle of the learning rate over all of them. It is
    left in evaluation mode, in which ``look`` sees it too. lr: the highest. steps: of an epoch. Raises Diverged.
    """
    device = task.recipe.device
    network.to(device)
    lay_out(network, task.MEMORY_FORMAT)
    clock, total = time.perf_counter, len(epochs) * steps
    factors, parameters = zip(*task.parameters(network), strict=True)
    groups = [{"params": own} for own in parameters]
    optimizer = torch.optim.AdamW(groups, lr, weight_decay=task.recipe.weight_decay, fused=True)
    schedule = OneCycleLR(optimizer, [lr * factor for factor in factors], total_steps=total)
    stateful: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    train_loss, looks, train_seconds = list[float](), list[Any](), 0.0
    stages = np.zeros(4)  # data, forward, backward, update
    if kept is not None and kept.before is not None:
        train_loss, looks, train_seconds, seconds = kept.before["so_far"]
        stages += seconds
        for name, part in stateful.items():
            part.load_state_dict(kept.before[name])
        _set_random(device, kept.before["random"])
        network.eval()
    step = len(train_loss) * steps
    for epoch in epochs[len(train_loss) :]:
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
        looks.append(look())
        if kept is not None:
            states = {name: part.state_dict() for name, part in stateful.items()}
            so_far = [train_loss, looks, train_seconds, stages.tolist()]
            kept.keep({**states, "random": _random(device), "so_far": so_far})
    return Fit(train_loss, train_seconds, *stages.tolist()), looks


def _random(device: str) -> list[Tensor]:
    """Of torch's random numbers, where they stand."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if device == "cuda" else [])]


def _set_random(device: str, states: Sequence[Tensor]) -> None:
    torch.set_rng_state(states[0])
    if device == "cuda":
        torch.cuda.set_rng_state(states[1])


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
