"""The figures of a report. Each is one function from a run's tables to a finished figure; None with nothing to draw."""

from collections.abc import Callable

import matplotlib

from bench.analysis.run import Analysis
from bench.report.figures.accuracy_curves import accuracy_by_fraction, early_recognition, learning_curves
from bench.report.figures.axis_sweeps import latency_overhead, overhead_by_axis, overhead_by_runtime
from bench.report.figures.canvas import Figure
from bench.report.figures.controls import controls
from bench.report.figures.data_movement import copy_bandwidth, data_movement
from bench.report.figures.detection import detection, detection_examples
from bench.report.figures.measurement_noise import measurement_noise
from bench.report.figures.online import online_frame_times, online_overhead
from bench.report.figures.tradeoffs import accuracy_plane, pareto
from bench.report.style import RC, Palette

Draw = Callable[[Analysis, Palette], Figure | None]

FIGURES: dict[str, Draw] = {
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


def draw(run: Analysis) -> tuple[Figure, ...]:
    """All figures for which this run has data."""
    frames = (run.latency, run.online, run.accuracy, run.detection)
    palette = Palette.of(str(name) for frame in frames if not frame.empty for name in frame["strategy"])
    with matplotlib.rc_context(RC):
        drawn = [function(run, palette) for function in FIGURES.values()]
    return tuple(figure for figure in drawn if figure is not None)
