"""Every figure is drawn from what a run has, left out where it has nothing, and the same every time."""

import math
import re
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection

from bench.analysis.comparisons import Comparison
from bench.analysis.run import Analysis, load
from bench.report import selection
from bench.report.figures import FIGURES, accuracy, canvas, draw
from bench.report.figures.canvas import BUILT_IN, LONGEST_NAME, REMAINING, Figure, Palette, label
from bench.report.figures.detection import _views
from bench.report.figures.measurement import _draw_twin, _first_control
from bench.report.figures.overheads import swept
from bench.report.figures.points import Mark, apart, draw_marks, front, label_marks, pareto, pieces
from bench.report.numbers import between
from bench.report.selection import arms, main_condition, paired
from bench.stats.estimators import Interval
from tests.report.synthetic import with_video

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "reference"
PALETTE = Palette.of(["copy_shift", "plugin"])
NAN = float("nan")
ODD = "_a$b$\n\u4e2d<img src=x>" + "x" * 60
FRAMES = [field.name for field in fields(Analysis) if field.type is pd.DataFrame]


@cache
def published(name: str) -> Analysis:
    return load(PUBLISHED / name)


@pytest.fixture(scope="session")
def whole() -> Analysis:
    """One run with the data of several, so that every figure has some; its first panel in both heaps."""
    timed, online = published("amd-zen5-2-cores-runtimes"), published("amd-zen5-2-cores-online")
    detected = published("amd-zen5-2-cores-detection")
    kept = at(timed.latency[timed.latency["runtime"] == "eager"], allocator="retained")
    run = replace(
        published("amd-zen5-2-cores-accuracy"),
        latency=pd.concat([timed.latency, kept]),
        superblocks=timed.superblocks,
        online=online.online,
        frames=online.frames,
        detection=detected.detection,
        detection_examples=detected.detection_examples,
    )
    return with_video(run)


@pytest.fixture
def timed() -> Analysis:
    """One panel with several mechanisms, trained too."""
    return replace(published("intel-xeon-2-cores"), accuracy=published("amd-zen4-2-cores").accuracy)


def nothing(run: Analysis) -> Analysis:
    return replace(run, comparisons=[], detection_examples=[], **{name: getattr(run, name).iloc[:0] for name in FRAMES})


def drawn(name: str, run: Analysis) -> Figure:
    (figure,) = draw(run, [name])
    assert figure.png.startswith(b"\x89PNG")
    return figure


def at(latency: pd.DataFrame, **panel: object) -> pd.DataFrame:
    return latency.assign(**panel)


def test_a_whole_run_has_every_figure(whole: Analysis) -> None:
    figures = draw(whole)
    assert [figure.name for figure in figures] == list(FIGURES)
    for figure in figures:
        assert figure.png.startswith(b"\x89PNG")
        assert ElementTree.fromstring(figure.svg).tag.endswith("svg")
        assert figure.title and 60 < len(figure.caption) < 500


def test_the_same_run_gives_the_same_bytes(timed: Analysis) -> None:
    assert drawn("data_movement", timed) == drawn("data_movement", timed)


def test_a_run_without_data_has_no_figures(whole: Analysis) -> None:
    assert draw(nothing(whole)) == ()


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda r: {"accuracy": r.accuracy.iloc[:0]}, {"accuracy_by_fraction"}),
        (lambda r: {"accuracy": r.accuracy.iloc[:0], "video": r.video.iloc[:0]}, {"pareto"}),
        (lambda r: {"latency": r.latency.iloc[:0]}, {"latency_overhead", "data_movement", "pareto"}),
        (lambda r: {"curves": r.curves[r.curves["strategy"] == "no_shift"]}, {"learning_curves"}),
        (lambda r: {"video": r.video[r.video["strategy"] == "no_shift"]}, {"video_by_fraction"}),
        (lambda r: {"video_curves": r.video_curves.iloc[:0]}, {"video_curves"}),
        (lambda r: {"early": r.early[r.early["strategy"] == "no_shift"]}, {"early_recognition"}),
        (lambda r: {"latency": r.latency.assign(predicted_overhead_pct=NAN)}, {"data_movement"}),
        (lambda r: {"latency": published("intel-xeon-2-cores").latency}, {"overhead_by_axis", "overhead_by_runtime"}),
        (lambda r: {"comparisons": [replace(r.comparisons[0], interval=Interval(NAN, NAN, NAN, 0))]}, {"controls"}),
    ],
)
def test_nothing_is_drawn_from_nothing(
    whole: Analysis, change: Callable[[Analysis], dict[str, object]], missing: set[str]
) -> None:
    run = replace(whole, **change(whole))  # type: ignore[arg-type]
    assert [FIGURES[name](run, PALETTE) for name in missing] == [None] * len(missing)


