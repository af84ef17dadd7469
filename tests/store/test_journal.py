"""The journal: whole lines, no doubles, one writer, and every earlier record intact whatever happens to the disk."""

import errno
import json
import lzma
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.spec.cases import Case
from bench.store.journal import Run, read_records, read_whole_records, seal
from bench.store.records import HELD, SCHEMA, FolderError, Record
from tests.conftest import ROOT, SMALL, Finished, command
from tests.store.synthetic import (
    PANEL,
    SHIFT,
    STREAM,
    TWIN,
    checked,
    process,
    recognition,
    static,
    timed,
    trained,
    unmeasured,
)


def replicate(number: int) -> list[Record]:
    """Two cases, and the record that closes their process."""
    return [timed(SHIFT, number), timed(TWIN, number), process(PANEL, number)]


def whole_run(folder: Path) -> list[Record]:
    """A counted case before, three processes, two trainings after."""
    records = [static(), *replicate(0), *replicate(1), *replicate(2)]
    records += [trained(recognition(), seed=seed) for seed in (0, 1)]
    with Run(folder) as run:
        run.append(*records)
    return records


def ids(folder: Path) -> list[str]:
    return [record.id for record in read_records(folder)]


def test_append_and_reload(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run:
        run.append(checked("a"))
        run.append(checked("b"))
    assert list(read_records(tmp_path / "run")) == [checked("a"), checked("b")]
    with Run(tmp_path / "run") as run:
        assert run.ids == {checked("a").id, checked("b").id}
        with pytest.raises(ValueError, match="twice"):
            run.append(checked("a"))


@pytest.mark.parametrize("panel", [PANEL, STREAM])
def test_half_a_replicate_is_set_aside(tmp_path: Path, panel: object) -> None:
    """Killed between two lines of one process: its cases must be measured again together."""
    first, second = (Case(case.variant, panel, case.aa) for case in (SHIFT, TWIN))  # type: ignore[arg-type]
    whole = [timed(first, 0), timed(second, 0), process(panel, 0)]  # type: ignore[arg-type]
    with Run(tmp_path) as run:
        run.append(*whole, unmeasured(first), timed(first, 1), timed(second, 1))
    with Run(tmp_path) as run:
        kept = [*(record.id for record in whole), unmeasured(first).id]
        assert run.ids == set(kept)
        assert run.set_aside == 2
        run.append(timed(first, 1), process(panel, 1))  # type: ignore[arg-type]
    with Run(tmp_path):
        assert ids(tmp_path) == [*kept, timed(first, 1).id, process(panel, 1).id]  # type: ignore[arg-type]


def test_damage_before_a_failed_case_costs_the_whole_replicate(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.append(timed(SHIFT), unmeasured(SHIFT), timed(TWIN), process(), *replicate(1))
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes().replace(b"resnet50", b"resnet18", 1))
    with Run(tmp_path) as run:
        assert run.ids == {record.id for record in (unmeasured(SHIFT), *replicate(1))}


def test_a_doubled_line_is_set_aside(tmp_path: Path) -> None:
    records = whole_run(tmp_path)
    path = tmp_path / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, lines[0], lines[-1]]))
    with Run(tmp_path) as run:
        assert run.set_aside == 2
    assert list(read_records(tmp_path)) == records


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.append(checked("a"))
    with (tmp_path / "records.jsonl").open("ab") as journal:
        journal.write(b"{}\n" + seal(checked("c")))
    with pytest.raises(FolderError, match="line 2 is damaged: it is not a record"):
        list(read_records(tmp_path))
    records, damaged = read_whole_records(tmp_path)
    assert records == [checked("a"), checked("c")]
    assert damaged == ["line 2: it is not a record: KeyError"]


def test_a_line_that_lost_its_checksum_is_damaged(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.append(checked("a"), checked("b"))
    path = tmp_path / "records.jsonl"
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first.replace(b'","check":"', b"") + second)  # a cut through it that leaves valid JSON
    records, damaged = read_whole_records(tmp_path)
    assert records == [checked("b")]
    assert damaged == ["line 1: its checksum is missing"]


