"""The panels of a timed section: which is measured when, and how they share the budget.

Panels of one turn are measured in rounds: a process of each, then the next process of each, under the same number. So a
drift of the machine meets all alike, and a finding across panels is taken over the numbers that both have. Each panel
stops by its own rule; what it leaves goes to the others, and then to the panels of later turns. The fewest processes
worth an interval come first: while those of all panels do not fit into the budget, the last panel is given up.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bench.measure.latency.campaign import Campaign
from bench.spec.axes import EAGER
from bench.spec.cases import PlannedPanel
from bench.spec.panel import Panel
from bench.store.records import ProcessRecord, Record, StaticRecord, TimedRecord
from bench.system.progress import Reporter

Begin = Callable[[PlannedPanel, Sequence[Record]], Campaign]
"""A campaign of a panel, given the records of it that there are."""
_ALIKE = ("backbone", "device", "runtime", "threads", "frames", "size", "batch", "streams")
"""Panels that differ in nothing else start and run about equally fast, case for case."""


@dataclass
class TimedSection:
    """One section of a run. known: records of earlier sessions. keep: puts records on disk, and keeps ``refused`` up to
    date: {strategy: why it is measured no further}."""

    name: str
    panels: Sequence[PlannedPanel]
    budget: float
    known: Sequence[Record]
    begin: Begin
    keep: Callable[..., None]
    refused: Mapping[str, str]
    reporter: Reporter
    _campaigns: list[tuple[Campaign, float]] = field(default_factory=list)  # with their weights; in their order
    _done: list[Record] = field(default_factory=list)  # in this session

    def measure(self) -> str | None:
        """All turns. Returns why the device was lost, if it was."""
        for _, planned in itertools.groupby(sorted(self.panels, key=lambda own: own.turn), lambda own: own.turn):
            active = [self._campaign(own) for own in planned]
            self._campaigns += active
            begun = set[Campaign]()
            for campaign in self._rounds(active, begun):
                if campaign in begun:
                    self._say_end(campaign)
        self.reporter.advance(self.name, 1.0)
        return next((own.device_lost for own, _ in self._campaigns if own.device_lost), None)

    def _campaign(self, planned: PlannedPanel) -> tuple[Campaign, float]:
        records = [record for record in (*self.known, *self._done) if _panel_of(record) == planned.panel]
        return self.begin(planned, records), planned.weight

    def _rounds(self, active: list[tuple[Campaign, float]], begun: set[Campaign]) -> Iterator[Campaign]:
        """Round after round; yields every campaign when it has ended. begun: those that were, which are added."""
        for number in itertools.count():
            for campaign, weight in list(active):
                self._share_out(active, campaign, weight)
                yield from self._given_up(active)
                if (campaign, weight) not in active or campaign.has(number):
                    continue
                if campaign not in begun:
                    begun.add(campaign)
                    if not self._prepare(campaign):
                        active.remove((campaign, weight))
                        yield campaign
                        continue
                while not (campaign.finished or campaign.has(number)):  # one that died is repeated
                    self._process(campaign, number)
                if campaign.finished:
                    active.remove((campaign, weight))
                    yield campaign
            if not active:
                return

    @property
    def _left(self) -> float:
        return self.budget - sum(campaign.spent for campaign, _ in self._campaigns)

    def _share_out(self, active: Sequence[tuple[Campaign, float]], campaign: Campaign, weight: float) -> None:
        """Its part of what is left, and not less than its fewest processes take. The first, which shows how long they
        are, may take all of it."""
        part = self._left * weight / sum(own for _, own in active) if active else 0.0
        least = min(campaign.seconds_for_enough, self._left) if campaign.costs else self._left
        campaign.budget = campaign.spent + max(part, least)

    def _given_up(self, active: list[tuple[Campaign, float]]) -> list[Campaign]:
        """Panels, the last ones first, without which the fewest processes of the others fit into what is left.

        One that lacks nothing, or of which nobody knows what it lacks, would free nothing: it stays.
        """
        ended = []
        while any(lacking := [self._lacking(own) for own, _ in active]) and sum(lacking) > self._left:
            last = max(index for index, seconds in enumerate(lacking) if seconds > 0)
            campaign, _ = active.pop(last)
            if campaign.replicates_done == 0:
                least = campaign.settings.min_replicates
                self._keep(*campaign.skip(f"not begun: the time left holds no {least} processes"))
            ended.append(campaign)
        return ended

    def _lacking(self, campaign: Campaign) -> float:
        """Seconds that its fewest processes still need, by its own costs or those of a panel like it, and its static
        pass; 0: not known. The start of the first process of a runtime that compiles says little of those after it."""
        if campaign.finished:
            return 0.0
        for other in (campaign, *(own for own, _ in self._campaigns)):
            if other.costs and all(getattr(other.panel, a) == getattr(campaign.panel, a) for a in _ALIKE):
                known = other.panel.runtime == EAGER or other.replicates_done > 1
                share = len(campaign.cases) / len(other.cases)
                each = other.costs.startup * known + other.costs.superblock * share
                static = 0.0 if campaign.costs or campaign.counting else other.counting * share
                return max(0, campaign.settings.min_replicates - campaign.replicates_done) * each + static
        return 0.0

    def _keep(self, *records: Record) -> None:
        self.keep(*records)
        self._done += records

    def _prepare(self, campaign: Campaign) -> bool:
        """What cannot run here is skipped, as is a panel for which no time is left; the rest is counted. Whether any
        of it may be timed."""
        skipped = list(campaign.skip_where_it_cannot_run())
        if not skipped and self._left <= 0:
            skipped = list(campaign.skip("not begun: no time is left"))
        if skipped:
            self._keep(*skipped)
            self.reporter.say(f"{campaign.panel.label} is skipped: {skipped[0].reason}")
        if skipped or self._left <= 0:
            return False
        for strategy, reason in list(self.refused.items()):
            self._keep(*campaign.drop_strategy(strategy, reason))
        for record in campaign.count():
            self._keep(record)
            counted = record.case.variant.strategy if isinstance(record, TimedRecord | StaticRecord) else ""
            self._advance(f"counting {counted}")
        return True

    def _process(self, campaign: Campaign, number: int) -> None:
        planned = campaign.shape.needed
        self._keep(*campaign.process(number))
        self._advance(f"{campaign.panel.backbone}, process {campaign.replicates_done}")
        shape, target = campaign.shape, campaign.settings.target_half_width_pp
        if shape.needed and not planned:
            self.reporter.say(
                f"{campaign.panel.label}: after a pilot of {campaign.replicates_done} processes, ± {target:g} pp need "
                f"about {shape.needed} of {shape.superblocks} superblocks; planned: {shape.processes}"
            )

    def _advance(self, doing: str) -> None:
        self.reporter.advance(self.name, 1 - self._left / self.budget, doing)

    def _say_end(self, campaign: Campaign) -> None:
        done, least = campaign.replicates_done, campaign.settings.min_replicates
        if not done:
            return
        widest, target = campaign.widest(), campaign.settings.target_half_width_pp
        reached = f"target ± {target:g} {'reached' if widest <= target else 'not reached within the budget'}"
        label = campaign.panel.label
        self.reporter.say(f"{label}: {done} processes, widest interval ± {widest:.2f} pp ({reached})")
        if done < least:
            more = campaign.spent + campaign.seconds_for_enough
            needed = f"a --budget of {more:.0f}s or more would do for this panel"
            self.reporter.say(f"the budget was too small for {least} processes; {needed}")


def _panel_of(record: Record) -> Panel | None:
    if isinstance(record, TimedRecord | StaticRecord):
        return record.case.panel
    return record.panel if isinstance(record, ProcessRecord) else None
