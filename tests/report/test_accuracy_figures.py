"""The figures of the accuracy experiment: the main condition only, intervals where there are any, nothing invented."""

from dataclasses import replace

import matplotlib
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection

from bench.report.figures import Draw
from bench.report.figures import accuracy as by_fraction
from bench.report.figures import curves as by_clips
from bench.report.figures.accuracy import accuracy_by_fraction
from bench.report.figures.canvas import Figure, blank
from bench.report.figures.controls import controls
from bench.report.figures.curves import learning_curves
from bench.report.figures.pareto import pareto
from bench.report.figures.plane import accuracy_plane
from bench.report.selection import arms, lines, main_condition
from bench.report.style import RC, Palette
from tests.report.synthetic import FakeTables
from tests.report.synthetic_accuracy import accuracy_rows, control, control_rows, curve_rows, old_rows, study_rows

NAN = float("nan")


def drawn(function: Draw, tables: FakeTables) -> Figure:
    with matplotlib.rc_context(RC):
        figure = function(tables, Palette.of([]))
    assert figure
    return figure


def test_only_the_main_condition_is_drawn(full: FakeTables) -> None:
    """Other conditions, and the learned exchange, hold better arms than any that is drawn."""
    shown = arms(full.accuracy)
    assert len(shown) == 12
    assert shown["joint_mean_pct"].max() == 87.1
    assert {(line.placement, line.direction) for line in lines(shown)} == {
        ("residual", "bidirectional"),
        ("residual", "unidirectional"),
        ("inplace", "bidirectional"),
    }
    assert full.accuracy["joint_mean_pct"].max() > 90


def test_a_run_of_another_network_or_data_set_has_a_main_condition_too() -> None:
    rows = [row | {"backbone": "resnet50"} for row in accuracy_rows()]
    assert len(main_condition(pd.DataFrame(rows))) == 9
    assert len(main_condition(pd.DataFrame([*rows, *accuracy_rows()]))) == 9
    only = pd.DataFrame([row | {"objective": "spatial"} for row in accuracy_rows()])
    assert main_condition(only).empty


def test_older_tables_are_all_main() -> None:
    assert len(main_condition(pd.DataFrame(old_rows()))) == 9
    new_and_old = pd.DataFrame([*old_rows(), *study_rows()])  # a resumed run: the old rows' conditions are empty
    assert len(main_condition(new_and_old)) == 14


def test_an_arm_that_lost_a_seed_is_not_shown(full: FakeTables) -> None:
    lost = full.accuracy.assign(reason=["", "1 seed failed: it diverged", *[""] * (len(full.accuracy) - 2)])
    assert len(arms(lost)) == 11
    assert 87.1 not in set(arms(lost)["joint_mean_pct"])


def test_older_runs_are_drawn(full: FakeTables) -> None:
    tables = replace(FakeTables(full.folder), accuracy=pd.DataFrame(old_rows()))
    assert "5 seeds, 95 % intervals over seeds" in drawn(accuracy_by_fraction, tables).caption
    assert learning_curves(tables, Palette.of([])) is None
    assert controls(tables, Palette.of([])) is None


def test_a_single_seed_has_no_intervals(full: FakeTables) -> None:
    tables = replace(full, accuracy=pd.DataFrame(accuracy_rows(seeds=1)))
    assert "no intervals: one seed" in drawn(accuracy_plane, tables).caption
    drawn(pareto, tables)


def test_of_the_papers_figure_only_what_is_known_is_drawn() -> None:
    drawing = blank(3, 3)
    ax = drawing.subplots()
    with matplotlib.rc_context(RC):
        by_fraction._draw_paper(ax, Palette.of([]))
    ends = [(line.get_xdata()[-1], round(line.get_ydata()[-1], 6)) for line in ax.lines]
    assert ends == [(1, 70.6), (0.25, 74.1), (1.0, 68.0)]
    texts = {text.get_text() for text in ax.texts}
    assert "other values: not found in our source" in texts
    assert "in-place 68.0 (derived)" in texts


def test_curves_have_a_row_for_each_mechanism_and_bands(full: FakeTables) -> None:
    drawing = blank(3, 3)
    ax = drawing.subplots()
    mechanisms = by_clips._mechanisms(arms_of(full.curves))
    assert [mechanism.name for mechanism in mechanisms] == ["residual", "inplace", "residual,\nunidirectional"]
    shares = [share for share, _ in mechanisms[0].arms]
    assert shares == [1 / 8, 1 / 4, 1 / 2, 1.0]
    by_clips._draw(ax, mechanisms[0], [], "joint", shares)
    assert len(ax.lines) == 4
    assert len([one for one in ax.collections if isinstance(one, FillBetweenPolyCollection)]) == 4
    assert "share no image with training or test" in drawn(learning_curves, full).caption


def arms_of(curves: pd.DataFrame) -> pd.DataFrame:
    main = main_condition(curves)
    return main[main["strategy"] == "copy_shift"]


def test_curves_of_one_seed_and_many_mechanisms(full: FakeTables) -> None:
    single = [row for row in curve_rows(seeds=1) if row["seeds"] == 1]
    rows = [row | {"strategy": f"plugin_{i}"} for i in range(3) for row in single if row["fraction"] == 1]
    caption = drawn(learning_curves, replace(full, curves=pd.DataFrame([*single, *rows]))).caption
    assert "no intervals: one seed" in caption
    assert "4 further mechanisms in tables/curves.csv" in caption


@pytest.mark.parametrize(
    "rows",
    [
        control_rows()[:1],
        [control("mixture", "mixture: against network without a shift", "a$b$\n<img>" + "x" * 90, 4.0, NAN)],
        [control("something_new", "no part, no words", "", -120.0, 30.0)],
    ],
    ids=["a level", "one seed, odd name", "unknown control"],
)
def test_few_and_odd_controls_are_drawn(full: FakeTables, rows: list[dict[str, object]]) -> None:
    assert "not separated from zero" in drawn(controls, replace(full, controls=pd.DataFrame(rows))).caption


def test_controls_without_values_are_not_drawn(full: FakeTables) -> None:
    rows = [control("mixture", "mixture: against network without a shift", "copy_shift residual 1", NAN, NAN)]
    assert controls(replace(full, controls=pd.DataFrame(rows)), Palette.of([])) is None
