"""What a run says: what the shift costs and buys, which variant to take, and how far to trust that.

Typed results; templates say them. A difference to the network without a shift counts only where its interval and its
p, adjusted by Holm over the arms, both say so. Nothing is recommended on intervals that decide nothing, and nothing
said of effects that are no larger than what two identical networks may differ by.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pandas as pd

from bench.analysis.aa_control import slack
from bench.analysis.overheads import Ranked, Ranking, free, same
from bench.analysis.run import Analysis
from bench.analysis.selection import PUBLISHED
from bench.report import selection
from bench.report.numbers import beyond, estimate, holds_zero, known, number, overlap
from bench.report.selection import Offer, Row, arms, baselines, grouped, mechanism_of, panel_text, panels, rows, timed
from bench.report.video import video
from bench.spec.axes import BASELINE
from bench.spec.panel import Panel
from bench.stats.estimators import Interval
from bench.stats.exclusion import EXCLUDED_AT_MOST

_SAME = 1e-6  # percentage points
_MOSTLY = 50.0  # per cent of a panel's superblocks that were disturbed


def answers(run: Analysis) -> dict[str, Any]:
    """What a reader wants to know. A control that is off withholds what rests on the clock."""
    standing = standing_of(run)
    costs = [] if standing.state == "off" else panel_costs(run)
    return {
        "standing": standing,
        "choice": choice(run, standing),
        "costs": costs,
        "runtimes": runtime_costs(run, costs),
        "online": [] if run.online_suspect else online_costs(run),
        "gain": gain(run),
        "detection": detection(run),
        "video": video(run),
        "trust": trust(run),
        "judged": Counter(claim.verdict for claim in run.claims),
        "on_validation": selection.judged_on_validation(run),
        "suspect": run.suspect,
        "online_suspect": run.online_suspect,
    }


@dataclass(frozen=True)
class Standing:
    """What the latencies of a run are worth: the first thing that page and screen say.

    state: ``certified``, ``undecided`` or ``off``, as the A/A control is judged; ``busy``: the machine was, before
    anything was measured or for most of the time; empty where nothing was timed. bound: what two identical networks may
    differ by, in pp; difference: what they do differ by. reason: who was busy.
    """

    state: str
    bound: float = math.nan
    difference: Interval | None = None
    reason: str = ""

    @property
    def recommends(self) -> bool:
        """Something may be recommended on these latencies."""
        return self.state == "certified"


def standing_of(run: Analysis) -> Standing:
    """The same for page, screen and gallery; a busy machine comes before any control."""
    if disturbance := run.header.get("disturbance"):
        return Standing("busy", reason=str(disturbance).removeprefix("disturbed at start: "))
    headline = selection.headline_panels(run.latency)
    if busy := next((one for one in run.quality if one.panel in headline and one.disturbed_pct > _MOSTLY), None):
        why = " and ".join(sorted(busy.reasons, key=lambda rule: -busy.reasons[rule]))
        return Standing("busy", reason=f"{why} in {busy.disturbed_pct:.0f} % of superblocks")
    if (control := run.control) is None:
        return Standing("")
    return Standing(control.outcome, control.bound, control.interval)


@dataclass(frozen=True)
class MechanismCost:
    """One mechanism. overheads: at the panel's ``fractions``. slope: pp from no channels to all, NaN where the
    fractions lie too close; mde: of it; same: all fractions cost the same. bound: of the panel's control, in pp."""

    strategy: str
    placement: str
    direction: str
    overheads: tuple[Interval | None, ...]
    slope: Interval
    mde: float
    bound: float
    same: bool = False

    @property
    def trend(self) -> str:
        """Whether the cost depends on the fraction: ``grows``, ``falls``, ``same``; ``open`` where nothing is shown."""
        if self.same:
            return "same"
        if _apart(self.slope, self.bound):
            return "grows" if self.slope.mean > 0 else "falls"
        return "open"

    @property
    def verdict(self) -> str:
        """``costs`` with its trend, ``saves``, ``free``, ``open`` where nothing is shown, or ``no interval``."""
        found = [overhead for overhead in self.overheads if overhead is not None]
        if not all(map(known, found)):
            return "no interval"
        shown = [overhead.mean for overhead in found if beyond(overhead, self.bound)]
        if shown and max(shown) < 0:
            return "saves"
        if found and free(found, slack(self.bound)):
            return "free"
        return "open" if not shown else "costs" if self.trend == "open" else f"costs, {self.trend}"


