"""The figures of a report. Each is one function from the tables to a frozen value, or None with nothing to draw."""

from collections.abc import Callable

import matplotlib

from bench.report.figures.accuracy import accuracy_by_fraction
from bench.report.figures.axes import overhead_by_axis
from bench.report.figures.bandwidth import copy_bandwidth
from bench.report.figures.canvas import Figure
from bench.report.figures.controls import controls
from bench.report.figures.curves import learning_curves
from bench.report.figures.detection import detection, detection_examples
from bench.report.figures.early import early_recognition
from bench.report.figures.latency import latency_overhead
from bench.report.figures.noise import measurement_noise
from bench.report.figures.online import online_frame_times, online_overhead
from bench.report.figures.pareto import pareto
from bench.report.figures.plane import accuracy_plane
from bench.report.figures.runtimes import overhead_by_runtime
from bench.report.figures.traffic import data_movement
from bench.report.selection import Tables
from bench.report.style import RC, Palette

Draw = Callable[[Tables, Palette], Figure | None]

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


def draw(tables: Tables) -> tuple[Figure, ...]:
    """All figures for which this run has data."""
    frames = (tables.latency, tables.online, tables.accuracy, tables.detection)
    palette = Palette.of(str(name) for frame in frames if not frame.empty for name in frame["strategy"])
    with matplotlib.rc_context(RC):
        drawn = [function(tables, palette) for function in FIGURES.values()]
    return tuple(figure for figure in drawn if figure is not None)
