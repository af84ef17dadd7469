"""What is said and drawn of runtimes: one panel each, a recommendation with its ties, and what the shift brought in."""

from dataclasses import replace

import matplotlib
import pandas as pd
import pytest

from bench.report.deployment import runtime_panels, runtime_sentences
from bench.report.figures.axis_sweeps import overhead_by_runtime
from bench.report.style import RC, Palette
from tests.report.synthetic import FakeTables
from tests.report.synthetic_latency import PANEL, contest_rows, latency_rows, swept_rows

RESIDUAL_QUARTER = {"strategy": "copy_shift", "placement": "residual", "fraction": 0.25, "direction": "bidirectional"}


def graph_row(runtime: str, kind: str, extra: int, **more: object) -> dict[str, object]:
    return {**PANEL, **RESIDUAL_QUARTER, "runtime": runtime, "kind": kind, "nodes": 53, "extra_nodes": extra, **more}


@pytest.fixture
def deployed(full: FakeTables) -> FakeTables:
    """Eager, ONNX Runtime and OpenVINO, in fp32 and bf16; and panels that differ in something else."""
    latency = swept_rows() + [row | {"latency_ms": 37.0} for row in latency_rows(runtime="openvino", dtype="bf16")]
    graphs = [
        graph_row("onnxruntime", "Transpose", 96),
        graph_row("onnxruntime", "ScatterND", 40),
        graph_row("onnxruntime", "ReorderOutput", 16),
        graph_row("onnxruntime", "ReorderInput", 15),
        graph_row("onnxruntime", "Conv", 0),
        graph_row("onnxruntime", "Conv", 0, strategy="buffer_shift"),
        graph_row("openvino", "Reorder", 16, fraction=1.0),
    ]
    return replace(
        full,
        latency=pd.DataFrame(latency),
        contests=pd.DataFrame(contest_rows(latency)),
        graphs=pd.DataFrame(graphs),
    )


def test_one_panel_stands_for_each_runtime_and_number_format(deployed: FakeTables) -> None:
    found = [(panel.runtime, panel.dtype) for panel in runtime_panels(deployed)]
    assert found == [
        ("eager", "fp32"),
        ("eager", "bf16"),
        ("onnxruntime", "fp32"),
        ("openvino", "fp32"),
        ("openvino", "bf16"),
    ]
    assert {(panel.threads, panel.batch, panel.memory_format) for panel in runtime_panels(deployed)} == {(2, 1, "nchw")}


def test_a_formulation_is_recommended_for_each_runtime_and_the_graph_says_why(deployed: FakeTables) -> None:
    text = " ".join(runtime_sentences(deployed))
    assert "In onnxruntime fp32 (without a shift 205 ms), moving 1/4 of the channels, take buffer_shift (+8.4 %" in text
    assert "the released code's copy_shift (+67.8 %" in text
    assert "copy_shift brings 96 Transpose, 40 ScatterND, 16 ReorderOutput and 1 further kind into the graph" in text
    assert "buffer_shift brings no further nodes into the graph" in text
    assert text.count("into the graph") == 2  # openvino's row is of another fraction


def test_what_is_not_told_from_the_best_is_named(deployed: FakeTables) -> None:
    tied = replace(deployed, contests=pd.DataFrame(contest_rows(latency_rows(runtime="onnxruntime"), half=50.0)))
    text = " ".join(runtime_sentences(tied))
    assert "take buffer_shift" in text and "not told from it: concat_shift (" in text and "and copy_shift (" in text
    assert "would have been found four times in five" in text
    assert "shown to be faster" not in text


def test_a_run_in_one_runtime_says_and_draws_nothing(full: FakeTables) -> None:
    assert not runtime_sentences(full)
    assert overhead_by_runtime(full, Palette.of([])) is None
    assert overhead_by_runtime(FakeTables(full.folder), Palette.of([])) is None


def test_the_figure_has_a_row_for_each_runtime(deployed: FakeTables) -> None:
    with matplotlib.rc_context(RC):
        figure = overhead_by_runtime(deployed, Palette.of(["copy_shift"]))
        again = overhead_by_runtime(deployed, Palette.of(["copy_shift"]))
    assert figure is not None and again is not None
    assert figure.svg == again.svg
    assert "1/4 of the channels" in figure.caption and "logarithmic" in figure.caption
    small = overhead_by_runtime(replace(deployed, latency=deployed.latency.iloc[:0]), Palette.of([]))
    assert small is None
