"""The tables of trained networks: one row per arm of the sections accuracy and detection, and their learning curves."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.arms import Arm, ArmKey, baseline_arm, form_of, trainings
from bench.analysis.overheads import Overhead
from bench.analysis.selection import EXCHANGE
from bench.analysis.tables import AXES, CONDITION, interval_columns, of_variant
from bench.spec.axes import BASELINE, DETECTORS
from bench.spec.cases import Variant
from bench.stats import estimators
from bench.stats.estimators import CONFIDENCE, FEWEST_SEEDS, Shares
from bench.stats.resampling import clip_share, resampled
from bench.store.records import Record
from bench.store.samples import MEASURES, OUTCOMES, PARTS, SPEEDS

Equivalents = dict[str, list[str]]  # {strategy: those proven to compute the same function, which inherit its accuracy}

_DELTA = ("delta_pct", "delta_ci_low_pct", "delta_ci_high_pct")
_OF_MEASURE = ("pct", "ci_low_pct", "ci_high_pct", *_DELTA, "delta_mde_pct")
OF_OUTCOME = ("mean_pct", "ci_low_pct", "ci_high_pct", *_DELTA, "delta_p", "delta_mde_pct")
_ACCURACY_COLUMNS = [
    *(*AXES, *CONDITION, "seeds"),
    *(f"{outcome}_{column}" for outcome in OUTCOMES for column in OF_OUTCOME),
    *(f"joint_gap_to_best_{column}" for column in ("pct", "ci_low_pct", "ci_high_pct", "mde_pct")),
    *("clip_share_pct", "joint_delta_boot_low_pct", "joint_delta_boot_high_pct"),
    *("shuffled_spatial_mean_pct", "shuffled_temporal_mean_pct"),
    *("params", "flops", "train_seconds", "clips_per_second"),
    *("data_share_pct", "forward_share_pct", "backward_share_pct", "update_share_pct"),
    *("status", "reason", "note", "equivalents", "records"),
]
RECIPE = ("lr_factor", "length_factor")
"""The columns that say which of several recipes a detector was trained by."""
_OF_ALL_SPEEDS = 1 - (1 - CONFIDENCE) / len(SPEEDS)  # the confidence at which three intervals hold at once
_DETECTION_COLUMNS = [
    *("detector", "form", *AXES, *RECIPE, "seeds"),
    *(f"{measure}_{column}" for measure in MEASURES for column in _OF_MEASURE),
    *("overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct", "frame_ms", "replicates"),
    *("params", "train_seconds", "status", "reason", "note", "equivalents", "records"),
]
_EARLY_COLUMNS = [
    *(*AXES, *CONDITION, "seeds", "frame", "seen_pct"),
    *(
        f"{part}_{column}_pct"
        for part in PARTS
        for column in ("mean", "ci_low", "ci_high", "delta", "delta_ci_low", "delta_ci_high")
    ),
]


def accuracy_table(
    records: Sequence[Record], trained: Sequence[Arm], equivalents: Equivalents, lost: Mapping[ArmKey, str]
) -> pd.DataFrame:
    """One row per arm, trained or failed, with its difference to the network without a shift under the same condition.

    lost: arms of which seeds failed or are missing yet, and how many. Their means are those of the seeds that are
    there; ``reason`` says so, and no verdict rests on them.
    """
    rows = list[dict[str, Any]]()
    for arm in trained:
        rivals, base = family(arm, trained), baseline_arm(arm, trained)
        row = arm_row(arm, lost, equivalents) | efforts(arm) | _shuffled(arm) | _gap_to_best(arm, rivals)
        for outcome in OUTCOMES:
            row |= interval_columns(f"{outcome}_mean_pct", outcome, arm.pct(outcome).interval())
        if base is not None:
            for outcome in OUTCOMES:
                row |= difference_columns(outcome, arm, base, outcome, compared=len(rivals))
            row |= _over_clips(arm, base)
        rows.append(row)
    rows += [row | {"records": arm.records} for arm, row in unsuccessful(records, "accuracy")]
    frame = pd.DataFrame(rows, columns=_ACCURACY_COLUMNS)
    adjust(frame, OUTCOMES)
    return frame.drop_duplicates(subset=[*AXES, *CONDITION, "status"], ignore_index=True)


def detection_table(
    records: Sequence[Record],
    trained: Sequence[Arm],
    measured: Sequence[Overhead],
    equivalents: Equivalents,
    lost: Mapping[ArmKey, str],
) -> pd.DataFrame:
    """One row for each form of the detector, with what it costs a frame.

    X_pct: mean over seeds; X_delta_pct: against the detector frame by frame, paired by seed, in pp; for
    the three speeds these intervals hold at once (Bonferroni). overhead_pct: of a frame, against the same detector
    without a shift; a mechanism that was timed and whose function was trained under another name has a row of its own
    without accuracies. Where a detector was timed in several settings, here stands the first (the others are in the
    online table).
    """
    costs: dict[tuple[str, Variant], dict[str, Any]] = {}
    for overhead in filter(_counts_as_cost, measured):
        costs.setdefault((overhead.case.panel.backbone, overhead.case.variant), _cost(overhead))
    rows = list[dict[str, Any]]()
    for arm in trained:
        base = baseline_arm(arm, trained)
        row = arm_row(arm, lost, equivalents) | costs.get((arm.condition.backbone, arm.variant), {})
        for measure in MEASURES:
            row |= interval_columns(f"{measure}_pct", measure, arm.pct(measure).interval())
            if base is not None and base is not arm:
                delta = arm.pct(measure) - base.pct(measure)
                confidence = CONFIDENCE if measure == MEASURES[0] else _OF_ALL_SPEEDS
                row |= interval_columns(f"{measure}_delta_pct", f"{measure}_delta", delta.interval(confidence))
                row[f"{measure}_delta_mde_pct"] = delta.mde(confidence)
        rows.append(row)
    trained_as = {(arm.condition.backbone, arm.variant) for arm in trained}
    for (detector, variant), cost in costs.items():
        if (detector, variant) not in trained_as:
            named = {"detector": detector, "form": form_of(variant), **of_variant(variant)}
            rows.append(named | cost | {"seeds": 0, "status": "ok", "reason": ""})
    rows += [row for _, row in unsuccessful(records, "detection")]
    frame = pd.DataFrame(rows, columns=_DETECTION_COLUMNS)
    return frame.drop_duplicates(subset=["detector", *AXES, *RECIPE, "seeds", "status"], ignore_index=True)


def curve_table(trained: Sequence[Arm], outcomes: Sequence[str] = PARTS) -> pd.DataFrame:
    """Accuracy on validation clips after each epoch (from 1); clips_seen: by then, by the first seed. Arms of older
    runs, which kept no curves, have no rows."""
    rows = []
    for arm in trained:
        samples = arm.recognising
        curves = {seed: own.curve for seed, own in samples.items() if own.curve is not None}
        clips_seen = samples[next(iter(curves))].clips_seen if curves else []
        judged = min(own.validation_clips or own.test_clips for own in samples.values())
        for epoch, clips in enumerate(clips_seen):
            row = {**_axes(arm), "seeds": len(curves), "epoch": epoch + 1, "clips_seen": clips}
            for part in outcomes:
                row |= interval_columns(f"{part}_mean_pct", part, _at(curves, part, epoch, judged).interval())
            rows.append(row)
    ends = [f"{outcome}_{end}_pct" for outcome in outcomes for end in ("mean", "ci_low", "ci_high")]
    return pd.DataFrame(rows, columns=[*AXES, *CONDITION, "seeds", "epoch", "clips_seen", *ends])


def early_table(trained: Sequence[Arm]) -> pd.DataFrame:
    """Early recognition: accuracy of causal arms after each frame (from 1), as a stream can give it.

    The prediction after frame t is the class of the average of the logits of frames 1 to t. X_delta_pct: against the
    network without a shift after as many frames, in pp, paired by seed. Arms of older runs have no rows.
    """
    rows = []
    for arm in trained:
        base = baseline_arm(arm, trained)
        known, others = _early(arm), _early(base) if base else {}
        frames = len(next(iter(known.values()))[PARTS[0]]) if known else 0
        judged = min(own.test_clips for own in arm.recognition.values())
        for t in range(frames):
            row = {**_axes(arm), "seeds": len(known), "frame": t + 1, "seen_pct": 100 * (t + 1) / frames}
            for part in PARTS:
                own, other = (_at(courses, part, t, judged) for courses in (known, others))
                row |= interval_columns(f"{part}_mean_pct", part, own.interval())
                row |= interval_columns(f"{part}_delta_pct", f"{part}_delta", (own - other).interval())
            rows.append(row)
    return pd.DataFrame(rows, columns=_EARLY_COLUMNS)


def example_frames(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Of each detector that kept some: ``{"form", "strategy", "seed", "fraction", "examples"}``."""
    found = []
    for record in trainings(records, "detection"):
        examples = getattr(record.samples, "examples", None)
        if examples and examples["truth"]:
            variant = record.trial.variant
            axes = {"strategy": variant.strategy, "fraction": float(variant.fraction)}
            found.append({"form": form_of(variant), **axes, "seed": record.trial.seed, "examples": examples})
    return found


