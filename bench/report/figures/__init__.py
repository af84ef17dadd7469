"""The figures of a report. Each is one function from a run's tables to a drawing; ``captions.toml`` says its words."""

import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib

from bench.analysis.run import Analysis
from bench.report.figures import accuracy, controls, detection, measurement, overheads, points, video
from bench.report.figures.canvas import RC, Drawn, Figure, Palette, finish

_CAPTIONS = Path(__file__).parents[1] / "templates" / "captions.toml"
FIGURES: dict[str, Callable[[Analysis, Palette], Drawn]] = {
    "overhead_by_heap": overheads.overhead_by_heap,
    "latency_overhead": overheads.latency_overhead,
    "overhead_by_axis": overheads.overhead_by_axis,
    "overhead_by_runtime": overheads.overhead_by_runtime,
    "online_overhead": overheads.online_overhead,
    "online_frame_times": overheads.online_frame_times,
    "video_by_fraction": video.video_by_fraction,
    "video_curves": video.video_curves,
    "accuracy_by_fraction": accuracy.accuracy_by_fraction,
    "learning_curves": accuracy.learning_curves,
    "early_recognition": accuracy.early_recognition,
    "controls": controls.controls,
    "detection": detection.detection,
    "detection_examples": detection.detection_examples,
    "pareto": points.pareto,
    "data_movement": points.data_movement,
    "measurement_noise": measurement.measurement_noise,
}
"""Every figure by its file's name, in the order of the report."""


def draw(run: Analysis, names: Iterable[str] = FIGURES) -> tuple[Figure, ...]:
    """All figures, or those named, for which this run has data."""
    frames = (run.latency, run.online, run.accuracy, run.detection, run.video)
    palette = Palette.of(str(name) for frame in frames for name in frame["strategy"])
    captions = tomllib.loads(_CAPTIONS.read_text(encoding="utf-8"))
    figures = []
    with matplotlib.rc_context(RC):
        for name in names:
            drawn, words = FIGURES[name](run, palette), captions[name]
            if drawn is not None:
                drawing, values = drawn
                figures.append(finish(drawing, name, words["title"], words["caption"].format(**values)))
    return tuple(figures)
