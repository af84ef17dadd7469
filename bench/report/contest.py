"""Which exact mechanism is the fastest: said only with a margin over every other one.

The paired differences and their simultaneous intervals come from ``Tables.contests``; here they are put into words.
"""

import math
from dataclasses import dataclass

import pandas as pd

from bench.report.numbers import Estimate, channels_text, found_text, listed, number
from bench.report.selection import Row, Tables, in_panel, rows
from bench.spec.cases import Panel

_KEY = ["fraction", "placement", "direction"]


@dataclass(frozen=True)
class Contest:
    """Mechanisms of one function with one fraction, placement and direction in one panel; the least overhead first."""

    rows: tuple[Row, ...]

    @property
    def others(self) -> tuple[Row, ...]:
        """All but the one with the least overhead."""
        return self.rows[1:]

    @property
    def decided(self) -> bool:
        """False with one replicate: then there are no intervals."""
        return all(behind(row).has_interval for row in self.others)

    @property
    def tied(self) -> tuple[Row, ...]:
        """Those that are not shown to be slower than the first."""
        return tuple(row for row in self.others if not behind(row).low > 0)

    @property
    def runner_up(self) -> Row:
        """The one whose difference to the first is the smallest."""
        return min(self.others, key=lambda row: behind(row).value)

    @property
    def detectable(self) -> float:
        """The margin over each of those tied that would have been found four times in five; NaN where not known."""
        known = [number(row.get("detectable_pct")) for row in self.tied]
        return max((value for value in known if math.isfinite(value)), default=math.nan)


def behind(row: Row) -> Estimate:
    """How many points a mechanism lies behind the first of its contest."""
    return Estimate.of(row, "behind")


def contests_in(tables: Tables, panel: Panel) -> list[Contest]:
    """The contests of one panel in which at least two took part."""
    frame = in_panel(tables.contests, panel)
    if frame.empty:
        return []
    groups = [group.sort_values("rank", kind="stable") for _, group in frame.groupby(_KEY, sort=True)]
    return [Contest(tuple(rows(group))) for group in groups if len(group) > 1]


def contest_of(tables: Tables, panel: Panel, case: Row) -> Contest | None:
    """The contest that a case took part in."""
    for contest in contests_in(tables, panel):
        same = all(contest.rows[0][name] == case[name] for name in _KEY)
        if same and case["strategy"] in [row["strategy"] for row in contest.rows]:
            return contest
    return None


def verdict_text(contest: Contest, cases: pd.DataFrame) -> str:
    """One sentence. cases: the panel's latency rows, for the intervals of the overheads."""
    first = contest.rows[0]
    where = f"With {channels_text(float(first['fraction']))} in residual placement"
    if not contest.decided:
        return f"{where} {_named(first, cases)} costs least, but without intervals none can be called the fastest."
    if contest.tied:
        told = listed([_named(row, cases) for row in (first, *contest.tied)])
        margin = found_text(contest.detectable, "a margin")
        return f"{where} no mechanism is separated as the fastest: {told} are tied{margin}."
    second = contest.runner_up
    margin = behind(second).text("points", signed=False)
    return (
        f"{where} {_named(first, cases)} is the fastest exact mechanism, "
        f"ahead of the runner-up {second['strategy']} by {margin} (simultaneous)."
    )


def _named(row: Row, cases: pd.DataFrame) -> str:
    """``buffer_shift (+1.4 % [0.9, 1.9])``."""
    same = cases[(cases["strategy"] == row["strategy"]) & (cases[_KEY] == [row[name] for name in _KEY]).all(axis=1)]
    known = rows(same) or [row]
    return f"{row['strategy']} ({Estimate.of(known[0], 'overhead').text()})"