def _axes(arm: Arm) -> dict[str, Any]:
    detector = {"detector": arm.condition.backbone, "form": form_of(arm.variant)}
    return {**of_variant(arm.variant), **vars(arm.condition), **detector}


def arm_row(arm: Arm, lost: Mapping[ArmKey, str], equivalents: Equivalents) -> dict[str, Any]:
    """What the tables of both sections say of a trained arm."""
    samples = list(arm.seeds.values())
    return {
        **_axes(arm),
        "seeds": len(samples),
        "params": samples[0].params,
        "train_seconds": float(np.mean([own.train_seconds for own in samples])),
        "status": "ok",
        "reason": lost.get(arm.key, ""),
        "note": _few_seeds(len(samples)),
        "equivalents": ",".join(equivalents.get(arm.variant.strategy, [])),
        "records": arm.records,
    }


def _few_seeds(count: int) -> str:
    """Why a row has no intervals; empty where it has."""
    return "" if count >= FEWEST_SEEDS else f"no interval with fewer than {FEWEST_SEEDS} seeds"


def unsuccessful(records: Sequence[Record], section: str) -> list[tuple[Arm, dict[str, Any]]]:
    """A row for each training that failed or was skipped."""
    found = []
    for record in trainings(records, section):
        if record.status != "ok":
            arm = Arm(section, record.trial.variant, record.trial.condition, {})
            found.append((arm, {**_axes(arm), "seeds": 0, "status": record.status, "reason": record.reason}))
    return found


