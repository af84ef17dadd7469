"""What a run keeps: ``run.json`` (what was asked, where, how it ended) and ``records.jsonl`` (raw samples).

Schema history
--------------
1   first version. One line per record. Kinds: ``latency`` (one case in one replicate, its slots inside),
    ``replicate`` (what disturbed one fresh process and its copy bandwidth), ``static`` (parameters, FLOPs, bytes
    moved and peak memory of one case), ``conformance`` (one strategy), ``accuracy`` (one arm and seed).
2   latency: what the system's counters said at the edges of each slot, the device's clock. replicate: the copy curve in
    several sizes (``copies``) instead of one (``copy_seconds``), the price of a page fault, the quiet gate's waiting,
    sensors, the numeric settings in force. static: traffic by the size of operators, resident and allocated peaks.
3   accuracy: the case says under which condition an arm was trained (objective, view, lr_factor, length_factor, cohort
    beside data set and network; ids of the usual condition stay as they were); samples hold the numbers of classes,
    learning curves on validation clips, answers to shuffled frames, the seconds of each step of the training.
4   online: one case in one replicate, frame by frame, with the seconds of each frame in its slots; ``replicate`` and
    ``static`` records beside it say how many streams there are, ``static`` also what a stream remembers. accuracy:
    causal arms keep their accuracy after each frame of the test clips (``early``).
"""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SCHEMA = 4

Kind = Literal["latency", "online", "replicate", "static", "conformance", "accuracy"]
TIMED: tuple[Kind, ...] = ("latency", "online")
"""The kinds of records that hold slots, which a ``replicate`` record closes."""
Status = Literal["ok", "skipped", "failed"]


class FolderError(Exception):
    """A run's folder that cannot be used; the message says why and what can be done."""


