"""One panel, from the first look at its cases to its last replicate. The parent's side: it imports no torch.

A case that fails (raises, is not finite, hangs, kills its process) is recorded as failed and measured no further; the
others go on without it. Where a process dies, the case whose code ran last is to blame.
"""

import itertools
import random
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.analysis import overheads
from bench.measure.latency.process_records import replicate_records
from bench.measure.latency.stopping import PILOT_SUPERBLOCKS, Costs, Limits, Shape
from bench.measure.latency.stopping import shape as plan_shape
from bench.models import runtimes
from bench.spec.axes import BASELINE, EAGER
from bench.spec.cases import BASELINE_VARIANT, Case, Panel
from bench.spec.schema import USUAL_LIMITS, ProcessLimits, Stopping
from bench.store.records import TIMED, Record, Status
from bench.system import workers

_SLOT_LIMIT = 10.0  # seconds more for each slot of a superblock, which is silent until its end
_PREPARING = 5.0  # times the limit of silence, where a runtime exports and compiles: a minute or more on a busy machine
_MODULE = "bench.measure.latency.worker"
_FELL_WITH_BASELINE = "fell_with_baseline"  # the flag of a case that failed through no fault of its own
_GATE_SHARE = 0.1  # of the budget: how long the quiet-machine gate may wait in all


def failed_while_measured(records: Sequence[Record]) -> dict[str, str]:
    """{strategy: why}: those that failed of themselves in eager, in whatever panel, and are measured no further.

    What one other runtime cannot run, export or compute exactly may still run in the next.
    """
    failed = [r for r in records if r.kind in TIMED and r.status == "failed" and r.case["runtime"] == EAGER]
    own = [r for r in failed if r.case["strategy"] != BASELINE and _FELL_WITH_BASELINE not in r.flags]
    return {record.case["strategy"]: record.reason or "" for record in reversed(own)}


def _copy_sizes(largest: int, available: int) -> list[int]:
    """MiB: powers of two up to ``largest``, as far as two such buffers take a quarter of the ``available`` bytes."""
    return [1 << power for power in range(largest.bit_length()) if (2 << 20 << power) <= available / 4]


