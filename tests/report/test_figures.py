"""Every figure is drawn from what a run has, left out where it has nothing, and the same every time."""

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import pandas as pd
import pytest

from bench.report.figures import FIGURES, draw
from bench.report.figures.latency import latency_overhead
from bench.report.figures.pareto import front, paired
from bench.report.figures.traffic import apart
from bench.report.style import BUILT_IN, LONGEST_NAME, RC, REMAINING, Palette, label
from tests.report.synthetic import FRACTIONS, FakeTables, accuracy_rows, case, latency_rows

PNG = b"\x89PNG"


def names(tables: FakeTables) -> list[str]:
    return [figure.name for figure in draw(tables)]


def test_a_full_run_has_every_figure(full: FakeTables) -> None:
    figures = draw(full)
    assert [figure.name for figure in figures] == list(FIGURES)
    for figure in figures:
        assert figure.png.startswith(PNG)
        assert ElementTree.fromstring(figure.svg).tag.endswith("svg")
        assert figure.title
        assert len(figure.caption) > 80


def test_an_empty_run_has_no_figures(full: FakeTables) -> None:
    assert draw(FakeTables(full.folder)) == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: replace(t, accuracy=pd.DataFrame()), {"latency_overhead", "data_movement", "measurement_noise"}),
        (
            lambda t: replace(t, accuracy=t.accuracy.iloc[:0]),
            {"latency_overhead", "data_movement", "measurement_noise"},
        ),
        (
            lambda t: replace(t, latency=pd.DataFrame(), superblocks=pd.DataFrame()),
            {"accuracy_by_fraction"},
        ),
        (
            lambda t: replace(t, latency=t.latency.assign(predicted_overhead_pct=float("nan"))),
            {"latency_overhead", "accuracy_by_fraction", "pareto", "measurement_noise"},
        ),
        (lambda t: replace(t, accuracy=pd.DataFrame(accuracy_rows(seeds=1))), set(FIGURES)),
    ],
    ids=["no accuracy", "no arms", "no latency", "no predictions", "one seed"],
)
def test_partial_runs(full: FakeTables, change: Callable[[FakeTables], FakeTables], expected: set[str]) -> None:
    assert set(names(change(full))) == expected


def test_several_panels_and_odd_fractions(full: FakeTables) -> None:
    rows = latency_rows() + latency_rows(device="cuda") + latency_rows(dtype="bf16") + latency_rows(threads=1)
    rows += [*latency_rows(frames=16), case("third", "residual", 1 / 3, 2.0), case("third", "residual", 0.3, 2.0)]
    with matplotlib.rc_context(RC):
        figure = latency_overhead(replace(full, latency=pd.DataFrame(rows)), Palette.of(["third"]))
    assert figure
    assert "1 further setting in the table" in figure.caption


def test_one_fraction_without_intervals(full: FakeTables) -> None:
    latency = full.latency[full.latency["fraction"].isin([0.0, FRACTIONS[1]])].assign(
        overhead_ci_low_pct=float("nan"), overhead_ci_high_pct=float("nan"), half_width_pct=float("nan")
    )
    assert "latency_overhead" in names(replace(full, latency=latency))


def test_inherited_accuracy_has_its_own_latency(full: FakeTables) -> None:
    offers = paired(full)
    buffers = [offer for offer in offers if offer.case["strategy"] == "buffer_shift"]
    assert len(buffers) == 2 * len(FRACTIONS)
    assert {offer.overhead.value for offer in buffers} <= set(full.latency["overhead_pct"])
    best = front(offers)
    assert [offer.overhead.value for offer in best] == sorted(offer.overhead.value for offer in best)
    assert best[0].case["strategy"] == "no_shift"
    assert best[-1].joint.value == full.accuracy["joint_mean_pct"].max()


def test_no_plug_in_takes_a_built_in_colour() -> None:
    plugins = [f"plugin_{i}" for i in range(7)]
    palette = Palette.of([*plugins, *BUILT_IN])
    assert not {palette.colours[name] for name in plugins} & set(BUILT_IN.values())
    assert [palette.colours[name] for name in BUILT_IN] == list(BUILT_IN.values())
    looks = {(look.colour, look.fill) for look in (palette.look(name, "residual", "bidirectional") for name in plugins)}
    assert len(looks) == len(plugins) > len(REMAINING)


@pytest.mark.parametrize("name", ["_hidden", "a\nb", "\u4e2d\u6587", "x" * 200, "$a$", "\x00"])
def test_names_become_labels(name: str) -> None:
    shown = label(name)
    assert shown.isprintable()
    assert 0 < len(shown) <= LONGEST_NAME
    assert not shown.startswith("_")


def test_points_with_one_prediction_are_set_apart() -> None:
    placed = apart([10.0, 10.0, 10.0, 3.0])
    assert len(set(placed)) == 4
    assert placed[3] == 3.0
    assert sum(placed[:3]) == pytest.approx(30.0)
