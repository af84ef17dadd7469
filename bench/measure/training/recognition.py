"""Recognition: which digit, and in which order do its frames come? Learned from clips whose frames do not show it.

Judged per test clip, right or wrong: in fp32, in evaluation mode, once, after the last epoch.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.flop_counter import FlopCounterMode

from bench.data import data_version, open_dataset
from bench.data.clips import ClipDataset, Clips, one_frame, shuffled
from bench.data.images import Labels, Pixels
from bench.measure.training.checkpoint import State
from bench.measure.training.harness import Batch, Diverged, Epoch, Task, Train
from bench.models import Network, build_trainable, load_pretrained, require_edge
from bench.spec.cases import Condition
from bench.spec.training import Data, Recipe
from bench.store.samples import PARTS, Bools, Fitted, Recognition, pack
from bench.strategy import Strategy

_PRETRAIN, _CLIPS, _TEST, _VALIDATION, _ORDER, _VIEW = range(6)  # streams of random numbers under one seed
_CLIPS_AT_ONCE = 32  # a multiple of the temporal classes, so that all orders of a base clip pass through one batch

Scores = dict[str, Bools]
"""{part: right or wrong for each clip [N]}."""


@dataclass(frozen=True)
class RecognitionTask(Task):
    """Two heads on a residual network, or on a 3-D one; the loss is the sum of the cross-entropies that are asked for.

    A batch's targets are the labels of each head, None for one that is not trained.
    """

    recipe: Recipe
    dataset: ClipDataset

    SAMPLES: ClassVar[type[Fitted]] = Recognition
    MEMORY_FORMAT: ClassVar[torch.memory_format] = torch.channels_last  # in which small convolutions are faster

    @classmethod
    def open(cls, recipe: dict[str, Any], data: dict[str, Any], condition: Condition, seed: int) -> "RecognitionTask":
        """With the condition's data set."""
        how, hard, name = Recipe.model_validate(recipe), Data.model_validate(data), condition.dataset
        return cls(how, condition, seed, open_dataset(name, how, hard, seed), data_version(name, hard))

    @property
    def segments(self) -> int:
        """1 where the condition shows one frame of each clip."""
        return 1 if self.condition.view == "one_frame" else self.dataset.frames

    @property
    def heads(self) -> tuple[int, int]:
        """Spatial and temporal classes; their logits stand side by side."""
        return self.dataset.spatial_classes, self.dataset.temporal_classes

    def network(self, backbone: str, segments: int) -> Network:
        """One of ``axes.ACCURACY_BACKBONES``. Raises ValueNotAllowed where it reads frames of another size."""
        network = build_trainable(backbone, segments, self.seed, self.heads)
        require_edge(network.trunk, self.recipe.size)
        return network

    def load(self, network: Network, state: State) -> None:
        """3-D convolutions are inflated; the temporal head stays as the seed gave it."""
        load_pretrained(network, state)

    def pretraining(self) -> Sequence[Epoch]:
        """The spatial classes on single frames, easy ones first, then hard ones."""
        recipe, rng = self.recipe, np.random.default_rng([self.seed, _PRETRAIN])

        def draw(hard: bool) -> Iterator[Batch]:
            pixels, spatial = self.dataset.single_frames(rng, recipe.pretrain_frames, hard)
            return self._batches(pixels[:, None], (spatial, None), recipe.pretrain_batch)

        hardness = [False] * recipe.pretrain_epochs_easy + [True] * recipe.pretrain_epochs_hard
        return [partial(draw, hard) for hard in hardness]

    def loss(self, network: Network, frames: Tensor, targets: Any) -> Tensor:
        """On the clip logits."""
        logits: Tensor = network(frames)
        loss = torch.zeros((), device=self.recipe.device)
        for of_head, labels in zip(logits.split(self.heads, dim=1), targets, strict=True):
            if labels is not None:
                loss = loss + cross_entropy(of_head.float(), labels)
        return loss

    def fine_tune(self, network: Network, strategy: Strategy, train: Train) -> dict[str, Any]:
        """Clips in random orders, with a learning curve on validation clips."""
        recipe, dataset, seed = self.recipe, self.dataset, self.seed
        clips, view = np.random.default_rng([seed, _CLIPS]), np.random.default_rng([seed, _VIEW])

        def seen(whole: Clips) -> Clips:
            return one_frame(whole, view) if self.segments == 1 else whole

        def draw(_: int) -> Iterator[Batch]:
            some, objective = seen(dataset.clips(clips, recipe.clips)), self.condition.objective
            spatial = some.spatial if objective != "temporal" else None
            temporal = some.temporal if objective != "spatial" else None
            return self._batches(some.pixels, (spatial, temporal), recipe.batch)

        def judged(part: str, stream: int, count: int) -> Clips:
            return seen(dataset.judged(np.random.default_rng([seed, stream]), count, part))

        validation = judged("validation", _VALIDATION, recipe.validation_clips)
        fit, curve = train(draw, recipe.clips, lambda: self.evaluate(network, validation)[-1])
        seen_by_epoch = [recipe.clips * epoch for epoch in range(1, len(curve) + 1)]
        test = judged(recipe.judged_on, _TEST if recipe.judged_on == "test" else _VALIDATION, recipe.test_clips)
        start = time.perf_counter()
        by_frame = self.evaluate(network, test)
        test_seconds = time.perf_counter() - start
        scores = by_frame[-1]
        samples: dict[str, Any] = {f"{part}_accuracy": float(right.mean()) for part, right in scores.items()}
        if self.segments > 1:
            mixed = shuffled(test, np.random.default_rng([seed, _ORDER]), dataset.temporal_classes)
            right = self.evaluate(network, mixed)[-1]
            samples |= {f"shuffled_{part}_accuracy": float(right[part].mean()) for part in ("spatial", "temporal")}
            samples["shuffled_clips"] = len(mixed)
        causal = strategy.fraction == 0 or strategy.direction == "unidirectional"
        if self.segments > 1 and causal and network.takes_shift:
            samples["early"] = _by_part(by_frame)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(self._frames(test.pixels[:1]))
        return {
            **asdict(fit),
            **samples,
            "train_loss": [self.segments * loss for loss in fit.train_loss],  # of a clip's frames, as in all records
            "spatial_correct": pack(scores["spatial"]),
            "temporal_correct": pack(scores["temporal"]),
            "test_clips": len(test),
            "test_seconds": test_seconds,
            "clips_seen": seen_by_epoch,
            "curve": _by_part(curve),
            "flops": counter.get_total_flops(),  # multiplication and addition counted apart
            "clips_per_second": seen_by_epoch[-1] / fit.train_seconds,
            "spatial_classes": dataset.spatial_classes,
            "temporal_classes": dataset.temporal_classes,
            "validation_clips": len(validation),
        }

    def evaluate(self, network: Network, clips: Clips) -> list[Scores]:
        """How ``network`` (in evaluation mode) judges ``clips`` after each of their frames; the last counts.

        The consensus over the frames so far. In a causal network that is what a stream predicts there: its logits at a
        frame are those of clip mode, which conformance proves (``streams``). It is taken here in float64, where the sum
        of a clip's fp32 logits does not depend on their order: a network that looks at frames one by one then gives all
        permutations of a clip the same class, and its temporal accuracy is chance exactly. Raises Diverged.
        """
        batches = []
        with torch.no_grad():
            for first in range(0, len(clips), _CLIPS_AT_ONCE):
                frames = self._frames(clips.pixels[first : first + _CLIPS_AT_ONCE])
                batches.append(network.trunk(frames).cpu().double().unflatten(0, (-1, network.num_segments)))
        logits = torch.cat(batches)  # [N, T, classes]
        if not torch.isfinite(logits).all():
            raise Diverged("the trained network's logits on the test clips are not finite")
        so_far = logits.cumsum(dim=1) / torch.arange(1, logits.shape[1] + 1)[:, None]
        scores = []
        for consensus in so_far.unbind(1):
            spatial, temporal = (of_head.argmax(dim=1).numpy() for of_head in consensus.split(self.heads, dim=1))
            right = {"spatial": spatial == clips.spatial, "temporal": temporal == clips.temporal}
            scores.append({**right, "joint": right["spatial"] & right["temporal"]})
        return scores

    def _frames(self, pixels: Pixels) -> Tensor:
        """Clips [N, T, 1, H, W] as frames [N * T, 1, size, size] where they are trained on; enlarged bilinearly."""
        frames = torch.from_numpy(pixels).flatten(0, 1).to(self.recipe.device)
        size = self.recipe.size
        if frames.shape[-1] != size:
            frames = interpolate(frames, size=(size, size), mode="bilinear", align_corners=False)
        return frames

    def _batches(self, pixels: Pixels, labels: tuple[Labels | None, ...], size: int) -> Iterator[Batch]:
        for first in range(0, len(pixels), size):
            part = slice(first, first + size)
            targets = [None if own is None else torch.from_numpy(own[part]).to(self.recipe.device) for own in labels]
            yield self._frames(pixels[part]), targets


def _by_part(scores: list[Scores]) -> dict[str, list[float]]:
    return {part: [float(one[part].mean()) for one in scores] for part in PARTS}
