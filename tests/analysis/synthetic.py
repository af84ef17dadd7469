"""Estimates and trainings that never took place: values are given or drawn, everything else follows from them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bench.analysis.arms import Arm
from bench.analysis.overheads import Overhead
from bench.spec.cases import BASELINE_VARIANT, Case, Condition, Trial, Variant
from bench.store.records import TrainedRecord
from bench.store.samples import pack
from tests.store.synthetic import DETECTOR, PANEL, USUAL, VIDEO, detection, recognition, shift, trained, video

CLIPS, CLASSES = 50, 4
AGAIN = Condition(cohort="replication")
ARROW = replace(VIDEO, dataset="arrow")
VIDEOS, GESTURES = 48, ("left", "right", "up")


def overhead(percents: Sequence[float], case: Case | None = None, **changes: Any) -> Overhead:
    """One superblock in each process, in which the baseline took a second."""
    logs = {replicate: {0: math.log1p(percent / 100)} for replicate, percent in enumerate(percents)}
    measured = case or Case(shift(fraction="1"), PANEL)
    plain = Overhead(measured, logs, left_out={}, cycles={}, seconds=0.3, faults=math.nan, mhz=math.nan, own=logs)
    return replace(plain, **changes)


def arm(variant: Variant, accuracies: Sequence[float], condition: Condition = USUAL) -> Arm:
    """One accuracy for each seed, in space, in time and in both."""
    parts = ("spatial_accuracy", "temporal_accuracy", "joint_accuracy")
    seeds = {seed: recognition(**dict.fromkeys(parts, value)) for seed, value in enumerate(accuracies)}
    return Arm("accuracy", variant, condition, seeds)  # type: ignore[arg-type]


def detector(variant: Variant, seeds: Sequence[Mapping[str, float]], condition: Condition = DETECTOR) -> Arm:
    """Mean average precisions of each seed, from 0 to 1."""
    return Arm("detection", variant, condition, {seed: detection(**own) for seed, own in enumerate(seeds)})


def drawn(
    variant: Variant,
    spatial: float,
    temporal: float,
    seed: int,
    condition: Condition = USUAL,
    classes: int = CLASSES,
    **more: Any,
) -> TrainedRecord:
    """One arm and seed whose chances are ``spatial`` and ``temporal``; the baseline is at chance exactly, as it is.

    With one seed all arms meet the same clips, of which some are harder than others.
    """
    clips = np.random.default_rng(seed).normal(0.0, 0.1, (CLIPS, 1))
    rng = np.random.default_rng([seed, *map(ord, Trial("accuracy", variant, condition, 0).label)])
    right = {"spatial": rng.random((CLIPS, classes)) < spatial + clips}
    right["temporal"] = rng.random((CLIPS, classes)) < temporal + clips
    if variant == BASELINE_VARIANT and condition.view == "clip":
        right["temporal"] = rng.permuted(np.tile(np.arange(classes) == 0, (CLIPS, 1)), axis=1)
        right["spatial"] = np.repeat(right["spatial"][:, :1], classes, axis=1)
    right["joint"] = right["spatial"] & right["temporal"]
    samples = {
        **{f"{part}_accuracy": float(own.mean()) for part, own in right.items()},
        **{f"{part}_correct": pack(right[part].ravel()) for part in ("spatial", "temporal")},
        **{"test_clips": CLIPS * classes, "temporal_classes": classes},
    }
    return trained(recognition(**samples | more), variant, seed, condition)


def main_study(seeds: Iterable[int] = range(5), cohort: str = "main") -> list[TrainedRecord]:
    """Two placements at 1/4 and all, and the baseline; in-place loses space."""
    chances = {
        BASELINE_VARIANT: (0.95, 0.25),
        shift("residual", "1/4"): (0.9, 0.85),
        shift("residual", "1"): (0.85, 0.7),
        shift("inplace", "1/4"): (0.85, 0.85),
        shift("inplace", "1"): (0.7, 0.4),
    }
    condition = replace(USUAL, cohort=cohort)
    return [drawn(variant, *chance, seed, condition) for seed in seeds for variant, chance in chances.items()]


def watching(variant: Variant, accuracies: Sequence[float], condition: Condition = VIDEO) -> Arm:
    """One top-1 accuracy on real videos for each seed."""
    seeds = {seed: video(top1_accuracy=value) for seed, value in enumerate(accuracies)}
    return Arm("video", variant, condition, seeds)  # type: ignore[arg-type]


def watched(variant: Variant, chance: float, seed: int, condition: Condition = VIDEO, **more: Any) -> TrainedRecord:
    """One arm and seed, right in each of 48 videos of three gestures with this chance; where it is wrong it takes the
    next gesture for it. Without a shift it is right about the arrow of time in exactly half of them."""
    rng = np.random.default_rng([seed, *map(ord, Trial("video", variant, condition, 0).label)])
    right, gestures = rng.random(VIDEOS) < chance, np.arange(VIDEOS) % len(GESTURES)
    if variant == BASELINE_VARIANT and condition.dataset == ARROW.dataset:
        right = np.arange(VIDEOS) < VIDEOS // 2
    confusion = {}
    for place, name in enumerate(GESTURES):
        own = right[gestures == place]
        confusion[name] = {name: int(own.sum()), GESTURES[place - 1]: int((~own).sum())}
    samples = {
        **{"top1_accuracy": float(right.mean()), "correct": pack(right), "confusion": confusion},
        **{"test_clips": VIDEOS, "videos": [f"{place}.mp4" for place in range(VIDEOS)], "classes": list(GESTURES)},
        **{"clips_seen": [48, 96, 144], "curve": {"top1": [chance - 0.3, chance - 0.02, chance]}},
        **{"shuffled_accuracy": 0.5, "one_frame_accuracy": 0.4},
    }
    return trained(video(**samples | more), variant, seed, condition)


def video_study(
    seeds: Iterable[int] = range(6), conditions: Sequence[Condition] = (VIDEO, ARROW)
) -> list[TrainedRecord]:
    """Two placements at 1/4 and all, one causal arm, and the baseline; all know the order, in-place a little less."""
    chances = {BASELINE_VARIANT: 0.6, shift("residual", "1/8", "unidirectional"): 0.85}
    chances |= {shift("residual", "1/4"): 0.9, shift("residual", "1"): 0.9}
    chances |= {shift("inplace", "1/4"): 0.8, shift("inplace", "1"): 0.85}
    return [watched(*arm, seed, condition) for condition in conditions for seed in seeds for arm in chances.items()]


def of(records: Iterable[TrainedRecord], variant: Variant) -> list[TrainedRecord]:
    """The records of one variant."""
    return [record for record in records if record.trial.variant == variant]
