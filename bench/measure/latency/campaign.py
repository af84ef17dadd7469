"""One panel, from the static pass over its cases to its last replicate.

A case that fails (raises, is not finite, hangs, kills its process) is recorded as failed and measured no further; the
others go on without it. Where a process dies, the case whose code ran last is to blame.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import psutil

from bench.analysis.overheads import Overhead, OverheadEstimator
from bench.measure.latency import stopping
from bench.measure.latency.process import PanelProcesses, copy_sizes, replicate_records
from bench.measure.latency.stopping import Costs, Shape
from bench.models import runtimes
from bench.spec.axes import BASELINE, EAGER
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.spec.schema import Stopping
from bench.store.records import ProcessRecord, Record, StaticRecord, Status, TimedRecord
from bench.system import allocators, workers

_FELL_WITH_BASELINE = "fell_with_baseline"  # the flag of a case that failed through no fault of its own
_GATE_SHARE = 0.1  # of the budget: how long the quiet-machine gate may wait in all


def failed_while_measured(records: Sequence[Record]) -> dict[str, str]:
    """{strategy: why}: those that failed of themselves in eager, in whatever panel, and are measured no further.

    What one other runtime cannot run, export or compute exactly may still run in the next.
    """
    failed = [record for record in records if isinstance(record, TimedRecord) and record.status == "failed"]
    own = [r for r in failed if r.case.panel.runtime == EAGER and _FELL_WITH_BASELINE not in r.flags]
    reasons = {record.case.variant.strategy: record.reason or "" for record in reversed(own)}
    reasons.pop(BASELINE, None)
    return reasons


class Campaign:
    """Measures the cases of one panel. ``known``: records of this panel from a run that is resumed."""

    def __init__(
        self, processes: PanelProcesses, settings: Stopping, budget: float, known: Sequence[Record] = ()
    ) -> None:
        self.panel, self.cases, self.settings = processes.panel, processes.cases, settings
        self.device_lost: str | None = None  # why the panel ended before its time
        self._processes = processes
        self._estimator = OverheadEstimator()
        self._done: set[int] = set()  # replicates
        self._dropped: set[Case] = set()
        self._counted: set[Case] = set()
        self._budget, self._began = budget, time.monotonic()
        self._costs: Costs | None = None  # as the last process showed
        self._gate_left = _GATE_SHARE * budget
        self._counting = 0.0  # seconds of the budget that the static pass has taken
        for record in known:
            self._take(record)
            if isinstance(record, ProcessRecord) and record.status == "ok":
                self._began -= record.wall_seconds  # the budget that an earlier session has used
        self._overheads = self._estimator.overheads()
        self.shape = self._plan()

    def _take(self, record: Record) -> None:
        """What follows from a record, new or of an earlier session."""
        self._estimator.add(record)
        match record:
            case StaticRecord():
                self._counted.add(record.case)
            case TimedRecord(status="ok", replicate=int(number)):
                self._done.add(number)
            case TimedRecord():
                self._dropped.add(record.case)
            case ProcessRecord(status="ok", samples=samples) if samples:
                self._costs = Costs(samples.startup_seconds, samples.wall[-1])
                self._gate_left -= sum(samples.waited)

    @property
    def replicates_done(self) -> int:
        """Fresh processes whose samples are on record."""
        return len(self._done)

    @property
    def _next_replicate(self) -> int:
        """The number of the next process: the first that is free, as a damaged one may have been set aside."""
        return next(number for number in itertools.count() if number not in self._done)

    @property
    def spent(self) -> float:
        """Seconds of the budget used so far."""
        return time.monotonic() - self._began

    @property
    def budget_for_enough(self) -> float:
        """Seconds that the fewest processes worth an interval would take."""
        return self.settings.min_replicates * (self._costs.process(1) if self._costs else 0.0)

    def drop_strategy(self, strategy: str, reason: str) -> Iterator[Record]:
        """Record all cases of a strategy as failed: it is measured no further. The baseline takes all with it."""
        for case in self._standing():
            if case.variant.strategy == strategy:
                yield self._drop(case, "failed", reason)
            elif strategy == BASELINE:
                yield self._drop(case, "failed", f"the baseline of its panel failed: {reason}", (_FELL_WITH_BASELINE,))

    def _fail(self, case: Case, reason: str) -> Iterator[Record]:
        """In eager, a strategy that fails once is measured no further; what one other runtime cannot export or compute
        at one fraction it may at the next."""
        if self.panel.runtime == EAGER or case.variant.strategy == BASELINE:
            yield from self.drop_strategy(case.variant.strategy, reason)
        elif case not in self._dropped:
            yield self._drop(case, "failed", reason)

    def skip_where_it_cannot_run(self) -> Iterator[Record]:
        """Record all cases as skipped where the panel's runtime or allocator cannot be had here, with the reason."""
        panel = self.panel
        no_runtime = runtimes.why_not(panel.runtime, panel.device, panel.dtype)
        if reason := no_runtime or allocators.why_not(panel.allocator, panel.device):
            for case in self._standing():
                yield self._drop(case, "skipped", reason)

    def count(self) -> Iterator[Record]:
        """The static pass: each case once, untimed, for its parameters, FLOPs, traffic, peak memory and, where its
        runtime tells, the nodes that are executed."""
        while waiting := [case for case in self._standing() if case not in self._counted]:
            start = time.monotonic()
            for event in self._processes.events("static", waiting, self._next_replicate):
                case, reason = event.get("case"), event.get("reason", "")
                match event["event"]:
                    case "device_lost":
                        yield self._lose_device(reason, _now())
                        return
                    case "died":
                        self._began += time.monotonic() - start
                        blamed = case.variant.strategy if case else BASELINE  # before any case: the network itself
                        yield from self.drop_strategy(blamed, f"the process that built it {reason}")
                    case _ if case is None or case in self._dropped:  # it fell with another case of its strategy
                        pass
                    case "static":
                        record = StaticRecord(id=f"static/{case.label}", case=case, samples=event["samples"])
                        self._take(record)
                        yield record
                    case "skipped":
                        yield self._drop(case, "skipped", reason)
                    case "failed":
                        yield from self._fail(case, reason)

    def replicates(self) -> Iterator[list[Record]]:
        """Fresh processes, one after the other, until every interval is narrow enough or the budget is used up.

        Each gives its records together, closed by the one of the process. What a process took that died of one
        strategy is not charged to the budget of the others.
        """
        self._counting = self.spent if self._costs is None else 0.0
        while len(self._standing()) > 1 and self.replicates_done < self.settings.max_replicates:
            enough = self.replicates_done >= self.settings.min_replicates
            if enough and self.widest() <= self.settings.target_half_width_pp:
                return
            left = self._budget - self.spent
            if self._costs and left < self._costs.process(1):
                return
            done, start = self.replicates_done, time.monotonic()
            yield list(self._replicate(self._next_replicate, start + left))
            if self.device_lost:
                return
            if self.replicates_done == done:  # it died, and is repeated without the one to blame
                self._began += time.monotonic() - start
            self.shape = self._plan()

    def _replicate(self, number: int, deadline: float) -> Iterator[Record]:
        """One process. Its records come at its end: a process that dies leaves none, and is repeated."""
        start, started = time.monotonic(), _now()
        blocks: list[workers.Event] = []
        failures, ready, lost = dict[Case, str](), workers.Event(), None
        order = {
            "deadline": deadline,
            "superblocks": self.shape.superblocks,
            "gate_seconds": max(0.0, self._gate_left),
            "copy_mebibytes": copy_sizes(self.settings.largest_copy_mib, psutil.virtual_memory().available),
        }
        prove = self.replicates_done == 0  # of the same file, or code, once is enough
        for event in self._processes.events("timed", self._standing(), number, order, prove=prove):
            match event["event"]:
                case "ready":
                    ready = {**event, "startup_seconds": time.monotonic() - start}
                case "failed":
                    failures[event["case"]] = event["reason"]
                case "superblock":
                    blocks.append(event)
                case "died":
                    blocks.clear()
                    blamed = event["case"] or Case(BASELINE_VARIANT, self.panel)
                    failures[blamed] = f"the process that ran it {event['reason']}"
                case "device_lost":
                    lost = event["reason"]
                    if event.get("died"):
                        blocks.clear()
        for case, reason in failures.items():
            yield from self._fail(case, reason)
        if blocks and len(self._standing()) > 1:
            standing = [(self.cases.index(case), case) for case in self._standing()]
            wall = time.monotonic() - start
            for record in replicate_records(self.panel, standing, number, blocks, ready, started, wall):
                self._take(record)
                yield record
            self._overheads = self._estimator.overheads()
        if lost:
            yield self._lose_device(lost, started)

    def _plan(self) -> Shape:
        """How many processes of how many superblocks: from the pilot's variances once there is one."""
        if self._costs is None:
            return Shape(self.settings.max_replicates, stopping.PILOT_SUPERBLOCKS)
        pilot = self.replicates_done >= self.settings.min_replicates
        measured = [list(own.per_superblock.values()) for own in self._measured()] if pilot else []
        return stopping.shape(measured, self._costs, max(0.0, self._budget - self._counting), self.settings)

    def _measured(self) -> list[Overhead]:
        """The overheads of the cases that still stand, without the baseline itself."""
        standing = {case for case in self._standing() if case.variant != BASELINE_VARIANT}
        return [overhead for overhead in self._overheads if overhead.case in standing]

    def widest(self) -> float:
        """The largest half-width so far, in pp of overhead; infinite where a case has no interval yet."""
        widths = [overhead.interval().half_width for overhead in self._measured()]
        return max((w if w == w else float("inf") for w in widths), default=float("inf"))

    def _standing(self) -> list[Case]:
        return [case for case in self.cases if case not in self._dropped]

    def _lose_device(self, reason: str, started: str) -> Record:
        self.device_lost = f"{self.panel.device} disappeared: {reason}"
        record_id = f"process/{self.panel.label}/lost-{started}"
        return ProcessRecord(id=record_id, panel=self.panel, status="failed", reason=self.device_lost, started=started)

    def _drop(self, case: Case, status: Status, reason: str, flags: tuple[str, ...] = ()) -> Record:
        record = TimedRecord(id=f"{case.key}/{status}", case=case, status=status, reason=reason, flags=flags)
        self._take(record)
        return record


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