def _shuffled(arm: Arm) -> dict[str, float]:
    row = {}
    for part in ("spatial", "temporal"):
        accuracies = [getattr(samples, f"shuffled_{part}_accuracy") for samples in arm.recognition.values()]
        known = [100 * value for value in accuracies if value is not None]
        row[f"shuffled_{part}_mean_pct"] = float(np.mean(known)) if known else math.nan
    return row


def efforts(arm: Arm) -> dict[str, Any]:
    """flops: of the network; clips_per_second: mean over seeds; shares: of the training time of all seeds, what the
    making of clips and the three parts of a step took (NaN in older records)."""
    samples = list(arm.recognising.values())
    total = sum(own.train_seconds for own in samples)
    row = {"flops": samples[0].flops, "clips_per_second": float(np.mean([own.clips_per_second for own in samples]))}
    for name in ("data", "forward", "backward", "update"):
        seconds = [getattr(own, f"{name}_seconds") for own in samples]
        row[f"{name}_share_pct"] = math.nan if None in seconds else 100 * sum(seconds) / total
    return row


def family(arm: Arm, trained: Sequence[Arm]) -> list[Arm]:
    """The arms that are corrected for together: those of the same condition that shift; the learnable exchange is a
    control of its own."""
    if arm.variant.strategy in (BASELINE, EXCHANGE):
        return [arm]
    return [o for o in trained if o.condition == arm.condition and o.variant.strategy not in (BASELINE, EXCHANGE)]


