"""One panel, from the first look at its cases to its last replicate. The parent's side: it imports no torch.

A case that fails (raises, is not finite, hangs, kills its process) is recorded as failed and measured no further; the
others go on without it. Where a process dies, the case whose code ran last is to blame.
"""

import random
import struct
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import estimates, workers
from bench.axes import BASELINE
from bench.records import Record, Status
from bench.settings import Latency
from bench.sweep import BASELINE_VARIANT, Case, Panel

_CASE_LIMIT = 120.0  # seconds of silence that any process may need: importing torch, building one case
_SLOT_LIMIT = 10.0  # seconds more for each slot of a superblock, which is silent until its end
_MODULE = "bench.latency.worker"
_FELL_WITH_BASELINE = "fell_with_baseline"  # the flag of a case that failed through no fault of its own
_COPY_BYTES = 2 * (64 << 20)  # what the worker's copy_bandwidth moves: 64 MiB read and 64 MiB written
_WORTH_A_START = 2  # superblocks a process should measure: processes differ by more than superblocks do, so many short
# ones tell more than a few long ones, down to where their starts eat up the budget


def failed_while_measured(records: Sequence[Record]) -> dict[str, str]:
    """{strategy: why}: those that failed of themselves, in whatever panel, and are measured no further."""
    failed = [r for r in records if r.kind == "latency" and r.status == "failed"]
    own = [r for r in failed if r.case["strategy"] != BASELINE and _FELL_WITH_BASELINE not in r.flags]
    return {record.case["strategy"]: record.reason or "" for record in reversed(own)}


