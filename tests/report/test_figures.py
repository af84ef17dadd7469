"""Every figure is drawn from what a run has, left out where it has nothing, and the same every time."""

from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import matplotlib
import pandas as pd
import pytest

from bench.report.figures import FIGURES, Draw, draw
from bench.report.figures.axes import overhead_by_axis
from bench.report.figures.bandwidth import copy_bandwidth
from bench.report.figures.canvas import Figure
from bench.report.figures.latency import latency_overhead
from bench.report.figures.noise import measurement_noise
from bench.report.figures.pareto import front, paired, pareto
from bench.report.figures.plane import accuracy_plane
from bench.report.figures.traffic import apart, data_movement
from bench.report.style import BUILT_IN, LONGEST_NAME, RC, REMAINING, Palette, label
from bench.report.swept import swept
from tests.report.synthetic import FakeTables
from tests.report.synthetic_latency import (
    FRACTIONS,
    bandwidth_rows,
    case,
    latency_rows,
    on_gpu,
    swept_rows,
)

PNG = b"\x89PNG"
NAN = float("nan")
SWEPT_ONLY = {"overhead_by_axis", "overhead_by_runtime"}  # the full synthetic run has one panel


def test_a_full_run_has_every_figure(report: FakeTables) -> None:
    drawn_files = {path.name for path in (report.folder / "figures").iterdir()}
    names = [name for name in FIGURES if name not in SWEPT_ONLY]
    assert drawn_files == {f"{name}{suffix}" for name in names for suffix in (".svg", ".png")}
    for name in names:
        assert (report.folder / "figures" / f"{name}.png").read_bytes().startswith(PNG)
        assert ElementTree.parse(report.folder / "figures" / f"{name}.svg").getroot().tag.endswith("svg")


def test_an_empty_run_has_no_figures(full: FakeTables) -> None:
    assert draw(FakeTables(full.folder)) == ()


def test_half_a_run_has_half_the_figures(full: FakeTables) -> None:
    """What one section alone is drawn from does not need the other; only ``pareto`` needs both."""
    nothing = FakeTables(full.folder)
    trained = replace(nothing, accuracy=full.accuracy, curves=full.curves, controls=full.controls)
    timed = replace(full, accuracy=pd.DataFrame(), curves=pd.DataFrame(), controls=pd.DataFrame())
    assert pareto(trained, Palette.of([])) is None
    assert pareto(timed, Palette.of([])) is None
    drawn(accuracy_plane, trained)
    drawn(copy_bandwidth, timed)
    for name in ("accuracy_by_fraction", "accuracy_plane", "learning_curves", "controls"):
        assert FIGURES[name](timed, Palette.of([])) is None
    for name in ("latency_overhead", "data_movement", "copy_bandwidth", "measurement_noise"):
        assert FIGURES[name](trained, Palette.of([])) is None


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda t: replace(t, accuracy=t.accuracy.iloc[:0]), {"accuracy_by_fraction", "accuracy_plane", "pareto"}),
        (lambda t: replace(t, curves=t.curves.iloc[:0], controls=t.controls.iloc[:0]), {"learning_curves", "controls"}),
        (lambda t: replace(t, curves=t.curves[t.curves["strategy"] == "no_shift"]), {"learning_curves"}),
        (lambda t: replace(t, latency=t.latency.assign(predicted_overhead_pct=NAN)), {"data_movement"}),
        (lambda t: replace(t, bandwidth=t.bandwidth.iloc[-1:]), {"copy_bandwidth"}),
        (lambda t: t, SWEPT_ONLY),
    ],
    ids=["no arms", "no curves", "curves of the baseline alone", "no predictions", "no curve", "one panel"],
)
def test_nothing_is_drawn_from_nothing(
    full: FakeTables, change: Callable[[FakeTables], FakeTables], missing: set[str]
) -> None:
    assert [FIGURES[name](change(full), Palette.of([])) for name in missing] == [None] * len(missing)