class Campaign:
    """Measures the cases of one panel. ``known``: records of this panel from a run that is resumed."""

    def __init__(
        self,
        panel: Panel,
        cases: Sequence[Case],
        files: Sequence[Path],
        settings: Stopping,
        budget: float,
        seed: int,
        known: Sequence[Record] = (),
        module: str = _MODULE,
        exports: Path | None = None,
        limits: ProcessLimits = USUAL_LIMITS,
    ) -> None:
        """exports: a folder that keeps exported files from process to process; None: each process exports again."""
        self.panel, self.cases, self.settings = panel, list(cases), settings
        self.failed: dict[str, str] = {}  # strategy -> why it is measured no further
        self.device_lost: str | None = None  # why the panel ended before its time
        self._limits = limits
        self._exports = None if exports is None else str(exports)
        self._files, self._seed, self._module = [str(file) for file in files], seed, module
        self._records = [record for record in known if record.kind in (panel.kind, "replicate")]
        self._dropped = {Case.from_json(r.case) for r in known if r.kind != "replicate" and r.status != "ok"}
        self._counted = {Case.from_json(r.case) for r in known if r.kind == "static"}
        self._began = time.monotonic()
        self._costs: Costs | None = None  # as the last process showed
        self._gate_left = _GATE_SHARE * budget
        self._counting = 0.0  # seconds of the budget that the static pass has taken
        for record in (record for record in known if record.kind == "replicate" and record.status == "ok"):
            self._began -= record.wall_seconds  # the budget that an earlier session has used
            self._costs = Costs(record.samples["startup_seconds"], record.samples["wall"][-1])
            self._gate_left -= sum(record.samples.get("waited", ()))
        self._budget = budget
        self.shape = self._plan()

    @property
    def replicates_done(self) -> int:
        """Fresh processes whose samples are on record."""
        return len({r.replicate for r in self._records if r.kind in TIMED and r.status == "ok"})

    @property
    def _next_replicate(self) -> int:
        """The number of the next process: the first that is free, as a damaged one may have been set aside."""
        taken = {record.replicate for record in self._records if record.kind in TIMED and record.status == "ok"}
        return next(number for number in itertools.count() if number not in taken)

    @property
    def share_done(self) -> float:
        """Of the replicates planned so far."""
        return min(1.0, self.replicates_done / max(1, self.shape.processes))

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
        self.failed[strategy] = reason
        for case in self._standing():
            if case.variant.strategy == strategy:
                yield self._drop(case, "failed", reason)
        if strategy == BASELINE:
            for case in self._standing():
                why = f"the baseline of its panel failed: {reason}"
                yield self._drop(case, "failed", why, (_FELL_WITH_BASELINE,))

    def _fail(self, case: Case, reason: str) -> Iterator[Record]:
        """In eager, a strategy that fails once is measured no further; what one other runtime cannot export or compute
        at one fraction it may at the next."""
        if self.panel.runtime == EAGER or case.variant.strategy == BASELINE:
            yield from self.drop_strategy(case.variant.strategy, reason)
        elif case not in self._dropped:
            yield self._drop(case, "failed", reason)

    def skip_where_it_cannot_run(self) -> Iterator[Record]:
        """Record all cases as skipped where the panel's runtime cannot be had here, with the reason."""
        if reason := runtimes.why_not(self.panel.runtime, self.panel.device, self.panel.dtype):
            for case in self._standing():
                yield self._drop(case, "skipped", reason)

    def count(self) -> Iterator[Record]:
        """The static pass: each case once, untimed, for its parameters, FLOPs, traffic, peak memory and, where its
        runtime tells, the nodes that are executed."""
        while waiting := [case for case in self._standing() if case not in self._counted and not self.device_lost]:
            entered: Case | None = None
            start = time.monotonic()
            try:
                for event in self._stream("static", waiting):
                    if event["event"] == "device_lost":
                        self.device_lost = event["reason"]
                        yield self._lost_record(datetime.now(UTC).isoformat(timespec="seconds"))
                        return
                    if "case" not in event:
                        continue
                    case = self.cases[event["case"]]
                    match event["event"]:
                        case "enter":
                            entered = case
                        case _ if case in self._dropped:
                            pass  # it fell with another case of its strategy
                        case "static":
                            self._counted.add(case)
                            yield self._static_record(case, event["samples"])
                        case "skipped":
                            yield self._drop(case, "skipped", event["reason"])
                        case "failed":
                            yield from self._fail(case, event["reason"])
            except workers.WorkerDied as death:
                if not self._device_is_there():
                    self.device_lost = f"the process that used it {death}"
                    yield self._lost_record(datetime.now(UTC).isoformat(timespec="seconds"))
                    return
                blamed = entered.variant.strategy if entered else BASELINE  # before any case: the network itself
                self._began += time.monotonic() - start
                yield from self.drop_strategy(blamed, f"the process that built it {death}")

    def replicates(self) -> Iterator[list[Record]]:
        """Fresh processes, one after the other, until every interval is narrow enough or the budget is used up.

        Each gives its records together, closed by a ``replicate`` record. What a process took that died of one strategy
        is not charged to the budget of the others.
        """
        self._counting = self.spent if self._costs is None else 0.0
        while len(self._standing()) > 1 and self.replicates_done < self.settings.max_replicates:
            enough = self.replicates_done >= self.settings.min_replicates
            if enough and self.widest() <= self.settings.target_half_width_points:
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

    def _plan(self) -> Shape:
        """How many processes of how many superblocks: from the pilot's variances once there is one."""
        if self._costs is None:
            return Shape(self.settings.max_replicates, PILOT_SUPERBLOCKS)
        pilot = self.replicates_done >= self.settings.min_replicates
        measured = [list(o.per_superblock.values()) for o in self._overheads()] if pilot else []
        settings = self.settings
        limits = Limits(
            settings.target_half_width_points / 100,
            settings.min_replicates,
            settings.max_replicates,
            settings.max_superblocks,
        )
        return plan_shape(measured, self._costs, max(0.0, self._budget - self._counting), limits)

    def _overheads(self) -> list[overheads.Overhead]:
        """Those of the cases that still stand, without the baseline itself."""
        standing = {case for case in self._standing() if case.variant != BASELINE_VARIANT}
        return [overhead for overhead in overheads.overheads(self._records) if overhead.case in standing]

    def widest(self) -> float:
        """The largest half-width so far, in points of overhead; infinite where a case has no interval yet."""
        widths = [overhead.interval().half_width for overhead in self._overheads()]
        return max((w if w == w else float("inf") for w in widths), default=float("inf"))

    def _standing(self) -> list[Case]:
        return [case for case in self.cases if case not in self._dropped]

    def _replicate(self, number: int, deadline: float) -> Iterator[Record]:
        """One process. Its records come at its end: a process that dies leaves none, and is repeated."""
        start, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        blocks: list[dict[str, Any]] = []
        entered, failures, ready = -1, dict[Case, str](), dict[str, Any]()
        with tempfile.NamedTemporaryFile() as slot_file:
            slot_file.write(struct.pack("q", -1))
            slot_file.flush()
            try:
                for event in self._stream("timed", self._standing(), self._order(deadline, slot_file.name)):
                    match event["event"]:
                        case "enter":
                            entered = event["case"]
                        case "ready":
                            ready, entered = {**event, "startup_seconds": time.monotonic() - start}, -1
                        case "failed":
                            failures[self.cases[event["case"]]] = event["reason"]
                        case "superblock":
                            blocks.append(event)
                        case "device_lost":
                            self.device_lost = event["reason"]
            except workers.WorkerDied as death:
                blocks = []
                running = struct.unpack("q", Path(slot_file.name).read_bytes()[:8])[0]
                entered = running if running >= 0 else entered
                blamed = self.cases[entered] if entered >= 0 else Case(BASELINE_VARIANT, self.panel)
                if self._device_is_there():
                    failures[blamed] = f"the process that ran it {death}"
                else:
                    self.device_lost = f"the process that used it {death}"
        for case, reason in failures.items():
            yield from self._fail(case, reason)
        if blocks and len(self._standing()) > 1:
            self._costs = Costs(ready["startup_seconds"], blocks[-1]["wall"])
            self._gate_left -= sum(block["waited"] for block in blocks)
            standing = [(self.cases.index(case), case) for case in self._standing()]
            records = replicate_records(self.panel, standing, number, blocks, ready, started, time.monotonic() - start)
            self._records += records
            yield from records
        if self.device_lost:
            yield self._lost_record(started)

    def _order(self, deadline: float, slot_file: str) -> dict[str, Any]:
        """What the process is to do: ``timing.Order`` as plain values."""
        settings = self.settings
        return {
            "seed": random.Random(f"{self._seed}/{self.panel.label}/{self._next_replicate}/order").getrandbits(48),
            "deadline": deadline,
            "superblocks": self.shape.superblocks,
            "slot_file": slot_file,
            "gate_seconds": max(0.0, self._gate_left),
            "copy_mebibytes": _copy_sizes(settings.largest_copy_mib, psutil.virtual_memory().available),
        }

    def _device_is_there(self) -> bool:
        """Asked in a fresh process, after one has died: a device that is gone is no strategy's fault."""
        if self.panel.device == "cpu":
            return True
        try:
            return any(event.get("present") for event in self._stream("present", []))
        except workers.WorkerDied:
            return False

    def _lost_record(self, started: str) -> Record:
        self.device_lost = f"{self.panel.device} disappeared: {self.device_lost}"
        return Record(
            id=f"replicate/{self.panel.label}/lost-{started}",
            kind="replicate",
            status="failed",
            reason=self.device_lost,
            case=asdict(self.panel),
            started=started,
        )

    def _drop(self, case: Case, status: Status, reason: str, flags: tuple[str, ...] = ()) -> Record:
        self._dropped.add(case)
        kind: Any = self.panel.kind
        label = f"{kind}/{case.label}/{status}"
        return Record(id=label, kind=kind, status=status, reason=reason, flags=flags, case=case.to_json())

    def _static_record(self, case: Case, samples: dict[str, Any]) -> Record:
        return Record(id=f"static/{case.label}", kind="static", status="ok", case=case.to_json(), samples=samples)

    def _stream(self, mode: str, cases: Sequence[Case], order: dict[str, Any] | None = None) -> Iterator[workers.Event]:
        job = {
            "mode": mode,
            "panel": asdict(self.panel),
            "cases": [[self.cases.index(case), case.to_json()] for case in cases],
            "files": self._files,
            "seed": random.Random(f"{self._seed}/{self.panel.label}/{self._next_replicate}").getrandbits(48),
            "order": order,
            "exports": self._exports,
            "prove": mode == "static" or self.replicates_done == 0,  # of the same file, or code, once is enough
        }
        limit = self._limits.silence * (1.0 if self.panel.runtime == EAGER else _PREPARING)
        if order is not None:  # a superblock is silent until its end
            limit += 2 * min(_SLOT_LIMIT, self._limits.silence) * len(cases) + order["gate_seconds"]
        share = 1.0 if self.panel.device == "cpu" and self.panel.runtime == EAGER else None  # others reserve freely
        return workers.stream(
            self._module, job, silence_limit=limit, memory_share=share, memory_gib=self._limits.memory_gib
        )
