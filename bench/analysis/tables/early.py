"""Early recognition: accuracy by the share of the clip that has been seen, for networks that look at the past alone.

The prediction after frame t is the class of the average of the logits of frames 1 to t, as a stream can give it.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.arms import PARTS, Arm, baseline_arm
from bench.analysis.tables.accuracy import CONDITION, arm_columns
from bench.analysis.tables.columns import AXES
from bench.stats import estimators

_COLUMNS = [
    *(*AXES, *CONDITION, "seeds", "frame", "seen_pct"),
    *(
        f"{part}_{column}_pct"
        for part in PARTS
        for column in ("mean", "ci_low", "ci_high", "delta", "delta_ci_low", "delta_ci_high")
    ),
]


def early_table(trained: Sequence[Arm]) -> pd.DataFrame:
    """One row per causal arm and frame, frames from 1. X_delta_pct: against the network without a shift after as many
    frames, in points, paired by seed. Arms of older runs have no rows."""
    return pd.DataFrame([row for arm in trained for row in _rows(arm, baseline_arm(arm, trained))], columns=_COLUMNS)


def _rows(arm: Arm, base: Arm | None) -> list[dict[str, Any]]:
    known = {seed: samples["early"] for seed, samples in arm.seeds.items() if "early" in samples}
    others = {seed: samples["early"] for seed, samples in base.seeds.items() if "early" in samples} if base else {}
    frames = len(next(iter(known.values()))[PARTS[0]]) if known else 0
    rows = []
    for t in range(frames):
        row = {**arm_columns(arm.key), "seeds": len(known), "frame": t + 1, "seen_pct": 100 * (t + 1) / frames}
        for part in PARTS:
            row |= _interval(f"{part}_mean_pct", part, [100 * early[part][t] for early in known.values()])
            shared = [100 * (known[seed][part][t] - others[seed][part][t]) for seed in known if seed in others]
            row |= _interval(f"{part}_delta_pct", f"{part}_delta", shared)
        rows.append(row)
    return rows


def _interval(value: str, stem: str, samples: Sequence[float]) -> dict[str, float]:
    interval = estimators.t_interval(samples)
    return {value: interval.mean, f"{stem}_ci_low_pct": interval.low, f"{stem}_ci_high_pct": interval.high}
