"""The accuracy table: one row per arm, with its difference to the network without a shift."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import statistics
from bench.axes import parse_fraction
from bench.estimates import PARTS, Arm, baseline_arm
from bench.records import Record
from bench.tables.columns import AXES

_PART_COLUMNS = [
    f"{part}_{what}_pct"
    for part in PARTS
    for what in ("mean", "ci_low", "ci_high", "delta", "delta_ci_low", "delta_ci_high")
]
_COLUMNS = [
    *(*AXES, "dataset", "backbone", "seeds"),
    *_PART_COLUMNS,
    *("params", "flops", "train_seconds", "clips_per_second", "status", "reason", "also_holds_for"),
]


def accuracy_table(records: Sequence[Record], trained: Sequence[Arm], heirs: dict[str, list[str]]) -> pd.DataFrame:
    """One row per arm, trained or failed."""
    rows = [_arm_row(arm, baseline_arm(arm, trained)) for arm in trained]
    for row in rows:
        row["also_holds_for"] = ",".join(heirs.get(row["strategy"], []))
    for record in records:
        if record.kind == "accuracy" and record.status != "ok":
            fraction = float(parse_fraction(record.case["fraction"]))
            rows.append(
                {**record.case, "fraction": fraction, "seeds": 0, "status": record.status, "reason": record.reason}
            )
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame.drop_duplicates(subset=[*AXES, "dataset", "backbone", "status"], ignore_index=True)


def _arm_row(arm: Arm, base: Arm | None) -> dict[str, Any]:
    samples = list(arm.seeds.values())
    row: dict[str, Any] = {
        **arm.variant.to_json(),
        "fraction": float(arm.variant.fraction),
        "dataset": arm.dataset,
        "backbone": arm.backbone,
        "seeds": len(arm.seeds),
        "params": samples[0]["params"],
        "flops": samples[0]["flops"],
        "train_seconds": float(np.mean([s["train_seconds"] for s in samples])),
        "clips_per_second": float(np.mean([s["clips_per_second"] for s in samples])),
        "status": "ok",
        "reason": "",
    }
    for part in PARTS:
        mean = statistics.t_interval(arm.values(part))
        row |= {f"{part}_mean_pct": mean.mean, f"{part}_ci_low_pct": mean.low, f"{part}_ci_high_pct": mean.high}
        if base is not None:
            delta = statistics.t_interval(arm.deltas(base, part))
            bounds = {f"{part}_delta_ci_low_pct": delta.low, f"{part}_delta_ci_high_pct": delta.high}
            row |= {f"{part}_delta_pct": delta.mean, **bounds}
    return row
