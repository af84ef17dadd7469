"""What the shift costs: in each panel, in each runtime, and frame by frame. Typed results; templates say them."""

import math
from dataclasses import dataclass

import pandas as pd

from bench.analysis.published import PUBLISHED
from bench.analysis.results import Ranking
from bench.analysis.run import Analysis
from bench.report.numbers import Estimate, fraction_text, number
from bench.report.selection import (
    RELEASED,
    Line,
    Row,
    baselines,
    exact_strategies,
    in_panel,
    lines,
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

FLAT_PP = 2.0  # an interval of the slope that holds zero and ends within this is called "the same"


@dataclass(frozen=True)
class PanelCost:
    """One panel. released: the cases of each released mechanism, by rising fraction. ranking: of the exact mechanisms,
    residual, at the fraction nearest to the usual one; lone: the only one. trends: slopes by what they say."""

    where: str
    baseline_ms: float
    released: tuple[Line, ...]
    ranking: Ranking | None
    lone: Row | None
    trends: dict[str, list[Row]]


@dataclass(frozen=True)
class RuntimeCost:
    """One runtime. cases: residual, at one fraction, the least overhead first."""

    name: str
    baseline_ms: float
    fraction: float
    ranking: Ranking | None
    cases: tuple[Row, ...]

    @property
    def released(self) -> Row | None:
        """The published code's case, where there is a better one to take."""
        own = [case for case in self.cases if case["strategy"] == PUBLISHED]
        return own[0] if own and self.ranking and self.ranking.ranked[0].strategy != PUBLISHED else None


@dataclass(frozen=True)
class Grid:
    """Overheads of one panel in short: for each mechanism, its least, usual and largest fraction."""

    where: str
    baseline_ms: float
    fractions: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Estimate | None, ...]], ...]


@dataclass(frozen=True)
class OnlineCost:
    """One network frame by frame. cases: the least overhead first."""

    where: str
    base: Row
    cases: tuple[Row, ...]


def panel_costs(run: Analysis) -> list[PanelCost]:
    """Every panel in which a mechanism was timed."""
    slopes = dict(panels(run.slopes[run.slopes["slope_pct"].notna()])) if not run.slopes.empty else {}
    exact = exact_strategies(run.header)
    return [
        PanelCost(
            panel_text(panel),
            _baseline_ms(run, panel),
            tuple(line for name in RELEASED for line in _usual_line(cases[cases["strategy"] == name])),
            _usual(rankings_in(run, panel)),
            _lone(cases[cases["strategy"].isin(exact)]),
            _trends(slopes.get(panel, run.slopes.iloc[:0])),
        )
        for panel, cases in panels(timed(run.latency))
    ]


def runtime_costs(run: Analysis) -> list[RuntimeCost]:
    """Every runtime and number format, in one setting; none where there is one runtime only."""
    chosen, found = runtime_panels(run), []
    for panel in chosen:
        cases = _residual(in_panel(timed(run.latency), panel))
        if not cases.empty:
            own = rows(cases[cases["fraction"] == nearest_fraction(cases["fraction"])].sort_values("overhead_pct"))
            name, base = runtime_name(panel, chosen), _baseline_ms(run, panel)
            found.append(RuntimeCost(name, base, own[0]["fraction"], _usual(rankings_in(run, panel)), tuple(own)))
    return found


def grid(run: Analysis) -> Grid | None:
    """Of the first panel; released mechanisms first, then the least overhead at the usual fraction."""
    for panel, cases in panels(timed(run.latency)):
        moved = cases[cases["fraction"] > 0]
        if moved.empty:
            continue
        shown = sorted({moved["fraction"].min(), nearest_fraction(moved["fraction"]), moved["fraction"].max()})
        found = [(line, {row["fraction"]: Estimate.of(row, "overhead") for row in line.rows}) for line in lines(moved)]
        found.sort(key=lambda one: (not _is_released(one[0]), min(e.value for e in one[1].values())))
        table = [(f"{line.strategy} {line.placement}", tuple(map(own.get, shown))) for line, own in found]
        return Grid(panel_text(panel), _baseline_ms(run, panel), tuple(map(fraction_text, shown)), tuple(table))
    return None


def online_costs(run: Analysis) -> list[OnlineCost]:
    """Every network and number of streams that was timed with and without a shift."""
    found = []
    for where, frame in online_settings(run.online):
        base, cases = rows(baselines(frame)), timed(frame).sort_values("overhead_pct")
        if base and not cases.empty:
            found.append(OnlineCost(where, base[0], tuple(rows(cases))))
    return found


def rankings_in(
    run: Analysis, panel: Panel, placement: str = "residual", direction: str = "bidirectional"
) -> dict[float, Ranking]:
    """{fraction: the mechanisms of one function in one panel}."""
    where = (panel, placement, direction)
    return {float(one.fraction): one for one in run.rankings if (one.panel, one.placement, one.direction) == where}


def _usual(rankings: dict[float, Ranking]) -> Ranking | None:
    return rankings[nearest_fraction(rankings)] if rankings else None


def _baseline_ms(run: Analysis, panel: Panel) -> float:
    return next((number(row["latency_ms"]) for row in rows(baselines(in_panel(run.latency, panel)))), math.nan)


def _trends(slopes: pd.DataFrame) -> dict[str, list[Row]]:
    """{grows, falls, same, open, no interval: rows}. A slope: pp from no channels to all, along a straight line."""
    found: dict[str, list[Row]] = {}
    for row in rows(slopes):
        slope = Estimate.of(row, "slope")
        if not slope.has_interval:
            trend = "no interval"
        elif not slope.holds_zero:
            trend = "grows" if slope.value > 0 else "falls"
        else:
            trend = "same" if max(-slope.low, slope.high) <= FLAT_PP else "open"
        found.setdefault(trend, []).append(row)
    return found


def _usual_line(cases: pd.DataFrame) -> list[Line]:
    """Of one mechanism: residual and bidirectional where there is a choice."""
    return sorted(lines(cases), key=lambda line: (line.placement != "residual", line.direction != "bidirectional"))[:1]


def _is_released(line: Line) -> bool:
    return line.strategy in RELEASED and line.placement == "residual"


def _lone(cases: pd.DataFrame) -> Row | None:
    own = _residual(cases)
    near = own if own.empty else own[own["fraction"] == nearest_fraction(own["fraction"])]
    return rows(near)[0] if len(near) == 1 else None


def _residual(cases: pd.DataFrame) -> pd.DataFrame:
    """Those that move something, as published."""
    usual = (cases["placement"] == "residual") & (cases["direction"] == "bidirectional")
    return cases[usual & (cases["fraction"] > 0)]