class Campaign:
    """Measures the cases of one panel. ``known``: records of this panel from a run that is resumed."""

    def __init__(
        self,
        panel: Panel,
        cases: Sequence[Case],
        files: Sequence[Path],
        settings: Latency,
        budget: float,
        seed: int,
        known: Sequence[Record] = (),
    ) -> None:
        self.panel, self.cases, self.settings = panel, list(cases), settings
        self.failed: dict[str, str] = {}  # strategy -> why it is measured no further
        self._files, self._seed = [str(file) for file in files], seed
        self._records = [record for record in known if record.kind == "latency"]
        self._dropped = {Case.from_json(r.case) for r in known if r.kind != "replicate" and r.status != "ok"}
        self._counted = {Case.from_json(r.case) for r in known if r.kind == "static"}
        self._began = time.monotonic()
        self._startup, self._superblock = 0.0, 0.0
        for record in (record for record in known if record.kind == "replicate"):
            self._began -= record.wall_seconds  # the budget that an earlier session has used
            self._startup, self._superblock = record.samples["startup_seconds"], record.samples["wall"][-1]
        self._budget = budget
        self._planned = self._worthwhile()

    @property
    def replicates_done(self) -> int:
        """Fresh processes whose samples are on record."""
        return len({record.replicate for record in self._records if record.status == "ok"})

    @property
    def share_done(self) -> float:
        """Of the replicates planned so far."""
        return min(1.0, self.replicates_done / self._planned)

    @property
    def budget_for_enough(self) -> float:
        """Seconds that the fewest processes worth an interval would take."""
        return self.settings.min_replicates * (self._startup + self._superblock)

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

    def count(self) -> Iterator[Record]:
        """The static pass: each case once, untimed, for its parameters, FLOPs, traffic and peak memory."""
        while waiting := [case for case in self._standing() if case not in self._counted]:
            entered: Case | None = None
            start = time.monotonic()
            try:
                for event in self._stream("static", waiting, deadline=0.0):
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
                            yield from self.drop_strategy(case.variant.strategy, event["reason"])
            except workers.WorkerDied as death:
                blamed = entered.variant.strategy if entered else BASELINE  # before any case: the network itself
                self._began += time.monotonic() - start
                yield from self.drop_strategy(blamed, f"the process that built it {death}")

    def replicates(self) -> Iterator[list[Record]]:
        """Fresh processes, one after the other, until every interval is narrow enough or the budget is used up.

        Each gives its records together, closed by a ``replicate`` record. What a process took that died of one strategy
        is not charged to the budget of the others.
        """
        while len(self._standing()) > 1 and self.replicates_done < self._planned:
            enough = self.replicates_done >= self.settings.min_replicates
            if enough and self.widest() <= self.settings.target_half_width_points:
                return
            left = self._budget - (time.monotonic() - self._began)
            if self._superblock and left < self._startup + self._superblock:
                return
            share = left / (self._planned - self.replicates_done)
            number, start = self.replicates_done, time.monotonic()
            yield list(self._replicate(number, start + share))
            if self.replicates_done == number:  # it died, and is repeated without the one to blame
                self._began += time.monotonic() - start
            self._planned = self._worthwhile()

    def _worthwhile(self) -> int:
        """How many processes to plan: as many as the settings allow, each of them worth its start."""
        if not self._superblock:
            return self.settings.max_replicates
        processes = int(self._budget / (self._startup + _WORTH_A_START * self._superblock))
        return min(max(processes, self.settings.min_replicates), self.settings.max_replicates)

    def widest(self) -> float:
        """The largest half-width so far, in points of overhead; infinite where a case has no interval yet."""
        standing = {case for case in self._standing() if case.variant != BASELINE_VARIANT}
        measured = [o for o in estimates.overheads(self._records) if o.case in standing]
        widths = [o.interval().half_width for o in measured]
        return max((w if w == w else float("inf") for w in widths), default=float("inf"))

    def _standing(self) -> list[Case]:
        return [case for case in self.cases if case not in self._dropped]

    def _replicate(self, number: int, deadline: float) -> Iterator[Record]:
        """One process. Its records come at its end: a process that dies leaves none, and is repeated."""
        start, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        blocks: list[dict[str, Any]] = []
        entered, failures = -1, dict[str, str]()
        with tempfile.NamedTemporaryFile() as slot_file:
            slot_file.write(struct.pack("q", -1))
            slot_file.flush()
            try:
                for event in self._stream("timed", self._standing(), deadline, slot_file.name):
                    match event["event"]:
                        case "enter":
                            entered = event["case"]
                        case "ready":
                            self._startup, entered = time.monotonic() - start, -1
                        case "failed":
                            failures[self.cases[event["case"]].variant.strategy] = event["reason"]
                        case "superblock":
                            blocks.append(event)
                            self._superblock = event["wall"]
            except workers.WorkerDied as death:
                running = struct.unpack("q", Path(slot_file.name).read_bytes()[:8])[0]
                entered = running if running >= 0 else entered
                blamed = self.cases[entered].variant.strategy if entered >= 0 else BASELINE
                failures[blamed] = f"the process that ran it {death}"
                blocks = []
        for strategy, reason in failures.items():
            yield from self.drop_strategy(strategy, reason)
        if blocks and len(self._standing()) > 1:
            for record in self._samples(number, blocks, started):
                self._records.append(record)
                yield record
            yield self._replicate_record(number, blocks, started, time.monotonic() - start)

    def _drop(self, case: Case, status: Status, reason: str, flags: tuple[str, ...] = ()) -> Record:
        self._dropped.add(case)
        label = f"latency/{case.label}/{status}"
        return Record(id=label, kind="latency", status=status, reason=reason, flags=flags, case=case.to_json())

    def _samples(self, number: int, blocks: list[dict[str, Any]], started: str) -> Iterator[Record]:
        for case in self._standing():
            index = self.cases.index(case)
            own = [
                (b, position, s) for b, block in enumerate(blocks) for i, position, s in block["slots"] if i == index
            ]
            columns = dict(zip(("superblock", "position", "seconds"), map(list, zip(*own, strict=True)), strict=True))
            yield Record(
                id=f"latency/{case.label}/r{number}",
                kind="latency",
                status="ok",
                case=case.to_json(),
                replicate=number,
                samples=columns,
                started=started,
            )

    def _static_record(self, case: Case, samples: dict[str, Any]) -> Record:
        return Record(id=f"static/{case.label}", kind="static", status="ok", case=case.to_json(), samples=samples)

    def _replicate_record(self, number: int, blocks: list[dict[str, Any]], started: str, wall: float) -> Record:
        samples = {
            "copy_bytes": _COPY_BYTES,
            "copy_seconds": [block["copy_seconds"] for block in blocks],
            "wall": [block["wall"] for block in blocks],
            "disturbance": [block["disturbance"] for block in blocks],
            "startup_seconds": self._startup,
        }
        return Record(
            id=f"replicate/{self.panel.label}/r{number}",
            kind="replicate",
            status="ok",
            case=asdict(self.panel),
            replicate=number,
            samples=samples,
            started=started,
            wall_seconds=wall,
        )

    def _stream(
        self, mode: str, cases: Sequence[Case], deadline: float, slot_file: str = ""
    ) -> Iterator[workers.Event]:
        job = {
            "mode": mode,
            "panel": asdict(self.panel),
            "cases": [[self.cases.index(case), case.to_json()] for case in cases],
            "files": self._files,
            "seed": random.Random(f"{self._seed}/{self.panel.label}/{self.replicates_done}").getrandbits(48),
            "deadline": deadline,
            "slot_file": slot_file,
        }
        return workers.stream(_MODULE, job, silence_limit=_CASE_LIMIT + 2 * _SLOT_LIMIT * len(cases))
