"""Mean average precision at IoU 0.5, as ImageNet-VID has it: of all objects, and of the slow, medium and fast ones.

By torchmetrics with faster-coco-eval, which gives what pycocotools gives in a fraction of its time. For one speed,
objects of the others are neither wanted nor wrong (COCO's ignore flag), as in FGFA's evaluation; so are objects that
can hardly be seen.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.cluttered_digits import Scenes
from bench.models import Found
from bench.store.samples import SPEEDS

IOU = 0.5


def score(scenes: Scenes, found: Found) -> dict[str, Any]:
    """Fields of ``samples.Detection``: means over classes from 0 to 1, and how many objects of each speed there were;
    None where none was.

    found: of each frame, clip after clip. Raises ValueError where their numbers differ.
    """
    frames = scenes.pixels.shape[1]
    if len(found) != len(scenes) * frames:
        raise ValueError(f"{len(found)} frames were searched and {len(scenes) * frames} shown")
    result = _average_precision(scenes, found, range(len(SPEEDS)), by_class=True)
    classes = torch.atleast_1d(result["classes"]).tolist()
    per_class = dict(zip(classes, torch.atleast_1d(result["map_per_class"]), strict=True))
    samples: dict[str, Any] = {
        "map": _known(result["map"]),
        "by_class": [_known(per_class.get(label, -1.0)) for label in range(int(scenes.labels.max(initial=-1)) + 1)],
    }
    for group, speed in enumerate(SPEEDS):
        samples[f"map_{speed}"] = _known(_average_precision(scenes, found, [group])["map"])
        samples[f"asked_{speed}"] = int(scenes.asked[scenes.speeds == group].sum())
    return samples


def _average_precision(scenes: Scenes, found: Found, speeds: Collection[int], by_class: bool = False) -> Any:
    """What torchmetrics gives where objects of ``speeds`` are asked for."""
    from torchmetrics.detection import MeanAveragePrecision  # takes a second to import

    metric = MeanAveragePrecision(
        iou_type="bbox", iou_thresholds=[IOU], class_metrics=by_class, backend="faster_coco_eval"
    )
    searched = [{name: value.float() if name != "labels" else value for name, value in one.items()} for one in found]
    metric.update(searched, truth_of(scenes, speeds))
    return metric.compute()


def _known(value: Any) -> float | None:
    """COCO says -1 where there was nothing to find."""
    return None if value < 0 else float(value)


def truth_of(scenes: Scenes, speeds: Collection[int]) -> list[dict[str, Tensor]]:
    """Of each frame, every object as torchmetrics wants it; those that are not asked for or not of ``speeds`` are
    marked to be ignored."""
    ignored = ~(np.isin(scenes.speeds, list(speeds))[:, None] & scenes.asked)
    boxes, labels, crowd = (torch.from_numpy(a) for a in (scenes.within, scenes.labels, ignored.astype(np.int64)))
    truth = []
    for clip in range(len(scenes)):
        own = scenes.objects(clip)
        for t in range(scenes.pixels.shape[1]):
            truth.append({"boxes": boxes[own, t], "labels": labels[own], "iscrowd": crowd[own, t]})
    return truth