def test_more_panels_than_can_be_drawn(timed: Analysis) -> None:
    panels = [at(timed.latency, threads=threads) for threads in range(1, 7)]
    panels.append(at(timed.latency, device="cuda", strategy="plugin", fraction=0.3, overhead_ci_low_pct=NAN))
    run = replace(timed, latency=pd.concat(panels))
    assert "3 further settings in the table" in drawn("latency_overhead", run).caption
    assert "4 settings" in drawn("latency_overhead", run).caption
    drawn("overhead_by_axis", run)


def test_an_axis_passes_through_the_centre(timed: Analysis) -> None:
    """Of a full grid, the plots show the panels that cross in the first one; a case that failed leaves a gap."""
    latency = pd.concat([at(timed.latency, threads=t, size=s) for t in (2, 1) for s in (224, 112, 64)])
    latency = latency[(latency["strategy"] != "concat_shift") | (latency["size"] != 112)]
    sweeps = {sweep.name: sweep for sweep in swept(latency)}
    assert sweeps.keys() == {"threads", "size"}
    assert [(panel.threads, panel.size) for panel in sweeps["size"].panels] == [(2, 64), (2, 112), (2, 224)]
    assert [(panel.threads, panel.size) for panel in sweeps["threads"].panels] == [(1, 224), (2, 224)]
    assert sweeps["size"].values == ["64²", "112²", "224²"]
    cases = sweeps["size"].cases
    assert list(cases.loc[cases["strategy"] == "concat_shift", "place"]) == [0, 2]
    assert set(cases.loc[cases["strategy"] == "copy_shift", "fraction"]) == {0.25}


@pytest.mark.parametrize("section", ["latency", "online"])
def test_cases_without_intervals_and_failed_ones(whole: Analysis, section: str) -> None:
    table = getattr(whole, section)
    failed = table.iloc[-1:].assign(strategy=ODD, overhead_pct=NAN, status="failed", reason="it hung")
    alone = table.assign(overhead_ci_low_pct=NAN, overhead_ci_high_pct=NAN)
    drawn(f"{section}_overhead", replace(whole, **{section: pd.concat([alone, failed])}))


def test_strategies_with_odd_names(timed: Analysis) -> None:
    odd = timed.latency[timed.latency["strategy"] == "copy_shift"].assign(strategy=ODD)
    run = replace(timed, latency=pd.concat([timed.latency, odd, at(odd, dtype="bf16"), at(odd, runtime="openvino")]))
    for name in ("latency_overhead", "overhead_by_axis", "overhead_by_runtime", "data_movement", "measurement_noise"):
        ElementTree.fromstring(drawn(name, run).svg)


def test_a_prediction_from_bytes_and_one_with_page_faults(timed: Analysis) -> None:
    def labels(run: Analysis) -> list[str]:
        found = FIGURES["data_movement"](run, PALETTE)
        assert found is not None
        return [ax.get_xlabel() for ax in found[0].axes]

    bytes_alone, both = "predicted from bytes moved [%]", "predicted from bytes moved and page faults [%]"
    assert labels(replace(timed, latency=timed.latency.assign(predicted_faults_pct=-3.0))) == [bytes_alone, both]
    assert labels(replace(timed, latency=timed.latency.assign(predicted_faults_pct=NAN))) == [bytes_alone]
    off = timed.latency.assign(flags="prediction_off")
    off.loc[off["fraction"] == 1, "predicted_overhead_pct"] = 90.0
    told = drawn("data_movement", replace(timed, latency=off)).caption
    assert re.search(r"It fails for (\d+) of \1 cases, most for \w+, \w+, all: .*, predicted \+90\.0 %\.", told)
    right = drawn("data_movement", replace(timed, latency=timed.latency.assign(flags="")))
    assert "It fails for none of" in right.caption


def test_both_heaps_stand_in_one_figure(timed: Analysis) -> None:
    kept = at(timed.latency, allocator="retained", latency_ms=timed.latency["latency_ms"] / 2)
    run = replace(timed, latency=pd.concat([timed.latency, kept]))
    found = FIGURES["overhead_by_heap"](run, PALETTE)
    assert found is not None
    drawing, values = found
    labels = drawing.axes[0].get_legend_handles_labels()[1]
    for heap in ("retained", "default"):
        assert {f"copy_shift, residual, {heap} heap", f"buffer_shift, residual, {heap} heap"} <= set(labels)
    assert float(str(values["retained"]).split()[0]) == pytest.approx(
        float(str(values["default"]).split()[0]) / 2, abs=1
    )
    assert {"13.7 %", "3 %"} <= {text.get_text() for text in drawing.axes[0].texts}
    assert FIGURES["overhead_by_heap"](timed, PALETTE) is None