def _gap_to_best(arm: Arm, rivals: Sequence[Arm]) -> dict[str, float]:
    """How far behind the best of its family in joint accuracy, paired by seed; intervals hold for all pairs at once.

    The best is chosen by its mean here, which flatters it: where it is not told from the others, it is not the best. So
    intervals are corrected for all pairs that could have been it and another (Bonferroni).
    """
    best = max(rivals, key=lambda other: other.pct("joint").estimate().mean)
    if arm is best:
        return {}
    gap = best.pct("joint") - arm.pct("joint")
    confidence = 1 - (1 - CONFIDENCE) / math.comb(len(rivals), 2)
    columns = interval_columns("joint_gap_to_best_pct", "joint_gap_to_best", gap.interval(confidence))
    return {**columns, "joint_gap_to_best_mde_pct": gap.mde(confidence)}


def difference_columns(stem: str, arm: Arm, other: Arm, outcome: str, compared: int) -> dict[str, float]:
    """One arm minus another, paired by seed, in columns ``{stem}_delta_…``. Those of an arm against itself, the
    baseline's own, are zero by construction, and nothing is tested.

    compared: the number of arms that Holm's correction is over. The minimum detectable effect is that of the strictest
    of its levels; the intervals are not corrected.
    """
    delta = arm.pct(outcome) - other.pct(outcome)
    row = interval_columns(f"{stem}_delta_pct", f"{stem}_delta", delta.interval())
    if arm is not other:
        row[f"{stem}_delta_p"] = delta.estimate().p()
        row[f"{stem}_delta_mde_pct"] = delta.mde(1 - (1 - CONFIDENCE) / compared)
    return row


def _over_clips(arm: Arm, base: Arm) -> dict[str, float]:
    """Of the difference in joint accuracy: the bootstrap of seeds and clips, and the clips' share of its variance."""
    row: dict[str, float] = {}
    if arm is not base:
        clips = arm.clip_deltas(base, "joint")
        if len(clips) >= FEWEST_SEEDS:
            both = resampled(clips)
            row |= {"joint_delta_boot_low_pct": both.low, "joint_delta_boot_high_pct": both.high}
        row["clip_share_pct"] = 100 * clip_share(clips)
    return row


def adjust(frame: pd.DataFrame, stems: Iterable[str]) -> None:
    """Holm, in place, of the p values of ``{stem}_delta``, over each ``family``; what has no p value is in none."""
    families = [*(frame[name] for name in CONDITION), frame["strategy"] == EXCHANGE]
    for stem in stems:
        tested = frame[f"{stem}_delta_p"].astype(float).groupby(families)
        frame[f"{stem}_delta_p"] = tested.transform(lambda own: pd.Series(estimators.holm(list(own)), own.index))


def _counts_as_cost(overhead: Overhead) -> bool:
    """One stream of a detector, as it is run; not the twin."""
    panel = overhead.case.panel
    plain = (panel.runtime, panel.dtype, panel.memory_format) == ("eager", "fp32", "nchw")
    return panel.backbone in DETECTORS and panel.streams == 1 and plain and not overhead.case.aa


def _cost(overhead: Overhead) -> dict[str, Any]:
    return {
        **interval_columns("overhead_pct", "overhead", overhead.interval()),
        "frame_ms": 1e3 * overhead.seconds / overhead.case.panel.frames,
        "replicates": len(overhead.pct),
    }


def _early(arm: Arm) -> dict[int, dict[str, list[float]]]:
    return {seed: samples.early for seed, samples in arm.recognition.items() if samples.early is not None}


def _at(courses: Mapping[int, dict[str, list[float]]], part: str, place: int, judged: int) -> Shares:
    """Of each seed, in per cent of ``judged`` clips, after so many epochs or frames more than one."""
    return Shares({seed: 100 * course[part][place] for seed, course in courses.items()}, judged=judged)
