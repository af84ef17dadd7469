"""What the figures share: estimates with intervals, curves with bands, labels that cover nothing, and the export."""

import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.transforms import Bbox

from bench.report.numbers import count_text, estimate, fraction_text, known
from bench.report.selection import MECHANISM, Row, rows
from bench.report.style import BAND, INK, UNJOINED, Palette, legend_below
from bench.stats.estimators import Interval

WIDTH = 7.2  # inches
MOST_PLOTS = 4  # small plots in a figure; more cannot be read, and the tables have all
STAR: dict[str, Any] = {"color": INK, "marker": "*", "markersize": 9, "linestyle": "none", "label": "no shift"}
_MOST_STEPS = 6  # mechanisms set apart by full steps; with more of them the steps get smaller
_COMPARABLE = 4.0  # plots whose ranges differ by more than this factor get their own axis
_PNG_DPI = 160
_PLACES = re.compile(r'\bd="[^"]*"|\b[xy]="[^"]*"|translate\([^)]*\)')
_CLEAR = 3.0  # points around what is drawn that labels keep clear of
_GAPS = (5.5, 13.0, 22.0)  # points from a mark to its label: beside it, or farther off with a leader line
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))

Point = tuple[float, float]
Drawn = tuple[Drawing, dict[str, object]] | None
"""A drawing and what its caption is filled with; None with nothing to draw."""


@dataclass(frozen=True)
class Figure:
    """A finished figure."""

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def blank(width: float, height: float) -> Drawing:
    """An empty drawing in inches, with room made for legends; no window system, no global state."""
    drawing = Drawing(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing


def grid(count: int, height: float, xlabel: str, ylabel: str, sharey: bool = False) -> tuple[Drawing, list[Axes]]:
    """Up to two plots in a row, each ``height`` inches high."""
    columns = min(count, 2)
    lines = math.ceil(count / columns)
    drawing = blank(WIDTH, height * lines + 0.7)
    axes = list(drawing.subplots(lines, columns, squeeze=False, sharey=sharey).flat)
    for ax in axes[count:]:
        ax.remove()
    for place, ax in enumerate(axes[:count]):
        ax.set(xlabel=xlabel, ylabel="" if place % columns else ylabel)
    return drawing, axes[:count]


def finish(drawing: Drawing, name: str, title: str, caption: str) -> Figure:
    """Render to SVG and PNG, with a legend. The same drawing gives the same bytes: no date, no random ids."""
    if not drawing.legends:
        legend_below(drawing)
    svg, png = io.StringIO(), io.BytesIO()
    drawing.savefig(svg, format="svg", metadata={"Date": None, "Creator": "shiftbench"})
    drawing.set_layout_engine("none")  # the SVG's layout holds for the PNG: laying out again takes half the time
    drawing.set_dpi(_PNG_DPI)
    FigureCanvasAgg(drawing).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return Figure(name, title, caption, _compact(svg.getvalue()), png.getvalue())


def _compact(svg: str) -> str:
    """Less to load: places to a hundredth of a point, no indentation."""

    def rounded(places: re.Match[str]) -> str:
        return re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", places[0])

    return re.sub(r"\s*\n\s*", " ", _PLACES.sub(rounded, svg)).replace("> <", "><")


def further(total: int, shown: int, singular: str = "further setting", plural: str | None = None) -> str:
    """The end of a caption where not everything is drawn."""
    return f" {count_text(total - shown, singular, plural)} in the table." if total > shown else ""


def by_mechanism(frame: pd.DataFrame, *more: str) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    """((strategy, placement, direction), its rows) in alphabetical order. more: columns that tell rows apart too."""
    return [(cast(Any, key[:3]), own) for key, own in frame.groupby([*MECHANISM, *more], sort=True)]


def intervals(ax: Axes, x: Sequence[float], found: Sequence[Interval], horizontal: bool = False, **style: Any) -> None:
    """Estimates at places ``x`` with their 95 % intervals; horizontal: places along the y axis."""
    mean, low, high = np.array([(e.mean, e.low, e.high) for e in found]).T
    # an estimate and its interval may come from different estimators: never a negative length
    reach = np.maximum([mean - low, high - mean], 0.0)
    where = {"x": mean, "y": x, "xerr": reach} if horizontal else {"x": x, "y": mean, "yerr": reach}
    ax.errorbar(**where, elinewidth=1.1, **style)


def mechanisms(
    ax: Axes, frame: pd.DataFrame, x: str, stem: str, palette: Palette, step: float, **style: Any
) -> list[tuple[list[Row], list[float]]]:
    """Each mechanism's estimates over column ``x``, set apart by ``step`` so that intervals do not lie on each other.

    Each fraction on its own, named in the legend, unless ``x`` is the fraction. Gives (rows, their places).
    """
    drawn = []
    groups = by_mechanism(frame, *([] if x == "fraction" else ["fraction"]))
    step = min(step, _MOST_STEPS * step / max(len(groups), 1))
    for index, (key, own) in enumerate(groups):
        found = rows(own.sort_values(x, kind="stable"))
        places = [row[x] + (index - (len(groups) - 1) / 2) * step for row in found]
        look = palette.look(*key) | style
        if x != "fraction":
            look["label"] += f", {fraction_text(found[0]['fraction'])}"
        intervals(ax, places, [estimate(row, stem) for row in found], **look)
        drawn.append((found, places))
    return drawn


def band(ax: Axes, found: Interval, name: str, xmin: float = 0.0, xmax: float = 1.0) -> None:
    """The interval of a reference; xmin, xmax: in shares of the axis."""
    if known(found):
        ax.axhspan(found.low, found.high, xmin, xmax, color=BAND, linewidth=0, zorder=0.5, label=name)


def zero(ax: Axes) -> None:
    """No difference."""
    ax.axhline(0, color=INK, linewidth=0.8)


def curve(ax: Axes, frame: pd.DataFrame, x: str, value: str, low: str, high: str, **style: Any) -> None:
    """A line over column ``x`` with the interval between two columns as a band."""
    frame = frame.sort_values(x)
    ax.fill_between(frame[x], frame[low], frame[high], color=style["color"], alpha=0.16, linewidth=0, zorder=1.5)
    ax.plot(frame[x], frame[value], **style)


def categories(ax: Axes, names: Sequence[str], margin: float = 0.5) -> None:
    """One place for each name along the x axis."""
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-margin, len(names) - 1 + margin)
    ax.grid(axis="x", visible=False)


