"""What disks and hands do to a run's folder: one clear line, and every earlier record intact."""

import json
import random
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.store.journal import Run, read_records, seal
from bench.store.records import SCHEMA, FolderError, Kind, Record, Status
from tests.conftest import ROOT, SMALL, Finished, command


def record(name: str, kind: Kind = "static", status: Status = "ok", replicate: int | None = None) -> Record:
    return Record(id=name, kind=kind, status=status, replicate=replicate, samples={"seconds": [0.1, 0.25]})


def journal(folder: Path) -> list[Record]:
    """Three whole replicates of two cases, a static record before, a training after."""
    records = [record("s")]
    for r in range(3):
        records += [record(f"r{r}a", "latency", replicate=r), record(f"r{r}b", "latency", replicate=r)]
        records += [record(f"r{r}", "replicate", replicate=r)]
    records += [record("t0", "accuracy"), record("t1", "accuracy")]
    with Run(folder) as run:
        run.append(*records)
    return records


def test_any_flipped_bit_is_seen_and_costs_its_own_replicate(tmp_path: Path) -> None:
    records = journal(tmp_path / "run")
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
        assert all(one in records for one in left)
        lost = {one.id for one in records} - {one.id for one in left}
        line = whole[:position].count(b"\n")
        assert records[line].id in lost
        neighbours = {one.id for one in records[max(0, line - 3) : line + 4]}
        assert lost <= neighbours, (lost, records[line].id)
        kinds = {one.id[:2] for one in left if one.kind in ("latency", "replicate")}
        for kind in kinds:  # no replicate is left in part
            assert {f"{kind}a", f"{kind}b", kind} <= {one.id for one in left}


@pytest.mark.parametrize("cut", [1, 7, 40, 200, 500, 900])
def test_a_journal_cut_anywhere_goes_on_from_what_is_whole(tmp_path: Path, cut: int) -> None:
    records = journal(tmp_path)
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with Run(tmp_path) as run:
        missing = [one for one in records if one.id not in run.ids]
        assert missing
        run.append(*missing)
    assert {one.id for one in read_records(tmp_path)} == {one.id for one in records}


def test_records_of_a_newer_version_are_refused_and_left_alone(tmp_path: Path) -> None:
    journal(tmp_path)
    newer = record("new").model_copy(update={"schema_version": SCHEMA + 1})
    with (tmp_path / "records.jsonl").open("ab") as lines:
        lines.write(seal(newer))
    before = (tmp_path / "records.jsonl").read_bytes()
    with pytest.raises(FolderError, match=r"line 13: .* newer version"):
        list(read_records(tmp_path))
    with pytest.raises(FolderError, match="newer version"):
        Run(tmp_path).__enter__()
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_a_disk_that_takes_half_a_record_leaves_none_of_it(tmp_path: Path) -> None:
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.store.test_journal_damage import record\n"
        "from bench.journal import Run\n"
        "from bench.records import FolderError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))\n"
        "with Run(Path(sys.argv[1])) as run:\n"
        "    try:\n"
        "        for number in range(100): run.append(record(str(number)))\n"
        "    except FolderError as error: print(len(run.ids), error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True)
    count, message = done.stdout.split(" ", 1)
    assert "File too large" in message and "are kept" in message, done
    assert [one.id for one in read_records(tmp_path)] == [str(number) for number in range(int(count))]


def small_latency(tmp_path: Path) -> list[str]:
    (tmp_path / "small.toml").write_text(SMALL)
    return [
        "run",
        "--config",
        str(tmp_path / "small.toml"),
        "--quiet",
        "--only",
        "latency",
        "--strategies",
        "copy_shift",
    ]


def test_a_full_disk_ends_a_run_in_one_line_and_it_goes_on_later(tmp_path: Path) -> None:
    asked, folder = small_latency(tmp_path), tmp_path / "run"
    line = [sys.executable, str(ROOT / "run_bench.py"), *asked, "--out", str(folder)]
    limit = 12_000  # bytes of any one file: the header fits, the journal does not
    done = subprocess.run(
        line,
        cwd=ROOT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY)),
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: cannot write to") and done.stderr.count("\n") == 1, done.stderr
    before = list(read_records(folder))
    assert before
    done = command("run", "--resume", str(folder), "--quiet")
    assert done.returncode == 0, done.stderr
    assert list(read_records(folder))[: len(before)] == before


def test_a_folder_removed_midway_ends_a_run_in_one_line(tmp_path: Path) -> None:
    asked, folder = small_latency(tmp_path), tmp_path / "run"
    line = [sys.executable, str(ROOT / "run_bench.py"), *asked, "--out", str(folder)]
    process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while process.poll() is None and not (folder / "run.json").exists():
        pass
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 2, error
    assert error.startswith("error: ") and error.count("\n") == 1, error


def test_resuming_a_flipped_run_measures_what_was_set_aside(small_run: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(small_run.folder, folder)
    path = folder / "records.jsonl"
    ids = [one.id for one in read_records(folder)]
    lines = path.read_bytes().splitlines(keepends=True)
    target = next(n for n, name in enumerate(ids) if name.startswith("accuracy/") and "two_back" in name)
    other = next(n for n, name in enumerate(ids) if name.startswith("latency/") and name.endswith("/r0"))
    for number in (target, other):
        lines[number] = lines[number].replace(b'"started"', b'"strated"')
    path.write_bytes(b"".join(lines))
    report = command("report", str(folder))
    assert report.returncode == 0
    assert all(f"line {number + 1}: its checksum does not fit" in report.stderr for number in (target, other))
    done = command("run", "--resume", str(folder))
    assert done.returncode == 1, done.stderr  # the leaky and the broken plug-in are still there
    assert "set aside" in done.stderr or "kept in records.torn" in done.stderr
    assert sorted(one.id for one in read_records(folder)) == sorted(ids)
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"
