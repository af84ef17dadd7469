"""The figures of a report. Each is one function from a run's tables to a drawing; ``captions.toml`` says its words."""

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib

from bench.analysis.run import Analysis
from bench.report.figures.accuracy import (
    accuracy_by_fraction,
    accuracy_plane,
    early_recognition,
    learning_curves,
    pareto,
)
from bench.report.figures.axis_sweeps import latency_overhead, overhead_by_axis, overhead_by_runtime
from bench.report.figures.canvas import Drawn, Figure, finish
from bench.report.figures.controls import controls
from bench.report.figures.data_movement import copy_bandwidth, data_movement
from bench.report.figures.detection import detection, detection_examples
from bench.report.figures.measurement_noise import measurement_noise
from bench.report.figures.online import online_frame_times, online_overhead
from bench.report.style import RC, Palette

CAPTIONS = Path(__file__).parents[1] / "templates" / "captions.toml"

FIGURES: dict[str, Callable[[Analysis, Palette], Drawn]] = {
    "latency_overhead": latency_overhead,
    "overhead_by_axis": overhead_by_axis,
    "overhead_by_runtime": overhead_by_runtime,
    "online_overhead": online_overhead,
    "online_frame_times": online_frame_times,
    "accuracy_by_fraction": accuracy_by_fraction,
    "accuracy_plane": accuracy_plane,
    "learning_curves": learning_curves,
    "early_recognition": early_recognition,
    "controls": controls,
    "detection": detection,
    "detection_examples": detection_examples,
    "pareto": pareto,
    "data_movement": data_movement,
    "copy_bandwidth": copy_bandwidth,
    "measurement_noise": measurement_noise,
}
"""Every figure by its file's name, in the order of the report."""


def draw(run: Analysis, names: Iterable[str] = FIGURES) -> tuple[Figure, ...]:
    """All figures, or those named, for which this run has data."""
    frames = (run.latency, run.online, run.accuracy, run.detection)
    palette = Palette.of(str(name) for frame in frames for name in frame["strategy"])
    captions = tomllib.loads(CAPTIONS.read_text(encoding="utf-8"))
    figures = []
    with matplotlib.rc_context(RC):
        for name in names:
            drawn = FIGURES[name](run, palette)
            if drawn is not None:
                drawing, values = drawn
                words = captions[name]
                figures.append(finish(drawing, name, words["title"], words["caption"].format(**values)))
    return tuple(figures)
