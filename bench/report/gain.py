"""What a shift buys, and which variant to take. Typed results; templates say them.

A difference to the network without a shift counts only where its interval and its p, adjusted by Holm over the arms,
both say so. Nothing is recommended on intervals that decide nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.run import Analysis
from bench.report import selection
from bench.report.cost import rankings_in
from bench.report.numbers import estimate, holds_zero, known, number, overlap
from bench.report.selection import CHANCE_TEMPORAL, Offer, Row, arms, panels, rows, timed
from bench.spec.axes import BASELINE
from bench.stats.estimators import Interval

SIGNIFICANT = 0.05  # two-sided, after Holm: the level of the 95 % intervals beside it
_SAME = 1e-6  # percentage points


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


def separated(arm: Row, outcome: str) -> bool:
    """An arm differs from the network without a shift in joint, spatial, temporal or mixture accuracy."""
    p = number(arm.get(f"{outcome}_delta_p"))
    return not holds_zero(estimate(arm, f"{outcome}_delta")) and not p >= SIGNIFICANT


def gain(run: Analysis) -> dict[str, Any] | None:
    """The best of ``trained`` arms; None where no arm came to its end.

    equal: arms not separated from it, the nearest first. lost: not judged, because a seed failed. leak: what the
    network without a shift knows of the order, where that is not chance.
    """
    trained = sorted(rows(arms(run.accuracy)), key=_joint, reverse=True)
    if not trained:
        return None
    gaps = [(arm, estimate(arm, "joint_gap_to_best")) for arm in trained[1:]]
    equal = [arm for arm, gap in gaps if known(gap) and not gap.low > 0]
    leak = _leak(rows(selection.baselines(selection.main_condition(run.accuracy))))
    lost = rows(arms(run.accuracy, lost=True))
    return {"best": trained[0], "trained": len(trained), "equal": equal, "lost": lost, "leak": leak}


def choice(run: Analysis) -> Choice | None:
    """None where nothing was trained or timed."""
    trained, shifting = rows(arms(run.accuracy)), timed(run.latency)
    if not trained or shifting.empty:
        return Choice("not timed" if trained else "not trained") if trained or not shifting.empty else None
    offers = selection.paired(run)
    base = [offer for offer in offers if not offer.case["fraction"]]
    shifts = [offer for offer in offers if offer.case["fraction"]]
    if not shifts:
        return Choice("not paired")
    top = max(offer.joint.mean for offer in shifts)
    best = sorted((o for o in shifts if o.joint.mean == top), key=lambda offer: offer.overhead.mean)
    if not known(best[0].joint):
        return Choice("no interval", best[0])
    if base and overlap(base[0].joint, best[0].joint):
        return Choice("no gain", best[0])
    above = max(trained, key=_joint)
    untimed = above if _joint(above) > top else None
    return Choice("take", best[0], _tied(run, best), _cheaper(best[0], shifts), untimed)


def detection(run: Analysis) -> dict[str, Any] | None:
    """A detector on a running video; None where none was trained frame by frame.

    forms: as trained, with a shift. costs: in each detector, the cheapest mechanism that computes the online form,
    then the trained one.
    """
    trained = selection.whole_forms(run.detection)
    base = next((row for row in trained if row["strategy"] == BASELINE), None)
    if base is None:
        return None
    done = selection.finished(run.detection)
    measured = rows(done[done["overhead_pct"].notna()].sort_values("overhead_pct", kind="stable"))
    costs = [
        [row for row in same if row is same[0] or row["strategy"] == form["strategy"]]
        for form in trained
        for detector in dict.fromkeys(str(row["detector"]) for row in measured)
        if form["form"] == "online"
        and (same := [row for row in measured if row["detector"] == detector and _computes(row, form)])
    ]
    return {"base": base, "forms": [row for row in trained if row is not base], "costs": costs}


def on_validation(run: Analysis) -> bool:
    """Something was judged on validation clips, to choose a recipe: it is no test."""
    settings = run.header.get("settings") or {}
    recipes = [(settings.get(section) or {}).get("recipe") or {} for section in ("accuracy", "detection")]
    return any(recipe.get("judged_on") == "validation" for recipe in recipes)


def _joint(arm: Row) -> float:
    return float(arm["joint_mean_pct"])


def _leak(base: Sequence[Row]) -> Interval | None:
    """A network without a shift cannot know the order; if it does, nothing here is about order."""
    for row in base:
        chance = CHANCE_TEMPORAL.get(str(row["dataset"]), math.nan)
        level = estimate(row, "temporal")
        held = known(level) and level.low - _SAME <= chance <= level.high + _SAME
        if not held and abs(level.mean - chance) > _SAME:
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
    return tuple(o.case["strategy"] for o in others if overlap(first.overhead, o.overhead))


def _cheaper(taken: Offer, offers: Sequence[Offer]) -> Offer | None:
    rivals = [
        offer
        for offer in offers
        if offer.overhead.mean < taken.overhead.mean
        and not overlap(offer.overhead, taken.overhead)
        and known(offer.joint)
        and overlap(offer.joint, taken.joint)
    ]
    return min(rivals, key=lambda offer: offer.overhead.mean, default=None)


def _computes(row: Row, form: Row) -> bool:
    """Whether what was timed is the function of what was trained."""
    same = all(row[name] == form[name] for name in ("placement", "fraction", "direction"))
    return same and row["strategy"] in selection.holders(form)
