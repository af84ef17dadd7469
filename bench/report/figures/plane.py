"""What is bought against what is lost: accuracy in space against accuracy in time, one path for each placement."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.accuracy import HIGHEST, seeds_text
from bench.report.figures.canvas import Figure, Mark, at_least, at_most, blank, finish, label_marks
from bench.report.figures.latency import line_handles
from bench.report.numbers import Estimate, fraction_text
from bench.report.selection import Line, Row, Tables, arms, baselines, lines, main_condition, rows
from bench.report.style import INK, Palette, legend_below

LEAST_RANGE = 4.0  # points in space: the losses are small, but noise must not fill the plot
_LABEL_ROOM = 2.0  # points, to the right of a mark at 100
_STEPS = 30  # points on a path's leg that labels keep clear of


def accuracy_plane(tables: Tables, palette: Palette) -> Figure | None:
    """Every bidirectional arm by its two accuracies, with both intervals, from few channels to all."""
    trained = arms(tables.accuracy)
    if trained.empty:
        return None
    paths = lines(trained[trained["direction"] == "bidirectional"])
    if not paths:
        return None
    base = rows(baselines(main_condition(tables.accuracy)))[:1]
    drawing = blank(7.2, 4.8)
    ax = drawing.subplots()
    for path in paths:
        _draw_path(ax, path, palette)
    for row in base:
        _cross(ax, row, INK)
        ax.plot([_in_time(row).value], [_in_space(row).value], color=INK, marker="*", markersize=10, linestyle="none")
    ax.set_xlabel("in which order (temporal accuracy) [%]")
    ax.set_ylabel("what is seen (spatial accuracy) [%]")
    ax.margins(0.08)
    at_least(ax, LEAST_RANGE)
    at_most(ax, HIGHEST)
    at_most(ax, HIGHEST + _LABEL_ROOM, axis="x")
    handles: list[Line2D | Patch] = line_handles(paths, palette)
    if base:
        handles.append(Line2D([], [], color=INK, marker="*", markersize=9, linestyle="none", label="no shift"))
    legend_below(drawing, handles)
    left_out = _label(drawing, ax, paths, base, palette)
    return finish(
        drawing, "accuracy_plane", "What is bought in time, and what it costs in space", _caption(trained, left_out)
    )


def _draw_path(ax: Axes, path: Line, palette: Palette) -> None:
    look = palette.look(path.strategy, path.placement, path.direction)
    for row in path.rows:
        _cross(ax, row, look.colour)
    ax.plot(*_points(path.rows), zorder=3, **look.line())


def _cross(ax: Axes, row: Row, colour: str) -> None:
    """Both intervals, through the point."""
    time, space = _in_time(row), _in_space(row)
    style: dict[str, Any] = {"color": colour, "linewidth": 1.0, "alpha": 0.6, "zorder": 2}
    if time.has_interval:
        ax.plot([time.low, time.high], [space.value] * 2, **style)
    if space.has_interval:
        ax.plot([time.value] * 2, [space.low, space.high], **style)


def _label(drawing: Drawing, ax: Axes, paths: Sequence[Line], base: Sequence[Row], palette: Palette) -> int:
    marks = [_mark(row, "no shift", INK) for row in base]
    legs: list[tuple[float, float]] = []
    for path in paths:
        colour = palette.look(path.strategy, path.placement, path.direction).colour
        marks += [_mark(row, fraction_text(float(row["fraction"])), colour) for row in path.rows]
        legs += _along(path)
    return label_marks(drawing, ax, marks, avoid=legs)


def _mark(row: Row, text: str, colour: str) -> Mark:
    time, space = _in_time(row), _in_space(row)
    ends = [(e.low, e.high) if e.has_interval else None for e in (time, space)]
    return Mark(time.value, space.value, text, colour, *ends)


def _along(path: Line) -> list[tuple[float, float]]:
    points = list(zip(*_points(path.rows), strict=True))
    parts = [i / _STEPS for i in range(1, _STEPS)]
    return [(x0 + part * (x1 - x0), y0 + part * (y1 - y0)) for (x0, y0), (x1, y1) in pairwise(points) for part in parts]


def _points(path: Sequence[Row]) -> tuple[list[float], list[float]]:
    return [_in_time(row).value for row in path], [_in_space(row).value for row in path]


def _in_time(row: Row) -> Estimate:
    return Estimate.of(row, "temporal", "temporal_mean_pct")


def _in_space(row: Row) -> Estimate:
    return Estimate.of(row, "spatial", "spatial_mean_pct")


def _caption(trained: pd.DataFrame, left_out: int) -> str:
    crowded = f" {left_out} labels found no room." if left_out else ""
    return (
        "Spatial against temporal accuracy of the bidirectional arms; up and to the right is better. A path leads from "
        f"few channels to all, numbers are the share that moves ({seeds_text(trained)}, both ways). The star is the "
        "network without a shift: it stands at chance in time, and how far below it an arm lies is the price in "
        f"space. Where two paths pass the same temporal accuracy, the higher one pays less for it.{crowded}"
    )
