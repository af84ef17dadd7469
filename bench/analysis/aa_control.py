"""The live A/A control: a second, identical baseline runs in every superblock, and must come out at zero.

One rule, used by verdicts, tables and pages:

certified   the 95 % interval of the twin's overhead lies within ± ``MARGIN_PP``: an equivalence test
off         it is not certified, and the 99 % interval misses zero: no latency of the panel can be trusted
undecided   neither: what is judged must hold with its interval widened by ``bound``, the far end of the 95 % interval
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.analysis.overheads import Overhead
from bench.spec.panel import Panel
from bench.stats import estimators
from bench.stats.estimators import Estimate, Interval

MARGIN_PP = 0.5  # a difference between two identical networks that is smaller hides no finding that the suite speaks of
_ALARM = 0.99  # the confidence at which a difference between two identical networks is an alarm

Outcome = Literal["certified", "undecided", "off"]
OUTCOMES: tuple[Outcome, ...] = ("certified", "undecided", "off")  # the best first


@dataclass(frozen=True)
class AAControl:
    """Of one panel. twin: the overhead of the second baseline over processes, in pp; NaN where there is none."""

    panel: Panel
    twin: Estimate

    @property
    def interval(self) -> Interval:
        """The twin's, at 95 %; NaN ends where there are too few processes."""
        return self.twin.interval()

    @property
    def bound(self) -> float:
        """The largest systematic difference that the twin leaves possible, in pp; infinite where it says nothing."""
        ends = abs(self.interval.low), abs(self.interval.high)
        return math.inf if math.isnan(ends[0]) else max(ends)

    @property
    def outcome(self) -> Outcome:
        """By the rule above."""
        if self.bound <= MARGIN_PP:
            return "certified"
        alarm = self.twin.interval(_ALARM)
        return "off" if alarm.low > 0 or alarm.high < 0 else "undecided"

    @property
    def slack(self) -> float:
        """By how much intervals of the panel are widened on both sides before they are judged, in pp."""
        return slack(self.bound)

    @property
    def why(self) -> str:
        """The outcome's reason, half a sentence."""
        where = f"in {self.panel.label}"
        if math.isinf(self.bound):
            return f"the A/A control says nothing {where}: it has {self.twin.count} processes"
        return f"two identical baselines differ by {self.interval.signed(2)} pp {where}"


@dataclass(frozen=True)
class AAControls:
    """Of all panels of a run, in the order in which they were measured."""

    by_panel: Mapping[Panel, AAControl]

    def of(self, *panels: Panel) -> AAControl:
        """The worst of these panels (one at least)."""
        found = (self.by_panel.get(panel, AAControl(panel, Estimate(math.nan, count=0))) for panel in panels)
        return worst(found)

    @property
    def headline(self) -> AAControl | None:
        """The worst of the panels that headlines rest on: whole clips, eager, fp32, of the network measured first; all
        panels where there are none of these. None where nothing was timed."""
        panels = list(self.by_panel)
        clips = [panel for panel in panels if not panel.streams and (panel.runtime, panel.dtype) == ("eager", "fp32")]
        chosen = [panel for panel in clips if panel.backbone == clips[0].backbone] or panels
        return self.of(*chosen) if chosen else None

    def alarm(self, *, streams: bool) -> str | None:
        """Why times of whole clips, or of streams, must not be trusted: the first control that is off."""
        own = (control for panel, control in self.by_panel.items() if bool(panel.streams) == streams)
        return next((control.why for control in own if control.outcome == "off"), None)


def slack(bound: float) -> float:
    """By how much intervals of a panel are widened whose control has this bound: not at all where it is certified."""
    return 0.0 if bound <= MARGIN_PP else bound


def aa_controls(measured: Sequence[Overhead]) -> AAControls:
    """One for each panel, also for those without a twin."""
    twins = {overhead.case.panel: overhead.pct.estimate() for overhead in measured if overhead.case.aa}
    missing = Estimate(math.nan, count=0)
    panels = dict.fromkeys(overhead.case.panel for overhead in measured)
    return AAControls({panel: AAControl(panel, twins.get(panel, missing)) for panel in panels})


def worst(controls: Iterable[AAControl]) -> AAControl:
    """By outcome, then by bound; one at least."""
    return max(controls, key=lambda control: (OUTCOMES.index(control.outcome), control.bound))


@dataclass(frozen=True)
class Pooled:
    """Controls of many panels and runs. mean: the twin's overhead over all that have an interval, in pp, by random
    effects, as panels may differ in truth; further: of one more panel. counts: {outcome: how many panels}."""

    mean: Interval
    further: Interval
    counts: Mapping[Outcome, int]

    @property
    def outcome(self) -> Outcome:
        """A mean hides panels that are off: it is certified only where none is, and where none is to be expected."""
        if self.counts["off"]:
            return "off"
        within = max(-self.further.low, self.further.high) <= MARGIN_PP
        return "certified" if within and not self.counts["undecided"] else "undecided"


def pooled(controls: Sequence[AAControl]) -> Pooled | None:
    """None where fewer than two have an interval."""
    twins = [control.twin for control in controls if control.twin.error > 0]
    if len(twins) < 2:
        return None
    mean, further = estimators.pooled(twins)
    outcomes = [control.outcome for control in controls]
    return Pooled(mean.interval(), further.interval(), {outcome: outcomes.count(outcome) for outcome in OUTCOMES})