def test_any_flipped_bit_is_seen_and_costs_its_own_replicate(tmp_path: Path) -> None:
    records = whole_run(tmp_path / "run")
    whole = (tmp_path / "run" / "records.jsonl").read_bytes()
    rng = random.Random(1)
    for number in range(60):
        folder = tmp_path / f"flip{number}"
        folder.mkdir()
        position = rng.randrange(len(whole) - 1)
        flipped = bytearray(whole)
        flipped[position] ^= 1 << rng.randrange(8)
        (folder / "records.jsonl").write_bytes(flipped)
        with pytest.raises(FolderError, match=r"line \d+ (is damaged|)"):
            list(read_records(folder))
        with Run(folder) as run:
            assert run.set_aside
        left = list(read_records(folder))
        assert all(record in records for record in left)
        line = whole[:position].count(b"\n")
        assert records[line] not in left
        lost = [record for record in records if record not in left]
        assert all(abs(records.index(record) - line) <= 3 for record in lost), (lost, line)
        for own in map(replicate, range(3)):  # no process is left in part
            assert len([record for record in own if record in left]) in (0, 3)


@pytest.mark.parametrize("cut", [1, 7, 40, 200, 2000, 4000])
def test_a_journal_cut_anywhere_goes_on_from_what_is_whole(tmp_path: Path, cut: int) -> None:
    records = whole_run(tmp_path)
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with Run(tmp_path) as run:
        missing = [record for record in records if record.id not in run.ids]
        assert missing
        run.append(*missing)
    assert sorted(ids(tmp_path)) == sorted(record.id for record in records)


def test_records_of_a_newer_version_are_refused_and_left_alone(tmp_path: Path) -> None:
    whole_run(tmp_path)
    path = tmp_path / "records.jsonl"
    with path.open("ab") as lines:
        lines.write(seal(checked("new", schema_version=SCHEMA + 1)))
    before = path.read_bytes()
    for read in (lambda: list(read_records(tmp_path)), lambda: read_whole_records(tmp_path), Run(tmp_path).__enter__):
        with pytest.raises(FolderError, match=r"line 13: .* newer version"):
            read()
    assert path.read_bytes() == before


def test_a_compressed_journal_is_read_and_not_written(tmp_path: Path) -> None:
    records = whole_run(tmp_path)
    path = tmp_path / "records.jsonl"
    compressed = lzma.compress(path.read_bytes())
    path.unlink()
    packed = tmp_path / "records.jsonl.xz"
    packed.write_bytes(compressed)
    assert list(read_records(tmp_path)) == records
    with pytest.raises(FolderError, match="unxz"):
        Run(tmp_path).__enter__()
    middle = len(compressed) // 2
    for damaged in (compressed[:middle], compressed[:middle] + b"\xff" * 20 + compressed[middle + 20 :], b"no xz"):
        packed.write_bytes(damaged)
        with pytest.raises(FolderError, match="cannot read"):
            list(read_records(tmp_path))


