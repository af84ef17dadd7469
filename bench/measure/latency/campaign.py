"""One panel, from the static pass over its cases to its last replicate.

A case that fails (raises, is not finite, hangs, kills its process) is recorded as failed and measured no further; the
others go on without it. Where a process dies, the case whose code ran last is to blame.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from statistics import median

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
GATE_SHARE = 0.1  # of the budget: how long the quiet-machine gate may wait in all
_OVERRUN, _LEAST_OVERRUN = 0.1, 10.0  # how much later the last process may end: of the budget, and in seconds


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
    """Measures the cases of one panel. ``known``: records of this panel, of a run that is resumed or of other cases.

    budget: seconds for the static pass and all processes; who shares out a section's may change it at any time.
    spent: how much of it was used, counting: by the static pass. device_lost: why the panel ended before its time.
    """

    def __init__(
        self, processes: PanelProcesses, settings: Stopping, budget: float, known: Sequence[Record] = ()
    ) -> None:
        self.panel, self.cases, self.settings = processes.panel, processes.cases, settings
        self.budget, self.spent = budget, 0.0
        self.device_lost: str | None = None
        self._processes = processes
        self._estimator = OverheadEstimator()
        self._replicates: dict[int, set[Case]] = {}  # what each process measured
        self._dropped: dict[Case, str] = {}  # and why
        self._costs: list[Costs] = []  # of each process
        self._proven = False  # by a process of this session: exported files do not outlive one
        self._counted: set[Case] = set()
        self._out_of_time = False
        self._silent = False  # the last process fell silent
        self._gate_left = GATE_SHARE * budget
        self.counting = 0.0
        for record in known:
            self._take(record)
        for record in known:
            if isinstance(record, ProcessRecord) and record.replicate in self._own:
                self.spent += record.wall_seconds  # of the budget, by an earlier session
        self._overheads = self._estimator.overheads()

    def _take(self, record: Record) -> None:
        """What follows from a record, new or of an earlier session."""
        self._estimator.add(record)
        match record:
            case StaticRecord():
                self._counted.add(record.case)
            case TimedRecord(status="ok", replicate=int(number)):
                self._replicates.setdefault(number, set()).add(record.case)
            case TimedRecord():
                self._dropped[record.case] = record.reason or record.status
            case ProcessRecord(status="ok", samples=samples, replicate=int(number)) if samples and number in self._own:
                superblock = samples.wall[-1] + max(samples.rebuild_seconds, default=0.0)
                self._costs.append(Costs(samples.startup_seconds, superblock))
                self._gate_left -= sum(samples.waited)

    @property
    def costs(self) -> Costs | None:
        """Of a usual process: the medians over those that there were; None before the first."""
        costs = self._costs
        return Costs(median(c.startup for c in costs), median(c.superblock for c in costs)) if costs else None

    @property
    def _own(self) -> set[int]:
        """The processes that measured these cases; others of this panel measured other cases."""
        standing = set(self._standing())
        return {number for number, cases in self._replicates.items() if standing <= cases}

    @property
    def replicates_done(self) -> int:
        """Fresh processes whose samples are on record."""
        return len(self._own)

    def has(self, number: int) -> bool:
        """This number is taken: a process of this panel is on record under it."""
        return number in self._replicates

    @property
    def finished(self) -> bool:
        """All intervals are narrow enough, or no further process is possible or fits into the budget."""
        if self.device_lost or self._out_of_time or self._baseline in self._dropped or len(self._standing()) < 2:
            return True
        done, settings = self.replicates_done, self.settings
        enough = done >= settings.min_replicates
        if done >= settings.max_replicates or (enough and self._narrow):
            return True
        return self.costs is not None and self.budget - self.spent < self.costs.process(1)

    @property
    def seconds_for_enough(self) -> float:
        """Seconds that the processes would take which the fewest worth an interval lack; 0 before the first."""
        lacking = max(0, self.settings.min_replicates - self.replicates_done)
        return lacking * self.costs.process(1) if self.costs else 0.0

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
        """Record all cases as skipped where the panel's runtime or allocator cannot be had here, or where its baseline
        was not measured in an earlier turn, with the reason."""
        panel = self.panel
        no_runtime = runtimes.why_not(panel.runtime, panel.device, panel.dtype)
        if reason := no_runtime or allocators.why_not(panel.allocator, panel.device):
            yield from self.skip(reason)
        yield from self._skip_without_baseline()

    def _skip_without_baseline(self) -> Iterator[Record]:
        if reason := self._dropped.get(self._baseline):
            yield from self.skip(reason)

    def skip(self, reason: str) -> Iterator[Record]:
        """Record all cases as skipped that no process has measured."""
        measured = set[Case]().union(*self._replicates.values())
        for case in self._standing():
            if case not in measured:
                yield self._drop(case, "skipped", reason)

    def count(self) -> Iterator[Record]:
        """The static pass: each case once, untimed, for its parameters, FLOPs, traffic, peak memory and, where its
        runtime tells, the nodes that are executed. Where that takes longer than a process might, none is timed."""
        _, limit = self._deadline_and_limit()
        while waiting := [case for case in self._standing() if case not in self._counted]:
            start, died = time.monotonic(), False
            for event in self._processes.events("static", waiting, len(self._replicates)):
                case, reason = event.get("case"), event.get("reason", "")
                match event["event"]:
                    case "device_lost":
                        yield self._lose_device(reason, _now())
                        return
                    case "died":
                        died = not event["silent"]
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
                if time.monotonic() > limit:
                    self._out_of_time = True
                    break
            if not died:
                self.counting += time.monotonic() - start
            if self._out_of_time:
                yield from self.skip("the budget ended while its cases were counted")
                break
            yield from self._skip_without_baseline()
        self.spent += self.counting

    def process(self, number: int) -> list[Record]:
        """The records of a fresh process, the ``number``-th of its panel, closed by the one of the process.

        It gives none where it died, and is repeated without the strategy to blame: what that one took is not charged to
        the budget of the others, unless it fell silent: that may be the machine's doing.
        """
        done, start, self._silent = self.replicates_done, time.monotonic(), False
        records = list(self._replicate(number))
        if self.replicates_done > done or self.finished or self._silent:
            self.spent += time.monotonic() - start
        return records

    def _replicate(self, number: int) -> Iterator[Record]:
        start, started = time.monotonic(), _now()
        blocks: list[workers.Event] = []
        failures, ready, lost = dict[Case, str](), workers.Event(), None
        deadline, limit = self._deadline_and_limit()
        order = {
            "deadline": deadline,
            "limit": limit,
            "superblocks": self.shape.superblocks,
            "gate_seconds": max(0.0, self._gate_left),
            "copy_mebibytes": copy_sizes(self.settings.largest_copy_mib, psutil.virtual_memory().available),
        }
        for event in self._processes.events("timed", self._standing(), number, order, prove=not self._proven):
            match event["event"]:
                case "ready":
                    ready = {**event, "startup_seconds": time.monotonic() - start}
                case "failed":
                    failures[event["case"]] = event["reason"]
                case "superblock":
                    blocks.append(event)
                case "out_of_time":
                    self._out_of_time = True
                    slow = event["reason"]
                case "died":
                    self._silent = event["silent"]
                    blocks.clear()
                    blamed = event["case"] or self._baseline
                    failures[blamed] = f"the process that ran it {event['reason']}"
                case "device_lost":
                    lost = event["reason"]
                    if event.get("died"):
                        blocks.clear()
        for case, reason in failures.items():
            yield from self._fail(case, reason)
        if blocks and len(self._standing()) > 1:
            standing = [(self.cases.index(case), case) for case in self._standing()]
            wall, fewest = time.monotonic() - start, self.settings.min_replicates
            for record in replicate_records(self.panel, standing, number, blocks, ready, started, wall, fewest):
                self._take(record)
                yield record
            self._overheads = self._estimator.overheads()
            self._proven = True  # of the same file, or code, once is enough
        if lost:
            yield self._lose_device(lost, started)
        yield from self._skip_without_baseline()
        if self._out_of_time and not self.replicates_done:
            yield from self.skip(f"the budget would end before a superblock does: {slow}")

    def _deadline_and_limit(self) -> tuple[float, float]:
        """When what begins now should end, and when it must; monotonic seconds."""
        deadline = time.monotonic() + self.budget - self.spent
        return deadline, deadline + max(_OVERRUN * self.budget, _LEAST_OVERRUN)

    @property
    def shape(self) -> Shape:
        """How many processes of how many superblocks: from the pilot's variances once there is one. It follows the
        budget, which changes between processes."""
        if self.costs is None:
            return Shape(self.settings.max_replicates, stopping.PILOT_SUPERBLOCKS)
        pilot = self.replicates_done >= self.settings.min_replicates
        measured = [list(own.per_superblock.values()) for own in self._measured()] if pilot else []
        return stopping.shape(measured, self.costs, self.budget - self.counting, self.settings)

    def _measured(self) -> list[Overhead]:
        """The overheads of the cases that still stand, without the baseline itself."""
        standing = {case for case in self._standing() if case.variant != BASELINE_VARIANT}
        return [overhead for overhead in self._overheads if overhead.case in standing]

    @property
    def _narrow(self) -> bool:
        """All intervals are narrow enough, and were so at the look before the last process. A spread that happens to
        look small would else end a panel too early (docs/statistics.md)."""
        target = self.settings.target_half_width_pp
        return self.replicates_done >= stopping.FEWEST and max(self.widest(), self.widest(without=1)) <= target

    def widest(self, without: int = 0) -> float:
        """The largest half-width so far, in pp of overhead; infinite where a case has no interval yet. without: so many
        of the last processes."""
        counted = [(overhead.pct, sorted(overhead.pct.by_unit)) for overhead in self._measured()]
        widths = [pct.among(units[: len(units) - without]).interval().half_width for pct, units in counted]
        return max((w if w == w else float("inf") for w in widths), default=float("inf"))

    @property
    def _baseline(self) -> Case:
        return Case(BASELINE_VARIANT, self.panel)

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
