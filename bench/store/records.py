"""What a run keeps: ``run.json`` (what was asked, where, how it ended) and ``records.jsonl`` (raw samples, see
``journal``).

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
5   every line of the journal ends with a checksum of what it says (``check``), so that damage is seen. accuracy: the
    machine that trained (``machine``). run.json: a hash of the code that measures.
6   detection: one form of the detector and seed, with its average precisions and a few frames to look at.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA = 6

Kind = Literal["latency", "online", "replicate", "static", "conformance", "accuracy", "detection"]
TIMED: tuple[Kind, ...] = ("latency", "online")
"""The kinds of records that hold slots, which a ``replicate`` record closes."""
Status = Literal["ok", "skipped", "failed"]


_BEFORE_ANYTHING = (".lock", "records.jsonl", "run.json.new")  # what a run makes before its header


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
    def timed(self) -> bool:
        """Holds slots, which a ``replicate`` record closes."""
        return self.kind in TIMED

    @property
    def of_streams(self) -> bool:
        """Measured in a panel of streams, frame by frame."""
        return "streams" in self.case


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write beside, then rename: a reader sees the old file or the new one, never half of one."""
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)  # half of it would take the room that is lacking
        raise


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
