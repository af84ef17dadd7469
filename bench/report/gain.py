"""What a shift buys, and which variant to take. Typed results; templates say them.

A difference to the network without a shift counts only where its interval and its p, adjusted by Holm over the arms,
both say so. Nothing is recommended on intervals that decide nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.run import Analysis
from bench.report.cost import rankings_in
from bench.report.numbers import Estimate, number
from bench.report.selection import (
    CHANCE_TEMPORAL,
    Offer,
    Row,
    arms,
    baselines,
    finished,
    holders,
    incomplete,
    main_condition,
    paired,
    panels,
    rows,
    timed,
    whole_forms,
)
from bench.spec.axes import BASELINE

SIGNIFICANT = 0.05  # two-sided, after Holm: the level of the 95 % intervals beside it
_SAME = 1e-6  # percentage points


@dataclass(frozen=True)
class Change:
    """An arm's difference to the network without a shift, in percentage points."""

    estimate: Estimate
    p: float
    mde: float

    @classmethod
    def of(cls, arm: Row, outcome: str) -> "Change":
        """In joint, spatial, temporal or mixture accuracy."""
        p, mde = (number(arm.get(f"{outcome}_delta_{name}")) for name in ("p", "mde_pct"))
        return cls(Estimate.of(arm, f"{outcome}_delta"), p, mde)

    @property
    def separated(self) -> bool:
        """From zero. Rows of older runs have no p: there the interval decides alone."""
        return not self.estimate.holds_zero and not self.p >= SIGNIFICANT


@dataclass(frozen=True)
class Gain:
    """The best of ``trained`` arms. joint, space: what it wins, and what it loses of the single frame. equal: arms not
    separated from it, the nearest first. lost: not judged, because a seed failed. leak: what the network without a
    shift knows of the order, where that is not chance."""

    best: Row
    trained: int
    joint: Change
    space: Change
    equal: list[Row]
    lost: list[Row]
    leak: Estimate | None


@dataclass(frozen=True)
class Choice:
    """Which variant to take: the best accuracy, reached by the cheapest mechanism that computes it.

    verdict: ``take``, or why there is nothing to recommend: ``not trained``, ``not timed``, ``not paired``,
    ``no interval``, ``no gain``. tied: mechanisms not shown to be slower. cheaper: separated in cost, not in accuracy.
    untimed: a better arm that was not timed.
    """

    verdict: str
    taken: Offer | None = None
    tied: tuple[str, ...] = ()
    cheaper: Offer | None = None
    untimed: Row | None = None


@dataclass(frozen=True)
class Detection:
    """A detector on a running video. forms: as trained, with a shift. costs: in each detector, the cheapest mechanism
    that computes the online form, then the trained one."""

    base: Row
    forms: list[Row]
    costs: list[list[Row]]


def gain(run: Analysis) -> Gain | None:
    """None where no arm came to its end."""
    trained = sorted(rows(arms(run.accuracy)), key=_joint, reverse=True)
    if not trained:
        return None
    best, others = trained[0], trained[1:]
    gaps = [(arm, Estimate.of(arm, "joint_gap_to_best")) for arm in others]
    return Gain(
        best,
        len(trained),
        Change.of(best, "joint"),
        Change.of(best, "spatial"),
        [arm for arm, gap in gaps if gap.has_interval and not gap.low > 0],
        rows(incomplete(run.accuracy)),
        _leak(rows(baselines(main_condition(run.accuracy)))),
    )


def choice(run: Analysis) -> Choice | None:
    """None where nothing was trained or timed."""
    trained, shifting = rows(arms(run.accuracy)), timed(run.latency)
    if not trained or shifting.empty:
        return Choice("not timed" if trained else "not trained") if trained or not shifting.empty else None
    offers = paired(run)
    base = [offer for offer in offers if not offer.case["fraction"]]
    shifts = [offer for offer in offers if offer.case["fraction"]]
    if not shifts:
        return Choice("not paired")
    top = max(offer.joint.value for offer in shifts)
    best = sorted((o for o in shifts if o.joint.value == top), key=lambda offer: offer.overhead.value)
    if not best[0].joint.has_interval:
        return Choice("no interval", best[0])
    if base and base[0].joint.overlaps(best[0].joint):
        return Choice("no gain", best[0])
    above = max(trained, key=_joint)
    untimed = above if _joint(above) > top else None
    return Choice("take", best[0], _tied(run, best), _cheaper(best[0], shifts), untimed)


def detection(run: Analysis) -> Detection | None:
    """None where no detector was trained frame by frame."""
    trained = whole_forms(run.detection)
    base = next((row for row in trained if row["strategy"] == BASELINE), None)
    if base is None:
        return None
    measured = [row for row in rows(finished(run.detection)) if math.isfinite(number(row["overhead_pct"]))]
    measured.sort(key=lambda row: float(row["overhead_pct"]))
    costs = [
        [row for row in same if row is same[0] or row["strategy"] == form["strategy"]]
        for form in trained
        for detector in dict.fromkeys(str(row["detector"]) for row in measured)
        if form["form"] == "online"
        and (same := [row for row in measured if row["detector"] == detector and _computes(row, form)])
    ]
    return Detection(base, [row for row in trained if row is not base], costs)


def on_validation(run: Analysis) -> bool:
    """Something was judged on validation clips, to choose a recipe: it is no test."""
    settings = run.header.get("settings") or {}
    recipes = [(settings.get(section) or {}).get("recipe") or {} for section in ("accuracy", "detection")]
    return any(recipe.get("judged_on") == "validation" for recipe in recipes)


def _joint(arm: Row) -> float:
    return float(arm["joint_mean_pct"])


def _leak(base: Sequence[Row]) -> Estimate | None:
    """A network without a shift cannot know the order; if it does, nothing here is about order."""
    for row in base:
        chance = CHANCE_TEMPORAL.get(str(row["dataset"]), math.nan)
        level = Estimate.of(row, "temporal", "temporal_mean_pct")
        held = level.has_interval and level.low - _SAME <= chance <= level.high + _SAME
        if not held and abs(level.value - chance) > _SAME:
            return level
    return None


def _tied(run: Analysis, best: Sequence[Offer]) -> tuple[str, ...]:
    """Those among ``best`` that this run cannot tell from the first; by the ranking where it took part in one."""
    first, others = best[0], best[1:]
    panel, case = panels(timed(run.latency))[0][0], first.case
    ranking = rankings_in(run, panel, case["placement"], case["direction"]).get(case["fraction"])
    if ranking is not None and ranking.decided and ranking.ranked[0].strategy == case["strategy"]:
        names = {one.strategy for one in ranking.tied}
        return tuple(o.case["strategy"] for o in others if o.case["strategy"] in names)
    return tuple(o.case["strategy"] for o in others if first.overhead.overlaps(o.overhead))


def _cheaper(taken: Offer, offers: Sequence[Offer]) -> Offer | None:
    rivals = [
        offer
        for offer in offers
        if offer.overhead.value < taken.overhead.value
        and not offer.overhead.overlaps(taken.overhead)
        and offer.joint.has_interval
        and offer.joint.overlaps(taken.joint)
    ]
    return min(rivals, key=lambda offer: offer.overhead.value, default=None)


def _computes(row: Row, form: Row) -> bool:
    """Whether what was timed is the function of what was trained."""
    return row["strategy"] in holders(form) and all(row[n] == form[n] for n in ("placement", "fraction", "direction"))