def test_without_an_interval_nothing_is_drawn_as_a_finding() -> None:
    ax = axes()
    style = {"color": "k", "marker": "o", "linestyle": "-", "label": "some"}
    canvas.intervals(ax, [0.0, 0.5, 1.0], [between(1, 0, 2), between(9.0), between(3, 2, 4)], **style)
    joined, alone = (container.lines[0] for container in ax.containers)
    assert list(joined.get_xdata()) == [0.0, 1.0] and list(alone.get_xdata()) == [0.5]
    assert (alone.get_linestyle(), alone.get_markerfacecolor()) == ("None", "white") and alone.get_alpha() < 1


def test_superblocks_are_marked_as_they_were_judged(timed: Analysis) -> None:
    samples = _first_control(timed.superblocks)
    judged = samples.assign(disturbed=np.arange(len(samples)) % 3 > 0, excluded=np.arange(len(samples)) % 3 > 1)
    ax = axes()
    _draw_twin(ax, judged, timed.latency)
    count = {line.get_label(): 0 for line in ax.lines}
    for line in ax.lines:
        count[line.get_label()] += len(line.get_xdata())
    assert count["disturbed superblock"] + count["excluded superblock"] == len(samples) - (len(samples) + 2) // 3
    assert "95 % interval" in {patch.get_label() for patch in ax.patches}


def test_the_front_of_accuracy_against_overhead(timed: Analysis) -> None:
    offers = paired(timed)
    assert {offer.case["strategy"] for offer in offers} >= {"no_shift", "copy_shift", "buffer_shift"}
    best = front(offers)
    assert [offer.overhead.mean for offer in best] == sorted(offer.overhead.mean for offer in best)
    assert [offer.accuracy.mean for offer in best] == sorted(offer.accuracy.mean for offer in best)
    assert best[-1].accuracy.mean == max(offer.accuracy.mean for offer in offers)
    assert pareto(replace(timed, latency=timed.latency[timed.latency["fraction"] == 0]), PALETTE) is None


def test_only_the_main_condition_is_drawn(whole: Analysis) -> None:
    shown = arms(whole.accuracy)
    assert set(shown["view"]) == {"clip"} and set(shown["backbone"]) == {"digits_resnet"}
    assert set(shown["cohort"]) == {"main"} and len(shown) < len(whole.accuracy)
    lost = whole.accuracy.assign(reason="1 seed failed: it diverged")
    assert arms(lost).empty
    elsewhere = whole.accuracy[whole.accuracy["backbone"] != "digits_resnet"]
    assert main_condition(elsewhere)["backbone"].nunique() == 1


def test_a_single_seed_has_no_intervals(whole: Analysis) -> None:
    ends = {column: NAN for column in whole.accuracy if "ci_low" in column or "ci_high" in column}
    run = replace(whole, accuracy=whole.accuracy.assign(seeds=1, **ends), curves=whole.curves.assign(seeds=1))
    for name in ("accuracy_by_fraction", "learning_curves"):
        assert "1 seed: no interval" in drawn(name, run).caption


def test_of_the_papers_figure_only_what_is_known_is_drawn() -> None:
    ax = axes()
    accuracy.draw_paper(ax, PALETTE)
    ends = [(line.get_xdata()[-1], round(line.get_ydata()[-1], 6)) for line in ax.lines]
    assert ends == [(1, 70.6), (0.25, 74.1), (1.0, 68.0)]
    assert {"other values: not found in our source", "in-place 68.0 (derived)"} < {t.get_text() for t in ax.texts}


def test_curves_have_a_row_for_each_mechanism_and_a_band_for_each_fraction(whole: Analysis) -> None:
    drawn_curves = accuracy.learning_curves(whole, PALETTE)
    assert drawn_curves
    drawing, words = drawn_curves
    names = [ax.get_ylabel().replace(",\n", ", ").partition("\n")[0] for ax in drawing.axes[::3]]
    assert names == ["copy_shift, residual", "copy_shift, inplace", "copy_shift, residual, unidirectional"]
    bands = [one for one in drawing.axes[0].collections if isinstance(one, FillBetweenPolyCollection)]
    assert len(bands) == len(drawing.axes[0].lines) == 5 and words["more"] == ""
    curves = selection.shifting(selection.main_condition(whole.curves))
    plugins = [curves[curves["fraction"] == 1].assign(strategy=f"plugin_{i}") for i in range(2)]
    (figure,) = draw(replace(whole, curves=pd.concat([whole.curves, *plugins])), ["learning_curves"])
    assert figure.caption.endswith(" 5 further mechanisms in the table.")


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "%", "reference": 25.0, "interval": Interval(25.1, 24.6, 25.6, 5)},
        {"subject": ODD, "interval": Interval(4.0, NAN, NAN, 1)},
        {"outcome": "something new", "subject": "", "explains": False, "interval": Interval(-120.0, -150.0, -90.0, 5)},
    ],
    ids=["a level", "one seed, odd name", "unknown outcome"],
)
def test_few_and_odd_comparisons_are_drawn(whole: Analysis, change: dict[str, object]) -> None:
    one: Comparison = replace(whole.comparisons[0], **change)  # type: ignore[arg-type]
    drawn("controls", replace(whole, comparisons=[one]))


