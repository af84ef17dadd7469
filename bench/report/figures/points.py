"""Figures of labelled points, whose labels cover nothing: accuracy against cost, measured against predicted cost."""

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
from bench.report.figures.accuracy import LEAST_RANGE
from bench.report.figures.canvas import BAND, FAINT, INK, MUTED, REMAINING, UNJOINED, Drawn, Palette
from bench.report.numbers import between, count_text, estimate, fixed, fraction_text, interval_text, known
from bench.report.selection import Offer, Row, Yardstick, mechanism_of, offers, panel_text, rows, timed
from bench.stats.estimators import Interval

_APART = 0.014  # of the axis: the width of a mark
_SEEN = 0.05  # pp: page faults that predict less explain nothing
_STAR: dict[str, Any] = {"color": INK, "marker": "*", "markersize": 9, "label": "no shift"}
_JUDGED = {"joint": "joint accuracy", "top1": "top-1"}
_FAR = 50.0  # per cent of overhead, beside which those of shifts would lie on each other
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


def _mark(offer: Offer, palette: Palette, *, named: bool) -> Mark:
    """named: by its strategy, which then needs no legend; else by its fraction."""
    row = offer.case
    if not row["fraction"]:
        return Mark(offer.overhead, offer.accuracy, "no shift", _STAR)
    look = palette.look(*mechanism_of(row))
    if named:
        return Mark(offer.overhead, offer.accuracy, canvas.label(row["strategy"]), look | {"label": "_"})
    return Mark(offer.overhead, offer.accuracy, fraction_text(row["fraction"]), look)


def pareto(run: Analysis, palette: Palette) -> Drawn:
    """Every case of the headline panel whose overhead and accuracy have intervals, and the front: a plot for each
    yardstick."""
    panels, plots = selection.headline_panels(run.latency), list[tuple[Yardstick, list[Offer]]]()
    if not panels:
        return None
    panel = panels[0]
    for by in selection.yardsticks(run):
        own = [o for o in offers(run, panel, by) if known(o.accuracy) and (known(o.overhead) or not o.case["fraction"])]
        if any(offer.case["fraction"] for offer in own):
            plots.append((by, own))
    if not plots:
        return None
    drawing, axes = canvas.grid(len(plots), 3.9, "latency overhead [%]", "")
    named = any(_by_name(found) for _, found in plots)
    marked = list[tuple[list[Mark], Any]]()
    for ax, (by, found) in zip(axes, plots, strict=True):
        marked.append(_draw_front(ax, found, palette, named=named))
        ax.set_gid(canvas.part_id("", panel))
        ax.set_ylabel(f"{_JUDGED[by.stem]} [%], {by.name}" if len(plots) > 1 else f"{_JUDGED[by.stem]} [%]")
    more = [label_marks(drawing, ax, *own) for ax, own in zip(axes, marked, strict=True)]
    labels = "Labels are strategies." if named else "Numbers are the fraction of the channels that move."
    if any(ax.get_xscale() == "symlog" for ax in axes):
        labels += f" An axis that goes far is linear up to {canvas.LINEAR_TO:g} % and logarithmic beyond."
    return drawing, {"where": panel_text(panel), "labels": labels, "more": max(more, key=len)}


def _by_name(found: Sequence[Offer]) -> bool:
    """Each strategy once: it is told by its name, where colours would run out."""
    names = [offer.case["strategy"] for offer in found if offer.case["fraction"]]
    return len(names) > len(REMAINING) and len(names) == len(set(names))


def _draw_front(
    ax: Axes, found: Sequence[Offer], palette: Palette, *, named: bool
) -> tuple[list[Mark], list[tuple[Point, Point]]]:
    """The marks, those of the front first, and what their labels keep clear of."""
    best = front(found)
    marks = [_mark(offer, palette, named=named) for offer in [*best, *(o for o in found if o not in best)]]
    draw_marks(ax, marks)
    # an offer's accuracy holds up to the overhead of the next
    corners = pts_to_poststep([offer.overhead.mean for offer in best], [offer.accuracy.mean for offer in best])
    ax.plot(*corners, color=MUTED, linewidth=1.0, zorder=1.2, label="Pareto front")
    ax.margins(0.09)
    canvas.at_least(ax, LEAST_RANGE)
    if ax.dataLim.x1 > _FAR:
        canvas.wide_overheads(ax)
    return marks, pieces(corners.T)


def front(found: Sequence[Offer]) -> list[Offer]:
    """The offers that no other beats in both, by rising overhead. On point estimates: intervals may overlap."""
    best: list[Offer] = []
    for offer in sorted(found, key=lambda o: (o.overhead.mean, -o.accuracy.mean)):
        if not best or offer.accuracy.mean > best[-1].accuracy.mean:
            best.append(offer)
    return best


