"""What each runtime executes for each case: its nodes by kind, against those of the network without a shift."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.overheads import baseline_of
from bench.analysis.tables.columns import AXES, PANEL
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.store.records import Record

_COLUMNS = [*PANEL, *AXES, "kind", "nodes", "extra_nodes", "profiled_ms", "extra_profiled_ms"]


def graph_table(records: Sequence[Record]) -> pd.DataFrame:
    """One row per case and kind of node, the largest extra time first, then the most extra nodes.

    profiled_ms: with the runtime's profiler on, once and untimed; NaN where the runtime does not tell. A kind that only
    the baseline has stands there with zero nodes.
    """
    counted = {
        Case.from_json(r.case): r.samples["executed"]
        for r in records
        if r.kind == "static" and r.status == "ok" and "executed" in r.samples
    }
    rows = [
        row
        for case, nodes in counted.items()
        if case.variant != BASELINE_VARIANT and baseline_of(case) in counted
        for row in _rows(case, nodes, counted[baseline_of(case)])
    ]
    frame = pd.DataFrame(rows, columns=_COLUMNS).astype({"profiled_ms": float, "extra_profiled_ms": float})
    return frame.sort_values([*PANEL, *AXES, "extra_profiled_ms", "extra_nodes"], ascending=_ASCENDING, kind="stable")


_ASCENDING = [True] * (len(PANEL) + len(AXES)) + [False, False]


def _rows(case: Case, nodes: dict[str, Any], base: dict[str, Any]) -> list[dict[str, Any]]:
    where = {**case.to_json(), "fraction": float(case.variant.fraction)}
    none = (0, 0.0)
    rows = []
    for kind in {**nodes, **base}:
        (count, seconds), (before, seconds_before) = nodes.get(kind, none), base.get(kind, none)
        told = seconds is not None and seconds_before is not None
        rows.append(
            {
                **where,
                "kind": kind,
                "nodes": count,
                "extra_nodes": count - before,
                "profiled_ms": 1e3 * seconds if told else None,
                "extra_profiled_ms": 1e3 * (seconds - seconds_before) if told else None,
            }
        )
    return rows
