"""The accuracy table: one row per arm, with its difference to the network without a shift under the same condition."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.arms import OUTCOMES, Arm, ArmKey, baseline_arm, key_of
from bench.analysis.evidence import EXCHANGE
from bench.analysis.tables.columns import AXES
from bench.analysis.tables.samples import records_of_arm
from bench.spec.axes import BASELINE
from bench.spec.cases import Condition
from bench.stats import estimators
from bench.stats.resampling import clip_share, resampled
from bench.store.records import Record

CONDITION = tuple(Condition.__dataclass_fields__)
"""The columns that say how an arm was trained."""

_OF_ONE_OUTCOME = (
    *("mean_pct", "ci_low_pct", "ci_high_pct", "delta_pct", "delta_ci_low_pct", "delta_ci_high_pct"),
    *("delta_p", "delta_detectable_pct"),
)
_COLUMNS = [
    *(*AXES, *CONDITION, "seeds"),
    *(f"{part}_{column}" for part in OUTCOMES for column in _OF_ONE_OUTCOME),
    *(f"joint_behind_{column}" for column in ("pct", "ci_low_pct", "ci_high_pct", "detectable_pct")),
    *("clip_share_pct", "joint_delta_boot_low_pct", "joint_delta_boot_high_pct"),
    *("shuffled_spatial_mean_pct", "shuffled_temporal_mean_pct"),
    *("params", "flops", "train_seconds", "clips_per_second"),
    *("data_share_pct", "forward_share_pct", "backward_share_pct", "update_share_pct"),
    *("status", "reason", "also_holds_for", "records"),
]


def accuracy_table(records: Sequence[Record], trained: Sequence[Arm], heirs: dict[str, list[str]]) -> pd.DataFrame:
    """One row per arm, trained or failed. An arm of which some seeds failed has both, and its means say so in
    ``reason``: they are those of the seeds that are left, and no verdict rests on them."""
    lost = _lost(records)
    rows = []
    for arm in trained:
        base = baseline_arm(arm, trained)
        row = {**arm_columns(arm.key), **_levels(arm), **_efforts(arm), "status": "ok", "reason": lost.get(arm.key, "")}
        if base is not None:
            row |= _differences(arm, base, compared=len(_family(arm, trained)))
        row |= _behind(arm, _family(arm, trained))
        rows.append({**row, "also_holds_for": ",".join(heirs.get(arm.variant.strategy, []))})
    _adjust(rows)
    rows += [
        {**arm_columns(key_of(record)), "seeds": 0, "status": record.status, "reason": record.reason}
        for record in records
        if record.kind == "accuracy" and record.status != "ok"
    ]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame.drop_duplicates(subset=[*AXES, *CONDITION, "status"], ignore_index=True)


def arm_columns(key: ArmKey) -> dict[str, Any]:
    """What an arm is: the columns of AXES and CONDITION, and where its records are."""
    variant, condition = key
    axes = {**variant.to_json(), "fraction": float(variant.fraction)}
    return {**axes, **asdict(condition), "records": records_of_arm(variant, condition)}


def _lost(records: Sequence[Record]) -> dict[ArmKey, str]:
    """{arm: how many of its seeds failed, and why the first of them did}."""
    failed = [record for record in records if record.kind == "accuracy" and record.status == "failed"]
    counts = Counter(map(key_of, failed))
    first = {key_of(record): record.reason or "" for record in reversed(failed)}
    return {key: f"{n} {'seed' if n == 1 else 'seeds'} failed: {first[key]}" for key, n in counts.items()}


def _levels(arm: Arm) -> dict[str, Any]:
    row: dict[str, Any] = {"seeds": len(arm.seeds)}
    for part in OUTCOMES:
        mean = estimators.t_interval(arm.values(part))
        row |= {f"{part}_mean_pct": mean.mean, f"{part}_ci_low_pct": mean.low, f"{part}_ci_high_pct": mean.high}
    for part in ("spatial", "temporal"):
        told = [100 * s[f"shuffled_{part}_accuracy"] for s in arm.seeds.values() if f"shuffled_{part}_accuracy" in s]
        row[f"shuffled_{part}_mean_pct"] = float(np.mean(told)) if told else math.nan
    return row


def _efforts(arm: Arm) -> dict[str, Any]:
    """params, flops: of the network; train_seconds, clips_per_second: means over seeds; shares: of the training time of
    all seeds, what the making of clips and the three parts of a step took (NaN in older records)."""
    samples = list(arm.seeds.values())
    total = sum(s["train_seconds"] for s in samples)
    return {
        **{name: samples[0][name] for name in ("params", "flops")},
        **{name: float(np.mean([s[name] for s in samples])) for name in ("train_seconds", "clips_per_second")},
        **{
            f"{name}_share_pct": 100 * sum(s.get(f"{name}_seconds", math.nan) for s in samples) / total
            for name in ("data", "forward", "backward", "update")
        },
    }


def _family(arm: Arm, trained: Sequence[Arm]) -> list[Arm]:
    """The arms that are told together: those of the same condition that shift; the learnable exchange is a control."""
    if arm.variant.strategy in (BASELINE, EXCHANGE):
        return [arm]
    return [o for o in trained if o.condition == arm.condition and o.variant.strategy not in (BASELINE, EXCHANGE)]


def _behind(arm: Arm, family: Sequence[Arm]) -> dict[str, Any]:
    """How far behind the best of its family in joint accuracy, paired by seed; intervals hold for all pairs at once.

    The best is chosen by its mean here, which flatters it: where it is not told from the others, it is not the best.
    """
    best = max(family, key=lambda other: float(np.mean(other.values("joint"))))
    if len(family) < 2 or arm is best or arm.variant.strategy == BASELINE:
        return {}
    values = best.deltas(arm, "joint")
    confidence = 1 - (1 - estimators.CONFIDENCE) / (len(family) - 1)
    interval = estimators.t_interval(values, confidence)
    return {
        "joint_behind_pct": interval.mean,
        "joint_behind_ci_low_pct": interval.low,
        "joint_behind_ci_high_pct": interval.high,
        "joint_behind_detectable_pct": estimators.smallest_detectable(values, confidence),
    }


def _differences(arm: Arm, base: Arm, compared: int) -> dict[str, Any]:
    """Against the baseline, paired by seed. The baseline's own are zero by construction, and nothing is tested.

    compared: the number of arms that Holm's correction is over. The smallest effect that would have been found is told
    for the strictest of its levels; the intervals are not corrected.
    """
    row: dict[str, Any] = {}
    for part in OUTCOMES:
        values = arm.deltas(base, part)
        delta = estimators.t_interval(values)
        bounds = {f"{part}_delta_ci_low_pct": delta.low, f"{part}_delta_ci_high_pct": delta.high}
        row |= {f"{part}_delta_pct": delta.mean, **bounds}
        if arm is not base:
            row[f"{part}_delta_p"] = estimators.paired_p(values)
            strictest = 1 - (1 - estimators.CONFIDENCE) / compared
            row[f"{part}_delta_detectable_pct"] = estimators.smallest_detectable(values, strictest)
    if arm is not base:
        clips = arm.clip_deltas(base, "joint")
        both = resampled(clips)
        row |= {"joint_delta_boot_low_pct": both.low, "joint_delta_boot_high_pct": both.high}
        row["clip_share_pct"] = 100 * clip_share(clips)
    return row


def _adjust(rows: Sequence[dict[str, Any]]) -> None:
    """Holm, in place: the arms of one condition, in one part, are one family; the learnable exchange, a control of its
    own, is none of them."""
    families: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["strategy"] != BASELINE:
            key = (*(row[name] for name in CONDITION), row["strategy"] == EXCHANGE)
            families.setdefault(key, []).append(row)
    for family in families.values():
        for part in OUTCOMES:
            adjusted = estimators.holm([row.get(f"{part}_delta_p", math.nan) for row in family])
            for row, p in zip(family, adjusted, strict=True):
                row[f"{part}_delta_p"] = p
