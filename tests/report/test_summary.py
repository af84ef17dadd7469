"""The last screen: 15 rows of 80 columns whatever was measured, the same words as the page, the same facts as data."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.cells import cell_len

from bench.analysis.run import Analysis
from bench.report.page import page
from bench.report.summary import as_data, screen
from bench.stats.estimators import Interval
from tests.report.synthetic import (
    HOSTILE,
    NAN,
    accuracy_rows,
    empty_run,
    in_both_heaps,
    latency_rows,
    timed_run,
    with_video,
)

AWKWARD = {"copy_shift": "a_very_long_name_" * 9, "concat_shift": "名前" * 40, "buffer_shift": HOSTILE}
BUSY = {"disturbance": "disturbed at start: 1.0 cores busy with a_process_with_a_name_" + "x" * 90 + " (4711)"}
UNKNOWN = dict.fromkeys(("overhead_ci_low_pct", "overhead_ci_high_pct", "half_width_pct", "mde_pct"), NAN)
SECTIONS = ("latency", "accuracy", "online", "detection", "video")


def rows_used(lines: list[str]) -> int:
    """Of a terminal of 80 columns: a path is not broken, so that it may take more rows than one."""
    assert all(cell_len(line) <= 80 for line in lines[:-1])
    return sum(max(1, math.ceil(cell_len(line) / 80)) for line in lines)


def in_two_networks(run: Analysis) -> Analysis:
    small = run.latency.assign(backbone="resnet18")
    return replace(run, latency=pd.concat([run.latency, small], ignore_index=True))


def whatever_was_measured(run: Analysis) -> Iterator[Analysis]:
    """Controls of every kind, wide intervals, none, few seeds; all sections, each alone, and nothing."""
    wide = {"placements": {"1": Interval(-36.5, -106.25, 33.25, 5)}}
    few = {"accuracy": pd.DataFrame(accuracy_rows(seeds=3)), "placements": {"1": Interval(4.1, NAN, NAN, 3)}}
    for one in (
        replace(in_both_heaps(run), **wide),  # type: ignore[arg-type]
        replace(in_both_heaps(run, (0.1, NAN), **UNKNOWN), **few),
        replace(in_both_heaps(run), header={**run.header, **BUSY}),
        in_both_heaps(run, (1.2, 0.3)),
        in_two_networks(in_both_heaps(run)),
        in_two_networks(replace(in_both_heaps(run, (0.1, NAN), **UNKNOWN), **few)),
        in_both_heaps(run, (0.1, 12.5)),
        timed_run(run, [row for row in latency_rows() if not row["aa"]]),
    ):
        for kept in (SECTIONS, SECTIONS[:-1], (), *((name,) for name in SECTIONS)):
            empty = {name: getattr(one, name).iloc[:0] for name in SECTIONS if name not in kept}
            yield replace(one, **empty)  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [{}, AWKWARD], ids=["usual", "awkward"])
def test_it_fits_whatever_was_measured(full: Analysis, names: dict[str, str]) -> None:
    place = Path("/home/somebody/of/a/long/name/projects/shiftbench/results/2026-01-12-101500-standard/report.html")
    failures = full.failures.assign(id=" ".join(names.values()), reason=f"RuntimeError: no room\n{HOSTILE}")
    for run in whatever_was_measured(with_video(replace(full, failures=failures))):
        tables = {name: getattr(run, name).replace({"strategy": names}) for name in SECTIONS}
        lines = screen(replace(run, **tables), place)  # type: ignore[arg-type]
        assert rows_used(lines) <= 15, lines
        assert "nan" not in " ".join(lines[:-1]).split()


def test_what_a_decided_run_says(full: Analysis, tmp_path: Path) -> None:
    lines = screen(in_both_heaps(full), tmp_path / "report.html")
    assert lines[0] == "Control certified: two identical networks differ by at most 0.40 pp."
    assert lines[1].split() == ["overhead,", "retained", "heap", "1/8", "[%]", "all", "[%]", "verdict"]
    assert lines[2].split("  ")[0] == "copy_shift, residual" and lines[2].endswith("costs, same")
    assert [line for line in lines if line.startswith("copy_shift, default heap")] != []
    text = " ".join(lines)
    assert "Residual minus in-place, all channels, joint: +4.1 pp [2.9, 5.3]" in text
    assert "Cheapest exact mechanism, 1/8: buffer_shift by 2.9 pp [2.4, 3.4]; all: buffer_shift by 2.9 pp" in text
    assert "Take buffer_shift, residual, 1/8: +0.4 % [−0.2, 1.0] latency for 87.1 % [85.8, 88.4]" in text
    assert lines[-1] == f"report: {tmp_path / 'report.html'}"
    assert screen(empty_run(full.folder), tmp_path) == [f"report: {tmp_path}"]


@pytest.mark.parametrize(
    ("twin", "told"),
    [
        ((0.1, 1.6), "Control undecided: two identical networks differ by up to 1.7 pp. Nothing is recommended"),
        ((0.1, NAN), "Control undecided: too few processes to judge it. Nothing is recommended"),
        ((1.2, 0.3), "Control off: two identical networks differ by +1.2 pp [0.9, 1.5]. Latencies are withheld"),
    ],
)
def test_nothing_is_recommended_before_the_control_is_certified(
    full: Analysis, twin: tuple[float, float], told: str, tmp_path: Path
) -> None:
    run = in_both_heaps(full, twin)
    lines = screen(run, tmp_path)
    assert " ".join(lines[:2]).startswith(told)
    assert not [line for line in lines if line.startswith("Take")]
    text = page(run, ())
    assert text.index("<h1>") < text.index(told) < text.index("<nav") and "<strong>Take" not in text


def test_a_busy_machine_is_said_first(full: Analysis, tmp_path: Path) -> None:
    header = {**full.header, "disturbance": "disturbed at start: 1.0 cores busy with miner (4711)"}
    run = replace(in_both_heaps(full), header=header)
    told = "Machine was busy: 1.0 cores busy with miner (4711). Nothing is recommended"
    lines = screen(run, tmp_path)
    assert " ".join(lines[:2]).startswith(told) and "Take" not in "\n".join(lines)
    assert told in page(run, ()) and "<strong>Take" not in page(run, ())


def test_a_machine_that_became_busy_later(full: Analysis, tmp_path: Path) -> None:
    run = in_both_heaps(full)
    panel = next(one.panel for one in run.controls.by_panel.values() if one.panel.allocator == "retained")
    busy, half = (replace(run.quality[0], panel=panel, disturbed_pct=share) for share in (81.3, 50.0))
    told = "Machine was busy: foreign CPU and steal in 81 % of superblocks."
    assert " ".join(screen(replace(run, quality=[busy]), tmp_path)[:2]).startswith(told)
    assert "busy" not in " ".join(screen(replace(run, quality=[half]), tmp_path)[:2])


def test_a_run_of_streams_alone_says_what_a_frame_costs(full: Analysis, tmp_path: Path) -> None:
    run = next(one for one in whatever_was_measured(full) if len(one.online) and not len(one.latency))
    told = "least with buffer_shift, residual, 1/8: +1.1 %"
    assert told in " ".join(screen(run, tmp_path))
    text = page(run, ())
    assert "Nothing was measured" not in text and told in re.sub(r"</?strong>", "", text[: text.index("<nav")])
    assert "Nothing was measured" in page(empty_run(full.folder), ())


def test_of_detectors_alone_the_page_says_first_what_they_find(full: Analysis) -> None:
    run = next(one for one in whatever_was_measured(full) if len(one.detection) and not len(one.latency))
    text = page(run, ())
    assert "Frame by frame, mAP is" in text[: text.index("<nav")] and "Nothing was measured" not in text


def test_the_same_facts_as_data(full: Analysis) -> None:
    data = as_data(in_both_heaps(full))
    assert data["standing"]["state"] == "certified" and data["choice"]["verdict"] == "take"
    first = data["headline"]["lines"][0]
    assert first["strategy"] == "copy_shift" and first["panel"].endswith("-retained")
    assert (first["name"], first["overheads"][0]["mean"]) == ("copy_shift, residual", pytest.approx(3.85))
    assert data["residual_over_inplace"]["low"] == 2.9
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    unknown = as_data(in_both_heaps(full, (0.1, NAN), **UNKNOWN))
    assert unknown["headline"]["lines"][0]["overheads"][0]["low"] is None


def test_of_several_settings_it_says_which_one_is_shown(full: Analysis, tmp_path: Path) -> None:
    run = in_both_heaps(full)
    several = in_two_networks(run)
    assert " others " not in " ".join(screen(run, tmp_path))
    assert "In resnet50, retained heap; 2 others on the page." in screen(several, tmp_path)
    assert "In resnet50, retained heap; 2 others below." in page(several, ())