@dataclass(frozen=True)
class PanelCost:
    """One panel. fractions: the least, the usual and the largest. mechanisms: the released code first, then the
    others placed as it is, the cheapest first. usual: cases placed as published, at the fraction nearest to the usual
    one, the least overhead first; rankings: of the exact mechanisms so placed, by fraction. bound: no smaller effect is
    spoken of, in pp."""

    panel: Panel
    where: str
    baseline_ms: float
    fractions: list[float]
    mechanisms: list[MechanismCost]
    usual: list[Row]
    rankings: dict[float, Ranking]
    bound: float

    @property
    def ranking(self) -> Ranking | None:
        """At the fraction nearest to the usual one."""
        return self.rankings[selection.nearest_fraction(self.rankings)] if self.rankings else None

    @property
    def released(self) -> Row | None:
        """The published code's case, where there is a better one to take."""
        own = [case for case in self.usual if case["strategy"] == PUBLISHED]
        return own[0] if own and self.ranking and self.ranking.ranked[0].strategy != PUBLISHED else None

    def tied(self, ranking: Ranking) -> list[Ranked]:
        """Those that are not shown to be slower than the first."""
        return [one for one in ranking.ranked[1:] if not _apart(one.gap, self.bound)]


def _apart(gap: Interval, bound: float) -> bool:
    """Two cases of a panel: the baseline cancels, so zero decides; no gap counts below what equals may differ by."""
    return beyond(gap, 0.0) and abs(gap.mean) > bound


def panel_costs(run: Analysis) -> list[PanelCost]:
    """Every panel in which a mechanism was timed and whose control is not off, those that headlines speak of first."""
    base, slopes, found = selection.references(run.latency), dict(panels(run.slopes)), []
    first = selection.headline_panels(run.latency)
    for panel, cases in panels(timed(run.latency)):
        control, moved = run.controls.of(panel), cases[cases["fraction"] > 0].sort_values("overhead_pct")
        if moved.empty or control.outcome == "off":
            continue
        ends = sorted({moved["fraction"].min(), selection.nearest_fraction(moved["fraction"]), moved["fraction"].max()})
        baseline_ms = number(base[panel]["latency_ms"]) if panel in base else math.nan
        mechanisms = _mechanisms(moved, ends, rows(slopes[panel]) if panel in slopes else [], control.bound)
        usual = moved[(moved["placement"] == "residual") & (moved["direction"] == "bidirectional")]
        if not usual.empty:
            usual = usual[usual["fraction"] == selection.nearest_fraction(usual["fraction"])]
        rankings = _rankings(run, panel, "residual", "bidirectional")
        where = panel_text(panel) + (", default heap" if panel in first[1:] and panel.allocator == "default" else "")
        told = where, baseline_ms, ends, mechanisms, rows(usual), rankings
        found.append(PanelCost(panel, *told, control.bound))
    return sorted(found, key=lambda cost: first.index(cost.panel) if cost.panel in first else len(first))


def _mechanisms(moved: pd.DataFrame, fractions: list[float], slopes: list[Row], bound: float) -> list[MechanismCost]:
    slope_of = {mechanism_of(row): row for row in slopes}
    found = []
    for key, own in grouped(rows(moved), mechanism_of).items():
        known_at = {row["fraction"]: estimate(row, "overhead") for row in own}
        slope, overheads = slope_of.get(key, {}), tuple(map(known_at.get, fractions))
        mde, same_everywhere = number(slope.get("mde_pct")), bool(slope.get("same"))
        found.append(MechanismCost(*key, overheads, estimate(slope, "slope"), mde, bound, same_everywhere))
    first = PUBLISHED, "residual"
    return sorted(found, key=lambda one: ((one.strategy, one.placement) != first, one.placement != "residual"))


