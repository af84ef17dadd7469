"""Two-stage training: the 2-D network learns the digit from single frames, then each arm learns to tell clips apart.

All that is random comes from the seed, and from a stream of its own for each purpose: with one seed, all arms see the
same data in the same order and start from the same weights, so that they can be compared pair by pair. One thread:
results do not depend on the number of cores, and arms can run side by side.
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from bench.accuracy.clips import Clips, Dataset
from bench.accuracy.evaluation import Scores, evaluate
from bench.accuracy.fitting import Batches, Fit, Plan, Report, fit, reproducible
from bench.axes import ACCURACY_BACKBONE
from bench.backbones import Network, build, insert
from bench.settings import Recipe
from bench.strategy import Strategy

State = dict[str, Tensor]

_PRETRAIN, _CLIPS, _TEST = range(3)  # streams of random numbers under one seed


@dataclass(frozen=True)
class Pretrained:
    """The 2-D network's weights, which all arms of a seed start from."""

    state: State
    fit: Fit


@dataclass(frozen=True)
class FineTuned:
    """One arm, trained and tested. params: of the whole network; flops: of one clip, forward; seconds of wall time."""

    scores: Scores
    fit: Fit
    params: int
    flops: int
    test_seconds: float
    clips_per_second: float


def pretrain(recipe: Recipe, dataset: Dataset, seed: int, report: Report) -> Pretrained:
    """Teach the 2-D network the spatial classes on single frames, easy ones first, then hard ones. Raises Diverged."""
    with reproducible(seed):
        network = build(ACCURACY_BACKBONE, num_segments=1, seed=seed)
        rng = np.random.default_rng([seed, _PRETRAIN])

        def draw(hard: bool) -> Batches:
            frames = dataset.single_frames(rng, recipe.pretrain_frames, hard)
            return torch.from_numpy(frames.pixels[:, None]), torch.from_numpy(frames.spatial[:, None])

        hardness = [False] * recipe.pretrain_epochs_easy + [True] * recipe.pretrain_epochs_hard
        epochs = [partial(draw, hard) for hard in hardness]
        plan = Plan(
            lr=recipe.pretrain_lr,
            weight_decay=recipe.weight_decay,
            batch=recipe.pretrain_batch,
            samples=recipe.pretrain_frames,
            classes=(dataset.spatial_classes,),
            bf16=recipe.bf16,
        )
        how = fit(network, epochs, plan, report)
        return Pretrained(network.state_dict(), how)


def fine_tune(
    strategy: Strategy, recipe: Recipe, dataset: Dataset, seed: int, state: State, report: Report
) -> FineTuned:
    """Put ``strategy`` into the pre-trained network, train it on clips, and test it after the last epoch.

    state: what ``pretrain`` gave; it is not changed. Raises Diverged.
    """
    with reproducible(seed):
        network = build(ACCURACY_BACKBONE, dataset.frames, seed)
        network.load_state_dict(state)
        insert(strategy, network)
        rng = np.random.default_rng([seed, _CLIPS])

        def draw() -> Batches:
            clips = dataset.clips(rng, recipe.clips)
            return torch.from_numpy(clips.pixels), torch.from_numpy(np.stack((clips.spatial, clips.temporal), axis=1))

        plan = Plan(
            lr=recipe.lr,
            weight_decay=recipe.weight_decay,
            batch=recipe.batch,
            samples=recipe.clips,
            classes=(dataset.spatial_classes, dataset.temporal_classes),
            bf16=recipe.bf16,
        )
        how = fit(network, [draw] * recipe.epochs, plan, report)
        test = dataset.test_clips(np.random.default_rng([seed, _TEST]), recipe.test_clips)
        start = time.perf_counter()
        scores = evaluate(network, test, dataset.spatial_classes)
        test_seconds = time.perf_counter() - start
        return FineTuned(
            scores,
            how,
            params=sum(parameter.numel() for parameter in network.parameters()),
            flops=_flops(network, test),
            test_seconds=test_seconds,
            clips_per_second=recipe.epochs * recipe.clips / how.train_seconds,
        )


def _flops(network: Network, clips: Clips) -> int:
    """Floating point operations of one clip's forward pass, multiplication and addition counted apart."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.from_numpy(clips.pixels[0]))
    return int(counter.get_total_flops())