def data_movement(run: Analysis, palette: Palette) -> Drawn:
    """Is the cost the movement of bytes, or that and page faults? Of the panels that headlines speak of, the one in
    which page faults cost most; else the first that has predictions."""
    cases = timed(run.latency)
    found = dict(selection.panels(cases[cases["predicted_overhead_pct"].notna()]))
    if not found:
        return None
    headline = [panel for panel in selection.headline_panels(run.latency) if panel in found]
    panel = max(headline or list(found)[:1], key=lambda one: found[one]["predicted_faults_pct"].abs().max())
    parts = {"bytes moved": "predicted_traffic", "bytes moved and page faults": "predicted_overhead"}
    if not found[panel]["predicted_faults_pct"].abs().max() > _SEEN:  # NaN: not counted
        parts = {"bytes moved": "predicted_overhead"}
    height = 3.7 if len(parts) == 1 else 3.2
    drawing, axes = canvas.grid(len(parts), height, "", "measured overhead [%]", sharey=True)
    marks = [_draw_predicted(ax, found[panel], stem, palette) for ax, stem in zip(axes, parts.values(), strict=True)]
    crowded = []
    for ax, name, own in zip(axes, parts, marks, strict=True):
        ax.set_gid(canvas.part_id("", panel))
        ax.set_xlabel(f"predicted from {name} [%]")
        crowded.append(label_marks(drawing, ax, own, avoid=pieces([(0, 0), (ax.get_xlim()[1],) * 2])))
    values: dict[str, object] = {
        "within": f"{WITHIN:g}",
        "fails": _failing(rows(found[panel])),
        "where": panel_text(panel),
    }
    return drawing, values | {"more": max(crowded, key=len)}


def _draw_predicted(ax: Axes, frame: pd.DataFrame, stem: str, palette: Palette) -> list[Mark]:
    """Measured against predicted, both with their intervals."""
    frame, marks = frame[frame[f"{stem}_pct"].notna()], []
    for place, row in zip(apart(list(frame[f"{stem}_pct"])), rows(frame), strict=True):
        x, look = estimate(row, stem), palette.look(*mechanism_of(row))
        moved = between(place, x.low + place - x.mean, x.high + place - x.mean)
        marks.append(Mark(moved, estimate(row, "overhead"), fraction_text(row["fraction"]), look))
    draw_marks(ax, marks)
    least, end = min(0.0, ax.dataLim.x0), 1.12 * max(ax.dataLim.x1, 0.1)  # below zero where a case saves bytes
    ax.plot([0, end], [0, end], color=MUTED, linewidth=1.0, zorder=1, label="measured = predicted")
    ends, band = (least, end), dict[str, Any](color=BAND, alpha=0.55, linewidth=0, zorder=0.5)
    ax.fill_between(ends, [x - WITHIN for x in ends], [x + WITHIN for x in ends], label=f"within {WITHIN:g} pp", **band)
    low, high = ax.get_ylim()
    ax.set(xlim=(least - 0.03 * end, end), ylim=(min(low, -0.04 * end), max(high * 1.06, end * 0.6)))
    return marks


def _failing(cases: Sequence[Row]) -> str:
    """Where the prediction fails, in one sentence."""
    off = [row for row in cases if "prediction_off" in selection.warnings_of(row)]
    if not off:
        return f"It fails for none of {count_text(len(cases), 'case')}."
    worst = max(off, key=lambda row: abs(row["overhead_pct"] - row["predicted_overhead_pct"]))
    measured = interval_text(estimate(worst, "overhead"))
    predicted = fixed(worst["predicted_overhead_pct"], signed=True)
    name = f"{selection.line_text(*mechanism_of(worst))}, {fraction_text(worst['fraction'])}"
    told = f"{name}: {measured}, predicted {predicted} %"
    return f"It fails for {len(off)} of {count_text(len(cases), 'case')}, most for {told}."


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
            look = {"color": mark.style["color"], "gid": mark.style.get("gid")}
            ax.plot(*zip(start, end, strict=True), linewidth=1.0, alpha=0.65, zorder=2, **look)
        ax.plot(*mark.point, **mark.style | (UNJOINED if known(mark.y) else FAINT), zorder=3)


def pieces(corners: Iterable[Sequence[float]], steps: int = 40) -> list[tuple[Point, Point]]:
    """A polyline in short pieces, for labels to keep clear of."""
    legs = [np.linspace(start, end, steps) for start, end in pairwise(corners)]
    return [(tuple(start), tuple(end)) for leg in legs for start, end in pairwise(leg)]


def label_marks(drawing: Drawing, ax: Axes, marks: Sequence[Mark], avoid: Sequence[tuple[Point, Point]] = ()) -> str:
    """Write each mark's text beside it where there is room, the first marks first. Returns what the caption adds.

    A label that would cover a mark, an interval, another label or a piece of ``avoid`` is left out.
    """
    if not drawing.legends:
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
        text.set(color=mark.style["color"], gid=mark.style.get("gid"))
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
