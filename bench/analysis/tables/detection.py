"""The detection table: one row for each form of the detector, with what it costs a frame."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.detectors import MEASURES, Form, form_of, frame_by_frame, lost_seeds
from bench.analysis.overheads import Overhead
from bench.analysis.tables.columns import AXES
from bench.analysis.tables.samples import records_of_form
from bench.spec.axes import DETECTORS
from bench.spec.cases import Condition, StreamPanel, Variant
from bench.stats import estimators
from bench.store.records import Record

_OF_ONE = (
    *("pct", "ci_low_pct", "ci_high_pct"),
    *("delta_pct", "delta_ci_low_pct", "delta_ci_high_pct", "delta_detectable_pct"),
)
HOW = ("lr_factor", "length_factor")
"""The columns that say which of several recipes a form was trained by."""

_COLUMNS = [
    *("detector", "form", *AXES, *HOW, "seeds"),
    *(f"{measure}_{column}" for measure in MEASURES for column in _OF_ONE),
    *("overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct", "frame_ms", "replicates"),
    *("params", "train_seconds", "status", "reason", "also_holds_for", "records"),
]
_MILLI = 1e3
_NOTHING = estimators.Interval(math.nan, math.nan, math.nan, 0)


def detection_table(
    records: Sequence[Record], trained: Sequence[Form], online: Sequence[Overhead], heirs: dict[str, list[str]]
) -> pd.DataFrame:
    """X_pct: mean over seeds; X_delta_pct: against the detector frame by frame, paired by seed, in points.

    overhead_pct: of one frame, against the same detector without a shift; of a mechanism that was timed and whose
    function was trained under another name, a row of its own without accuracies. Where a detector was timed in several
    settings, here stands the first (the others are in the online table). A form of which some seeds failed says so in
    ``reason``: its means are those of the seeds that are left, and no verdict rests on them.
    """
    costs: dict[tuple[str, Variant], Overhead] = {}
    for overhead in filter(_counts, online):
        costs.setdefault((overhead.case.panel.backbone, overhead.case.variant), overhead)
    rows, told, lost = list[dict[str, Any]](), set[tuple[str, Variant]](), lost_seeds(records)
    for form in trained:
        detector, base = form.condition.backbone, frame_by_frame([f for f in trained if f.condition == form.condition])
        told.add((detector, form.variant))
        cost = costs.get((detector, form.variant))
        row = _axes(detector, form.variant) | _how(form.condition) | _cost(cost)
        reason = lost.get((form.variant, form.condition), "")
        row |= {"seeds": len(form.seeds), "status": "ok", "reason": reason}
        row |= _accuracies(form, base) | _efforts(form)
        row |= {
            "also_holds_for": ",".join(heirs.get(form.variant.strategy, [])),
            "records": records_of_form(form),
        }
        rows.append(row)
    rows += [
        _axes(detector, variant) | _cost(cost) | {"seeds": 0, "status": "ok", "reason": ""}
        for (detector, variant), cost in costs.items()
        if (detector, variant) not in told
    ]
    rows += [
        _axes(record.case["backbone"], Variant.from_json(record.case))
        | _how(Condition.from_json(record.case))
        | {"seeds": 0, "status": record.status, "reason": record.reason}
        for record in records
        if record.kind == "detection" and record.status != "ok"
    ]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame.drop_duplicates(subset=["detector", *AXES, *HOW, "seeds", "status"], ignore_index=True)


def _counts(overhead: Overhead) -> bool:
    """One stream of a detector, as it is run; not the twin."""
    panel = overhead.case.panel
    plain = (panel.runtime, panel.dtype, panel.memory_format) == ("eager", "fp32", "nchw")
    one = isinstance(panel, StreamPanel) and panel.streams == 1
    return panel.backbone in DETECTORS and one and plain and not overhead.case.aa


def _axes(detector: str, variant: Variant) -> dict[str, Any]:
    return {"detector": detector, "form": form_of(variant), **asdict(variant), "fraction": float(variant.fraction)}


def _how(condition: Condition) -> dict[str, float]:
    return {name: getattr(condition, name) for name in HOW}


def _cost(overhead: Overhead | None) -> dict[str, Any]:
    if overhead is None:
        return {}
    interval, panel = overhead.interval(), overhead.case.panel
    return {
        "overhead_pct": interval.mean,
        "overhead_ci_low_pct": interval.low,
        "overhead_ci_high_pct": interval.high,
        "frame_ms": _MILLI * overhead.seconds / panel.frames,
        "replicates": len(overhead.per_superblock),
    }


def _accuracies(form: Form, base: Form | None) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for measure in MEASURES:
        values = form.values(measure)
        mean = estimators.t_interval(values) if values else _NOTHING
        row |= {f"{measure}_pct": mean.mean, f"{measure}_ci_low_pct": mean.low, f"{measure}_ci_high_pct": mean.high}
        if base is None or form is base:
            continue
        deltas = list(form.deltas(base, measure).values())
        if deltas:
            delta = estimators.t_interval(deltas)
            row |= {
                f"{measure}_delta_pct": delta.mean,
                f"{measure}_delta_ci_low_pct": delta.low,
                f"{measure}_delta_ci_high_pct": delta.high,
                f"{measure}_delta_detectable_pct": estimators.smallest_detectable(deltas),
            }
    return row


def _efforts(form: Form) -> dict[str, Any]:
    samples = list(form.seeds.values())
    seconds = float(np.mean([s["train_seconds"] for s in samples]))
    return {"params": samples[0]["params"], "train_seconds": seconds}


def example_frames(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Of each form that kept some: ``{"form", "strategy", "seed", "fraction", "examples"}``; ``detection.worker`` says
    what is in them."""
    return [
        {
            "form": form_of(Variant.from_json(record.case)),
            "strategy": record.case["strategy"],
            "seed": record.seed,
            "fraction": float(Variant.from_json(record.case).fraction),
            "examples": record.samples["examples"],
        }
        for record in records
        if record.kind == "detection" and record.status == "ok" and record.samples["examples"]["truth"]
    ]
