"""The tables of trained networks: one row per arm of the sections accuracy and detection, and their learning curves."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.arms import Arm, baseline_arm, lost_seeds
from bench.analysis.overheads import Overhead
from bench.analysis.selection import EXCHANGE
from bench.analysis.tables import AXES, CONDITION, interval_columns, of_variant
from bench.spec.axes import BASELINE, DETECTORS
from bench.spec.cases import Condition, Variant
from bench.stats import estimators
from bench.stats.estimators import CONFIDENCE, Interval
from bench.stats.resampling import clip_share, resampled
from bench.stats.units import Units
from bench.store.records import Record, TrainedRecord
from bench.store.samples import MEASURES, OUTCOMES, PARTS

Equivalents = dict[str, list[str]]  # {strategy: those proven to compute the same function, which inherit its accuracy}

_DELTA = ("delta_pct", "delta_ci_low_pct", "delta_ci_high_pct")
_OF_MEASURE = ("pct", "ci_low_pct", "ci_high_pct", *_DELTA, "delta_mde_pct")
_OF_OUTCOME = ("mean_pct", "ci_low_pct", "ci_high_pct", *_DELTA, "delta_p", "delta_mde_pct")
_ACCURACY_COLUMNS = [
    *(*AXES, *CONDITION, "seeds"),
    *(f"{outcome}_{column}" for outcome in OUTCOMES for column in _OF_OUTCOME),
    *(f"joint_gap_to_best_{column}" for column in ("pct", "ci_low_pct", "ci_high_pct", "mde_pct")),
    *("clip_share_pct", "joint_delta_boot_low_pct", "joint_delta_boot_high_pct"),
    *("shuffled_spatial_mean_pct", "shuffled_temporal_mean_pct"),
    *("params", "flops", "train_seconds", "clips_per_second"),
    *("data_share_pct", "forward_share_pct", "backward_share_pct", "update_share_pct"),
    *("status", "reason", "equivalents", "records"),
]
RECIPE = ("lr_factor", "length_factor")
"""The columns that say which of several recipes a detector was trained by."""
_DETECTION_COLUMNS = [
    *("detector", "form", *AXES, *RECIPE, "seeds"),
    *(f"{measure}_{column}" for measure in MEASURES for column in _OF_MEASURE),
    *("overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct", "frame_ms", "replicates"),
    *("params", "train_seconds", "status", "reason", "equivalents", "records"),
]
_CURVE_COLUMNS = [
    *(*AXES, *CONDITION, "seeds", "epoch", "clips_seen"),
    *(f"{part}_{column}_pct" for part in PARTS for column in ("mean", "ci_low", "ci_high")),
]
_EARLY_COLUMNS = [
    *(*AXES, *CONDITION, "seeds", "frame", "seen_pct"),
    *(
        f"{part}_{column}_pct"
        for part in PARTS
        for column in ("mean", "ci_low", "ci_high", "delta", "delta_ci_low", "delta_ci_high")
    ),
]
_NOTHING = Interval(math.nan, math.nan, math.nan, 0)


def accuracy_table(records: Sequence[Record], trained: Sequence[Arm], equivalents: Equivalents) -> pd.DataFrame:
    """One row per arm, trained or failed, with its difference to the network without a shift under the same condition.

    An arm of which some seeds failed has both, and its means say so in ``reason``: they are those of the seeds that are
    left, and no verdict rests on them.
    """
    lost = lost_seeds(records, "accuracy")
    rows = []
    for arm in trained:
        family = _family(arm, trained)
        row = {**_arm_columns(arm), "seeds": len(arm.seeds), "status": "ok", "reason": lost.get(arm.key, "")}
        row |= _levels(arm) | _efforts(arm) | _gap_to_best(arm, family)
        base = baseline_arm(arm, trained)
        if base is not None:
            row |= _differences(arm, base, compared=len(family))
        rows.append({**row, "equivalents": ",".join(equivalents.get(arm.variant.strategy, []))})
    _adjust(rows)
    rows += [_ended(record) for record in _unsuccessful(records, "accuracy")]
    frame = pd.DataFrame(rows, columns=_ACCURACY_COLUMNS)
    return frame.drop_duplicates(subset=[*AXES, *CONDITION, "status"], ignore_index=True)


def detection_table(
    records: Sequence[Record], trained: Sequence[Arm], measured: Sequence[Overhead], equivalents: Equivalents
) -> pd.DataFrame:
    """One row for each form of the detector, with what it costs a frame.

    X_pct: mean over seeds; X_delta_pct: against the detector frame by frame, paired by seed, in pp. overhead_pct: of a
    frame, against the same detector without a shift; a mechanism that was timed and whose function was trained under
    another name has a row of its own without accuracies. Where a detector was timed in several settings, here stands
    the first (the others are in the online table).
    """
    costs: dict[tuple[str, Variant], Overhead] = {}
    for overhead in filter(_counts_as_cost, measured):
        costs.setdefault((overhead.case.panel.backbone, overhead.case.variant), overhead)
    rows, lost = list[dict[str, Any]](), lost_seeds(records, "detection")
    trained_as = {(arm.condition.backbone, arm.variant) for arm in trained}
    for arm in trained:
        detector, base = arm.condition.backbone, baseline_arm(arm, trained)
        row = _detector_columns(detector, arm.variant, arm.condition)
        row |= _cost(costs.get((detector, arm.variant)))
        row |= {"seeds": len(arm.seeds), "status": "ok", "reason": lost.get(arm.key, "")}
        for measure in MEASURES:
            row |= interval_columns(f"{measure}_pct", measure, _interval(arm.pct(measure)))
            delta = Units({}) if base is None or arm is base else arm.pct(measure) - base.pct(measure)
            if len(delta):
                row |= interval_columns(f"{measure}_delta_pct", f"{measure}_delta", delta.interval())
                row[f"{measure}_delta_mde_pct"] = delta.mde()
        samples = list(arm.seeds.values())
        row |= {"params": samples[0].params, "train_seconds": float(np.mean([s.train_seconds for s in samples]))}
        row |= {"equivalents": ",".join(equivalents.get(arm.variant.strategy, [])), "records": arm.records}
        rows.append(row)
    rows += [
        _detector_columns(detector, variant, None) | _cost(cost) | {"seeds": 0, "status": "ok", "reason": ""}
        for (detector, variant), cost in costs.items()
        if (detector, variant) not in trained_as
    ]
    for record in _unsuccessful(records, "detection"):
        row = _detector_columns(record.trial.condition.backbone, record.trial.variant, record.trial.condition)
        rows.append(row | {"seeds": 0, "status": record.status, "reason": record.reason})
    frame = pd.DataFrame(rows, columns=_DETECTION_COLUMNS)
    return frame.drop_duplicates(subset=["detector", *AXES, *RECIPE, "seeds", "status"], ignore_index=True)


def curve_table(trained: Sequence[Arm]) -> pd.DataFrame:
    """Accuracy on validation clips after each epoch (from 1); clips_seen: since fine-tuning began. Arms of older runs,
    which kept no curves, have no rows."""
    rows = []
    for arm in trained:
        followed = {seed: samples for seed, samples in arm.recognition.items() if samples.curve is not None}
        clips_seen = next(iter(followed.values())).clips_seen if followed else []
        for epoch, clips in enumerate(clips_seen):
            row = {**_arm_columns(arm), "seeds": len(followed), "epoch": epoch + 1, "clips_seen": clips}
            for part in PARTS:
                own = {seed: 100 * samples.curve[part][epoch] for seed, samples in followed.items() if samples.curve}
                row |= interval_columns(f"{part}_mean_pct", part, Units(own).interval())
            rows.append(row)
    return pd.DataFrame(rows, columns=_CURVE_COLUMNS)


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
        for t in range(frames):
            row = {**_arm_columns(arm), "seeds": len(known), "frame": t + 1, "seen_pct": 100 * (t + 1) / frames}
            for part in PARTS:
                own = Units({seed: 100 * early[part][t] for seed, early in known.items()})
                without = Units({seed: 100 * early[part][t] for seed, early in others.items()})
                row |= interval_columns(f"{part}_mean_pct", part, own.interval())
                row |= interval_columns(f"{part}_delta_pct", f"{part}_delta", (own - without).interval())
            rows.append(row)
    return pd.DataFrame(rows, columns=_EARLY_COLUMNS)


def example_frames(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Of each detector that kept some: ``{"form", "strategy", "seed", "fraction", "examples"}``."""
    found = []
    for record in records:
        examples = getattr(record.samples, "examples", None) if isinstance(record, TrainedRecord) else None
        if isinstance(record, TrainedRecord) and examples and examples["truth"]:
            trial = record.trial
            form = Arm(trial.section, trial.variant, trial.condition, {}).form
            axes = {"strategy": trial.variant.strategy, "fraction": float(trial.variant.fraction)}
            found.append({"form": form, **axes, "seed": trial.seed, "examples": examples})
    return found