def _rankings(run: Analysis, *where: Panel | str) -> dict[float, Ranking]:
    """{fraction: the mechanisms of one function}, in one panel, placement and direction."""
    return {float(one.fraction): one for one in run.rankings if (one.panel, one.placement, one.direction) == where}


def runtime_costs(run: Analysis, costs: Sequence[PanelCost]) -> list[PanelCost]:
    """Every runtime and number format, in one setting; none where there is one runtime only."""
    chosen = selection.runtime_panels(run)
    own = [cost for cost in costs if cost.panel in chosen and cost.usual]
    return [replace(cost, where=selection.runtime_name(cost.panel, chosen)) for cost in own]


def online_costs(run: Analysis) -> list[dict[str, Any]]:
    """Every network and number of streams timed with and without a shift. cases: the least overhead first."""
    found = []
    for where, frame in selection.online_settings(run.online):
        base, cases = rows(baselines(frame)), rows(timed(frame).sort_values("overhead_pct"))
        if base and cases:
            found.append({"where": where, "base": base[0], "cases": cases})
    return found


def trust(run: Analysis) -> dict[str, Any]:
    """How far to trust a run: its A/A controls, what disturbed it, what was left out, which flags were raised.

    cases: rows of what was timed. target: the half-width asked for. flags: {flag: how many of the cases raised it}.
    disturbed: how many superblocks; reasons: {rule: superblocks that it declared disturbed}; noisy: in how many panels
    more were disturbed than may be left out. seeds: of each trained arm.
    """
    cases = rows(timed(run.latency))
    return {
        "controls": list(run.controls.by_panel.values()),
        "cases": cases,
        "target": selection.target_half_width(run),
        "flags": Counter(flag for row in cases for flag in selection.warnings_of(row)),
        "quality": run.quality,
        "disturbed": round(sum(one.disturbed_pct / 100 * one.superblocks for one in run.quality if one.superblocks)),
        "reasons": sum((Counter(dict(one.reasons)) for one in run.quality), Counter[str]()),
        "noisy": sum(one.disturbed_pct > 100 * EXCLUDED_AT_MOST for one in run.quality),
        "seeds": [*selection.finished(run.accuracy)["seeds"], *selection.finished(run.video)["seeds"]],
    }


def gain(run: Analysis) -> dict[str, Any] | None:
    """The best of ``trained`` arms; None where no arm came to its end.

    equal: arms not separated from it, the nearest first. lost: not judged, as not all seeds are there. leak: what the
    network without a shift knows of the order, where that is not chance.
    """
    trained = sorted(rows(arms(run.accuracy)), key=_joint, reverse=True)
    if not trained:
        return None
    gaps = [(arm, estimate(arm, "joint_gap_to_best")) for arm in trained[1:]]
    equal = [arm for arm, gap in gaps if known(gap) and not gap.low > 0]
    lost = rows(arms(run.accuracy, lost=True))
    return {"best": trained[0], "trained": len(trained), "equal": equal, "lost": lost, "leak": _leak(run)}


def _joint(arm: Row) -> float:
    return float(arm["joint_mean_pct"])


def _leak(run: Analysis) -> Interval | None:
    """A network without a shift cannot know the order; if it does, nothing here is about order."""
    for row in rows(baselines(selection.main_condition(run.accuracy))):
        chance = selection.CHANCE_TEMPORAL.get(str(row["dataset"]), math.nan)
        level = estimate(row, "temporal")
        held = known(level) and level.low - _SAME <= chance <= level.high + _SAME
        if not held and abs(level.mean - chance) > _SAME:
            return level
    return None


