"""Frame by frame: what is said and drawn of it."""

from dataclasses import replace

import pandas as pd
import pytest

from bench.report.figures.accuracy_curves import early_recognition
from bench.report.figures.online import online_frame_times, online_overhead
from bench.report.html import page
from bench.report.online import early_sentences, online_sentences
from bench.report.sheets import online_sheet
from bench.report.style import Palette
from tests.report.synthetic import HOSTILE, FakeTables
from tests.report.synthetic_online import frame_case, online_rows

PALETTE = Palette.of(["copy_shift", "buffer_shift", "concat_shift"])


def test_what_a_frame_costs_is_told_with_its_interval(whole: FakeTables) -> None:
    first, *_, deadlines, moved, kept, more = online_sentences(whole)
    assert first.startswith(
        "resnet50, 1 stream: without a shift a frame takes 41.0 ms (one in a hundred 61.5 ms or more)"
    )
    assert "buffer_shift inplace 1/8 +1.1 % [0.5, 1.7], buffer_shift residual 1/8 +1.9 % [1.3, 2.5]" in first
    assert "30 times a second: 100.0 % without a shift, 100.0 % with buffer_shift inplace 1/8" in deadlines
    assert "at 19.5 times" in deadlines and "2.0 % without a shift, 3.1 % with buffer_shift inplace 1/8" in deadlines
    assert "MB more than no shift for each frame and takes" in moved and "GB/s" in moved
    assert "one stream remembers 2.81 MB" in kept
    assert more == "1 further setting in the table."


@pytest.mark.parametrize(("mb_of_a_point", "calls"), [(4.0, False), (0.4, True)])
def test_where_little_moves_the_calls_cost(whole: FakeTables, mb_of_a_point: float, calls: bool) -> None:
    online = whole.online.assign(extra_traffic_mb=mb_of_a_point * whole.online["overhead_pct"])
    (moved,) = [told for told in online_sentences(replace(whole, online=online)) if "what holds it" in told]
    assert ("the calls which cost, not the bytes" in moved) == calls


def test_a_failed_control_withholds_frame_times(whole: FakeTables) -> None:
    suspect = replace(whole, online_suspect="two identical baselines differ by +3.00 %")
    assert online_sentences(suspect) == [
        "Withheld: two identical baselines differ by +3.00 %. Frame times of this run are in the table only."
    ]
    assert "Suspect:" in page(suspect, ())


def test_early_recognition_is_told_against_no_shift(whole: FakeTables) -> None:
    (told,) = early_sentences(whole)
    assert "copy_shift, residual, 1/8 of the channels: 82.7 % [80.7, 84.7] after 1/2 of the clip" in told
    assert "against no shift +62.7 points [59.7, 65.7]" in told


def test_a_run_without_streams_says_nothing() -> None:
    empty = FakeTables(folder=None)  # type: ignore[arg-type]
    assert online_sentences(empty) == early_sentences(empty) == []
    assert online_sheet(empty.online) is None
    assert [draw(empty, PALETTE) for draw in (online_overhead, online_frame_times, early_recognition)] == [None] * 3


def test_figures_are_drawn_and_explained(whole: FakeTables) -> None:
    for draw in (online_overhead, online_frame_times, early_recognition):
        figure = draw(whole, PALETTE)
        assert figure is not None and figure.svg.startswith("<?xml") and len(figure.caption) > 100
    assert "1 further setting in the table" in online_frame_times(whole, PALETTE).caption  # type: ignore[union-attr]


def test_one_process_and_a_failed_case_can_be_shown(whole: FakeTables) -> None:
    nan = float("nan")
    alone = [row | {"overhead_ci_low_pct": nan, "overhead_ci_high_pct": nan} for row in online_rows()]
    failed = frame_case(HOSTILE, "residual", nan, status="failed", reason="it hung", streams=16)
    tables = replace(whole, online=pd.DataFrame([*alone, failed]))
    assert "(no interval)" in online_sentences(tables)[0]
    assert online_overhead(tables, PALETTE) is not None
    assert HOSTILE not in page(tables, ()) and "it hung" in page(tables, ())


@pytest.mark.parametrize("column", ["overhead", "frame", "p99", "deadlines missed", "remembered"])
def test_the_sheet_has_what_the_contract_names(whole: FakeTables, column: str) -> None:
    sheet = online_sheet(whole.online)
    assert sheet is not None
    assert any(title.startswith(column) for title, _ in sheet.titles) or column in sheet.same