def test_two_runs_cannot_write_one_folder(tmp_path: Path) -> None:
    with Run(tmp_path), pytest.raises(FolderError, match="another run is writing"):
        Run(tmp_path).__enter__()
    with Run(tmp_path):  # and the lock is free again
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_a_file_system_has_no_locks_a_file_says_who_writes(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("bench.store.journal.fcntl.flock", refuses)
    with Run(tmp_path) as run:
        assert run.note.startswith(f"the file system of {tmp_path} has no locks ({os.strerror(number)})")
        run.append(checked("a"))
        with pytest.raises(FolderError, match=f"another run is writing to .* \\(process {os.getpid()} on "):
            Run(tmp_path).__enter__()
    assert not (tmp_path / HELD).exists()
    gone = subprocess.Popen(["true"])
    gone.wait()
    (tmp_path / HELD).write_text(f"{socket.gethostname()} {gone.pid}\n")  # it was killed
    with Run(tmp_path) as run:
        assert run.ids == {checked("a").id}
    (tmp_path / HELD).write_text(f"another-machine {gone.pid}\n")
    with pytest.raises(FolderError, match=f"on another-machine.*or delete {tmp_path / HELD}"):
        Run(tmp_path).__enter__()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_whatever_the_disk_lacks_is_one_line_and_costs_no_record(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room or a quota may be found missing as late as when what was written is synced."""

    def refuses(_: int) -> None:
        raise OSError(number, os.strerror(number))

    with Run(tmp_path) as run:
        run.append(checked("a"))
        whole = (tmp_path / "records.jsonl").read_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", refuses)
            with pytest.raises(FolderError, match=rf"{os.strerror(number)}\. The 1 records before are kept"):
                run.append(checked("b"))
            with pytest.raises(FolderError, match=os.strerror(number)):
                run.write_header({"title": "x"})
        assert (tmp_path / "records.jsonl").read_bytes() == whole
        run.append(checked("b"))
    assert ids(tmp_path) == [checked("a").id, checked("b").id]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk with so many bytes left."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_half_a_record_leaves_none_of_it(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.append(checked("a"))
        whole = (tmp_path / "records.jsonl").read_bytes()
        with files_of_at_most(len(whole) + 100):
            with pytest.raises(FolderError, match=r"File too large\. The 1 records before are kept"):
                run.append(checked("b"))
            with pytest.raises(FolderError, match="File too large"):
                run.write_header({"title": "x" * 2000})
    assert (tmp_path / "records.jsonl").read_bytes() == whole
    assert not (tmp_path / "run.json.new").exists()


def test_a_journal_that_was_removed_is_missed_at_once(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run:
        run.append(checked("a"))
        shutil.rmtree(tmp_path / "run")
        with pytest.raises(FolderError, match="was removed while the run was writing to it"):
            run.append(checked("b"))


# --- whole runs -----------------------------------------------------------------------------------------------------


def small_run_of_latency(tmp_path: Path) -> list[str]:
    (tmp_path / "small.toml").write_text(SMALL)
    asked = ["run", "--config", str(tmp_path / "small.toml"), "--only", "latency", "--strategies", "copy_shift"]
    return [sys.executable, str(ROOT / "run_bench.py"), *asked, "--quiet", "--out", str(tmp_path / "run")]


@pytest.mark.slow
def test_a_full_disk_ends_a_run_in_one_line_and_it_goes_on_later(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        small_run_of_latency(tmp_path),
        cwd=ROOT,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": os.devnull},  # half of it would be kept
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    header = folder / "run.json"
    while process.poll() is None and not header.exists():
        time.sleep(0.05)
    assert header.exists(), process.communicate()[1]
    limit = header.stat().st_size + 3_000  # bytes of any one file: the header fits, the journal does not
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    _, error = process.communicate(timeout=300)
    assert process.returncode == 2, error
    assert error.startswith("error: cannot write to") and error.count("\n") == 1, error
    before = list(read_records(folder))
    assert before
    done = command("run", "--resume", str(folder), "--quiet")
    assert done.returncode == 0, done.stderr
    assert list(read_records(folder))[: len(before)] == before


@pytest.mark.slow
def test_a_folder_removed_midway_ends_a_run_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = subprocess.Popen(
        small_run_of_latency(tmp_path), cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (folder / "run.json").exists():
        pass
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 2, error
    assert error.startswith("error: ") and error.count("\n") == 1, error


@pytest.mark.slow
def test_resuming_a_flipped_run_measures_what_was_set_aside(small_run: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(small_run.folder, folder)
    path = folder / "records.jsonl"
    before = ids(folder)
    lines = path.read_bytes().splitlines(keepends=True)
    training = next(n for n, name in enumerate(before) if name.startswith("accuracy/") and "two_back" in name)
    slots = next(n for n, name in enumerate(before) if name.startswith("latency/") and name.endswith("/r0"))
    for number in (training, slots):
        lines[number] = lines[number].replace(b'"started"', b'"strated"')
    path.write_bytes(b"".join(lines))
    report = command("report", str(folder))
    assert report.returncode == 0
    assert all(f"line {number + 1}: its checksum does not fit" in report.stderr for number in (training, slots))
    done = command("run", "--resume", str(folder))
    assert done.returncode == 1, done.stderr  # the leaky and the broken plug-in are still there
    assert "set aside" in done.stderr or "kept in records.torn" in done.stderr
    assert sorted(ids(folder)) == sorted(before)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
