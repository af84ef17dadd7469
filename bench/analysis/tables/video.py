"""The tables of networks that learned from real videos: one row per arm and question, their curves, their classes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.arms import Arm, ArmKey, baseline_arm
from bench.analysis.tables import AXES, CONDITION, interval_columns
from bench.analysis.tables.trained import (
    OF_OUTCOME,
    RECIPE,
    Equivalents,
    adjust,
    arm_row,
    curve_table,
    difference_columns,
    efforts,
    family,
    unsuccessful,
)
from bench.stats.estimators import Shares
from bench.store.records import Record

MARGIN_PP = 1.0  # in top-1: two arms that are shown to differ by less are alike; as in all findings on accuracy
_NAMED = ("question", "backbone", *RECIPE)
_COLUMNS = [
    *(*AXES, *_NAMED, "seeds"),
    *(f"top1_{column}" for column in OF_OUTCOME),
    *(f"placement_{column}" for column in OF_OUTCOME if column.startswith("delta")),
    *("top5_mean_pct", "shuffled_mean_pct", "one_frame_mean_pct", "chance_pct"),
    *("test_clips", "train_clips", "left_out", "params", "flops", "train_seconds", "clips_per_second"),
    *("data_share_pct", "weights", "flips", "status", "reason", "note", "equivalents", "records"),
]
_CLASS_COLUMNS = [
    *(*AXES, *_NAMED, "seeds", "class", "clips"),
    *("top1_mean_pct", "top1_ci_low_pct", "top1_ci_high_pct", "confused_with", "confused_pct"),
]


def video_table(
    records: Sequence[Record], trained: Sequence[Arm], equivalents: Equivalents, lost: Mapping[ArmKey, str]
) -> pd.DataFrame:
    """One row per arm, trained or failed; lost: as in the table of accuracies.

    top1_delta_pct: against the network without a shift; placement_delta_pct: of residual rows, against in-place and
    all else equal. Both in pp, paired by seed, p after Holm over the arms of a question. shuffled, one_frame: controls,
    with the frames in random order and with the middle one repeated; chance: of a blind guess. Clips: mean over seeds.
    left_out: videos that could not be read.
    """
    rows = list[dict[str, Any]]()
    partners = {arm.key: other for arm in trained if (other := _in_place(arm, trained)) is not None}
    for arm in trained:
        rivals, base = family(arm, trained), baseline_arm(arm, trained)
        row = arm_row(arm, lost, equivalents) | efforts(arm) | _clips_and_controls(arm)
        row |= interval_columns("top1_mean_pct", "top1", arm.pct("top1").interval())
        if base is not None:
            row |= difference_columns("top1", arm, base, "top1", compared=len(rivals))
        if arm.key in partners:
            pairs = sum(rival.key in partners for rival in rivals)
            row |= difference_columns("placement", arm, partners[arm.key], "top1", compared=pairs)
        rows.append(row)
    rows += [row | {"records": arm.records} for arm, row in unsuccessful(records, "video")]
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys([*CONDITION, *_COLUMNS])))
    adjust(frame, ("top1", "placement"))
    frame = frame.assign(question=frame["dataset"])[_COLUMNS]
    return frame.drop_duplicates(subset=[*AXES, *_NAMED, "status"], ignore_index=True)


def video_curve_table(trained: Sequence[Arm]) -> pd.DataFrame:
    """Top-1 on validation clips after each epoch."""
    frame = curve_table(trained, ("top1",)).rename(columns={"dataset": "question"})
    return frame.drop(columns=[name for name in CONDITION if name in frame and name not in _NAMED])


def class_table(trained: Sequence[Arm]) -> pd.DataFrame:
    """Top-1 within each class of an arm, and the wrong answer that it gets most often, with its share.

    clips: of that class, over all seeds. A seed that has none of them is no part of the mean.
    """
    rows = []
    for arm in trained:
        of_arm = arm_row(arm, {}, {}) | {"question": arm.condition.dataset}
        for name in next(iter(arm.videos.values())).classes:
            given = {seed: own.confusion.get(name, {}) for seed, own in arm.videos.items()}
            asked = {seed: count for seed, own in given.items() if (count := sum(own.values()))}
            if not asked:
                continue
            right = {seed: 100 * given[seed].get(name, 0) / count for seed, count in asked.items()}
            wrong = Counter[str]()
            for own in given.values():
                wrong.update({answer: count for answer, count in own.items() if answer != name and count})
            clips = sum(asked.values())
            row = of_arm | {"seeds": len(asked), "class": name, "clips": clips}
            row |= interval_columns("top1_mean_pct", "top1", Shares(right, judged=min(asked.values())).interval())
            for answer, count in wrong.most_common(1):
                row |= {"confused_with": answer, "confused_pct": 100 * count / clips}
            rows.append(row)
    return pd.DataFrame(rows, columns=_CLASS_COLUMNS)


def _in_place(arm: Arm, trained: Sequence[Arm]) -> Arm | None:
    """The in-place arm that is the same otherwise, of a residual one that shifts."""
    if arm.variant.placement != "residual" or not arm.variant.fraction:
        return None
    key = (replace(arm.variant, placement="inplace"), arm.condition)
    return next((other for other in trained if other.key == key), None)


def _clips_and_controls(arm: Arm) -> dict[str, Any]:
    samples = list(arm.videos.values())
    return {
        "top5_mean_pct": arm.pct("top5").estimate().mean,
        "shuffled_mean_pct": 100 * float(np.mean([own.shuffled_accuracy for own in samples])),
        "one_frame_mean_pct": 100 * float(np.mean([own.one_frame_accuracy for own in samples])),
        "chance_pct": arm.chance_pct,
        "test_clips": round(float(np.mean([own.test_clips for own in samples]))),
        "train_clips": round(float(np.mean([own.train_clips for own in samples]))),
        "left_out": max(len(own.left_out) for own in samples),
        "weights": ", ".join(dict.fromkeys(own.weights for own in samples)),
        "flips": any(own.flips for own in samples),
    }
