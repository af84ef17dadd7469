"""The fresh processes of one panel, from the parent's side: jobs, events, records, and who is to blame for a death."""

import functools
import random
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measure.latency.timing import Slot
from bench.spec.axes import EAGER
from bench.spec.cases import Case
from bench.spec.panel import Panel
from bench.spec.schema import USUAL_LIMITS, ProcessLimits
from bench.store.records import ProcessRecord, Record, TimedRecord
from bench.store.samples import Process, Slots
from bench.system import allocators, workers
from bench.system.environment import PATIENT_THREADS

_PREPARING = 5.0  # times the limit of silence, where a runtime exports and compiles: a minute or more on a busy machine
_PRESENT = 60.0  # seconds, for a fresh process to say that the device is there
_NO_CASE = -1
_STREAM = functools.partial(workers.stream, "bench.measure.latency.worker")


@dataclass(frozen=True)
class PanelProcesses:
    """Starts fresh processes of one panel. They know cases by their positions in ``cases``.

    exports: a folder that keeps exported files from process to process; None: each process exports again.
    export_seconds: what the export of one case may take. weights: as ``models.build`` takes them.
    stream: tests pass one that starts no process.
    """

    panel: Panel
    cases: Sequence[Case]
    files: Sequence[Path]
    seed: int
    exports: Path | None = None
    limits: ProcessLimits = USUAL_LIMITS
    export_seconds: float = 120.0
    weights: str | None = None
    stream: Callable[..., Iterator[workers.Event]] = _STREAM

    def events(
        self, mode: str, cases: Sequence[Case], number: int, order: dict[str, Any] | None = None, *, prove: bool = True
    ) -> Iterator[workers.Event]:
        """What a process says that does ``mode`` (see ``worker``) for replicate ``number``; ``case`` is the Case.

        The last event may be ``died`` (the case whose code ran last, or None, and the reason) or ``device_lost``
        (died: so is the process, with all that it measured). A context that a case has broken looks from inside as if
        the device were gone: a fresh process is asked, and where it finds the device, the case is to blame. order: of
        ``timing``, without its seed; a process that times builds its cases in a random order, the baseline among them.
        prove: whether runtimes are held against eager.
        """
        entered: Case | None = None
        lost = workers.Event()
        built = [[self.cases.index(case), case.to_json()] for case in cases]
        if order is not None:
            random.Random(self._random(f"{number}/build")).shuffle(built)
        with tempfile.NamedTemporaryFile() as slot_file:
            slot_file.write(struct.pack("qq", _NO_CASE, 0))
            slot_file.flush()
            if order is not None:
                order = {**order, "seed": self._random(f"{number}/order"), "slot_file": slot_file.name}
            job = {
                "mode": mode,
                "panel": vars(self.panel),
                "weights": self.weights,
                "files": [str(file) for file in self.files],
                "exports": None if self.exports is None else str(self.exports),
                "export_seconds": self.export_seconds,
                "cases": built,
                "seed": self._random(str(number)),
                "order": order,
                "prove": prove,
            }
            try:
                for event in self._start(job, alive=Path(slot_file.name).read_bytes):
                    if "case" in event:
                        event["case"] = self.cases[event["case"]]
                    if event["event"] in ("enter", "ready"):
                        entered = event.get("case")
                    if event["event"] == "device_lost":
                        lost = event  # however its process ends
                        break
                    yield event
            except workers.WorkerDied as death:
                lost = {"event": "device_lost", "reason": f"the process that used it {death}", "died": True}
                reason, silent = str(death), death.silent
            else:
                reason, silent = f"broke the device: {lost.get('reason')}", False
            if lost and not device_present(self.panel.device, self.stream):
                yield lost
            elif lost:
                (running,) = struct.unpack("q", Path(slot_file.name).read_bytes()[:8])
                blamed = entered if running == _NO_CASE else self.cases[running]
                yield {"event": "died", "reason": reason, "case": blamed, "silent": silent}

    def _start(self, job: dict[str, Any], **signs: Callable[[], object]) -> Iterator[workers.Event]:
        panel, order = self.panel, job.get("order")
        limit = self.limits.silence * (1.0 if panel.runtime == EAGER else _PREPARING)
        limit += order["gate_seconds"] if order else 0.0  # the quiet-machine gate is silent
        return self.stream(
            job,
            silence_limit=limit,
            env={**allocators.variables(panel.allocator), **(PATIENT_THREADS if order is None else {})},
            memory_share=1.0 if panel.device == "cpu" and panel.runtime == EAGER else None,  # others reserve freely
            memory_gib=self.limits.memory_gib,
            **signs,
        )

    def _random(self, what: str) -> int:
        return random.Random(f"{self.seed}/{self.panel.label}/{what}").getrandbits(48)


def device_present(device: str, stream: Callable[..., Iterator[workers.Event]] = _STREAM) -> bool:
    """Asked of a fresh process, after one has died or lost its device: one that is gone is no strategy's fault."""
    if device == "cpu":
        return True
    try:
        asked = stream({"mode": "present", "device": device}, silence_limit=_PRESENT, memory_share=None)
        return any(event.get("present") for event in asked)
    except workers.WorkerDied:
        return False


def copy_sizes(largest: int, available: int) -> list[int]:
    """MiB: powers of two up to ``largest``, as far as two such buffers take a quarter of the ``available`` bytes."""
    return [1 << power for power in range(largest.bit_length()) if (2 << 20 << power) <= available / 4]


def replicate_records(
    panel: Panel,
    cases: Sequence[tuple[int, Case]],
    number: int,
    blocks: Sequence[workers.Event],
    ready: workers.Event,
    started: str,
    wall: float,
    min_replicates: int = 0,
) -> list[Record]:
    """A timed record for each case, closed by one of the process.

    cases: (number in the slots, case). blocks, ready: the ``superblock`` and ``ready`` events.
    """
    records: list[Record] = []
    for index, case in cases:
        slots = _slots(index, blocks)
        record_id = f"{case.key}/r{number}"
        records.append(TimedRecord(id=record_id, case=case, replicate=number, samples=slots, started=started))
    per_block = ("wall", "waited", "disturbance", "sensors", "page_seconds", "rebuild_seconds")
    names = {index: case.label.removeprefix(f"{panel.label}/") for index, case in cases}
    samples: dict[str, Any] = {name: [block[name] for block in blocks] for name in per_block}
    samples["copies"] = {size: [block["copies"][size] for block in blocks] for size in blocks[0]["copies"]}
    samples["build_order"] = [[names[i] for i in block["build_order"] if i in names] for block in blocks]
    samples["min_replicates"] = min_replicates
    samples |= {name: ready[name] for name in ("startup_seconds", "warm_up_seconds", "backend")}
    record_id, process = f"process/{panel.label}/r{number}", Process(**samples)
    closing = ProcessRecord(
        id=record_id, panel=panel, replicate=number, samples=process, started=started, wall_seconds=wall
    )
    return [*records, closing]


def _slots(index: int, blocks: Sequence[workers.Event]) -> Slots:
    """The columns of a case's slots in all superblocks; one that is not known in every slot is left out."""
    rows = [[number, *row[1:]] for number, block in enumerate(blocks) for row in block["slots"] if row[0] == index]
    columns = dict(zip(("superblock", *Slot._fields[1:]), map(list, zip(*rows, strict=True)), strict=True))
    return Slots(**{name: values for name, values in columns.items() if None not in values})
