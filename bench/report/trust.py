"""How far to trust a run: its A/A controls, what disturbed it, what was left out, and which flags were raised."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.quality import PanelQuality
from bench.analysis.run import Analysis
from bench.report.numbers import estimate, holds_zero, known, number
from bench.report.selection import TWIN_FLAG, Row, finished, flags_of, panel_text, panels, rows, timed, twins
from bench.stats.estimators import Interval
from bench.stats.exclusion import EXCLUDED_AT_MOST


@dataclass(frozen=True)
class Control:
    """Two identical networks in one panel. where: what tells the panel from the others."""

    where: str
    overhead: Interval
    mde: float

    @property
    def clean(self) -> bool:
        """Zero is not ruled out."""
        return known(self.overhead) and holds_zero(self.overhead)


@dataclass(frozen=True)
class Trust:
    """cases: rows of what was timed. target: the half-width asked for. flags: {flag: how many of the cases raised it}.
    disturbed: how many superblocks; reasons: {rule: superblocks that it declared disturbed}; noisy: in how many panels
    more were disturbed than may be left out. seeds: of each trained arm."""

    controls: list[Control]
    cases: list[Row]
    target: float
    flags: Counter[str]
    quality: Sequence[PanelQuality]
    disturbed: int
    reasons: Counter[str]
    noisy: int
    seeds: list[int]


def trust(run: Analysis) -> Trust:
    """From the timed cases, the quality of each panel and the trained arms."""
    cases = rows(timed(run.latency))
    latency = (run.header.get("settings") or {}).get("latency") or {}
    found = [(panel, rows(twin)[0]) for panel, twin in panels(twins(run.latency))]
    among = [panel for panel, _ in found]
    return Trust(
        [Control(panel_text(one, among), estimate(row, "overhead"), number(row["mde_pct"])) for one, row in found],
        cases,
        number(latency.get("target_half_width_pp", latency.get("target_half_width_points"))),
        Counter(flag for row in cases for flag in flags_of(row) if flag != TWIN_FLAG),
        run.quality,
        round(sum(one.disturbed_pct / 100 * one.superblocks for one in run.quality if one.superblocks)),
        sum((Counter(dict(one.reasons)) for one in run.quality), Counter[str]()),
        sum(one.disturbed_pct > 100 * EXCLUDED_AT_MOST for one in run.quality),
        list(finished(run.accuracy)["seeds"]),
    )
