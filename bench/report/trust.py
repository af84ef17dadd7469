"""How far to trust a run: its A/A controls, what disturbed it, what was left out, and which flags were raised."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bench.analysis.results import PanelQuality
from bench.analysis.run import Analysis
from bench.report.numbers import Estimate, number
from bench.report.selection import TWIN_FLAG, Row, finished, flags_of, panel_text, panels, rows, timed, twins
from bench.stats.exclusion import EXCLUDED_AT_MOST


@dataclass(frozen=True)
class Control:
    """Two identical networks in one panel. where: what tells the panel from the others."""

    where: str
    overhead: Estimate
    mde: float

    @property
    def clean(self) -> bool:
        """Zero is not ruled out."""
        return self.overhead.has_interval and self.overhead.holds_zero


@dataclass(frozen=True)
class Trust:
    """cases: rows of what was timed. target: the half-width asked for. flags: {flag: how many of the cases raised it}.
    reasons: {rule: superblocks that it declared disturbed}. seeds: of each trained arm."""

    controls: tuple[Control, ...]
    cases: tuple[Row, ...]
    target: float
    flags: Counter[str]
    quality: Sequence[PanelQuality]
    reasons: Counter[str]
    seeds: tuple[int, ...]

    def known(self, column: str) -> list[float]:
        """A column of the cases, where it is a number."""
        return [value for row in self.cases if (value := number(row.get(column))) == value]

    @property
    def disturbed(self) -> int:
        """How many superblocks were disturbed."""
        return round(sum(one.disturbed_pct / 100 * one.superblocks for one in self.quality if one.superblocks))

    @property
    def noisy(self) -> int:
        """In how many panels more were disturbed than may be left out."""
        return sum(one.disturbed_pct > 100 * EXCLUDED_AT_MOST for one in self.quality)


def trust(run: Analysis) -> Trust:
    """From the timed cases, the quality of each panel and the trained arms."""
    cases, trained = rows(timed(run.latency)), finished(run.accuracy)
    latency = (run.header.get("settings") or {}).get("latency") or {}
    return Trust(
        _controls(run),
        tuple(cases),
        number(latency.get("target_half_width_pp", latency.get("target_half_width_points"))),
        Counter(flag for row in cases for flag in flags_of(row) if flag != TWIN_FLAG),
        run.quality,
        sum((Counter(dict(one.reasons)) for one in run.quality), Counter[str]()),
        () if trained.empty else tuple(trained["seeds"]),
    )


def _controls(run: Analysis) -> tuple[Control, ...]:
    found = [(panel, row) for panel, twin in panels(twins(run.latency)) for row in rows(twin)[:1]]
    among = [panel for panel, _ in found]
    return tuple(
        Control(panel_text(panel, among), Estimate.of(row, "overhead"), number(row["mde_pct"])) for panel, row in found
    )