def test_forms_of_a_detector(whole: Analysis) -> None:
    lost = whole.detection.assign(
        reason=["1 seed failed" if form == "online" else "" for form in whole.detection["form"]]
    )
    drawn("detection", replace(whole, detection=lost))
    apart_by_seed = [{**example, "seed": seed} for seed, example in enumerate(whole.detection_examples)]
    assert FIGURES["detection_examples"](replace(whole, detection_examples=apart_by_seed), PALETTE) is None


def test_an_object_is_found_by_its_class_and_place(whole: Analysis) -> None:
    box, near, far = [10.0, 10.0, 20.0, 20.0], [11.0, 10.0, 21.0, 20.0], [18.0, 18.0, 28.0, 28.0]
    example = whole.detection_examples[0]["examples"]
    found = {"boxes": [near, box, far, box], "labels": [3, 5, 3, 7], "scores": [0.9, 0.9, 0.9, 0.1]}
    truth = {"boxes": [box, box, box], "labels": [3, 4, 7]}
    (view,) = _views({**example, "shape": [1, *_pixels(example)], "truth": [truth], "found": [found]})
    assert view.missed == {1, 2}  # another class; not confident enough


def _pixels(example: dict[str, list[int]]) -> tuple[int, int]:
    """One picture of the same bytes."""
    return math.prod(example["shape"][:2]), example["shape"][2]


def axes() -> Axes:
    return canvas.blank(3, 3).subplots()


def test_a_label_keeps_clear_of_what_is_drawn() -> None:
    drawing = canvas.blank(3, 3)
    ax = drawing.subplots()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    style = {"color": "k", "marker": "o", "label": "some"}
    marks = [Mark(between(0.5, 0.1, 0.9), between(0.5, 0.1, 0.9), text, style) for text in ("a", "too long " * 20)]
    draw_marks(ax, marks)
    assert label_marks(drawing, ax, marks, pieces([(0, 0), (1, 1)])) == " 1 label left out for lack of room."
    (text,) = ax.texts
    own, point = text.get_window_extent(), ax.transData.transform((0.5, 0.5))
    assert not own.contains(*point)


def test_the_legend_has_each_name_once_and_mechanisms_first() -> None:
    drawing = canvas.blank(6, 3)
    for ax in drawing.subplots(1, 2):
        canvas.band(ax, between(0, -1, 1), "A/A control")
        for name in ("b", "a"):
            canvas.intervals(ax, [0.0], [between(1.0, 0.5)], color="k", label=name)
    canvas.legend_below(drawing)
    (legend,) = drawing.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "A/A control"]


def test_points_with_one_prediction_are_set_apart() -> None:
    placed = apart([10.0, 10.0, 10.0, 3.0])
    assert len(set(placed)) == 4
    assert placed[3] == 3.0
    assert sum(placed[:3]) == pytest.approx(30.0)


def test_no_plug_in_takes_a_built_in_colour() -> None:
    plugins = [f"plugin_{i}" for i in range(12)]  # as many as preset family has
    palette = Palette.of([*plugins, *BUILT_IN])
    assert not {palette.colours[name] for name in plugins} & set(BUILT_IN.values())
    assert [palette.colours[name] for name in BUILT_IN] == list(BUILT_IN.values())
    looks = {
        (look["color"], look["markerfacecolor"], look.get("fillstyle"))
        for look in (palette.look(name, "residual", "bidirectional") for name in plugins)
    }
    assert len(looks) == len(plugins) > 2 * len(REMAINING)


@pytest.mark.parametrize("name", ["_hidden", "a\nb", "\u4e2d\u6587", "x" * 200, "$a$", "\x00", "x[a=" + "y" * 30 + "]"])
def test_names_become_labels(name: str) -> None:
    shown = label(name)
    assert shown.isprintable()
    assert 0 < len(shown) <= LONGEST_NAME
    assert not shown.startswith("_")


def test_long_names_of_two_values_are_told_apart() -> None:
    names = [label(f"frame_concat_shift[edges={value}]") for value in ("pad", "cat")]
    assert names == ["frame_concat_s…[edges=pad]", "frame_concat_s…[edges=cat]"]