@dataclass(frozen=True)
class Choice:
    """Which variant to take: the best accuracy, reached by the cheapest mechanism that computes it.

    verdict: ``take``, or why there is nothing to recommend: ``control``, ``not trained``, ``not timed``,
    ``not paired``, ``open`` (the interval of its accuracy or of its overhead decides nothing), ``no gain``. tied:
    mechanisms not shown to be slower. cheaper: separated in cost, not in accuracy. untimed: a better arm that was not
    timed.
    """

    verdict: str
    taken: Offer | None = None
    tied: tuple[str, ...] = ()
    cheaper: Offer | None = None
    untimed: Row | None = None


def choice(run: Analysis, standing: Standing) -> Choice | None:
    """None where nothing was trained or timed."""
    trained, shifting = rows(arms(run.accuracy)), timed(run.latency)
    if not shifting.empty and not standing.recommends:
        return Choice("control")
    if not trained or shifting.empty:
        return Choice("not timed" if trained else "not trained") if trained or not shifting.empty else None
    offers = selection.paired(run)
    base = [offer for offer in offers if not offer.case["fraction"]]
    shifts = [offer for offer in offers if offer.case["fraction"]]
    if not shifts:
        return Choice("not paired")
    top = max(offer.accuracy.mean for offer in shifts)
    best = [offer for offer in shifts if offer.accuracy.mean == top]
    best.sort(key=lambda offer: (not known(offer.overhead), offer.overhead.mean))
    price = best[0].overhead
    if not known(best[0].accuracy) or (holds_zero(price) and not (known(price) and same([price]))):
        return Choice("open", best[0])
    if base and overlap(base[0].accuracy, best[0].accuracy):
        return Choice("no gain", best[0])
    above = max(trained, key=_joint)
    untimed = above if _joint(above) > top else None
    return Choice("take", best[0], _tied(run, best, standing.bound), _cheaper(best[0], shifts), untimed)


def _tied(run: Analysis, best: Sequence[Offer], bound: float) -> tuple[str, ...]:
    """Those among ``best`` that this run cannot tell from the first; by the ranking where it took part in one."""
    first, others = best[0], best[1:]
    panel, case = selection.headline_panels(run.latency)[0], first.case
    ranking = _rankings(run, panel, case["placement"], case["direction"]).get(case["fraction"])
    if ranking is not None and ranking.decided and ranking.ranked[0].strategy == case["strategy"]:
        names = {one.strategy for one in ranking.ranked[1:] if not _apart(one.gap, bound)}
        return tuple(o.case["strategy"] for o in others if o.case["strategy"] in names)
    return tuple(o.case["strategy"] for o in others if overlap(first.overhead, o.overhead))


def _cheaper(taken: Offer, offers: Sequence[Offer]) -> Offer | None:
    apart = [o for o in offers if o.overhead.mean < taken.overhead.mean and not overlap(o.overhead, taken.overhead)]
    equal = [offer for offer in apart if known(offer.accuracy) and overlap(offer.accuracy, taken.accuracy)]
    return min(equal, key=lambda offer: offer.overhead.mean, default=None)


def detection(run: Analysis) -> dict[str, Any] | None:
    """A detector on a running video; None where none was trained frame by frame.

    forms: as trained, with a shift. costs: in each detector, the cheapest mechanism that computes the online form,
    then the trained one.
    """
    trained = selection.whole_arms(run.detection)
    base = next((row for row in trained if row["strategy"] == BASELINE), None)
    if base is None:
        return None
    done = selection.finished(run.detection)
    measured = rows(done[done["overhead_pct"].notna()].sort_values("overhead_pct", kind="stable"))
    online, costs = [form for form in trained if form["form"] == "online"], []
    for form, timings in product(online, grouped(measured, lambda row: row["detector"]).values()):
        same = [row for row in timings if _computes(row, form)]
        if same:
            costs.append([row for row in same if row is same[0] or row["strategy"] == form["strategy"]])
    return {"base": base, "forms": [row for row in trained if row is not base], "costs": costs}


def _computes(row: Row, form: Row) -> bool:
    """Whether what was timed is the function of what was trained."""
    same = all(row[name] == form[name] for name in ("placement", "fraction", "direction"))
    return same and row["strategy"] in selection.holders(form)
