"""``records.jsonl``: an append-only file of records, each whole on disk before the next begins.

A line is a record as JSON whose last key is ``check``, the CRC-32 of the record without it. So a line that was cut off,
half written or damaged later is seen. What is measured belongs together: the cases of one process (a replicate), closed
by a ``process`` record. When a run is opened for writing, damaged lines and replicates that are not whole are set
aside in ``records.torn`` and measured again; all others stay as they are.
"""

import errno
import fcntl
import json
import lzma
import os
import re
import socket
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self

import psutil
from pydantic import ValidationError

from bench.store.migrations import SCHEMA, up_to_date
from bench.store.records import HELD, RECORD, FolderError, Record, TimedRecord, write_atomically

_LOCKED = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # by somebody else; all others: not to be had
_FIRST_SEALED = 5  # the first schema version whose lines carry a checksum
_SEAL = re.compile(rb',"check":"([0-9a-f]{8})"\}$')


class Damaged(Exception):
    """A line of the journal that cannot be trusted; the message says why."""


def seal(record: Record) -> bytes:
    """A record as a line of the journal."""
    body = record.model_dump_json().encode()
    return b'%s,"check":"%08x"}\n' % (body[:-1], zlib.crc32(body))


def unseal(line: bytes) -> Record:
    """The record that a line holds, brought up to date. Raises Damaged, and FolderError for one of a newer version.

    Lines of versions before 5 have no checksum: they are taken where they are records.
    """
    if not line.endswith(b"\n"):
        raise Damaged("it ends in the middle")
    body = line[:-1]
    found = _SEAL.search(body)
    if found:
        body = body[: found.start()] + b"}"
        if zlib.crc32(body) != int(found[1], 16):
            raise Damaged("its checksum does not fit")
    try:
        plain = json.loads(body)
        version = plain.get("schema_version", 1)
        if version > SCHEMA:
            raise FolderError(f"it was written by a newer version (schema {version}, this one reads {SCHEMA})")
        if version >= _FIRST_SEALED and not found:
            raise Damaged("its checksum is missing")
        return RECORD.validate_python(up_to_date(plain))
    except ValidationError as error:
        raise Damaged(f"it is not a record: {error.errors()[0]['msg']}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f"it is not a record: {type(error).__name__}") from None


def read_records(folder: Path) -> Iterator[Record]:
    """The records of a run, one by one, in the order in which they were measured.

    A torn last line is passed over (a resumed run measures it again); damage elsewhere raises FolderError.
    """
    path = folder / "records.jsonl"
    for number, line, found in _unsealed(path):
        if not isinstance(found, Damaged):
            yield found
        elif line.endswith(b"\n"):
            raise FolderError(
                f"{path}, line {number} is damaged: {found}. run --resume {folder} sets it aside and measures it again"
            )


def read_whole_records(folder: Path) -> tuple[list[Record], list[str]]:
    """The records of a run that are whole, and what is wrong with each line that is not: to show what can be shown.

    Raises FolderError for records of a newer version.
    """
    records, damaged = list[Record](), list[str]()
    for number, _, found in _unsealed(folder / "records.jsonl"):
        if isinstance(found, Damaged):
            damaged.append(f"line {number}: {found}")
        else:
            records.append(found)
    return records, damaged


def _unsealed(path: Path) -> Iterator[tuple[int, bytes, Record | Damaged]]:
    """(number, line, its record or why it cannot be trusted). Raises FolderError for one of a newer version."""
    for number, line in _lines(path):
        found: Record | Damaged
        try:
            found = unseal(line)
        except Damaged as why:
            found = why
        except FolderError as why:
            raise FolderError(f"{path}, line {number}: {why}") from None
        yield number, line, found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Of the journal, or of the compressed one that a published run keeps in its place."""
    compressed = packed(path)
    try:
        with lzma.open(compressed) if compressed.exists() and not path.exists() else path.open("rb") as lines:
            yield from enumerate(lines, 1)
    except FileNotFoundError:
        return
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise FolderError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def packed(path: Path) -> Path:
    """Where the compressed journal of a published run lies."""
    return path.with_name(f"{path.name}.xz")


class Run:
    """A run's folder, open for writing by this process alone.

    The lock is the kernel's: it goes with the process, so a dead run never blocks its own resumption. Where the file
    system has none, a file says who writes; ``note`` tells so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "records.jsonl"
        self.ids: set[str] = set()
        self.set_aside = 0  # lines that were damaged, or not whole
        self.note = ""
        self._journal = -1  # its handle, while the run is open
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        """Raises FolderError where the folder cannot be written, or another process writes into it."""
        try:
            with ExitStack() as opening:
                self._open(opening)
                self._opened = opening.pop_all()
        except OSError as error:
            raise FolderError(f"cannot write to {self.folder}: {error.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def append(self, *records: Record) -> None:
        """Put records on disk, whole and together, before anything else happens. An id already there is a bug.

        Raises FolderError where the disk does not take them; what was there before is still whole.
        """
        for record in records:
            if record.id in self.ids:
                raise ValueError(f"record {record.id} was measured twice")
        state = os.fstat(self._journal)
        if not state.st_nlink:
            raise FolderError(f"{self.path} was removed while the run was writing to it: its records are lost")
        left = memoryview(b"".join(map(seal, records)))
        try:
            while left:
                left = left[os.write(self._journal, left) :]
            os.fsync(self._journal)
        except OSError as error:
            os.ftruncate(self._journal, state.st_size)
            raise FolderError(self._kept_but(error)) from None
        self.ids.update(record.id for record in records)

    def write_header(self, header: dict[str, Any]) -> None:
        """Replace ``run.json`` atomically. Raises FolderError where the folder does not take it."""
        text = json.dumps(header, indent=2, ensure_ascii=False) + "\n"
        try:
            write_atomically(self.folder / "run.json", text)
        except OSError as error:
            raise FolderError(self._kept_but(error)) from None

    def _kept_but(self, error: OSError) -> str:
        return (
            f"cannot write to {self.folder}: {error.strerror}. The {len(self.ids)} records before are kept; "
            f"make room or restore the folder, then go on with: run --resume {self.folder}"
        )

    def _open(self, opening: ExitStack) -> None:
        """Lock the folder, set aside what is not whole, and open the journal; ``opening`` closes both."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = opening.enter_context((self.folder / ".lock").open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _LOCKED:
                why = f"another run is writing to {self.folder}; wait for it, or choose another --out"
                raise FolderError(why) from None
            held = self.folder / HELD
            _hold(held)
            opening.callback(held.unlink, missing_ok=True)
            self.note = (
                f"the file system of {self.folder} has no locks ({error.strerror}): {HELD} says who writes there"
            )
        if packed(self.path).exists() and not self.path.exists():
            raise FolderError(f"{self.folder} is a published run, its records are compressed; unxz them to go on")
        spoilt = self._look_through()
        if spoilt:
            self._put_aside(spoilt)
        self.set_aside = len(spoilt)
        existed = self.path.exists()
        self._journal = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        opening.callback(os.close, self._journal)
        if not existed:
            _sync_folder(self.folder)

    def _look_through(self) -> set[int]:
        """Fill ``ids``; the numbers of the lines that have to go: damaged ones, and their replicates."""
        spoilt, damaged_inside = set[int](), False
        open_replicate: dict[int, str] = {}  # line -> id, of slots that no ``process`` record has closed yet
        for number, _, record in _unsealed(self.path):
            if isinstance(record, Damaged):
                spoilt.add(number)
                damaged_inside = True
                continue
            if record.id in self.ids or record.id in open_replicate.values():
                spoilt.add(number)  # a line that somebody doubled
            elif isinstance(record, TimedRecord) and record.status == "ok":
                open_replicate[number] = record.id
                continue
            if not isinstance(record, TimedRecord):  # it closes those before it
                if damaged_inside:
                    spoilt |= set(open_replicate)
                else:
                    self.ids.update(open_replicate.values())
                open_replicate = {}
            if damaged_inside and record.kind == "process" and record.status == "ok":
                spoilt.add(number)
            elif number not in spoilt:
                self.ids.add(record.id)
            damaged_inside &= isinstance(record, TimedRecord)
        return spoilt | set(open_replicate)

    def _put_aside(self, spoilt: set[int]) -> None:
        """Move lines to ``records.torn``. The rest replaces the journal at once, or the journal stays as it was."""
        beside = self.path.with_name("records.jsonl.new")
        with beside.open("wb") as kept, (self.folder / "records.torn").open("ab") as aside:
            for number, line in _lines(self.path):
                if number not in spoilt:
                    kept.write(line)
                else:
                    aside.write(line if line.endswith(b"\n") else line + b"\n")
            for file in (aside, kept):
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, self.path)
        _sync_folder(self.folder)


def _hold(file: Path) -> None:
    """Make a file that says which process writes into its folder; the file of one that is gone is taken over.

    Raises FolderError where another process writes, or did on another machine, of which nothing is known here.
    """
    here = socket.gethostname()
    while True:
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            with suppress(FileNotFoundError):  # given up meanwhile
                text = file.read_text(encoding="utf-8")
                host, _, process = text.strip().rpartition(" ")
                if host == here and process.isdigit() and not psutil.pid_exists(int(process)):
                    stale = file.with_name(f"{file.name}.{os.getpid()}")
                    file.rename(stale)
                    if stale.read_text(encoding="utf-8") != text:  # somebody else found it first: this one is theirs
                        with suppress(FileExistsError):
                            os.link(stale, file)
                    stale.unlink()
                    continue
                who = f"process {process} on {host}" if host else "which is not known"
                raise FolderError(
                    f"another run is writing to {file.parent} ({who}); wait for it, or delete {file} where it is gone"
                ) from None
        else:
            with os.fdopen(handle, "w", encoding="utf-8") as named:
                named.write(f"{here} {os.getpid()}\n")
            return


def _sync_folder(folder: Path) -> None:
    """Make a name in ``folder`` as lasting as the file that it names."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