def drawn(function: Draw, tables: FakeTables) -> Figure:
    with matplotlib.rc_context(RC):
        figure = function(tables, Palette.of([]))
    assert figure
    assert figure.png.startswith(PNG)
    return figure


def test_each_swept_axis_has_a_plot(full: FakeTables) -> None:
    tables = replace(full, latency=pd.DataFrame(swept_rows() + on_gpu(latency_rows())))
    found = {axis.name: [stop.text for stop in axis.stops] for axis in swept(tables)}
    assert found == {
        "threads": ["1 thread", "2 threads"],
        "dtype": ["fp32", "bf16"],
        "memory_format": ["nchw", "channels_last"],
        "batch": ["batch 1", "batch 2", "batch 4"],
        "runtime": ["eager", "onnxruntime", "openvino"],
        "device": ["cpu", "cuda"],
    }
    assert all(along.fraction == FRACTIONS[1] for axis in swept(tables) for along in axis.lines)
    assert "moving 1/4 of the channels" in drawn(overhead_by_axis, tables).caption


def test_an_axis_passes_through_the_centre(full: FakeTables) -> None:
    """Of a full grid, the plots show the rows that cross in the first panel; a case that failed leaves a gap."""
    rows = [row for threads in (2, 1) for size in (224, 112, 64) for row in latency_rows(threads=threads, size=size)]
    rows = [row for row in rows if (row["strategy"], row["size"]) != ("concat_shift", 112)]
    axes = {axis.name: axis for axis in swept(replace(full, latency=pd.DataFrame(rows)))}
    assert [(s.panel.threads, s.panel.size) for s in axes["size"].stops] == [(2, 64), (2, 112), (2, 224)]
    assert [(s.panel.threads, s.panel.size) for s in axes["threads"].stops] == [(1, 224), (2, 224)]
    concat = next(along for along in axes["size"].lines if along.strategy == "concat_shift")
    assert [case is None for case in concat.cases] == [False, True, False]


def test_the_two_parts_of_a_prediction_are_drawn(full: FakeTables) -> None:
    assert "bytes alone would put it" in drawn(data_movement, full).caption
    saving = full.latency.assign(predicted_faults_pct=-3.0, predicted_overhead_pct=-1.0)
    assert "bytes alone would put it" in drawn(data_movement, replace(full, latency=saving)).caption
    old = full.latency.drop(columns=["predicted_traffic_pct", "predicted_faults_pct"])
    assert "page faults is not part of it" in drawn(data_movement, replace(full, latency=old)).caption


def test_superblocks_left_out_are_crossed(full: FakeTables) -> None:
    assert "crossed superblocks do not count" in drawn(measurement_noise, full).caption
    old = replace(full, superblocks=full.superblocks.drop(columns=["disturbed", "excluded"]))
    assert "crossed" not in drawn(measurement_noise, old).caption


def test_copies_of_several_devices(full: FakeTables) -> None:
    rows = bandwidth_rows() + bandwidth_rows(dtype="bf16") + bandwidth_rows(300.0, device="cuda")
    assert "2 settings" in drawn(copy_bandwidth, replace(full, bandwidth=pd.DataFrame(rows))).caption


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
    assert "95 % intervals" in drawn(latency_overhead, replace(full, latency=latency)).caption


def test_inherited_accuracy_has_its_own_latency(full: FakeTables) -> None:
    offers = paired(full)
    buffers = [offer for offer in offers if offer.case["strategy"] == "buffer_shift"]
    assert len(buffers) == 2 * len(FRACTIONS)
    assert {offer.overhead.value for offer in buffers} <= set(full.latency["overhead_pct"])
    best = front(offers)
    assert [offer.overhead.value for offer in best] == sorted(offer.overhead.value for offer in best)
    assert best[0].case["strategy"] == "no_shift"
    assert best[-1].joint.value == 87.1  # of the main condition; elsewhere there are better arms


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
