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
from bench.records import Record
from bench.settings import Latency
from bench.sweep import BASELINE_VARIANT, Case, Panel

_CASE_LIMIT = 120.0  # seconds of silence for building one case, or for the whole start of a process
_SLOT_LIMIT = 10.0  # seconds per slot of a superblock before a process counts as hung
_MODULE = "bench.latency.worker"
_COPY_BYTES = 2 * (64 << 20)  # what the worker's copy_bandwidth moves: 64 MiB read and 64 MiB written
_WORTH_A_START = 4  # superblocks that a process should at least measure, or its start costs more than it gives


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
        self._files, self._seed = [str(file) for file in files], seed
        self._records = [record for record in known if record.kind == "latency"]
        self._failed = {
            Case.from_json(r.case) for r in known if r.kind in ("static", "latency") and r.status == "failed"
        }
        self._counted = {Case.from_json(r.case) for r in known if r.kind == "static"}
        self._budget = budget
        self._planned = settings.max_replicates
        self._startup, self._superblock = 0.0, 0.0

    @property
    def replicates_done(self) -> int:
        """Fresh processes whose samples are on record."""
        return len({record.replicate for record in self._records if record.status == "ok"})

    @property
    def share_done(self) -> float:
        """Of the replicates planned so far."""
        return min(1.0, self.replicates_done / self._planned)

    def exclude(self, case: Case, reason: str) -> Record:
        """Record a case as failed before any of its code is timed."""
        self._failed.add(case)
        return Record(id=f"static/{case.label}", kind="static", status="failed", reason=reason, case=case.to_json())

    def count(self) -> Iterator[Record]:
        """The static pass: each case once, untimed, for its parameters, FLOPs, traffic and peak memory."""
        while waiting := [case for case in self._standing() if case not in self._counted]:
            entered: Case | None = None
            try:
                for event in self._stream("static", waiting, deadline=0.0):
                    match event["event"]:
                        case "enter":
                            entered = self.cases[event["case"]]
                        case "static":
                            case = self.cases[event["case"]]
                            self._counted.add(case)
                            yield self._static_record(case, event["samples"])
                        case "failed":
                            yield self.exclude(self.cases[event["case"]], event["reason"])
            except workers.WorkerDied as death:
                if entered is None:
                    raise
                yield self.exclude(entered, f"the process that built it {death}")
        yield from self._fall_with_baseline()

    def replicates(self) -> Iterator[Record]:
        """Fresh processes, one after the other, until every interval is narrow enough or the budget is used up.

        What a process took that died of one case is not charged to the budget of the others.
        """
        began = time.monotonic()
        budget = self._budget * (1 - self.share_done)  # a run that is resumed has used a part of it
        while len(self._standing()) > 1 and self.replicates_done < self._planned:
            if (
                self.replicates_done >= self.settings.min_replicates
                and self.widest() <= self.settings.target_half_width_points
            ):
                return
            left = budget - (time.monotonic() - began)
            if self._superblock and left < self._startup + self._superblock:
                return
            share = left / (self._planned - self.replicates_done)
            number, start = self.replicates_done, time.monotonic()
            yield from self._replicate(number, start + share)
            if self.replicates_done == number:  # it died, and is repeated without the one to blame
                began += time.monotonic() - start
            if self._superblock:
                worthwhile = int(self._budget / (self._startup + _WORTH_A_START * self._superblock))
                self._planned = min(max(worthwhile, self.settings.min_replicates), self.settings.max_replicates)

    def widest(self) -> float:
        """The largest half-width so far, in points of overhead; infinite where a case has no interval yet."""
        measured = [o for o in estimates.overheads(self._records) if o.case.variant != BASELINE_VARIANT]
        widths = [o.interval().half_width for o in measured]
        return max((w if w == w else float("inf") for w in widths), default=float("inf"))

    def _standing(self) -> list[Case]:
        return [case for case in self.cases if case not in self._failed]

    def _fall_with_baseline(self) -> Iterator[Record]:
        """Without its baseline no case of the panel has an overhead."""
        if Case(BASELINE_VARIANT, self.panel) in self._failed:
            for case in self._standing():
                yield self.exclude(case, "the baseline of its panel failed")

    def _replicate(self, number: int, deadline: float) -> Iterator[Record]:
        """One process. Its records come at its end: a process that dies leaves none, and is repeated."""
        start, started = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        blocks: list[dict[str, Any]] = []
        entered, failures = -1, dict[int, str]()
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
                            failures[event["case"]] = event["reason"]
                        case "superblock":
                            blocks.append(event)
                            self._superblock = event["wall"]
                reason = None
            except workers.WorkerDied as death:
                reason = str(death)
                running = struct.unpack("q", Path(slot_file.name).read_bytes()[:8])[0]
                entered = running if running >= 0 else entered
        if reason is not None:
            if entered < 0:
                raise workers.WorkerDied(f"the measuring process {reason}")
            failures[entered] = f"the process that ran it {reason}"
            blocks = []
        for index, why in failures.items():
            self._failed.add(self.cases[index])
            yield self._latency_record(self.cases[index], number, "failed", started, reason=why)
        yield from self._keep(self._latency_failures_of_baseline(number, started))
        if blocks and Case(BASELINE_VARIANT, self.panel) not in self._failed:
            yield from self._keep(self._samples(number, blocks, started))
            yield self._replicate_record(number, blocks, started, time.monotonic() - start)

    def _latency_failures_of_baseline(self, number: int, started: str) -> Iterator[Record]:
        if Case(BASELINE_VARIANT, self.panel) in self._failed:
            for case in self._standing():
                self._failed.add(case)
                why = "the baseline of its panel failed"
                yield self._latency_record(case, number, "failed", started, reason=why)

    def _keep(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            self._records.append(record)
            yield record

    def _samples(self, number: int, blocks: list[dict[str, Any]], started: str) -> Iterator[Record]:
        for case in self._standing():
            index = self.cases.index(case)
            own = [
                (b, position, s) for b, block in enumerate(blocks) for i, position, s in block["slots"] if i == index
            ]
            columns = dict(zip(("superblock", "position", "seconds"), map(list, zip(*own, strict=True)), strict=True))
            yield self._latency_record(case, number, "ok", started, samples=columns)

    def _latency_record(self, case: Case, number: int, status: Any, started: str, **rest: Any) -> Record:
        label = f"latency/{case.label}/r{number}"
        return Record(
            id=label if status == "ok" else f"{label}/failed",
            kind="latency",
            status=status,
            case=case.to_json(),
            replicate=number,
            started=started,
            **rest,
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
