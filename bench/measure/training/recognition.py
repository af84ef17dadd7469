"""Two-stage training: the 2-D network learns the digit from single frames, then each arm learns to tell clips apart.

All that is random comes from the seed, and from a stream of its own for each purpose: with one seed, all arms see the
same data in the same order and start from the same weights, so that they can be compared pair by pair. One thread:
results do not depend on the number of cores, and arms can run side by side.
"""

import time
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.data.clips import Clips, Dataset, one_frame, shuffled
from bench.measure.training.checkpoint import State
from bench.measure.training.evaluation import Scores, evaluate, evaluate_early
from bench.measure.training.fitting import Batches, Fit, Plan, Report, fit, on_device
from bench.measure.training.reproducible import reproducible
from bench.models import Network, build_trainable, insert, lay_out, load_pretrained, pretrained_form
from bench.spec.cases import Condition
from bench.spec.settings import Recipe
from bench.strategy import Strategy

_PRETRAIN, _CLIPS, _TEST, _VALIDATION, _ORDER, _VIEW = range(6)  # streams of random numbers under one seed


@dataclass(frozen=True)
class Pretrained:
    """The 2-D network's weights, which all arms of a seed start from."""

    state: State
    fit: Fit


@dataclass
class Curve:
    """Accuracy on validation clips after each epoch, 0 to 1, and how many training clips had been seen by then."""

    clips_seen: list[int] = field(default_factory=list)
    spatial: list[float] = field(default_factory=list)
    temporal: list[float] = field(default_factory=list)
    joint: list[float] = field(default_factory=list)

    def add(self, clips: int, scores: Scores) -> None:
        """One epoch of ``clips`` clips."""
        self.clips_seen.append(clips + (self.clips_seen[-1] if self.clips_seen else 0))
        for part in ("spatial", "temporal", "joint"):
            getattr(self, part).append(float(getattr(scores, part).mean()))


@dataclass(frozen=True)
class FineTuned:
    """One arm, trained and tested. shuffled: the same network on clips whose frames stand in a random order, None where
    it sees one frame only. early: on the test clips after each of their frames, None where the network sees what comes
    later. params: of the whole network; flops: of one clip, forward; seconds of wall time."""

    scores: Scores
    shuffled: Scores | None
    early: list[Scores] | None
    curve: Curve
    fit: Fit
    params: int
    flops: int
    test_seconds: float
    clips_per_second: float


def pretrain(recipe: Recipe, dataset: Dataset, backbone: str, seed: int, report: Report) -> Pretrained:
    """Teach a 2-D network the spatial classes on single frames, easy ones first, then hard ones. Raises Diverged."""
    with reproducible(seed):
        network = _network(backbone, 1, seed, dataset, recipe)
        rng = np.random.default_rng([seed, _PRETRAIN])

        def draw(hard: bool) -> Batches:
            frames = dataset.single_frames(rng, recipe.pretrain_frames, hard)
            return torch.from_numpy(frames.pixels[:, None]), torch.from_numpy(frames.spatial[:, None])

        hardness = [False] * recipe.pretrain_epochs_easy + [True] * recipe.pretrain_epochs_hard
        plan = Plan(
            lr=recipe.pretrain_lr,
            weight_decay=recipe.weight_decay,
            batch=recipe.pretrain_batch,
            samples=recipe.pretrain_frames,
            heads=(dataset.spatial_classes,),
            trained=(True,),
            bf16=recipe.bf16 is True,  # auto is settled when the sweep is resolved
            size=recipe.size,
            device=recipe.device,
        )
        how = fit(network, [partial(draw, hard) for hard in hardness], plan, report)
        return Pretrained({name: tensor.cpu() for name, tensor in network.state_dict().items()}, how)


