"""Mean average precision at IoU 0.5, as ImageNet-VID has it: of all objects, and of the slow, medium and fast ones.

By torchmetrics with faster-coco-eval, which gives what pycocotools gives in a fraction of its time. For one speed,
objects of the others are neither wanted nor wrong (COCO's ignore flag), as in FGFA's evaluation; so are objects that
can hardly be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.data.scenes import Scenes
from bench.data.speed import SPEEDS
from bench.models import Found

IOU = 0.5


@dataclass(frozen=True)
class Score:
    """Mean over classes, 0 to 1, and how many objects were asked for; NaN where none of a speed was.

    by_class: average precision of each class, NaN for one that was not asked for.
    """

    all: float
    by_speed: tuple[float, ...]
    by_class: tuple[float, ...]
    asked: tuple[int, ...]


def score(scenes: Scenes, found: Found) -> Score:
    """found: of each frame, clip after clip. Raises ValueError where their numbers differ."""
    frames = scenes.pixels.shape[1]
    if len(found) != len(scenes) * frames:
        raise ValueError(f"{len(found)} frames were searched and {len(scenes) * frames} shown")
    everything = frozenset(range(len(SPEEDS)))
    whole, by_class = _average(scenes, found, everything, class_by_class=True)
    by_speed = tuple(_average(scenes, found, frozenset({group}))[0] for group in range(len(SPEEDS)))
    asked = tuple(int(scenes.asked[scenes.speeds == group].sum()) for group in range(len(SPEEDS)))
    return Score(whole, by_speed, by_class, asked)


def _average(
    scenes: Scenes, found: Found, wanted: frozenset[int], class_by_class: bool = False
) -> tuple[float, tuple[float, ...]]:
    """(mean over classes, each class if asked) where objects of the speeds ``wanted`` are asked for."""
    from torchmetrics.detection import MeanAveragePrecision  # takes a second to import

    metric = MeanAveragePrecision(
        iou_type="bbox",
        iou_thresholds=[IOU],
        class_metrics=class_by_class,
        backend="faster_coco_eval",
    )
    metric.update(
        [{name: value.float() if name != "labels" else value for name, value in one.items()} for one in found],
        truth_of(scenes, wanted),
    )
    result = metric.compute()
    mean = _known(float(result["map"]))
    if not class_by_class:
        return mean, ()
    classes = torch.atleast_1d(result["classes"]).tolist()
    values = torch.atleast_1d(result["map_per_class"]).tolist()
    per_class = dict(zip(classes, values, strict=True))
    asked = {int(label) for label in scenes.labels}
    by_class = tuple(_known(per_class.get(label, -1.0)) for label in range(max(asked, default=-1) + 1))
    return mean, by_class


def _known(value: float) -> float:
    """COCO says -1 where there was nothing to find."""
    return float("nan") if value < 0 else value


def truth_of(scenes: Scenes, wanted: frozenset[int]) -> list[dict[str, Tensor]]:
    """Of each frame, every object as torchmetrics wants it; those that are not asked for or not of the speeds
    ``wanted`` are marked to be ignored."""
    ignored = ~(np.isin(scenes.speeds, list(wanted))[:, None] & scenes.asked)
    boxes, labels = torch.from_numpy(scenes.within), torch.from_numpy(scenes.labels)
    truth = []
    for clip in range(len(scenes)):
        own: Sequence[int] = scenes.objects(clip)  # type: ignore[assignment]
        for t in range(scenes.pixels.shape[1]):
            truth.append(
                {
                    "boxes": boxes[own, t],
                    "labels": labels[own],
                    "iscrowd": torch.from_numpy(ignored[own, t].astype(np.int64)),
                }
            )
    return truth
