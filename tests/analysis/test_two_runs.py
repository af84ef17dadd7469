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
from tests.analysis.synthetic import main_study, video_study
from tests.store.synthetic import BASE, PANEL, TWIN, shift, timed, unmeasured

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


def write(
    folder: Path, records: Sequence[Record], recipe: dict[str, Any] = RECIPE, videos: dict[str, Any] = RECIPE
) -> Path:
    sweep = {"trainings": {"accuracy": recipe, "video": videos}}
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


def test_a_failed_case_and_an_arm_that_lost_a_seed_are_left_out(tmp_path: Path) -> None:
    failed = unmeasured(Case(shift(fraction="1"), PANEL))
    lost = main_study([9])[-1].model_copy(update={"status": "failed", "reason": "it diverged", "samples": None})
    a = write(tmp_path / "a", [*latency(), *main_study()])
    b = write(tmp_path / "b", [*latency(seed=1), failed, *main_study(range(5, 10))[:-1], lost])
    text = compare_runs(a, b)
    what = set(pd.read_csv(tmp_path / "compare-a-b" / "comparison.csv").what)
    gone = "copy_shift-residual-1-bidirectional in", lost.trial.variant.label
    assert not any(name.startswith(gone) for name in what)
    assert len(what) == 1 + 4 * 3 and f"{lost.trial.variant.label} in " in text
    assert "not all seeds of the arm are there" in text
    late = main_study([7])[-1]
    planned = [f"{late.id.removeprefix('accuracy/').rpartition('/seed')[0]}/seed{seed}" for seed in range(6)]
    c = write(tmp_path / "c", [*latency(seed=2), *main_study()], RECIPE | {"trials": planned})
    text = compare_runs(a, c)
    assert f"not all seeds of the arm are there: {late.trial.variant.label} in " in text
    assert not json.loads((tmp_path / "compare-a-b" / "claims.json").read_text())


def test_what_an_undecided_control_may_explain_is_no_difference(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def noisy(whole: float) -> list[Record]:
        shifted = Case(shift(fraction="1"), PANEL)
        factors = {BASE: lambda: 1.0, TWIN: lambda: 1 + rng.normal(0, 0.02), shifted: lambda: whole}
        return [timed(case, number, [0.1 * own()] * 4) for number in range(5) for case, own in factors.items()]

    runs = [write(tmp_path / name, noisy(whole)) for name, whole in (("a", 1.10), ("b", 1.12), ("c", 1.40))]
    for other, differs in ((runs[1], False), (runs[2], True)):
        compare_runs(runs[0], other)
        (row,) = pd.read_csv(tmp_path / f"compare-a-{other.name}" / "comparison.csv").itertuples()
        assert row.ci_low > 0 and row.differs == differs


def test_machines_are_told_apart_by_what_their_headers_say(tmp_path: Path) -> None:
    """The same milliseconds mean nothing on another stepping; older runs do not say."""
    folders = {}
    for name, stepping in (("a", "1"), ("b", "1"), ("c", "2"), ("old", None)):
        folders[name] = write(tmp_path / name, main_study([1, 2]))
        header = json.loads((folders[name] / "run.json").read_text())
        if stepping:
            facts = {"processor": {"family": "26", "stepping": stepping}, "own": "x", "gpus": []}
            header |= {"machine_id": f"X ({stepping})", "environment": {"cpu": "X", "machine": facts}}
            (folders[name] / "run.json").write_text(json.dumps(header))
    assert "\none machine\n" in compare_runs(folders["a"], folders["b"])
    assert "two machines, which differ in stepping: milliseconds" in compare_runs(folders["a"], folders["c"])
    assert "does not say which machine" in compare_runs(folders["a"], folders["old"])


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


def test_videos_are_compared_wherever_they_lie(tmp_path: Path) -> None:
    lying = [{"recipe": {"lr": 0.002}, "data": {"path": path, "cache": path, "size": 64}} for path in ("here", "there")]
    larger = {**lying[0], "data": {"path": "here", "size": 112}}
    a = write(tmp_path / "a", video_study(), videos=lying[0])
    b = write(tmp_path / "b", video_study(range(6, 12)), videos=lying[1])
    c = write(tmp_path / "c", [*video_study([1]), *main_study([1])], videos=larger)
    assert "accuracy cannot be compared" in compare_runs(a, b)
    table = pd.read_csv(tmp_path / "compare-a-b" / "comparison.csv")
    assert set(table.section) == {"video"} and len(table) == 12
    assert table.what[0] == "no_shift-residual-0-bidirectional top1 in pairs-timm:tf_efficientnet_lite0"
    with pytest.raises(FolderError, match="video cannot be compared: the recipes differ in data"):
        compare_runs(a, c)