class Record(BaseModel):
    """One immutable result. ``samples`` holds raw values (seconds, counts); statistics are derived, never stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA
    id: str
    kind: Kind
    status: Status
    reason: str | None = None
    flags: tuple[str, ...] = ()
    case: dict[str, Any] = Field(default_factory=dict)
    replicate: int | None = None
    seed: int | None = None
    samples: dict[str, Any] = Field(default_factory=dict)
    started: str = ""
    wall_seconds: float = 0.0

    @property
    def of_streams(self) -> bool:
        """Measured in a panel of streams, frame by frame."""
        return "streams" in self.case


class Run:
    """A run's folder, open for writing by this process alone.

    The lock is the kernel's: it goes with the process, so a dead run never blocks its own resumption.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None
        self._journal: IO[bytes] | None = None
        self.ids: set[str] = set()

    def __enter__(self) -> Self:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / ".lock").open("w")
            self._journal = (self.folder / "records.jsonl").open("ab")
        except OSError as error:
            raise FolderError(f"cannot write to {self.folder}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FolderError(
                f"another run is writing to {self.folder}; wait for it, or choose another --out"
            ) from None
        self._set_torn_end_aside()
        self.ids = {record.id for record in read_records(self.folder)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in (self._journal, self._lock):
            if handle is not None:
                handle.close()

    def append(self, *records: Record) -> None:
        """Put records on disk, whole and together, before anything else happens. An id already there is a bug."""
        for record in records:
            if record.id in self.ids:
                raise ValueError(f"record {record.id} was measured twice")
            self.ids.add(record.id)
        assert self._journal is not None
        self._journal.write(b"".join(record.model_dump_json().encode() + b"\n" for record in records))
        self._journal.flush()
        os.fsync(self._journal.fileno())

    def write_header(self, header: dict[str, Any]) -> None:
        """Replace ``run.json`` atomically."""
        write_atomically(self.folder / "run.json", json.dumps(header, indent=2, ensure_ascii=False) + "\n")

    def _set_torn_end_aside(self) -> None:
        """A process that died while writing leaves half a line, or half a replicate: samples of some cases without
        the ``replicate`` record that closes them. Keep both beside the journal, and measure them again."""
        path = self.folder / "records.jsonl"
        whole = _end_of_what_is_whole(path)
        if whole < path.stat().st_size:
            with path.open("rb") as journal, (self.folder / "records.torn").open("ab") as aside:
                journal.seek(whole)
                aside.write(journal.read() + b"\n")
            os.truncate(path, whole)


def _end_of_what_is_whole(path: Path) -> int:
    """The offset up to which the journal holds whole lines and whole replicates."""
    offset, open_replicate = 0, None
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                break
            record = _parse(path, line, number)
            if record.kind not in TIMED:
                open_replicate = None
            elif record.status == "ok" and open_replicate is None:
                open_replicate = offset
            offset += len(line)
    return offset if open_replicate is None else open_replicate


def write_atomically(path: Path, text: str) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never half of one."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def read_header(folder: Path) -> dict[str, Any]:
    """``run.json`` of a run. Raises FolderError where the folder is not a run, or newer than this version."""
    path = folder / "run.json"
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FolderError(f"{folder} is not a run: it has no run.json") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise FolderError(f"cannot read {path}: {error}") from None
    if not isinstance(header, dict) or not isinstance(header.get("schema_version"), int):
        raise FolderError(f"{path} is not a run's header: it has no schema_version")
    if header["schema_version"] > SCHEMA:
        raise FolderError(
            f"{folder} was written by a newer version (schema {header['schema_version']}, this one reads {SCHEMA})"
        )
    return header


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a run, one by one, in the order in which they were measured.

    A torn last line is passed over (a resumed run measures it again); a broken line elsewhere raises FolderError.
    """
    path = folder / "records.jsonl"
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.endswith(b"\n"):
                    return
                yield _parse(path, line, number)
    except FileNotFoundError:
        return
    except OSError as error:
        raise FolderError(f"cannot read {path}: {error.strerror}") from None


def _from_1(record: Record) -> dict[str, Any]:
    """What changes in a version-1 record, as far as it knows what version 2 says."""
    samples = dict(record.samples)
    if record.kind == "replicate":
        seconds = [sum(pair) / len(pair) for pair in samples.pop("copy_seconds")]
        mebibytes = samples.pop("copy_bytes") // 2 >> 20
        unknown: dict[str, Any] = {
            "waited": [],
            "page_seconds": [],
            "sensors": [],
            "backend": {},
            "warm_up_seconds": 0.0,
        }
        samples |= {"copies": {str(mebibytes): seconds}, **unknown}
    elif record.kind == "static":
        samples["operations"] = {str(samples["bytes_moved"]): 1}
    return {"samples": samples}


_ONLY_CONDITION_OF_2 = {
    "objective": "both",
    "view": "clip",
    "lr_factor": 1.0,
    "length_factor": 1.0,
    "cohort": "main",
}
_ONLY_CLASSES_OF_2 = {"spatial_classes": 10, "temporal_classes": 4}  # there was one data set, ring_digits


def _from_2(record: Record) -> dict[str, Any]:
    """What changes in a version-2 record: arms were trained in one way only, which their case now says."""
    if record.kind != "accuracy":
        return {}
    samples = record.samples | _ONLY_CLASSES_OF_2 if record.status == "ok" else record.samples
    return {"case": record.case | _ONLY_CONDITION_OF_2, "samples": samples}


def _from_3(record: Record) -> dict[str, Any]:
    """Nothing changes: there was no online section, and what an arm knew early was not asked."""
    return {}


_MIGRATIONS = {1: _from_1, 2: _from_2, 3: _from_3}


def _parse(path: Path, line: bytes, number: int) -> Record:
    """A line of the journal, brought to this version's schema. Raises FolderError."""
    try:
        record = Record.model_validate_json(line)
        while record.schema_version in _MIGRATIONS:
            changes = _MIGRATIONS[record.schema_version](record)
            record = record.model_copy(update={**changes, "schema_version": record.schema_version + 1})
        return record
    except ValidationError as error:
        raise FolderError(f"{path}, line {number} is not a record: {error.errors()[0]['msg']}") from None
