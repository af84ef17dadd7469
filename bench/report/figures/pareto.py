"""What is bought against what is paid: accuracy against latency overhead."""

from dataclasses import dataclass
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.accuracy import LEAST_RANGE
from bench.report.figures.canvas import Figure, Mark, at_least, blank, finish, label_marks
from bench.report.figures.latency import line_handles
from bench.report.numbers import Estimate, fraction_text
from bench.report.selection import (
    Row,
    Tables,
    arms,
    baselines,
    holders,
    in_panel,
    lines,
    main_condition,
    panel_text,
    panels,
    rows,
    timed,
)
from bench.report.style import INK, MUTED, Palette, legend_below

FEWEST = 2  # the baseline alone is no choice
_STEPS = 40


@dataclass(frozen=True)
class Offer:
    """A timed case and the accuracy of the function that it computes."""

    case: Row
    overhead: Estimate
    joint: Estimate


def pareto(tables: Tables, palette: Palette) -> Figure | None:
    """Every timed case of the first panel whose accuracy is known, and the front."""
    offers = paired(tables)
    if len(offers) < FEWEST or not any(offer.case["fraction"] for offer in offers):
        return None
    best = front(offers)
    drawing = blank(7.2, 4.6)
    ax = drawing.subplots()
    for offer in offers:
        _draw(ax, offer, palette)
    ax.plot(
        [offer.overhead.value for offer in best],
        [offer.joint.value for offer in best],
        color=MUTED,
        linewidth=1.0,
        drawstyle="steps-post",
        zorder=1.2,
    )
    ax.set_xlabel("latency overhead [%]")
    ax.set_ylabel("joint accuracy [%]")
    ax.margins(0.07)
    at_least(ax, LEAST_RANGE)
    shifting = timed(tables.latency)
    panel = panels(shifting)[0][0]
    shown = {(o.case["strategy"], o.case["placement"], o.case["direction"]) for o in offers}
    drawn = [
        line for line in lines(in_panel(shifting, panel)) if (line.strategy, line.placement, line.direction) in shown
    ]
    handles: list[Line2D | Patch] = line_handles(drawn, palette, line=False)
    handles.append(Line2D([], [], color=INK, marker="*", markersize=9, linestyle="none", label="no shift"))
    handles.append(Line2D([], [], color=MUTED, linewidth=1.0, label="the front: nothing is better in both"))
    legend_below(drawing, handles)
    marks = [_mark(offer, palette) for offer in [*best, *(o for o in offers if o not in best)]]
    left_out = label_marks(drawing, ax, marks, avoid=_steps(best))
    return finish(drawing, "pareto", "What to take", _caption(panel_text(panel), left_out))


def paired(tables: Tables) -> list[Offer]:
    """Latency rows of the first panel joined with the accuracy of the arm that computes the same function."""
    shifting = panels(timed(tables.latency))
    trained = arms(tables.accuracy)
    if not shifting or trained.empty:
        return []
    panel, cases = shifting[0]
    accuracies = {_key(name, arm): arm for arm in rows(trained) for name in holders(arm)}
    offers = [
        _offer(case, accuracies[key]) for case in rows(cases) if (key := _key(case["strategy"], case)) in accuracies
    ]
    nothing = rows(baselines(in_panel(tables.latency, panel))), rows(baselines(main_condition(tables.accuracy)))
    return [*(_offer(case, arm) for case, arm in zip(*nothing, strict=False)), *offers]


def front(offers: list[Offer]) -> list[Offer]:
    """The offers that no other beats in both, by rising overhead. On point estimates: intervals may overlap."""
    best: list[Offer] = []
    for offer in sorted(offers, key=lambda o: (o.overhead.value, -o.joint.value)):
        if not best or offer.joint.value > best[-1].joint.value:
            best.append(offer)
    return best


def _steps(best: list[Offer]) -> list[tuple[float, float]]:
    """Points along the front's line, which labels keep clear of."""
    points: list[tuple[float, float]] = []
    for a, b in pairwise(best):
        (x0, y0), (x1, y1) = ((o.overhead.value, o.joint.value) for o in (a, b))
        for part in (i / _STEPS for i in range(_STEPS)):
            points += [(x0 + part * (x1 - x0), y0), (x1, y0 + part * (y1 - y0))]
    return points


def _key(strategy: str, row: Row) -> tuple[str, str, str, float]:
    return strategy, row["placement"], row["direction"], round(float(row["fraction"]), 6)


def _offer(case: Row, arm: Row) -> Offer:
    overhead = Estimate.of(case, "overhead") if case["fraction"] else Estimate(0.0)
    return Offer(case, overhead, Estimate.of(arm, "joint", "joint_mean_pct"))


def _draw(ax: Axes, offer: Offer, palette: Palette) -> None:
    case = offer.case
    look = palette.look(case["strategy"], case["placement"], case["direction"]).points()
    if not case["fraction"]:
        look |= {"marker": "*", "markersize": 9}
    ax.plot([offer.overhead.value], [offer.joint.value], zorder=3, **look)
    ends = {"color": look["color"], "linewidth": 1.0, "alpha": 0.65, "zorder": 2}
    if offer.overhead.has_interval:
        ax.plot([offer.overhead.low, offer.overhead.high], [offer.joint.value] * 2, **ends)
    if offer.joint.has_interval:
        ax.plot([offer.overhead.value] * 2, [offer.joint.low, offer.joint.high], **ends)


def _mark(offer: Offer, palette: Palette) -> Mark:
    x, y = offer.overhead, offer.joint
    text = fraction_text(float(offer.case["fraction"])) if offer.case["fraction"] else "no shift"
    colour = palette.look(offer.case["strategy"], offer.case["placement"], offer.case["direction"]).colour
    ends = [(e.low, e.high) if e.has_interval else None for e in (x, y)]
    return Mark(x.value, y.value, text, colour, *ends)


def _caption(where: str, left_out: int) -> str:
    crowded = f" {left_out} labels found no room." if left_out else ""
    return (
        f"Joint accuracy against latency overhead ({where}); up and to the left is better. Numbers are the share of "
        "the channels that move, bars are 95 % intervals of both. A mechanism proven to compute the same function as a "
        "trained arm stands at that arm's accuracy with its own latency. The front is drawn through the point "
        f"estimates: points whose bars overlap are not separated by this run.{crowded}"
    )
