"""What the shift costs, in words: released code, the cheapest exact mechanism, and the trend over the fraction."""

from collections.abc import Iterable

import pandas as pd

from bench.report.contest import contests_in, verdict_text
from bench.report.numbers import Estimate, channels_text, count_text, found_text, milliseconds_text, number
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
from bench.spec.cases import Panel

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
        sentences.append(f"{panel_text(panel)}: the network without a shift takes {milliseconds_text(base)}.")
        sentences += [_ends(name, cases) for name in RELEASED if (cases["strategy"] == name).any()]
        sentences += _cheapest_sentence(tables, panel, cases)
        sentences += [told for name in sorted(set(cases["strategy"])) for told in _own_way(name, cases)]
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
    found = found_text(number(row.get("detectable_pct")), "a slope")
    slope = Estimate.of(row, "slope")
    name = f"{row['strategy']} ({line_text('', row['placement'], row['direction']).removeprefix(', ')})"
    if not slope.has_interval:
        return f"{name}: slope {slope.text('points', missing=MISSING)}."
    if not slope.holds_zero:
        grows = "grows" if slope.value > 0 else "falls"
        amount = Estimate(abs(slope.value), *sorted((abs(slope.low), abs(slope.high)))).text("points", signed=False)
        return f"{name} {grows} by {amount} from no channels to all."
    if max(-slope.low, slope.high) <= FLAT:
        return f"{name} costs the same at every fraction: slope {slope.text('points')}{found}."
    open_end = "no trend with the fraction was found, but a large one is not ruled out"
    return f"{name}: {open_end}: {slope.text('points')}{found}."


def overhead_text(row: Row) -> str:
    """``+1.2 % [0.8, 1.6]``."""
    return Estimate.of(row, "overhead").text(missing=MISSING)


def _found(row: Row) -> str:
    """Behind an overhead that may be zero: what would have been found."""
    overhead = Estimate.of(row, "overhead")
    null = overhead.has_interval and overhead.holds_zero
    return found_text(number(row.get("detectable_pct"))) if null else ""


def nearest_fraction(fractions: Iterable[float], wanted: float) -> float:
    """The measured fraction that is nearest to ``wanted``; of two, the smaller."""
    return min((float(f) for f in fractions), key=lambda f: (abs(f - wanted), f))


def _ends(name: str, cases: pd.DataFrame) -> str:
    """A released mechanism at the largest and the least fraction measured, residual where there is a choice."""
    mine = lines(cases[cases["strategy"] == name])
    line = min(mine, key=lambda one: (one.placement != "residual", one.direction != "bidirectional"))
    least, most = line.rows[0], line.rows[-1]
    head = f"Released code ({line_text(name, line.placement, line.direction)}) costs {overhead_text(most)}"
    head += f" with {channels_text(float(most['fraction']))}"
    if least is most:
        return f"{head}{_found(most)}."
    return f"{head}, {overhead_text(least)} with {channels_text(float(least['fraction']))}{_found(least)}."


def _cheapest_sentence(tables: Tables, panel: Panel, cases: pd.DataFrame) -> list[str]:
    """The cheapest way to the published function, at the usual fraction."""
    exact = exact_strategies(tables.header)
    same = cases[
        cases["strategy"].isin(exact) & (cases["placement"] == "residual") & (cases["direction"] == "bidirectional")
    ]
    if same.empty:
        return []
    usual = {float(c.rows[0]["fraction"]): c for c in contests_in(tables, panel) if _is_usual(c.rows[0])}
    if usual:
        return [verdict_text(usual[nearest_fraction(usual, USUAL_FRACTION)], same)]
    fraction = nearest_fraction(same["fraction"], USUAL_FRACTION)
    ordered = sorted(rows(same[same["fraction"] == fraction]), key=lambda row: float(row["overhead_pct"]))
    named = f"{ordered[0]['strategy']} ({overhead_text(ordered[0])})"
    where = f"With {channels_text(fraction)} in residual placement"
    if len(ordered) == 1:
        return [f"{where} {named} is the only exact mechanism that was measured."]
    lacking = "a paired comparison" if Estimate.of(ordered[0], "overhead").has_interval else "intervals"
    return [f"{where} {named} costs least, but without {lacking} none can be called the fastest."]


def _own_way(name: str, cases: pd.DataFrame) -> list[str]:
    """A mechanism that computes the layer itself in another way: what that way costs, and what the shift on top."""
    mine = cases[cases["strategy"] == name]
    ways, moved = rows(mine[mine["fraction"] == 0]), mine[mine["fraction"] > 0]
    if not ways or moved.empty:
        return []
    fraction = nearest_fraction(moved["fraction"], USUAL_FRACTION)
    case = rows(moved[moved["fraction"] == fraction])[0]
    shift = Estimate.of(case, "over_own_way").text("points", missing=MISSING)
    return [
        f"{name} computes the layer itself in another way: with nothing moved, that alone makes "
        f"{overhead_text(ways[0])}; the shift of {channels_text(fraction)} adds {shift} to it."
    ]


def _is_usual(row: Row) -> bool:
    return bool(row["placement"] == "residual" and row["direction"] == "bidirectional")
