"""Is the cost the movement of bytes? Measured overhead against the one predicted from traffic and bandwidth."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.canvas import Figure, Mark, blank, finish, label_marks
from bench.report.figures.latency import line_handles
from bench.report.numbers import Estimate, fraction_text
from bench.report.selection import Row, Tables, lines, panel_text, panels, rows, timed
from bench.report.style import BAND, MUTED, Palette, legend_below

WITHIN = 2.0  # the band: a prediction from bytes alone is called good within this factor
_APART = 0.014  # of the axis: the width of a mark


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
    for row, x in zip(points, places, strict=True):
        _draw(ax, row, x, palette)
    _reference(ax, predictions)
    ax.set_xlabel("predicted from bytes moved and copy bandwidth [%]")
    ax.set_ylabel("measured overhead [%]")
    handles: list[Line2D | Patch] = line_handles(lines(frame), palette, line=False)
    handles.append(Line2D([], [], color=MUTED, linewidth=1.0, label="measured = predicted"))
    handles.append(Patch(color=BAND, alpha=0.55, label="within a factor of 2"))
    legend_below(drawing, handles)
    diagonal = [(x, x) for x in _steps(ax.get_xlim()[1])]
    left_out = label_marks(
        drawing, ax, [_mark(row, x, palette) for row, x in zip(points, places, strict=True)], avoid=diagonal
    )
    return finish(drawing, "data_movement", "Is the cost the moving of bytes?", _caption(panel_text(panel), left_out))


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


def _draw(ax: Axes, row: Row, x: float, palette: Palette) -> None:
    measured = Estimate.of(row, "overhead")
    look = palette.look(row["strategy"], row["placement"], row["direction"]).points()
    ax.plot([x], [measured.value], zorder=3, **look)
    if measured.has_interval:
        ax.plot([x, x], [measured.low, measured.high], color=look["color"], linewidth=1.1, zorder=2)


def _reference(ax: Axes, predictions: Sequence[float]) -> None:
    """The diagonal and the band, from zero to a little past the largest prediction; the data choose the y range."""
    end = max(*predictions, 0.1) * 1.12
    low, high = ax.get_ylim()
    ax.fill_between([0, end], [0, end / WITHIN], [0, end * WITHIN], color=BAND, alpha=0.55, linewidth=0, zorder=0.5)
    ax.plot([0, end], [0, end], color=MUTED, linewidth=1.0, zorder=1)
    ax.set_xlim(-0.03 * end, end)
    ax.set_ylim(min(low, -0.04 * end), max(high * 1.06, end * 0.6))


def _steps(end: float) -> list[float]:
    return [end * i / 40 for i in range(1, 40)]


def _mark(row: Row, x: float, palette: Palette) -> Mark:
    measured = Estimate.of(row, "overhead")
    colour = palette.look(row["strategy"], row["placement"], row["direction"]).colour
    ends = (measured.low, measured.high) if measured.has_interval else None
    text = fraction_text(float(row["fraction"]))
    return Mark(x, measured.value, text, colour, y_ends=ends)


def _caption(where: str, left_out: int) -> str:
    crowded = f" {left_out} labels found no room." if left_out else ""
    return (
        "Measured overhead with its 95 % interval against the time that the extra bytes would take at the copy "
        f"bandwidth measured in the same run ({where}); numbers are the share of the channels that move; points with "
        "one prediction are set apart. Above the band: something else than moving bytes costs time (small kernels, a "
        f"changed memory layout). Below it: the caches absorb the traffic.{crowded}"
    )
