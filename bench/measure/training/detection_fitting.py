"""One training of a detector: scenes in, a trained detector out. Both stages of the experiment use it."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import OneCycleLR

from bench.data.scenes import Scenes, in_batches
from bench.models import Detector, Targets

Report = Callable[[float], None]
"""Is told the share of the training that is done, 0 to 1, after every step."""

_LARGEST_STEP = 1.0  # norm of the gradient: early losses of boxes have long tails


class Diverged(Exception):
    """The training loss is no longer a finite number; the message says when."""


@dataclass(frozen=True)
class Plan:
    """How to train. clips: per epoch; batch: clips a step; device: ``cpu`` or ``cuda``."""

    lr: float
    weight_decay: float
    batch: int
    clips: int
    bf16: bool
    device: str


@dataclass(frozen=True)
class Fit:
    """How a training went: the mean loss of each epoch, and seconds of wall time, the making of scenes apart."""

    train_loss: list[float]
    train_seconds: float
    data_seconds: float


def fit(detector: Detector, epochs: Sequence[Callable[[], Scenes]], plan: Plan, report: Report) -> Fit:
    """Train on what each of ``epochs`` draws; AdamW and one cycle of the learning rate over all of them.

    The detector is left in evaluation mode. Raises Diverged.
    """
    total = len(epochs) * math.ceil(plan.clips / plan.batch)
    optimizer = torch.optim.AdamW(detector.parameters(), plan.lr, weight_decay=plan.weight_decay, fused=True)
    schedule = OneCycleLR(optimizer, plan.lr, total_steps=total)
    begin, making, step, losses = time.perf_counter(), 0.0, 0, list[float]()
    detector.train()
    for draw in epochs:
        start = time.perf_counter()
        scenes = draw()
        making += time.perf_counter() - start
        whole = 0.0
        for batch in in_batches(scenes, plan.batch):
            with torch.autocast(plan.device, torch.bfloat16, enabled=plan.bf16):
                parts = detector(frames_of(batch, plan.device), targets_of(batch, plan.device))
            loss = torch.stack(list(parts.values())).sum()
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(f"the training loss was {value} at step {step + 1} of {total}")
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(detector.parameters(), _LARGEST_STEP)
            optimizer.step()
            schedule.step()
            whole += value * len(batch)
            step += 1
            report(step / total)
        losses.append(whole / len(scenes))
    detector.eval()
    return Fit(losses, time.perf_counter() - begin, making)


def frames_of(scenes: Scenes, device: str = "cpu") -> torch.Tensor:
    """[N*T, 1, H, W], clip after clip; NCHW, because the head's group norm is several times slower in channels_last."""
    return torch.from_numpy(scenes.pixels).flatten(0, 1).to(device)


def targets_of(scenes: Scenes, device: str = "cpu") -> Targets:
    """What is to be found in each frame, clip after clip: boxes within the frame, of objects that can be seen.

    What lies outside the frame, or has no area in it, is left out; a frame may have none.
    """
    boxes, labels, asked = (torch.from_numpy(array) for array in (scenes.within, scenes.labels, scenes.asked))
    found: Targets = []
    for clip in range(len(scenes)):
        own = torch.from_numpy(scenes.objects(clip))
        for t in range(scenes.pixels.shape[1]):
            there = own[asked[own, t]]
            found.append({"boxes": boxes[there, t].to(device), "labels": labels[there].to(device)})
    return found
