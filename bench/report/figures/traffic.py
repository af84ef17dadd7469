"""Is the cost the movement of bytes? Measured overhead against the one predicted from bytes and page faults."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.canvas import Figure, Mark, blank, finish, label_marks
from bench.report.figures.latency import line_handles
from bench.report.numbers import Estimate, fraction_text, number
from bench.report.selection import WITHIN, Row, Tables, lines, panel_text, panels, rows, timed
from bench.report.style import BAND, MUTED, Palette, legend_below

_APART = 0.014  # of the axis: the width of a mark
_SEEN = 0.02  # of the axis: a second part that is smaller would lie under the mark
_HOLLOW: dict[str, Any] = {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgewidth": 0.9}


def data_movement(tables: Tables, palette: Palette) -> Figure | None:
    """Predicted against measured overhead, all cases of the first panel that has predictions."""
    cases = timed(tables.latency)
    predicted = cases if cases.empty else cases[cases["predicted_overhead_pct"].notna()]
    shown = panels(predicted)
    if not shown:
        return None
    panel, frame = shown[0]
    points = rows(frame)
    drawing = blank(7.2, 4.4)
    ax = drawing.subplots()
    predictions = [float(row["predicted_overhead_pct"]) for row in points]
    places = apart(predictions)
    hollow = [_bytes_alone(row, x, max(*predictions, 0.1)) for row, x in zip(points, places, strict=True)]
    for row, x, alone in zip(points, places, hollow, strict=True):
        _draw(ax, row, x, alone, palette)
    _reference(ax, predictions, least=min([*predictions, *(x for x in hollow if math.isfinite(x))]))
    parted = any(math.isfinite(alone) for alone in hollow)
    ax.set_xlabel("predicted from bytes moved" + (" and page faults" if parted else "") + " [%]")
    ax.set_ylabel("measured overhead [%]")
    handles: list[Line2D | Patch] = line_handles(lines(frame), palette, line=False)
    if parted:
        handles.append(Line2D([], [], **_HOLLOW, color=MUTED, linewidth=0.8, label="from the bytes alone"))
    handles.append(Line2D([], [], color=MUTED, linewidth=1.0, label="measured = predicted"))
    handles.append(Patch(color=BAND, alpha=0.55, label="within a factor of 2"))
    legend_below(drawing, handles)
    kept_clear = [(x, x) for x in _steps(ax.get_xlim()[1])]
    marks = [_mark(row, x, alone, palette) for row, x, alone in zip(points, places, hollow, strict=True)]
    left_out = label_marks(drawing, ax, marks, avoid=kept_clear)
    caption = _caption(panel_text(panel), parted, left_out)
    return finish(drawing, "data_movement", "Is the cost the moving of bytes?", caption)


def apart(values: Sequence[float]) -> list[float]:
    """The values, those that would lie on each other moved a little to both sides of their mean."""
    gap = _APART * max(*values, 0.1)
    order = sorted(range(len(values)), key=lambda i: values[i])
    clusters: list[list[int]] = []
    for i in order:
        if clusters and values[i] - values[clusters[-1][-1]] < gap / 2:
            clusters[-1].append(i)
        else:
            clusters.append([i])
    placed = list(values)
    for cluster in clusters:
        centre = sum(values[i] for i in cluster) / len(cluster)
        for rank, i in enumerate(cluster):
            placed[i] = centre + (rank - (len(cluster) - 1) / 2) * gap if len(cluster) > 1 else values[i]
    return placed


def _bytes_alone(row: Row, x: float, end: float) -> float:
    """Where the bytes alone would put the mark that stands at ``x``; NaN where that is not known or the same place."""
    faults = number(row.get("predicted_faults_pct"))
    return x - faults if abs(faults) > _SEEN * end else math.nan


def _draw(ax: Axes, row: Row, x: float, alone: float, palette: Palette) -> None:
    measured = Estimate.of(row, "overhead")
    look = palette.look(row["strategy"], row["placement"], row["direction"]).points()
    ax.plot([x], [measured.value], zorder=3, **look)
    if math.isfinite(alone):
        ax.plot([alone, x], [measured.value] * 2, color=look["color"], linewidth=0.8, alpha=0.7, zorder=1.5)
        ax.plot([alone], [measured.value], **_HOLLOW, color=look["color"], linestyle="none", zorder=2.5)
    if measured.has_interval:
        ax.plot([x, x], [measured.low, measured.high], color=look["color"], linewidth=1.1, zorder=2)


def _reference(ax: Axes, predictions: Sequence[float], least: float) -> None:
    """The diagonal and the band, from zero to a little past the largest prediction; the data choose the y range.

    least: the leftmost mark; below zero where a case saves bytes or page faults.
    """
    end = max(*predictions, 0.1) * 1.12
    low, high = ax.get_ylim()
    ax.fill_between([0, end], [0, end / WITHIN], [0, end * WITHIN], color=BAND, alpha=0.55, linewidth=0, zorder=0.5)
    ax.plot([0, end], [0, end], color=MUTED, linewidth=1.0, zorder=1)
    ax.set_xlim(min(least, 0.0) - 0.03 * end, end)
    ax.set_ylim(min(low, -0.04 * end), max(high * 1.06, end * 0.6))


def _steps(end: float) -> list[float]:
    return [end * i / 40 for i in range(1, 40)]


def _mark(row: Row, x: float, alone: float, palette: Palette) -> Mark:
    measured = Estimate.of(row, "overhead")
    colour = palette.look(row["strategy"], row["placement"], row["direction"]).colour
    ends = (measured.low, measured.high) if measured.has_interval else None
    text = fraction_text(float(row["fraction"]))
    x_ends = (alone, x) if math.isfinite(alone) else None
    return Mark(x, measured.value, text, colour, x_ends=x_ends, y_ends=ends)


def _caption(where: str, parted: bool, left_out: int) -> str:
    crowded = f" {left_out} labels found no room." if left_out else ""
    parts = (
        "plus what the extra page faults would take, at the measured cost of a fresh page; the hollow mark at the "
        "other end of a thin line is where the bytes alone would put it"
        if parted
        else "the cost of page faults is not part of it"
    )
    return (
        "Measured overhead with its 95 % interval against a prediction from counts: the time that the extra bytes "
        f"would take at the copy bandwidth measured in the same run, {parts} ({where}). Numbers are the share of the "
        "channels that move; points with one prediction are set apart. Above the band: something else costs time "
        "(starting small kernels, a changed memory layout, cold caches). Below it: caches absorb a part of the "
        f"traffic.{crowded}"
    )
