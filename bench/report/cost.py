"""What the shift costs: in each panel, in each runtime, and frame by frame. Typed results; templates say them."""

import math
from dataclasses import dataclass

import pandas as pd

from bench.analysis.published import PUBLISHED
from bench.analysis.results import Ranking
from bench.analysis.run import Analysis
from bench.report.numbers import Estimate, number
from bench.report.selection import (
    Row,
    baselines,
    nearest_fraction,
    online_settings,
    panel_text,
    panels,
    rows,
    runtime_name,
    runtime_panels,
    timed,
)
from bench.spec.panel import Panel

RELEASED = ("copy_shift", "concat_shift")
"""Mechanisms that people run because published code contains them (mit-han-lab, mmaction2)."""

FLAT_PP = 2.0  # an interval of the slope that holds zero and ends within this is called "the same"


@dataclass(frozen=True)
class MechanismCost:
    """One mechanism. overheads: at the panel's ``fractions``; slope: pp from no channels to all; mde: of the slope."""

    strategy: str
    placement: str
    direction: str
    overheads: tuple[Estimate | None, ...]
    slope: Estimate
    mde: float

    @property
    def sloped(self) -> bool:
        """Its fractions lie far enough apart for a slope."""
        return not math.isnan(self.slope.value)

    @property
    def trend(self) -> str:
        """Whether the cost depends on the fraction: ``grows``, ``falls``, ``same``; ``open`` where nothing is shown."""
        if not self.slope.holds_zero:
            return "grows" if self.slope.value > 0 else "falls"
        flat = self.slope.has_interval and max(-self.slope.low, self.slope.high) <= FLAT_PP
        return "same" if flat else "open"


@dataclass(frozen=True)
class PanelCost:
    """One panel. fractions: the least, the usual and the largest. mechanisms: the released ones first, then the
    cheapest. ranking: of the exact mechanisms, residual, at the fraction nearest to the usual one."""

    where: str
    baseline_ms: float
    fractions: list[float]
    mechanisms: list[MechanismCost]
    ranking: Ranking | None


@dataclass(frozen=True)
class RuntimeCost:
    """One runtime. cases: residual, at one fraction, the least overhead first."""

    name: str
    baseline_ms: float
    ranking: Ranking | None
    cases: list[Row]

    @property
    def released(self) -> Row | None:
        """The published code's case, where there is a better one to take."""
        own = [case for case in self.cases if case["strategy"] == PUBLISHED]
        return own[0] if own and self.ranking and self.ranking.ranked[0].strategy != PUBLISHED else None


@dataclass(frozen=True)
class OnlineCost:
    """One network frame by frame. cases: the least overhead first."""

    where: str
    base: Row
    cases: list[Row]


def panel_costs(run: Analysis) -> list[PanelCost]:
    """Every panel in which a mechanism was timed."""
    base, slopes, found = _baseline_ms(run), dict(panels(run.slopes)), []
    for panel, cases in panels(timed(run.latency)):
        moved = cases[cases["fraction"] > 0]
        if not moved.empty:
            ends = sorted({moved["fraction"].min(), nearest_fraction(moved["fraction"]), moved["fraction"].max()})
            mechanisms = _mechanisms(moved, ends, rows(slopes[panel]) if panel in slopes else [])
            ranking = _usual(rankings_in(run, panel))
            found.append(PanelCost(panel_text(panel), base.get(panel, math.nan), ends, mechanisms, ranking))
    return found


def runtime_costs(run: Analysis) -> list[RuntimeCost]:
    """Every runtime and number format, in one setting; none where there is one runtime only."""
    chosen, base = runtime_panels(run), _baseline_ms(run)
    cases = {panel: _residual(own) for panel, own in panels(timed(run.latency))}
    return [
        RuntimeCost(
            runtime_name(panel, chosen), base.get(panel, math.nan), _usual(rankings_in(run, panel)), cases[panel]
        )
        for panel in chosen
        if cases[panel]
    ]


def online_costs(run: Analysis) -> list[OnlineCost]:
    """Every network and number of streams that was timed with and without a shift."""
    found = []
    for where, frame in online_settings(run.online):
        base, cases = rows(baselines(frame)), rows(timed(frame).sort_values("overhead_pct"))
        if base and cases:
            found.append(OnlineCost(where, base[0], cases))
    return found


def rankings_in(
    run: Analysis, panel: Panel, placement: str = "residual", direction: str = "bidirectional"
) -> dict[float, Ranking]:
    """{fraction: the mechanisms of one function in one panel}."""
    where = (panel, placement, direction)
    return {float(one.fraction): one for one in run.rankings if (one.panel, one.placement, one.direction) == where}


def _usual(rankings: dict[float, Ranking]) -> Ranking | None:
    return rankings[nearest_fraction(rankings)] if rankings else None


def _baseline_ms(run: Analysis) -> dict[Panel, float]:
    return {panel: number(own["latency_ms"].iloc[0]) for panel, own in panels(baselines(run.latency))}


def _mechanisms(moved: pd.DataFrame, fractions: list[float], slopes: list[Row]) -> list[MechanismCost]:
    slope_of = {_way(row): row for row in slopes}
    known: dict[tuple[str, str, str], dict[float, Estimate]] = {}
    for row in rows(moved.sort_values("overhead_pct")):
        known.setdefault(_way(row), {})[row["fraction"]] = Estimate.of(row, "overhead")
    return [
        MechanismCost(*way, tuple(map(own.get, fractions)), *_slope(slope_of.get(way, {})))
        for way, own in sorted(known.items(), key=lambda one: one[0][0] not in RELEASED or one[0][1] != "residual")
    ]


def _slope(row: Row) -> tuple[Estimate, float]:
    return Estimate.of(row, "slope"), number(row.get("mde_pct"))


def _way(row: Row) -> tuple[str, str, str]:
    return row["strategy"], row["placement"], row["direction"]


def _residual(cases: pd.DataFrame) -> list[Row]:
    """As published, at the fraction nearest to the usual one; the least overhead first."""
    usual = (cases["placement"] == "residual") & (cases["direction"] == "bidirectional")
    own = cases[usual & (cases["fraction"] > 0)].sort_values("overhead_pct")
    return rows(own if own.empty else own[own["fraction"] == nearest_fraction(own["fraction"])])