def _arm_columns(arm: Arm) -> dict[str, Any]:
    return {**of_variant(arm.variant), **vars(arm.condition), "records": arm.records}


def _unsuccessful(records: Sequence[Record], section: str) -> list[TrainedRecord]:
    return [r for r in records if isinstance(r, TrainedRecord) and r.trial.section == section and r.status != "ok"]


def _ended(record: TrainedRecord) -> dict[str, Any]:
    trial = record.trial
    arm = Arm(trial.section, trial.variant, trial.condition, {})
    return {**_arm_columns(arm), "seeds": 0, "status": record.status, "reason": record.reason}


def _interval(units: Units) -> Interval:
    return units.interval() if len(units) else _NOTHING


def _levels(arm: Arm) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for outcome in OUTCOMES:
        row |= interval_columns(f"{outcome}_mean_pct", outcome, arm.pct(outcome).interval())
    for part in ("spatial", "temporal"):
        shuffled = [getattr(samples, f"shuffled_{part}_accuracy") for samples in arm.recognition.values()]
        known = [100 * value for value in shuffled if value is not None]
        row[f"shuffled_{part}_mean_pct"] = float(np.mean(known)) if known else math.nan
    return row


def _efforts(arm: Arm) -> dict[str, Any]:
    """params, flops: of the network; train_seconds, clips_per_second: means over seeds; shares: of the training time of
    all seeds, what the making of clips and the three parts of a step took (NaN in older records)."""
    samples = list(arm.recognition.values())
    total = sum(s.train_seconds for s in samples)

    def share(name: str) -> float:
        values = [getattr(s, f"{name}_seconds") for s in samples]
        return math.nan if None in values else 100 * sum(values) / total

    return {
        "params": samples[0].params,
        "flops": samples[0].flops,
        "train_seconds": float(np.mean([s.train_seconds for s in samples])),
        "clips_per_second": float(np.mean([s.clips_per_second for s in samples])),
        **{f"{name}_share_pct": share(name) for name in ("data", "forward", "backward", "update")},
    }


