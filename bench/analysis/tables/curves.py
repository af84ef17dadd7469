"""The learning curves: accuracy on validation clips after each epoch, one row per arm and epoch."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.arms import PARTS, Arm
from bench.analysis.tables.accuracy import CONDITION, arm_columns
from bench.analysis.tables.columns import AXES
from bench.stats import estimators

_COLUMNS = [
    *(*AXES, *CONDITION, "seeds", "epoch", "clips_seen"),
    *(f"{part}_{column}_pct" for part in PARTS for column in ("mean", "ci_low", "ci_high")),
]


def curve_table(trained: Sequence[Arm]) -> pd.DataFrame:
    """epoch: from 1; clips_seen: since fine-tuning began. Arms of older runs, which kept no curves, have no rows."""
    return pd.DataFrame([row for arm in trained for row in _rows(arm)], columns=_COLUMNS)


def _rows(arm: Arm) -> list[dict[str, Any]]:
    followed = [samples for samples in arm.seeds.values() if "curve" in samples]
    rows = []
    for epoch, clips_seen in enumerate(followed[0]["clips_seen"] if followed else []):
        row = {**arm_columns(arm.key), "seeds": len(followed), "epoch": epoch + 1, "clips_seen": clips_seen}
        for part in PARTS:
            mean = estimators.t_interval([100 * samples["curve"][part][epoch] for samples in followed])
            row |= {f"{part}_mean_pct": mean.mean, f"{part}_ci_low_pct": mean.low, f"{part}_ci_high_pct": mean.high}
        rows.append(row)
    return rows
