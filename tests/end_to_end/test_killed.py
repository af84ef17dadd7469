"""A sweep killed again and again, at whatever moment, ends with the records of a sweep that was left in peace."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from bench.store.journal import read_records
from bench.store.records import read_header
from tests.conftest import ROOT, SMALL, command

KILLS = 50


def outcome(folder: Path) -> dict[str, str]:
    """{record id: status}, each once."""
    records = list(read_records(folder))
    found = {record.id: record.status for record in records}
    assert len(found) == len(records), "a record was doubled"
    return found


def begin(*arguments: str) -> "subprocess.Popen[bytes]":
    line = [sys.executable, str(ROOT / "run_bench.py"), *arguments]
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_at_some_moment(process: "subprocess.Popen[bytes]", journal: Path, rng: random.Random) -> None:
    """After some time, or as soon as something was written, and a moment more."""
    size = journal.stat().st_size if journal.exists() else 0
    waits_for_a_record = rng.random() < 0.3
    patience = time.monotonic() + (8.0 if waits_for_a_record else rng.uniform(0.2, 2.5))
    while time.monotonic() < patience and process.poll() is None:
        if waits_for_a_record and journal.exists() and journal.stat().st_size != size:
            time.sleep(rng.choice((0.0, rng.uniform(0.0, 0.02), rng.uniform(0.0, 1.0))))
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_fifty_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(SMALL.replace("_replicates = 2", "_replicates = 3"))
    asked = ["run", "--config", str(config), "--quiet", "--strategies", "copy_shift"]
    calm = tmp_path / "calm"
    done = command(*asked, "--out", str(calm))
    assert done.returncode == 0, done.stderr
    rng, kills, sweeps = random.Random(0), 0, 0
    while kills < KILLS:
        wild, kept = tmp_path / f"wild{sweeps}", set[str]()
        sweeps += 1
        while kills < KILLS and not finished(wild):
            process = begin(*going_on(wild, asked))
            kill_at_some_moment(process, wild / "records.jsonl", rng)
            kills += 1
            now = set(outcome(wild))
            assert not {record for record in kept - now if not record.startswith("latency/")}, "whole records are gone"
            kept = now  # half a replicate may go: it is measured again
        done = command(*going_on(wild, asked))
        assert done.returncode == 0, done.stderr
        assert outcome(wild) == outcome(calm)


def going_on(folder: Path, asked: list[str]) -> list[str]:
    """What a user types: the same again where the last kill came before anything was written, else a resume."""
    begun = (folder / "run.json").exists()
    return ["run", "--resume", str(folder), "--quiet"] if begun else [*asked, "--out", str(folder)]


def finished(folder: Path) -> bool:
    return (folder / "run.json").exists() and read_header(folder)["status"] == "finished"