def _family(arm: Arm, trained: Sequence[Arm]) -> list[Arm]:
    """The arms that are corrected for together: those of the same condition that shift; the learnable exchange is a
    control of its own."""
    if arm.variant.strategy in (BASELINE, EXCHANGE):
        return [arm]
    return [o for o in trained if o.condition == arm.condition and o.variant.strategy not in (BASELINE, EXCHANGE)]


def _gap_to_best(arm: Arm, family: Sequence[Arm]) -> dict[str, Any]:
    """How far behind the best of its family in joint accuracy, paired by seed; intervals hold for all pairs at once.

    The best is chosen by its mean here, which flatters it: where it is not told from the others, it is not the best.
    """
    best = max(family, key=lambda other: float(np.mean(other.pct("joint").values)))
    if len(family) < 2 or arm is best or arm.variant.strategy == BASELINE:
        return {}
    gap = best.pct("joint") - arm.pct("joint")
    confidence = 1 - (1 - CONFIDENCE) / (len(family) - 1)
    columns = interval_columns("joint_gap_to_best_pct", "joint_gap_to_best", gap.interval(confidence))
    return {**columns, "joint_gap_to_best_mde_pct": gap.mde(confidence)}


def _differences(arm: Arm, base: Arm, compared: int) -> dict[str, Any]:
    """Against the baseline, paired by seed. The baseline's own are zero by construction, and nothing is tested.

    compared: the number of arms that Holm's correction is over. The minimum detectable effect is that of the strictest
    of its levels; the intervals are not corrected.
    """
    row: dict[str, Any] = {}
    strictest = 1 - (1 - CONFIDENCE) / compared
    for outcome in OUTCOMES:
        delta = arm.pct(outcome) - base.pct(outcome)
        row |= interval_columns(f"{outcome}_delta_pct", f"{outcome}_delta", delta.interval())
        if arm is not base:
            row[f"{outcome}_delta_p"] = estimators.paired_p(delta.values)
            row[f"{outcome}_delta_mde_pct"] = delta.mde(strictest)
    if arm is not base:
        clips = arm.clip_deltas(base, "joint")
        both = resampled(clips)
        row |= {"joint_delta_boot_low_pct": both.low, "joint_delta_boot_high_pct": both.high}
        row["clip_share_pct"] = 100 * clip_share(clips)
    return row


def _adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Holm, in place: the arms of one condition, in one outcome, are one family; the learnable exchange, a control of
    its own, is none of them."""
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["strategy"] != BASELINE:
            key = (*(row[name] for name in CONDITION), row["strategy"] == EXCHANGE)
            families.setdefault(key, []).append(row)
    for family in families.values():
        for outcome in OUTCOMES:
            adjusted = estimators.holm([row.get(f"{outcome}_delta_p", math.nan) for row in family])
            for row, p in zip(family, adjusted, strict=True):
                row[f"{outcome}_delta_p"] = p


def _counts_as_cost(overhead: Overhead) -> bool:
    """One stream of a detector, as it is run; not the twin."""
    panel = overhead.case.panel
    plain = (panel.runtime, panel.dtype, panel.memory_format) == ("eager", "fp32", "nchw")
    return panel.backbone in DETECTORS and panel.streams == 1 and plain and not overhead.case.aa


def _detector_columns(detector: str, variant: Variant, condition: Condition | None) -> dict[str, Any]:
    form = Arm("detection", variant, Condition(), {}).form
    factors = {} if condition is None else {name: getattr(condition, name) for name in RECIPE}
    return {"detector": detector, "form": form, **of_variant(variant), **factors}


def _cost(overhead: Overhead | None) -> dict[str, Any]:
    if overhead is None:
        return {}
    return {
        **interval_columns("overhead_pct", "overhead", overhead.interval()),
        "frame_ms": 1e3 * overhead.seconds / overhead.case.panel.frames,
        "replicates": len(overhead.pct),
    }


def _early(arm: Arm) -> dict[int, dict[str, list[float]]]:
    return {seed: samples.early for seed, samples in arm.recognition.items() if samples.early is not None}
