"""What the shift costs, in words: released code, the cheapest exact mechanism, and the trend over the fraction."""

import pandas as pd

from bench.report.numbers import Estimate, channels_text, count_text, fixed, listed, number
from bench.report.selection import (
    RELEASED,
    Row,
    Tables,
    baselines,
    exact_strategies,
    in_panel,
    line_text,
    lines,
    panel_text,
    panels,
    rows,
    timed,
)

MOST_PANELS = 3  # settings told in words; more would bury the answer, and the table has them all
USUAL_FRACTION = 1 / 4  # where the paper finds its best accuracy, and the default of the released code
FLAT = 2.0  # points: an interval of the slope that holds zero and ends within this is called "the same"
MISSING = "one replicate: no interval"


def cost_sentences(tables: Tables) -> list[str]:
    """Per setting: every released-code mechanism at its ends, then the cheapest exact one."""
    shown = panels(timed(tables.latency))
    if not shown:
        return ["Not measured: this run has no latency cases."]
    sentences = []
    for panel, cases in shown[:MOST_PANELS]:
        base = number(next((row["latency_ms"] for row in rows(baselines(in_panel(tables.latency, panel)))), None))
        sentences.append(f"{panel_text(panel)}: the network without a shift takes {_milliseconds(base)}.")
        sentences += [_ends(name, cases) for name in RELEASED if (cases["strategy"] == name).any()]
        sentences += _cheapest_sentence(cases, exact_strategies(tables.header))
    if len(shown) > MOST_PANELS:
        sentences.append(f"{count_text(len(shown) - MOST_PANELS, 'further setting')} in the table below.")
    return sentences


def slope_sentences(tables: Tables) -> list[str]:
    """Whether the cost grows with what is moved: one sentence for each mechanism, placement and direction."""
    known = tables.slopes if tables.slopes.empty else tables.slopes[tables.slopes["slope_pct"].notna()]
    shown = panels(known)
    keys = [panel for panel, _ in shown]
    sentences = []
    for panel, slopes in shown[:MOST_PANELS]:
        where = f"{panel_text(panel, keys)}: " if len(shown) > 1 else ""
        sentences += [where + slope_sentence(row) for row in rows(slopes)]
    return sentences


def slope_sentence(row: Row) -> str:
    """The slope is the difference in points between moving all channels and none, along a straight line."""
    slope = Estimate.of(row, "slope")
    name = f"{row['strategy']} ({line_text('', row['placement'], row['direction']).removeprefix(', ')})"
    if not slope.has_interval:
        return f"{name}: slope {slope.text('points', missing=MISSING)}."
    if not slope.holds_zero:
        grows = "grows" if slope.value > 0 else "falls"
        amount = Estimate(abs(slope.value), *sorted((abs(slope.low), abs(slope.high)))).text("points", signed=False)
        return f"{name} {grows} by {amount} from no channels to all."
    if max(-slope.low, slope.high) <= FLAT:
        return f"{name} costs the same at every fraction: slope {slope.text('points')}."
    return f"{name}: no trend with the fraction was found, but a large one is not ruled out: {slope.text('points')}."


def cheapest(cases: list[Row]) -> tuple[list[Row], list[Row]]:
    """The case with the least overhead together with those not separated from it, and the others, by overhead."""
    ordered = sorted(cases, key=lambda row: float(row["overhead_pct"]))
    best = Estimate.of(ordered[0], "overhead")
    tied = [row for row in ordered[1:] if best.overlaps(Estimate.of(row, "overhead"))]
    return [ordered[0], *tied], [row for row in ordered[1:] if row not in tied]


def overhead_text(row: Row) -> str:
    """``+1.2 % [0.8, 1.6]``."""
    return Estimate.of(row, "overhead").text(missing=MISSING)


def nearest_fraction(cases: pd.DataFrame, wanted: float) -> float:
    """The measured fraction that is nearest to ``wanted``; of two, the smaller."""
    return min((float(f) for f in cases["fraction"]), key=lambda f: (abs(f - wanted), f))


def _ends(name: str, cases: pd.DataFrame) -> str:
    """A released mechanism at the largest and the least fraction measured, residual where there is a choice."""
    mine = lines(cases[cases["strategy"] == name])
    line = min(mine, key=lambda one: (one.placement != "residual", one.direction != "bidirectional"))
    least, most = line.rows[0], line.rows[-1]
    head = f"Released code ({line_text(name, line.placement, line.direction)}) costs {overhead_text(most)}"
    head += f" with {channels_text(float(most['fraction']))}"
    if least is most:
        return f"{head}."
    return f"{head}, {overhead_text(least)} with {channels_text(float(least['fraction']))}."


def _cheapest_sentence(cases: pd.DataFrame, exact: set[str]) -> list[str]:
    """The cheapest way to the published function, at the usual fraction. "Fastest" only where it is separated."""
    same = cases[
        cases["strategy"].isin(exact) & (cases["placement"] == "residual") & (cases["direction"] == "bidirectional")
    ]
    if same.empty:
        return []
    contested = same.groupby("fraction")["strategy"].transform("nunique") > 1  # one mechanism alone is no comparison
    fraction = nearest_fraction(same[contested] if contested.any() else same, USUAL_FRACTION)
    best, others = cheapest(rows(same[same["fraction"] == fraction]))
    where = f"With {channels_text(fraction)} in residual placement"
    named = [f"{row['strategy']} ({overhead_text(row)})" for row in best]
    if not Estimate.of(best[0], "overhead").has_interval:
        return [f"{where} {named[0]} costs least, but without intervals none can be called the fastest."]
    if len(best) > 1:
        return [f"{where} no mechanism is separated as the fastest: {listed(named)} are tied."]
    if not others:
        return [f"{where} {named[0]} is the only exact mechanism that was measured."]
    second = f"{others[0]['strategy']} ({overhead_text(others[0])})"
    return [f"{where} {named[0]} is the fastest exact mechanism; the runner-up is {second}."]


def _milliseconds(value: float) -> str:
    return f"{fixed(value, 0 if value >= 100 else 2 if value < 10 else 1)} ms"
