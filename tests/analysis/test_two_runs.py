"""Two runs held against each other: what is the same, what differs, and why nothing can be compared."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.two_runs import compare_runs
from bench.spec.cases import Case
from bench.spec.panel import Panel
from bench.store.journal import Run
from bench.store.records import SCHEMA, FolderError, Record
from tests.analysis.synthetic import main_study
from tests.store.synthetic import BASE, PANEL, TWIN, shift, timed

GPU = replace(PANEL, device="cuda", threads=1)
RECIPE = {"recipe": {"lr": 0.002}, "data": {}}


def latency(panel: Panel = PANEL, whole: float = 1.10, twin: float = 1.0, seed: int = 0) -> list[Record]:
    """An eighth costs 1 %, all channels what is said."""
    rng, factors = np.random.default_rng(seed), {BASE: 1.0, TWIN: twin}
    factors |= {Case(shift(fraction="1/8"), PANEL): 1.01, Case(shift(fraction="1"), PANEL): whole}
    return [
        timed(replace(case, panel=panel), replicate, list(0.1 * factor * np.exp(rng.normal(0, 1e-3, 10))))
        for replicate in range(5)
        for case, factor in factors.items()
    ]


def write(folder: Path, records: Sequence[Record], recipe: dict[str, Any] = RECIPE) -> Path:
    sweep = {"trainings": {"accuracy": recipe}}
    with Run(folder) as run:
        run.write_header({"schema_version": SCHEMA, "environment": {"cpu": folder.name.upper()}, "sweep": sweep})
        run.append(*records)
    return folder


def test_what_two_runs_share_is_compared_case_by_case(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [*latency(), *main_study(range(5))])
    b = write(tmp_path / "b", [*latency(GPU, whole=1.20, seed=1), *main_study(range(5, 10))])
    text = compare_runs(a, b)
    table = pd.read_csv(tmp_path / "compare-a-b" / "comparison.csv").set_index("what")
    where = "resnet50 8x224 batch 1 eager fp32 nchw"  # device and threads are what one compares
    whole = table.loc[f"copy_shift-residual-1-bidirectional in {where}"]
    assert (whole.a, whole.b, whole.difference) == pytest.approx((10, 20, 10), abs=0.2)
    assert whole.differs and not table.differs[f"copy_shift-residual-1/8-bidirectional in {where}"]
    trained = table[table.section == "accuracy"]
    assert len(table) == 2 + len(trained) and len(trained) == 5 * 3
    assert text.startswith(f"A: {a} on A\nB: {b} on B\n") and "% overhead; B - A = +" in text and "  *\n" in text
    assert f"{int(table.differs.sum())} of {len(table)} differ beyond their 95 % intervals" in text
    (trend,) = json.loads((tmp_path / "compare-a-b" / "claims.json").read_text())
    assert (trend["id"], trend["verdict"]) == ("trend-devices/copy_shift residual bidirectional", "reproduced")
    assert all((tmp_path / "compare-a-b" / f"comparison.{kind}").stat().st_size for kind in ("svg", "png"))


def test_one_seed_or_process_has_no_interval(tmp_path: Path) -> None:
    text = compare_runs(write(tmp_path / "a", main_study([1])), write(tmp_path / "b", main_study([1])))
    assert "% right; no interval" in text and "latency cannot be compared: " in text


@pytest.mark.parametrize(
    ("records", "recipe", "why"),
    [
        ([], RECIPE, r"b has no latency; accuracy cannot be compared: \S*b has no accuracy"),
        (latency(replace(PANEL, size=112)), RECIPE, "no case in common"),
        (latency(twin=1.05), RECIPE, r"the A/A control of \S*b is off \(two identical baselines differ"),
        (main_study([1]), {"recipe": {"lr": 0.1}, "data": {}}, "the recipes differ in lr"),
        (main_study([1], cohort="again"), RECIPE, "the two have no arm in common"),
    ],
)
def test_why_two_runs_cannot_be_compared(
    tmp_path: Path, records: list[Record], recipe: dict[str, Any], why: str
) -> None:
    a, b = write(tmp_path / "a", [*latency(), *main_study([1])]), write(tmp_path / "b", records, recipe)
    with pytest.raises(FolderError, match=why):
        compare_runs(a, b)
    assert not (tmp_path / "compare-a-b").exists()
    with pytest.raises(FolderError, match="is not a run"):
        compare_runs(a, tmp_path)
