"""Detection: where is which digit in a running, cluttered video? The detector learns from frames, its forms from clips.

The forms are trained for as long on the same clips, in clips of eight frames as in the paper: frame by frame (no
shift), online (a shift from the past; it then runs frame by frame, which is proven) and offline (a shift both ways).

Judged by mean average precision at IoU 0.5, as ImageNet-VID has it: of all objects, and of the slow, medium and fast
ones. By torchmetrics with faster-coco-eval, which gives what pycocotools gives in a fraction of its time. For one
speed, objects of the others are neither wanted nor wrong (COCO's ignore flag), as in FGFA's evaluation; so are objects
that can hardly be seen.
"""

import base64
import time
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench import models
from bench.data.cluttered_digits import ClutteredDigits, Scenes, data_version
from bench.measure.training.harness import Batch, Epoch, Task, Train
from bench.models import Detector, Found, Network, Targets
from bench.spec.cases import Condition
from bench.spec.training import ClutteredDigitsData, DetectionRecipe
from bench.store.samples import SPEEDS, Detection, Fitted
from bench.strategy import Strategy

_PRETRAIN, _CLIPS, _JUDGED = range(3)  # streams of random numbers under one seed
_AT_A_TIME = 16  # clips, where nothing is learned
_PLAYED = 4  # clips that are run frame by frame too
_TOLERANCE = 1e-4  # max |difference| / max |prediction| in fp32: a whole network's rounding
_SHOWN = 0.2  # score below which an example's detection is not kept


class NotTheSame(Exception):
    """Frame by frame a detector does not predict what it predicts in clips."""


@dataclass(frozen=True)
class DetectionTask(Task):
    """FCOS with its own losses. A batch's targets are ``models.Targets``."""

    recipe: DetectionRecipe
    dataset: ClutteredDigits

    SAMPLES: ClassVar[type[Fitted]] = Detection
    LARGEST_GRADIENT: ClassVar[float | None] = 1.0  # early losses of boxes have long tails

    @classmethod
    def open(cls, recipe: dict[str, Any], data: dict[str, Any], condition: Condition, seed: int) -> "DetectionTask":
        """With its data set."""
        how, hard = DetectionRecipe.model_validate(recipe), ClutteredDigitsData.model_validate(data)
        return cls(how, condition, seed, ClutteredDigits.split(how, hard, seed), data_version(hard))

    def network(self, backbone: str, segments: int) -> Detector:
        """There is one detector to train."""
        return models.build_detector(segments, self.seed)

    def pretraining(self) -> list[Epoch]:
        """Single frames."""
        recipe, rng = self.recipe, np.random.default_rng([self.seed, _PRETRAIN])

        def draw() -> Iterator[Batch]:
            return self._batches(self.dataset.scenes(rng, recipe.pretrain_frames, frames=1), recipe.pretrain_batch)

        return [draw] * recipe.pretrain_epochs

    def loss(self, network: Network, frames: Tensor, targets: Any) -> Tensor:
        """The sum of class, box and centredness losses."""
        parts = network(frames, targets)
        return torch.stack(list(parts.values())).sum()

    def fine_tune(self, network: Network, strategy: Strategy, train: Train) -> dict[str, Any]:
        """Clips; judged by average precision. Raises NotTheSame where a causal form predicts other things frame by
        frame than in clips."""
        recipe, dataset = self.recipe, self.dataset
        assert isinstance(network, Detector)
        rng = np.random.default_rng([self.seed, _CLIPS])
        clips = recipe.clips
        fit, _ = train(lambda _: self._batches(dataset.scenes(rng, clips), recipe.batch), clips, lambda: None)
        judged = dataset.scenes(np.random.default_rng([self.seed, _JUDGED]), recipe.test_clips, recipe.judged_on)
        start = time.perf_counter()
        found = find(network, judged, recipe.device)
        seconds = time.perf_counter() - start
        played = 0
        if strategy.fraction == 0 or strategy.direction == "unidirectional":
            played = min(_PLAYED, len(judged))
            _require_the_same(strategy, network, next(judged.batches(played)), recipe.device)
        return {
            **asdict(fit),
            **score(judged, found),
            "test_clips": len(judged),
            "test_seconds": seconds,
            "played_clips": played,
            "examples": _examples(judged, found, self.examples),
        }

    def _batches(self, scenes: Scenes, size: int) -> Iterator[Batch]:
        device = self.recipe.device
        for some in scenes.batches(size):
            yield frames_of(some, device), targets_of(some, device)


def frames_of(scenes: Scenes, device: str = "cpu") -> Tensor:
    """[N*T, 1, H, W], clip after clip; NCHW, because the head's group norm is several times slower in channels_last."""
    return torch.from_numpy(scenes.pixels).flatten(0, 1).to(device)


def targets_of(scenes: Scenes, device: str = "cpu") -> Targets:
    """What is to be found in each frame, clip after clip: boxes within the frame, of objects that can be seen. What
    lies outside the frame, or has no area in it, is left out; a frame may have none."""
    targets: Targets = []
    for one in truth_of(scenes, scenes.asked):
        asked = one["iscrowd"] == 0
        targets.append({name: one[name][asked].to(device) for name in ("boxes", "labels")})
    return targets


