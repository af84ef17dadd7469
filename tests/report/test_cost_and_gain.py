"""What was timed and trained, side by side, in one run or joined over two."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.analysis.run import Analysis
from bench.report.cost_and_gain import NO_GAIN, NOT_CERTIFIED, NOTHING_FITS, TAKE, budgets, cost_and_gain, joined
from bench.report.figures import draw
from bench.report.page import page, write_cost_and_gain
from bench.report.tables import cost_sheets
from bench.spec.cases import BASELINE_VARIANT
from tests.analysis.synthetic import watched
from tests.report.synthetic import arm, case, empty_run, interval, timed_run, with_video
from tests.scripts import family
from tests.store.synthetic import VIDEO, shift

NAN = float("nan")
MODULES = {  # fraction, overhead and gain on rendered clips
    "copy_shift": (0.25, 11.0, 55.0),
    "gate_shift": (1.0, 46.0, 62.0),
    "gate_shift_fuse": (0.25, 14.0, 60.0),
    "tam": (1.0, 24.0, 40.0),
    "tea": (0.25, 71.0, 64.0),
    "tin": (0.25, 9.0, 30.0),
    "rubiks_shift": (0.25, 12.0, 57.0),
    "temporal_conv": (1.0, 140.0, 61.0),
}
BASE = (94.8, 25.0, 23.7)


def gaining(name: str, fraction: float, gain: float, **more: Any) -> dict[str, Any]:
    level = BASE[2] + gain
    return arm("residual", fraction, (90.0, 90.0, level), strategy=name, **{"equivalents": "", **more})


def timed(folder: Path, **more: Any) -> Analysis:
    """Each module, and a variant of the plain shift that is as accurate and free."""
    rows = [case("no_shift", "residual", 0.0, 0.0), case("no_shift", "residual", 0.0, 0.1, 0.3, aa=True)]
    rows += [
        case(name, "residual", own[0], own[1], extra_params=1000, peak_memory_mb=90.5) for name, own in MODULES.items()
    ]
    rows += [case("buffer_shift", "residual", 0.25, 1.5)]
    infos = [{"name": "tam", "directions": ["bidirectional"]}, {"name": "copy_shift", "directions": ["unidirectional"]}]
    run = replace(empty_run(folder), header={"strategies": infos})
    return timed_run(run, [row | more for row in rows])


def trained(folder: Path, **more: Any) -> Analysis:
    arms = [arm("residual", 0.0, BASE, strategy="no_shift")]
    arms += [gaining(name, fraction, gain, **more) for name, (fraction, _, gain) in MODULES.items()]
    arms[1] |= {"equivalents": "buffer_shift"}
    narrow = [row | {"backbone": "digits_bottleneck"} for row in (arms[0], gaining("tam", 1.0, 9.0))]
    return replace(empty_run(folder), accuracy=pd.DataFrame([*arms, *narrow]))


def on_video(folder: Path) -> Analysis:
    variants = {shift(fraction="1" if own[0] == 1 else "1/4", strategy=name): own[2] for name, own in MODULES.items()}
    chances = {BASELINE_VARIANT: 0.35, **{variant: 0.3 + gain / 100 for variant, gain in variants.items()}}
    records = [watched(variant, chance, seed, VIDEO) for seed in range(5) for variant, chance in chances.items()]
    return with_video(empty_run(folder), records)


@pytest.fixture
def both(tmp_path: Path) -> Analysis:
    return joined(timed(tmp_path), trained(tmp_path), on_video(tmp_path))


def test_cost_and_gain_stand_in_one_row(both: Analysis) -> None:
    table = cost_and_gain(both).set_index("strategy")
    assert set(table.index) == {*MODULES, "buffer_shift"}
    tam = table.loc["tam"]
    assert (tam["overhead_pct"], tam["extra_params"], tam["extra_memory_mb"], tam["streamable"]) == (24, 1000, 7, False)
    assert tam["digits_resnet_gain_pct"] == pytest.approx(40) and tam["digits_resnet_seeds"] == 5
    assert tam["digits_bottleneck_gain_pct"] == pytest.approx(9)
    assert math.isnan(table.loc["tea", "digits_bottleneck_gain_pct"]), "which was not trained there"
    assert tam["pairs_gain_pct"] == pytest.approx(both.video.set_index("strategy").loc["tam", "top1_delta_pct"])
    assert table.loc["copy_shift", "streamable"] is True and table.loc["tea", "streamable"] is None
    shared = [name for name in table if name.startswith(("digits_resnet", "pairs"))]
    pd.testing.assert_series_equal(
        table.loc["buffer_shift", shared], table.loc["copy_shift", shared], check_names=False
    )


def test_another_network_that_was_timed_has_rows_of_its_own(tmp_path: Path) -> None:
    small = timed(tmp_path, backbone="mobilenet_v2").latency
    small = small.assign(records="small/" + small["records"])
    run = joined(timed(tmp_path), trained(tmp_path))
    run = replace(run, latency=pd.concat([run.latency, small, small.assign(threads=1)]))
    table = cost_and_gain(run)
    assert table["backbone"].value_counts().to_dict() == {"resnet50": 9, "mobilenet_v2": 9}


def answers(run: Analysis, *limits: float) -> dict[float, Any]:
    table = budgets(cost_and_gain(run), limits)
    return table[table["by"] == "digits_resnet"].set_index("budget_pct").to_dict("index")


def test_what_to_take_is_the_best_gain_within_a_budget(both: Analysis) -> None:
    found = answers(both, 1.0, 3.0, 30.0, math.inf)
    assert found[1.0]["verdict"] == NOTHING_FITS
    assert (found[3.0]["verdict"], found[3.0]["strategy"], found[3.0]["as_good"]) == (TAKE, "buffer_shift", "")
    assert (found[30.0]["strategy"], found[30.0]["gain_pct"]) == ("gate_shift_fuse", pytest.approx(60))
    assert found[math.inf]["strategy"] == "tea"
    assert found[math.inf]["as_good"] == "gate_shift residual all", (
        "whose interval overlaps; the others are told from it"
    )
    edge = answers(both, 14.5)[14.5]
    assert edge["strategy"] == "rubiks_shift", "14.0 ± 0.6 may cost more"


def test_nothing_is_to_be_taken_where_it_is_not_known(tmp_path: Path) -> None:
    costs, gains = timed(tmp_path), trained(tmp_path)
    assert answers(joined(timed(tmp_path, control="undecided"), gains), 30.0)[30.0]["verdict"] == NOT_CERTIFIED
    nothing = trained(tmp_path, **interval("joint_delta", 0.0, 1.3))
    assert answers(joined(costs, nothing), 30.0)[30.0]["verdict"] == NO_GAIN
    few = trained(tmp_path, **interval("joint_delta", 50.0, NAN))
    assert answers(joined(costs, few), 30.0)[30.0]["verdict"] == NOTHING_FITS, "too few seeds for an interval"


def test_what_only_one_of_the_runs_has_is_left_out(tmp_path: Path) -> None:
    assert cost_and_gain(timed(tmp_path)).empty and budgets(cost_and_gain(timed(tmp_path))).empty
    assert cost_and_gain(trained(tmp_path)).empty
    assert cost_sheets(cost_and_gain(trained(tmp_path))) == {"cost_and_gain": None, "budgets": None}
    other = joined(timed(tmp_path), trained(tmp_path))
    assert joined(other, on_video(tmp_path)).accuracy is other.accuracy, (
        "a run without such trainings takes nothing away"
    )


def test_a_page_has_table_and_answer(both: Analysis) -> None:
    text = page(both, ())
    assert '<section id="cost-and-gain">' in text and '<section id="budgets">' in text
    assert "digits_bottleneck [pp]" in text and "pairs [pp]" in text


def test_the_figure_has_a_plot_for_each_yardstick_and_names_modules(both: Analysis) -> None:
    (figure,) = draw(both, ["pareto"])
    said = set(re.findall(r"<!-- (.*?) -->", figure.svg))
    assert said >= {"no shift", "Pareto front", "tam"}, "modules are named beside their marks"
    assert "Labels are strategies" in figure.caption


def test_two_folders_are_joined_by_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = {name: make(tmp_path) for name, make in (("costs", timed), ("gains", trained), ("videos", on_video))}
    monkeypatch.setattr(family, "load", lambda folder: runs[folder.name])
    family.main(["costs", "gains", "videos", "--out", str(tmp_path / "out")])
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"cost_and_gain.csv", "cost_and_gain.md", "budgets.csv", "pareto.png", "runs.json"} <= written
    assert json.loads((tmp_path / "out" / "runs.json").read_text())["trained"] == ["gains", "videos"]
    with pytest.raises(SystemExit):
        family.main(["videos", "gains", "--out", str(tmp_path / "none")])
    write_cost_and_gain(runs["gains"], tmp_path / "out")
    assert not (tmp_path / "out" / "budgets.csv").exists(), "what no longer holds is removed"
