"""What a run keeps: ``run.json`` (what was asked, where, how it ended) and ``records.jsonl`` (see ``journal``).

Schema history
--------------
1   first version. One line per record.
2   slots: what the system's counters said at their edges, the device's clock. process: the copy curve in several sizes,
    the price of a page fault, the quiet gate's waiting, sensors, numeric settings. static: traffic by operator size.
3   accuracy: under which condition an arm was trained; numbers of classes, learning curves, answers to shuffled frames.
4   online: frame by frame, with the seconds of each frame. accuracy: causal arms after each frame (``early``).
5   every line ends with a checksum (``check``). accuracy: the machine that trained. run.json: a hash of the code.
6   detection: one form of the detector and seed, with its average precisions and a few frames to look at.
7   one kind of record for one kind of thing: ``timed`` (was latency, online), ``process`` (was replicate), ``static``,
    ``trained`` (was accuracy, detection), ``checked`` (was conformance). Panels say their streams and allocator.
    run.json: trainings by section.
8   process: the order in which cases were built, and built anew; the fewest processes of an interval. run.json: what
    disturbed the machine before anything was measured (``disturbance``).
9   trained: samples of the video section. run.json: keys of the files that its trainings read.
10  timed: slots of captured graphs hold several replays, and one alone beside them (``alone_seconds``).
"""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter

from bench.spec.axes import Mistake
from bench.spec.cases import Case, Condition, Trial, Variant
from bench.spec.panel import Panel
from bench.spec.schema import Strict
from bench.store.migrations import SCHEMA, header_up_to_date
from bench.store.samples import Detection, Process, Recognition, Slots, Static, VideoRecognition

Status = Literal["ok", "skipped", "failed"]

HELD = ".lock.held"  # who writes into a folder, where its file system has no locks
_BEFORE_ANYTHING = (".lock", HELD, "records.jsonl", "run.json.new")  # what a run makes before its header


class FolderError(Mistake):
    """A run's folder that cannot be used; the message says why and what can be done."""


def _trial_to_json(trial: Trial) -> dict[str, Any]:
    return {"section": trial.section, "seed": trial.seed, **trial.variant.to_json(), **vars(trial.condition)}


def _trial_from_json(data: dict[str, Any]) -> Trial:
    return Trial(data["section"], Variant.from_json(data), Condition.from_json(data), data["seed"])


def _plain(kind: type, read: Any, write: Any) -> tuple[PlainValidator, PlainSerializer]:
    return PlainValidator(lambda value: value if isinstance(value, kind) else read(value)), PlainSerializer(write)


_CaseField = Annotated[Case, *_plain(Case, Case.from_json, Case.to_json)]
_PanelField = Annotated[Panel, *_plain(Panel, Panel.from_json, lambda panel: dict(vars(panel)))]
_TrialField = Annotated[Trial, *_plain(Trial, _trial_from_json, _trial_to_json)]


class _Record(Strict):
    """One immutable result. samples are raw; statistics are derived, never stored. reason: why it is not ok."""

    schema_version: int = SCHEMA
    id: str
    status: Status = "ok"
    reason: str | None = None
    flags: tuple[str, ...] = ()
    started: str = ""
    wall_seconds: float = 0.0


class TimedRecord(_Record):
    """The slots of one case in one process (a replicate). A ``process`` record closes those of its process."""

    kind: Literal["timed"] = "timed"
    case: _CaseField
    replicate: int | None = None
    samples: Slots = Slots()


class ProcessRecord(_Record):
    """One fresh process of a panel: what disturbed it, and what it measured beside the cases."""

    kind: Literal["process"] = "process"
    panel: _PanelField
    replicate: int | None = None
    samples: Process | None = None


class StaticRecord(_Record):
    """Parameters, FLOPs, bytes and memory of one case."""

    kind: Literal["static"] = "static"
    case: _CaseField
    samples: Static


class TrainedRecord(_Record):
    """One arm and seed of a section that trains."""

    kind: Literal["trained"] = "trained"
    trial: _TrialField
    samples: Recognition | Detection | VideoRecognition | None = None


class CheckedRecord(_Record):
    """One strategy, proven or not; reason: the check that failed, flags: those worth a remark."""

    kind: Literal["checked"] = "checked"
    strategy: str


Record = Annotated[
    TimedRecord | ProcessRecord | StaticRecord | TrainedRecord | CheckedRecord, Field(discriminator="kind")
]
RECORD: TypeAdapter[Record] = TypeAdapter(Record)
"""Parses a line of the journal."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never half of one."""
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            if isinstance(content, str):  # a path that is no text in this locale stays the bytes that it is
                content = content.encode(errors="surrogateescape")
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)  # half of it would take the room that is lacking
        raise


def read_header(folder: Path) -> dict[str, Any]:
    """``run.json`` of a run, up to date. Raises FolderError where the folder is not a run, or of a newer version."""
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
    return header_up_to_date(header)


def refuse_used(folder: Path) -> None:
    """A new run needs a new folder, an empty one, or one in which a run was killed before it had begun.

    Raises FolderError.
    """
    try:
        used = folder.exists() and (not folder.is_dir() or any(map(_counts, folder.iterdir())))
        is_run = used and (folder / "run.json").exists()
    except OSError as error:
        raise FolderError(f"cannot use {folder}: {error.strerror}") from None
    if used:
        hint = f"continue it with --resume {folder}, or choose another --out" if is_run else "choose another --out"
        raise FolderError(f"{folder} exists and is {'a run' if is_run else 'not a run'}; {hint}")


def _counts(path: Path) -> bool:
    """False for what lies in a folder before ``run.json`` does."""
    return path.name not in _BEFORE_ANYTHING or (path.name == "records.jsonl" and path.stat().st_size > 0)
