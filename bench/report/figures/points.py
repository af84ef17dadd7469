"""Figures of labelled points: accuracy by its two parts, accuracy against what it costs, measured against predicted
overhead. Labels cover nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cbook import pts_to_poststep
from matplotlib.figure import Figure as Drawing
from matplotlib.transforms import Bbox

from bench.analysis.panels import PREDICTION_TOLERANCE_PP as WITHIN
from bench.analysis.run import Analysis
from bench.report import selection
from bench.report.figures import canvas
from bench.report.figures.accuracy import HIGHEST, LEAST_RANGE, seeds_text
from bench.report.figures.canvas import BAND, INK, MUTED, UNJOINED, Drawn, Palette
from bench.report.numbers import between, count_text, estimate, fraction_text, known, number
from bench.report.selection import Offer, Row, arms, baselines, main_condition, mechanism_of, panel_text, rows, timed
from bench.stats.estimators import Interval

LEAST_SPATIAL_RANGE = 4.0  # pp: the losses are small, but noise must not fill the plot
_APART = 0.014  # of the axis: the width of a mark
_SEEN = 0.02  # of the axis: a second part that is smaller would lie under the mark
_HOLLOW: dict[str, Any] = {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgewidth": 0.9}
_STAR: dict[str, Any] = {"color": INK, "marker": "*", "markersize": 9, "label": "no shift"}
_CLEAR = 3.0  # points around what is drawn that labels keep clear of
_GAPS = (5.5, 13.0, 22.0)  # points from a mark to its label: beside it, or farther off with a leader line
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))

Point = tuple[float, float]


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


def accuracy_plane(run: Analysis, palette: Palette) -> Drawn:
    """Every bidirectional arm by its two accuracies, joined from few channels to all."""
    trained = arms(run.accuracy)
    trained = trained[trained["direction"] == "bidirectional"]
    if trained.empty:
        return None
    drawing, (ax,) = canvas.grid(1, 4.1, "temporal accuracy [%]", "spatial accuracy [%]")

    def marks_of(frame: pd.DataFrame) -> list[Mark]:
        return [_mark(row, estimate(row, "temporal"), estimate(row, "spatial"), palette) for row in rows(frame)]

    marks, legs = marks_of(baselines(main_condition(run.accuracy))[:1]), []
    for _, own in canvas.by_mechanism(trained):
        path = marks_of(own.sort_values("fraction"))
        ax.plot(*zip(*(mark.point for mark in path), strict=True), **path[0].style)
        legs += pieces([mark.point for mark in path])
        marks += path
    draw_marks(ax, marks)
    ax.margins(0.08)
    canvas.at_least(ax, LEAST_SPATIAL_RANGE, top=HIGHEST)
    ax.set_xlim(right=min(ax.get_xlim()[1], HIGHEST + 2.0))  # with room for a label
    return drawing, {"seeds": seeds_text(trained), "more": label_marks(drawing, ax, marks, avoid=legs)}


def _mark(row: Row, x: Interval, y: Interval, palette: Palette) -> Mark:
    if not row["fraction"]:
        return Mark(x, y, "no shift", _STAR)
    return Mark(x, y, fraction_text(row["fraction"]), palette.look(*mechanism_of(row)))


def pareto(run: Analysis, palette: Palette) -> Drawn:
    """Every timed case of the first panel whose accuracy is known, and the front."""
    offers = selection.paired(run)
    if not any(offer.case["fraction"] for offer in offers):
        return None
    best = front(offers)
    drawing, (ax,) = canvas.grid(1, 3.9, "latency overhead [%]", "joint accuracy [%]")
    ordered = [*best, *(offer for offer in offers if offer not in best)]
    marks = [_mark(offer.case, offer.overhead, offer.joint, palette) for offer in ordered]
    draw_marks(ax, marks)
    # an offer's accuracy holds up to the overhead of the next
    corners = pts_to_poststep([offer.overhead.mean for offer in best], [offer.joint.mean for offer in best])
    ax.plot(*corners, color=MUTED, linewidth=1.0, zorder=1.2, label="Pareto front")
    ax.margins(0.07)
    canvas.at_least(ax, LEAST_RANGE)
    where = panel_text(selection.panels(timed(run.latency))[0][0])
    return drawing, {"where": where, "more": label_marks(drawing, ax, marks, avoid=pieces(corners.T))}


def front(offers: Sequence[Offer]) -> list[Offer]:
    """The offers that no other beats in both, by rising overhead. On point estimates: intervals may overlap."""
    best: list[Offer] = []
    for offer in sorted(offers, key=lambda o: (o.overhead.mean, -o.joint.mean)):
        if not best or offer.joint.mean > best[-1].joint.mean:
            best.append(offer)
    return best


def data_movement(run: Analysis, palette: Palette) -> Drawn:
    """Is the cost the movement of bytes? All cases of the first panel that has predictions."""
    cases = timed(run.latency)
    shown = selection.panels(cases[cases["predicted_overhead_pct"].notna()])
    if not shown:
        return None
    panel, frame = shown[0]
    frame = frame.assign(x=apart(list(frame["predicted_overhead_pct"])))
    end = 1.12 * max(frame["predicted_overhead_pct"].max(), 0.1)
    drawing, (ax,) = canvas.grid(1, 3.7, "", "measured overhead [%]")
    marks, faulting = [], []
    for row in rows(frame):
        x, measured = row["x"], estimate(row, "overhead")
        marks.append(Mark(between(x), measured, fraction_text(row["fraction"]), palette.look(*mechanism_of(row))))
        faults = number(row.get("predicted_faults_pct"))
        if abs(faults) > _SEEN * end:  # a thin line leads to where the bytes alone would put the mark
            ends = ((x - faults, measured.mean), (x, measured.mean))
            colour = marks[-1].style["color"]
            ax.plot(*zip(*ends, strict=True), color=colour, linewidth=0.8, markevery=[0], zorder=1.5, **_HOLLOW)
            faulting.append(ends)
    draw_marks(ax, marks)
    low, high = ax.get_ylim()
    least = min(0.0, ax.dataLim.x0)  # below zero where a case saves bytes or page faults
    ax.plot([0, end], [0, end], color=MUTED, linewidth=1.0, zorder=1, label="measured = predicted")
    band: Any = {"color": BAND, "alpha": 0.55, "linewidth": 0, "zorder": 0.5}
    reach, label = (least, end), f"within {WITHIN:g} pp"
    ax.fill_between(reach, [x - WITHIN for x in reach], [x + WITHIN for x in reach], label=label, **band)
    ax.set(xlim=(least - 0.03 * end, end), ylim=(min(low, -0.04 * end), max(high * 1.06, end * 0.6)))
    if faulting:
        ax.plot([], [], color=MUTED, linewidth=0.8, label="from the bytes alone", **_HOLLOW)
    parts = "bytes moved and page faults" if faulting else "bytes moved"
    ax.set_xlabel(f"predicted from {parts} [%]")
    crowded = label_marks(drawing, ax, marks, avoid=[*pieces([(0, 0), (end, end)]), *faulting])
    return drawing, {"parts": parts, "where": panel_text(panel), "more": crowded}


def apart(values: Sequence[float]) -> list[float]:
    """The values, those that would lie on each other moved a little to both sides of their mean."""
    gap = _APART * max(*values, 0.1)
    ordered = pd.Series(values).sort_values()
    groups = ordered.groupby((ordered.diff() >= gap / 2).cumsum())
    rank, size = groups.cumcount(), groups.transform("size")
    placed = (groups.transform("mean") + (rank - (size - 1) / 2) * gap).where(size > 1, ordered)
    return list(placed.sort_index())


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
    canvas.legend_below(drawing)
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
