"""What the shift costs, in each panel, in each runtime and frame by frame, and how far to trust that.

Typed results; templates say them.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.analysis.overheads import Ranking
from bench.analysis.run import Analysis
from bench.analysis.selection import PUBLISHED
from bench.report import selection
from bench.report.numbers import estimate, holds_zero, known, number
from bench.report.selection import Row, baselines, mechanism_of, nearest_fraction, panels, rows, timed
from bench.spec.panel import Panel
from bench.stats.estimators import Interval
from bench.stats.exclusion import EXCLUDED_AT_MOST

RELEASED = ("copy_shift", "concat_shift")
"""Mechanisms that people run because published code contains them (mit-han-lab, mmaction2)."""

FLAT_PP = 2.0  # an interval of the slope that holds zero and ends within this is called "the same"


@dataclass(frozen=True)
class MechanismCost:
    """One mechanism. overheads: at the panel's ``fractions``. slope: pp from no channels to all, NaN where the
    fractions lie too close for one; mde: of the slope."""

    strategy: str
    placement: str
    direction: str
    overheads: tuple[Interval | None, ...]
    slope: Interval
    mde: float

    @property
    def trend(self) -> str:
        """Whether the cost depends on the fraction: ``grows``, ``falls``, ``same``; ``open`` where nothing is shown."""
        if not holds_zero(self.slope):
            return "grows" if self.slope.mean > 0 else "falls"
        flat = known(self.slope) and max(-self.slope.low, self.slope.high) <= FLAT_PP
        return "same" if flat else "open"


@dataclass(frozen=True)
class PanelCost:
    """One panel. fractions: the least, the usual and the largest. mechanisms: the released ones first, then the
    cheapest. usual: cases placed as published, at the fraction nearest to the usual one, the least overhead first;
    ranking: of the exact mechanisms among them."""

    panel: Panel
    where: str
    baseline_ms: float
    fractions: list[float]
    mechanisms: list[MechanismCost]
    usual: list[Row]
    ranking: Ranking | None

    @property
    def released(self) -> Row | None:
        """The published code's case, where there is a better one to take."""
        own = [case for case in self.usual if case["strategy"] == PUBLISHED]
        return own[0] if own and self.ranking and self.ranking.ranked[0].strategy != PUBLISHED else None


def panel_costs(run: Analysis) -> list[PanelCost]:
    """Every panel in which a mechanism was timed."""
    base, slopes, found = dict(panels(baselines(run.latency))), dict(panels(run.slopes)), []
    for panel, cases in panels(timed(run.latency)):
        moved = cases[cases["fraction"] > 0].sort_values("overhead_pct")
        if moved.empty:
            continue
        ends = sorted({moved["fraction"].min(), nearest_fraction(moved["fraction"]), moved["fraction"].max()})
        baseline_ms = number(base[panel]["latency_ms"].iloc[0]) if panel in base else math.nan
        mechanisms = _mechanisms(moved, ends, rows(slopes[panel]) if panel in slopes else [])
        rankings = rankings_in(run, panel)
        ranking = rankings[nearest_fraction(rankings)] if rankings else None
        where = selection.panel_text(panel)
        found.append(PanelCost(panel, where, baseline_ms, ends, mechanisms, _usual(moved), ranking))
    return found


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


def rankings_in(
    run: Analysis, panel: Panel, placement: str = "residual", direction: str = "bidirectional"
) -> dict[float, Ranking]:
    """{fraction: the mechanisms of one function in one panel}."""
    where = (panel, placement, direction)
    return {float(one.fraction): one for one in run.rankings if (one.panel, one.placement, one.direction) == where}


def trust(run: Analysis) -> dict[str, Any]:
    """How far to trust a run: its A/A controls, what disturbed it, what was left out, which flags were raised.

    controls: one for each panel; where: what tells it from the others; clean: zero is not ruled out. cases: rows of
    what was timed. target: the half-width asked for. flags: {flag: how many of the cases raised it}. disturbed: how
    many superblocks; reasons: {rule: superblocks that it declared disturbed}; noisy: in how many panels more were
    disturbed than may be left out. seeds: of each trained arm.
    """
    cases = rows(timed(run.latency))
    latency = (run.header.get("settings") or {}).get("latency") or {}
    found = {panel: rows(twin)[0] for panel, twin in panels(selection.twins(run.latency))}
    controls = []
    for panel, row in found.items():
        overhead, where = estimate(row, "overhead"), selection.panel_text(panel, list(found))
        clean = known(overhead) and holds_zero(overhead)
        controls.append({"where": where, "overhead": overhead, "mde": number(row["mde_pct"]), "clean": clean})
    return {
        "controls": controls,
        "cases": cases,
        "target": number(latency.get("target_half_width_pp", latency.get("target_half_width_points"))),
        "flags": Counter(flag for row in cases for flag in selection.flags_of(row) if flag != selection.TWIN_FLAG),
        "quality": run.quality,
        "disturbed": round(sum(one.disturbed_pct / 100 * one.superblocks for one in run.quality if one.superblocks)),
        "reasons": sum((Counter(dict(one.reasons)) for one in run.quality), Counter[str]()),
        "noisy": sum(one.disturbed_pct > 100 * EXCLUDED_AT_MOST for one in run.quality),
        "seeds": list(selection.finished(run.accuracy)["seeds"]),
    }


def _mechanisms(moved: pd.DataFrame, fractions: list[float], slopes: list[Row]) -> list[MechanismCost]:
    slope_of = {mechanism_of(row): row for row in slopes}
    known_of: dict[tuple[str, str, str], dict[float, Interval]] = {}
    for row in rows(moved):
        known_of.setdefault(mechanism_of(row), {})[row["fraction"]] = estimate(row, "overhead")
    found = []
    for key, own in sorted(known_of.items(), key=lambda one: one[0][0] not in RELEASED or one[0][1] != "residual"):
        slope = slope_of.get(key, {})
        overheads = tuple(map(own.get, fractions))
        found.append(MechanismCost(*key, overheads, estimate(slope, "slope"), number(slope.get("mde_pct"))))
    return found


def _usual(moved: pd.DataFrame) -> list[Row]:
    own = moved[(moved["placement"] == "residual") & (moved["direction"] == "bidirectional")]
    return [] if own.empty else rows(own[own["fraction"] == nearest_fraction(own["fraction"])])