def find(detector: Detector, scenes: Scenes, device: str = "cpu") -> Found:
    """What a detector finds in each frame, clip after clip, in fp32."""
    found: Found = []
    with torch.inference_mode():
        for batch in scenes.batches(_AT_A_TIME):
            found += [{name: value.cpu() for name, value in one.items()} for one in detector(frames_of(batch, device))]
    return found


def score(scenes: Scenes, found: Found) -> dict[str, Any]:
    """Fields of ``samples.Detection``: means over classes from 0 to 1, and how many objects of each speed there were;
    None where none was. found: of each frame, clip after clip. Raises ValueError where their numbers differ."""
    frames = scenes.pixels.shape[1]
    if len(found) != len(scenes) * frames:
        raise ValueError(f"{len(found)} frames were searched and {len(scenes) * frames} shown")
    speeds, asked = scenes.speeds, scenes.asked
    result = _average_precision(scenes, found, asked, by_class=True)
    classes = torch.atleast_1d(result["classes"]).tolist()
    per_class = dict(zip(classes, torch.atleast_1d(result["map_per_class"]), strict=True))
    samples: dict[str, Any] = {
        "map": _known(result["map"]),
        "by_class": [_known(per_class.get(label, -1.0)) for label in range(int(scenes.labels.max(initial=-1)) + 1)],
    }
    for group, speed in enumerate(SPEEDS):
        of_speed = asked & (speeds == group)[:, None]
        samples[f"map_{speed}"] = _known(_average_precision(scenes, found, of_speed)["map"])
        samples[f"asked_{speed}"] = int(of_speed.sum())
    return samples


def _average_precision(scenes: Scenes, found: Found, asked: NDArray[np.bool_], by_class: bool = False) -> Any:
    """What torchmetrics gives where the objects ``asked`` [M, T] are to be found."""
    from torchmetrics.detection import MeanAveragePrecision  # takes a second to import

    metric = MeanAveragePrecision(iou_thresholds=[0.5], class_metrics=by_class, backend="faster_coco_eval")
    metric.update(found, truth_of(scenes, asked))
    return metric.compute()


def _known(value: Any) -> float | None:
    """COCO says -1 where there was nothing to find."""
    return None if value < 0 else float(value)


def truth_of(scenes: Scenes, asked: NDArray[np.bool_]) -> list[dict[str, Tensor]]:
    """Of each frame, every object as torchmetrics wants it; those that are not ``asked`` for [M, T] are marked to be
    ignored."""
    boxes, labels, crowd = (torch.from_numpy(a) for a in (scenes.within, scenes.labels, (~asked).astype(np.int64)))
    truth = []
    for clip in range(len(scenes)):
        own = scenes.objects(clip)
        for t in range(scenes.pixels.shape[1]):
            truth.append({"boxes": boxes[own, t], "labels": labels[own], "iscrowd": crowd[own, t]})
    return truth


def _require_the_same(strategy: Strategy, detector: Detector, scenes: Scenes, device: str) -> None:
    """All predictions of all positions, before any is thrown away, on frames as the detector normalises them."""
    frames = detector.normalised(frames_of(scenes, device))
    online = models.go_online(strategy, Network(models.EveryPosition(models.build_detector(1).trunk), 1))
    online.load_state_dict(detector.state_dict())
    online.to(device)
    with torch.inference_mode():
        in_clips = models.EveryPosition(detector.trunk)(frames).unflatten(0, (len(scenes), -1))
        remembered = None
        for t, now in enumerate(frames.unflatten(0, (len(scenes), -1)).unbind(1)):
            played, remembered = online.step(now, remembered)
            error = ((played - in_clips[:, t]).abs().max() / in_clips.abs().max()).item()
            if not error <= _TOLERANCE:
                raise NotTheSame(
                    f"{strategy.name} does not predict frame by frame what it predicts in clips: frame {t} is off by "
                    f"{error:.2g} of the largest value (allowed {_TOLERANCE:g})"
                )


def _examples(scenes: Scenes, found: Found, count: int) -> dict[str, Any]:
    """The last frame of the first ``count`` clips: grey values as bytes, what is to be found, what was found."""
    frames, targets, speeds = scenes.pixels.shape[1], targets_of(scenes), scenes.speeds
    grey = (255 * np.clip(scenes.pixels[:count, -1, 0], 0, 1)).astype(np.uint8)
    truth, kept = [], []
    for clip in range(len(grey)):
        last, objects = clip * frames + frames - 1, scenes.objects(clip)
        shown = objects[scenes.asked[objects, -1]]
        truth.append(_rounded(targets[last]) | {"speeds": speeds[shown].tolist()})
        sure = found[last]["scores"] >= _SHOWN
        kept.append(_rounded({name: value[sure] for name, value in found[last].items()}))
    packed = base64.b85encode(zlib.compress(grey.tobytes(), 9)).decode()
    return {"shape": list(grey.shape), "grey": packed, "truth": truth, "found": kept}


def _rounded(one: dict[str, Tensor]) -> dict[str, Any]:
    return {
        name: value.tolist() if name == "labels" else np.round(value.double().numpy(), 3).tolist()
        for name, value in one.items()
    }
