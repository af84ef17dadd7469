"""What every estimate rests on: a row for each process or seed, with the id of the record of its raw samples."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.arms import PARTS, Arm
from bench.analysis.detectors import MEASURES, Form
from bench.analysis.overheads import Overhead
from bench.spec.cases import Case, Condition, StreamPanel, Variant

_COLUMNS = ["records", "record", "overhead_pct", "ms", *(f"{part}_pct" for part in (*PARTS, *MEASURES))]
_MILLI = 1e3


def records_of_case(case: Case) -> str:
    """What the ids of a case's timed records begin with."""
    return f"{'online' if isinstance(case.panel, StreamPanel) else 'latency'}/{case.label}"


def records_of_arm(variant: Variant, condition: Condition) -> str:
    """What the ids of an arm's records begin with."""
    return f"accuracy/{condition.label}/{variant.label}"


def records_of_form(form: Form) -> str:
    """What the ids of a detector's records begin with."""
    return f"detection/{form.condition.label}/{form.variant.label}"


def sample_table(measured: Sequence[Overhead], trained: Sequence[Arm], detectors: Sequence[Form] = ()) -> pd.DataFrame:
    """overhead_pct: a process's robust overhead; ms: of a slot there; the rest: of a seed, in per cent.

    records: as in the other tables; record: the id of a line of ``records.jsonl``.
    """
    rows: list[dict[str, Any]] = []
    for overhead in measured:
        name, seconds = records_of_case(overhead.case), overhead.log_seconds_per_process
        for replicate, value in zip(overhead.per_superblock, overhead.per_process_pct, strict=True):
            ms = _MILLI * math.exp(seconds[replicate]) if replicate in seconds else math.nan
            rows.append({"records": name, "record": f"{name}/r{replicate}", "overhead_pct": value, "ms": ms})
    for arm in trained:
        name = records_of_arm(*arm.key)
        for seed, *values in zip(arm.seeds, *(arm.values(part) for part in PARTS), strict=True):
            own = dict(zip((f"{part}_pct" for part in PARTS), values, strict=True))
            rows.append({"records": name, "record": f"{name}/seed{seed}", **own})
    for form in detectors:
        name = records_of_form(form)
        for seed, samples in form.seeds.items():
            own = {f"{measure}_pct": 100 * samples[measure] for measure in MEASURES if samples[measure] is not None}
            rows.append({"records": name, "record": f"{name}/seed{seed}", **own})
    return pd.DataFrame(rows, columns=_COLUMNS)