def comparable(frames: Iterable[pd.DataFrame]) -> bool:
    """Whether the overheads of all plots can be read on one axis."""
    reaches = [float(frame["overhead_pct"].abs().max()) for frame in frames]
    return max(reaches) <= _COMPARABLE * max(min(reaches), 0.1)


def at_least(ax: Axes, extent: float, top: float = math.inf) -> None:
    """Widen the y axis to at least ``extent``, as a closer view makes noise look like a result; end it at ``top``."""
    low, high = ax.get_ylim()
    missing = max(extent - (high - low), 0.0) / 2
    ax.set_ylim(low - missing, min(high + missing, top))


@dataclass(frozen=True)
class Mark:
    """A labelled point with the intervals of both coordinates. style: keywords of ``Axes.plot``."""

    x: Interval
    y: Interval
    text: str
    style: dict[str, Any]

    @property
    def point(self) -> Point:
        """Where it stands."""
        return self.x.mean, self.y.mean

    @property
    def bars(self) -> list[tuple[Point, Point]]:
        """Both intervals, as lines through the point."""
        (x, y), across, along = self.point, self.x, self.y
        bars = [((across.low, y), (across.high, y))] if known(across) else []
        return [*bars, ((x, along.low), (x, along.high))] if known(along) else bars


def draw_marks(ax: Axes, marks: Iterable[Mark]) -> None:
    """Points with thin lines for their intervals; in alphabetical order, for the legend."""
    for mark in sorted(marks, key=lambda mark: str(mark.style["label"])):
        for start, end in mark.bars:
            ax.plot(*zip(start, end, strict=True), color=mark.style["color"], linewidth=1.0, alpha=0.65, zorder=2)
        ax.plot(*mark.point, **mark.style | UNJOINED, zorder=3)


def pieces(corners: Iterable[Sequence[float]], steps: int = 40) -> list[tuple[Point, Point]]:
    """A polyline in short pieces, for labels to keep clear of."""
    legs = [np.linspace(start, end, steps) for start, end in pairwise(corners)]
    return [(tuple(start), tuple(end)) for leg in legs for start, end in pairwise(leg)]


def label_marks(drawing: Drawing, ax: Axes, marks: Sequence[Mark], avoid: Sequence[tuple[Point, Point]] = ()) -> str:
    """Write each mark's text beside it where there is room, the first marks first. Returns what the caption adds.

    A label that would cover a mark, an interval, another label or a piece of ``avoid`` is left out.
    """
    legend_below(drawing)
    drawing.draw_without_rendering()
    pixels = drawing.dpi / 72  # of a point
    inside = ax.get_window_extent()
    points = [Bbox(ax.transData.transform([mark.point] * 2)).padded(_CLEAR * pixels) for mark in marks]
    lines = [*avoid, *(bar for mark in marks for bar in mark.bars)]
    taken = points + [Bbox(np.sort(ax.transData.transform(line), axis=0)).padded(pixels) for line in lines]
    left_out = 0
    for mark in marks:
        text = ax.annotate(mark.text, mark.point, (0, 0), textcoords="offset points", fontsize=8, in_layout=False)
        text.set_color(mark.style["color"])
        size = text.get_window_extent()
        x, y = ax.transData.transform(mark.point)
        for gap, (right, up) in product(_GAPS, _SIDES):
            left = x + right * (gap * pixels + size.width / 2) - size.width / 2
            bottom = y + up * (gap * pixels + size.height / 2) - size.height / 2
            box = Bbox.from_bounds(left, bottom, size.width, size.height)
            if inside.contains(*box.min) and inside.contains(*box.max) and not box.count_overlaps(taken):
                break
        else:
            text.remove()
            left_out += 1
            continue
        text.set_position(((left - x) / pixels, (bottom - y) / pixels))
        taken.append(box)
        if gap > _GAPS[0]:
            near = ax.transData.inverted().transform((np.clip(x, box.x0, box.x1), np.clip(y, box.y0, box.y1)))
            ends = zip(mark.point, near, strict=True)
            ax.plot(*ends, color=mark.style["color"], linewidth=0.6, alpha=0.8, scalex=False, scaley=False)
    return f" {count_text(left_out, 'label')} left out for lack of room." if left_out else ""
