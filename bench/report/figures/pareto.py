"""What a shift buys against what it costs: temporal against spatial accuracy, and accuracy against latency."""

from collections.abc import Sequence
from itertools import pairwise

import pandas as pd

from bench.analysis.run import Analysis
from bench.report import selection
from bench.report.figures import canvas
from bench.report.figures.accuracy_curves import HIGHEST, LEAST_RANGE, seeds_text
from bench.report.figures.canvas import STAR, WIDTH, Figure, Mark, Point, estimate
from bench.report.numbers import Estimate, fraction_text
from bench.report.selection import Offer, Row, panel_text, panels, rows
from bench.report.style import MUTED, Palette

LEAST_SPATIAL_RANGE = 4.0  # pp: the losses are small, but noise must not fill the plot


def accuracy_plane(run: Analysis, palette: Palette) -> Figure | None:
    """Every bidirectional arm by its two accuracies, joined from few channels to all."""
    trained = selection.arms(run.accuracy)
    trained = trained if trained.empty else trained[trained["direction"] == "bidirectional"]
    if trained.empty:
        return None
    drawing = canvas.blank(WIDTH, 4.8)
    ax = drawing.subplots()
    base = selection.baselines(selection.main_condition(run.accuracy))[:1]
    marks, legs = _marks(base, palette), []
    for _, own in canvas.by_mechanism(trained):
        path = _marks(own.sort_values("fraction"), palette)
        ax.plot(*zip(*(mark.point for mark in path), strict=True), **path[0].style)
        legs += canvas.pieces([mark.point for mark in path])
        marks += path
    canvas.draw_marks(ax, marks)
    ax.set(xlabel="temporal accuracy [%]", ylabel="spatial accuracy [%]")
    ax.margins(0.08)
    canvas.at_least(ax, LEAST_SPATIAL_RANGE, top=HIGHEST)
    ax.set_xlim(right=min(ax.get_xlim()[1], HIGHEST + 2.0))  # with room for a label
    crowded = canvas.label_marks(drawing, ax, marks, avoid=legs)
    caption = (
        "Spatial against temporal accuracy of the bidirectional arms; up and to the right is better. Numbers are the "
        f"fraction of the channels that move ({seeds_text(trained)}, both ways).{crowded}"
    )
    return canvas.finish(drawing, "accuracy_plane", "Temporal against spatial accuracy", caption)


def _marks(arms: pd.DataFrame, palette: Palette) -> list[Mark]:
    return [_mark(row, estimate(row, "temporal"), estimate(row, "spatial"), palette) for row in rows(arms)]


def _mark(row: Row, x: Estimate, y: Estimate, palette: Palette) -> Mark:
    if not row["fraction"]:
        return Mark(x, y, "no shift", STAR)
    style = palette.look(row["strategy"], row["placement"], row["direction"]).line()
    return Mark(x, y, fraction_text(row["fraction"]), style)


def pareto(run: Analysis, palette: Palette) -> Figure | None:
    """Every timed case of the first panel whose accuracy is known, and the front."""
    offers = selection.paired(run)
    if not any(offer.case["fraction"] for offer in offers):
        return None
    best = front(offers)
    drawing = canvas.blank(WIDTH, 4.6)
    ax = drawing.subplots()
    ordered = [*best, *(offer for offer in offers if offer not in best)]
    marks = [_mark(offer.case, offer.overhead, offer.joint, palette) for offer in ordered]
    canvas.draw_marks(ax, marks)
    corners = _steps(best)
    ax.plot(*zip(*corners, strict=True), color=MUTED, linewidth=1.0, zorder=1.2, label="Pareto front")
    ax.set(xlabel="latency overhead [%]", ylabel="joint accuracy [%]")
    ax.margins(0.07)
    canvas.at_least(ax, LEAST_RANGE)
    crowded = canvas.label_marks(drawing, ax, marks, avoid=canvas.pieces(corners))
    where = panel_text(panels(selection.timed(run.latency))[0][0])
    caption = (
        f"Joint accuracy against latency overhead ({where}); up and to the left is better. "
        "Numbers are the fraction of the channels that move. A mechanism that computes the same function as a trained "
        f"arm has that arm's accuracy. Points whose intervals overlap are not separated.{crowded}"
    )
    return canvas.finish(drawing, "pareto", "Accuracy against latency overhead", caption)


def front(offers: Sequence[Offer]) -> list[Offer]:
    """The offers that no other beats in both, by rising overhead. On point estimates: intervals may overlap."""
    best: list[Offer] = []
    for offer in sorted(offers, key=lambda o: (o.overhead.value, -o.joint.value)):
        if not best or offer.joint.value > best[-1].joint.value:
            best.append(offer)
    return best


def _steps(best: Sequence[Offer]) -> list[Point]:
    """Corners of the front: an offer's accuracy holds up to the overhead of the next."""
    points = [(offer.overhead.value, offer.joint.value) for offer in best]
    corners = points[:1]
    for (_, before), (x, y) in pairwise(points):
        corners += [(x, before), (x, y)]
    return corners
