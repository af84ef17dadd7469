"""A sweep killed again and again, at whatever moment, ends with the records of a sweep that was left in peace."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.store.journal import read_records
from bench.store.records import read_header
from tests.conftest import ROOT, SMALL, Finished, command

TORN = b'{"schema_version":7,"id":"latency/half'  # as a machine that loses its power leaves it


def outcome(folder: Path) -> dict[str, str]:
    """{record id: status}, each once."""
    records = list(read_records(folder))
    found = {record.id: record.status for record in records}
    assert len(found) == len(records), "a record was doubled"
    return found


def kill_at_some_moment(arguments: list[str], folder: Path, rng: random.Random, *, once_it_writes: bool) -> None:
    """After some time, or as soon as something was written, and a moment more."""
    journal = folder / "records.jsonl"
    size = journal.stat().st_size if journal.exists() else 0
    line = [sys.executable, str(ROOT / "run_bench.py"), *arguments]
    process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    patience = time.monotonic() + (120.0 if once_it_writes else rng.uniform(0.2, 2.5))
    while time.monotonic() < patience and process.poll() is None:
        if once_it_writes and journal.exists() and journal.stat().st_size != size:
            time.sleep(rng.choice((0.0, rng.uniform(0.0, 0.02), rng.uniform(0.0, 1.0))))
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def going_on(folder: Path, asked: list[str]) -> list[str]:
    """What a user types: the same again where the last kill came before anything was written, else a resume."""
    begun = (folder / "run.json").exists()
    return ["run", "--resume", str(folder), "--quiet"] if begun else [*asked, "--out", str(folder)]


def finished(folder: Path) -> bool:
    return (folder / "run.json").exists() and read_header(folder)["status"] == "finished"


KILLS = int(os.environ.get("KILLS", "12"))


@pytest.mark.slow
def test_kills_lose_nothing_and_double_nothing(small_run: Finished, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    asked = ["run", "--config", str(tmp_path / "small.toml"), "--quiet", "--strategies", "copy_shift"]
    asked += ["--only", "latency,accuracy"]
    others = ("buffer_shift", "two_back", "leaky", "broken", "online", "detection")
    calm = {key: value for key, value in outcome(small_run.folder).items() if not any(map(key.__contains__, others))}
    rng, done, sweeps = random.Random(0), 0, 0
    while done < KILLS:
        wild, kept = tmp_path / f"wild{sweeps}", set[str]()
        sweeps += 1
        while done < KILLS and not finished(wild):
            kill_at_some_moment(going_on(wild, asked), wild, rng, once_it_writes=done % 2 == 1)
            done += 1
            now = set(outcome(wild))
            assert not {record for record in kept - now if not record.startswith("latency/")}, "whole records are gone"
            kept = now  # half a replicate may go: it is measured again
            if done == 2:
                with (wild / "records.jsonl").open("ab") as journal:
                    journal.write(TORN)
        resumed = command(*going_on(wild, asked))
        assert resumed.returncode == 0, resumed.stderr
        assert outcome(wild) == calm