def fine_tune(
    strategy: Strategy,
    recipe: Recipe,
    dataset: Dataset,
    condition: Condition,
    seed: int,
    state: State,
    report: Report,
) -> FineTuned:
    """Put ``strategy`` into the pre-trained network, train it on clips, and test it after the last epoch.

    state: what ``pretrain`` gave for the network that the condition's starts from; it is not changed. Raises Diverged.
    """
    with reproducible(seed):
        segments = 1 if condition.view == "one_frame" else dataset.frames
        network = build_trainable(
            condition.backbone, segments, seed, (dataset.spatial_classes, dataset.temporal_classes)
        )
        load_pretrained(network, state)
        insert(strategy, network)
        network.to(recipe.device)
        lay_out(network, torch.channels_last)  # in which small convolutions are faster
        plan = _fine_tuning(recipe, dataset, condition)
        seen = _Seen(dataset, condition.view, seed)
        validation = seen.judged("validation", recipe.validation_clips)
        curve = Curve()
        how = fit(
            network,
            [lambda: seen.training(recipe.clips)] * round(recipe.epochs * condition.length_factor),
            plan,
            report,
            after_epoch=lambda: curve.add(recipe.clips, evaluate(network, validation, plan)),
        )
        test = seen.judged(recipe.judged_on, recipe.test_clips)
        start = time.perf_counter()
        scores = evaluate(network, test, plan)
        test_seconds = time.perf_counter() - start
        return FineTuned(
            scores,
            None if segments == 1 else evaluate(network, seen.shuffled(test), plan),
            evaluate_early(network, test, plan) if segments > 1 and _causal(strategy, network) else None,
            curve,
            how,
            params=sum(parameter.numel() for parameter in network.parameters()),
            flops=_flops(network, test, plan),
            test_seconds=test_seconds,
            clips_per_second=curve.clips_seen[-1] / how.train_seconds,
        )


def _network(backbone: str, segments: int, seed: int, dataset: Dataset, recipe: Recipe) -> Network:
    """A 2-D network to pre-train, where it is trained."""
    network = build_trainable(
        pretrained_form(backbone), segments, seed, (dataset.spatial_classes, dataset.temporal_classes)
    )
    network.to(recipe.device)
    lay_out(network, torch.channels_last)  # in which small convolutions are faster
    return network


def _fine_tuning(recipe: Recipe, dataset: Dataset, condition: Condition) -> Plan:
    return Plan(
        lr=recipe.lr * condition.lr_factor,
        weight_decay=recipe.weight_decay,
        batch=recipe.batch,
        samples=recipe.clips,
        heads=(dataset.spatial_classes, dataset.temporal_classes),
        trained=(condition.objective != "temporal", condition.objective != "spatial"),
        bf16=recipe.bf16 is True,  # auto is settled when the sweep is resolved
        size=recipe.size,
        device=recipe.device,
    )


def _causal(strategy: Strategy, network: Network) -> bool:
    """Its logits at a frame know nothing of later frames."""
    return network.takes_shift and (strategy.fraction == 0 or strategy.direction == "unidirectional")


class _Seen:
    """The clips of one seed, as a network sees them: whole, or one random frame of each."""

    def __init__(self, dataset: Dataset, view: str, seed: int) -> None:
        self.dataset, self.view, self.seed = dataset, view, seed
        self._clips, self._frame = np.random.default_rng([seed, _CLIPS]), np.random.default_rng([seed, _VIEW])

    def training(self, count: int) -> Batches:
        """Fresh training clips."""
        clips = self._viewed(self.dataset.clips(self._clips, count))
        return torch.from_numpy(clips.pixels), torch.from_numpy(np.stack((clips.spatial, clips.temporal), axis=1))

    def judged(self, on: str, count: int) -> Clips:
        """``count`` base clips of the test or the validation images, each in all temporal classes."""
        stream, draw = {
            "test": (_TEST, self.dataset.test_clips),
            "validation": (_VALIDATION, self.dataset.validation_clips),
        }[on]
        return self._viewed(draw(np.random.default_rng([self.seed, stream]), count))

    def shuffled(self, clips: Clips) -> Clips:
        """Each base clip of ``clips`` once, its frames in a random order."""
        return shuffled(clips, np.random.default_rng([self.seed, _ORDER]), self.dataset.temporal_classes)

    def _viewed(self, clips: Clips) -> Clips:
        return one_frame(clips, self._frame) if self.view == "one_frame" else clips


def _flops(network: Network, clips: Clips, plan: Plan) -> int:
    """Floating point operations of one clip's forward pass, multiplication and addition counted apart."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(on_device(torch.from_numpy(clips.pixels[:1]), plan))
    return int(counter.get_total_flops())
