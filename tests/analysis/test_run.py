"""A run's folder, and all that is derived from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.run import Analysis, load, write_tables
from bench.spec.cases import Case
from bench.store.journal import Run
from bench.store.records import SCHEMA, FolderError, Record
from tests.analysis.synthetic import main_study, video_study
from tests.store.synthetic import (
    BASE,
    PANEL,
    SHIFT,
    STREAM,
    TWIN,
    checked,
    failed_training,
    process,
    shift,
    static,
    timed,
    unmeasured,
)

BUFFER, OTHER = (Case(shift(strategy=name), PANEL) for name in ("buffer_shift", "two_back"))
STRATEGIES = [{"name": name, "same_function_as": "copy_shift"} for name in ("buffer_shift", "two_back")]
NAIVE = Case(shift(fraction="1"), PANEL)


def processes(*cases: Case) -> list[Record]:
    """Five of the baseline, its twin and these cases, without any noise."""
    found: list[Record] = []
    for replicate in range(5):
        found += [timed(case, replicate, [0.1] * 4) for case in (BASE, TWIN, *cases)]
        found.append(process(PANEL, replicate, 2))
    return found


def analysed(folder: Path, records: list[Record], **header: Any) -> Analysis:
    with Run(folder) as run:
        run.write_header({"schema_version": SCHEMA, "strategies": STRATEGIES, **header})
        run.append(*records)
    return load(folder)


def verdicts(run: Analysis, claim: str) -> dict[str, str]:
    return {verdict.subject: verdict.verdict for verdict in run.claims if verdict.claim == claim}


def test_only_a_proven_strategy_counts_as_equivalent(tmp_path: Path) -> None:
    proofs: list[Record] = [checked("buffer_shift"), checked("two_back", status="failed", reason="it differs")]
    run = analysed(tmp_path, [*proofs, *processes(SHIFT, BUFFER, OTHER), *main_study([1])])
    (ranking,) = run.rankings
    assert {one.strategy for one in ranking.ranked} == {"copy_shift", "buffer_shift"}
    assert set(run.accuracy.set_index("strategy").equivalents) == {"", "buffer_shift"}
    assert (run.suspect, run.online_suspect, run.damaged) == (None, None, [])
    assert [quality.panel for quality in run.quality] == [PANEL]


def test_failed_cases_and_arms_reach_the_verdicts(tmp_path: Path) -> None:
    lost = failed_training(shift(fraction="1"), 7, "it diverged")
    run = analysed(tmp_path, [*processes(SHIFT), unmeasured(NAIVE), *main_study(), lost])
    assert verdicts(run, "naive-cpu") == {"copy_shift residual": "invalid"}
    assert verdicts(run, "residual-all-over-2d") == {"": "invalid"}
    assert set(run.failures.reason) == {"it hung", "it diverged"}
    about = run.failures[["strategy", "panel"]].itertuples(index=False, name=None)
    assert set(about) == {("copy_shift", PANEL.label), ("copy_shift", "")}
    assert "copy_shift residual 1" not in {one.subject for one in run.comparisons}


def test_an_arm_with_seeds_to_come_is_shown_and_not_judged(tmp_path: Path) -> None:
    records = list(main_study())
    late = next(record.id for record in records if "copy_shift-residual-1-" in record.id).rpartition("/seed")[0]
    planned = [record.id.removeprefix("accuracy/") for record in records] + [f"{late}/seed99".removeprefix("accuracy/")]
    run = analysed(tmp_path, records, sweep={"trainings": {"accuracy": {"recipe": {}, "trials": planned}}})
    (verdict,) = [verdict for verdict in run.claims if verdict.claim == "residual-all-over-2d"]
    assert verdict.verdict == "invalid" and "seeds are trained" in verdict.why
    assert (run.accuracy["reason"] != "").sum() == 1 and len(run.accuracy) == 5


@pytest.mark.parametrize(("judged_on", "expected"), [("test", "reproduced"), ("validation", "not measured")])
def test_a_search_for_a_recipe_is_shown_and_not_judged(tmp_path: Path, judged_on: str, expected: str) -> None:
    sweep = {"trainings": {"accuracy": {"recipe": {"judged_on": judged_on}}}}
    run = analysed(tmp_path, list(main_study()), sweep=sweep)
    assert verdicts(run, "residual-all-over-2d") == {"": expected}
    assert len(run.accuracy) == 5


@pytest.mark.parametrize(("judged_on", "expected"), [("test", "reproduced"), ("validation", "not measured")])
def test_videos_reach_tables_and_verdicts(tmp_path: Path, judged_on: str, expected: str) -> None:
    """Which question asks for the arrow of time stands in the header alone."""
    questions = [{"name": "pairs", "task": "label"}, {"name": "arrow", "task": "arrow"}]
    training = {"recipe": {"judged_on": judged_on}, "data": {"questions": questions}}
    run = analysed(tmp_path, list(video_study()), sweep={"trainings": {"video": training}})
    chance = verdicts(run, "video-arrow-chance")
    assert chance == ({"arrow": expected} if judged_on == "test" else {"": expected})
    assert (len(run.video), set(run.video_curves.question)) == (12, {"pairs", "arrow"})
    assert len(run.video_classes) == 12 * 3 and run.samples.top1_pct.notna().sum() == 72


def test_streams_stand_apart_from_clips(tmp_path: Path) -> None:
    frames = [Case(case.variant, STREAM, case.aa) for case in (BASE, TWIN)]
    slots = {"seconds": [0.16, 0.16], "frame_seconds": [[0.04] * 4] * 2}
    records = [timed(case, replicate, **slots) for replicate in range(5) for case in frames]
    run = analysed(tmp_path, [*processes(), *records, static()], settings={"online": {"arrival_fps": 20.0}})
    assert set(run.latency.streams) == {0} and set(run.online.streams) == {1}
    assert set(run.online.arrival_fps) == {20.0} and set(run.online.missed_deadline_pct) == {0.0}
    assert set(run.superblocks.label.str.contains("online")) == {False}


def test_a_damaged_run_shows_what_is_whole(tmp_path: Path) -> None:
    analysed(tmp_path, processes(SHIFT))
    path = tmp_path / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0].replace(b"resnet50", b"resnet18"), *lines[1:]]))
    run = load(tmp_path)
    assert run.damaged == ["line 1: its checksum does not fit"]
    assert list(run.latency.replicates) == [4, 4, 4]  # without its baseline a process says nothing
    with pytest.raises(FolderError, match="is not a run"):
        load(tmp_path / "nowhere")


def test_all_tables_are_written_for_programs_and_for_people(tmp_path: Path) -> None:
    run = analysed(tmp_path, [*processes(SHIFT), *main_study([1])])
    write_tables(run)
    write_tables(run)  # and again
    names = "latency online accuracy detection video video_curves video_classes claims controls rankings quality curves"
    names += " early bandwidth samples runtime_graphs"
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        f"{name}.{kind}" for name in names.split() for kind in ("csv", "md")
    }
    (first, *_) = json.loads((tmp_path / "claims.json").read_text())
    contract = "id finding source paper measured ci_low ci_high verdict why"
    assert set(contract.split()) <= set(first)
