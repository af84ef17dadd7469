"""Training on a Ray cluster of two nodes (processes of this machine): the same records, whatever dies on the way."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.cli.app import main
from bench.store.journal import read_records
from bench.store.records import TrainedRecord
from tests.conftest import ROOT, SMALL, TWO_BACK, command
from tests.measure.training.conftest import repeatable

pytestmark = [
    pytest.mark.xdist_group("cluster"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]


class Cluster:
    """Two nodes of one core each, in another process."""

    def __init__(self) -> None:
        line = [sys.executable, "-m", "tests.measure.two_nodes"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}  # where the obedient worker lies
        self._process = subprocess.Popen(
            line, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self._read("address").split()[1]

    def _read(self, beginning: str) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(beginning):
                return line
        raise AssertionError("the cluster went away")

    def lose_a_node(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("lose\n")
        self._process.stdin.flush()
        self._read("lost")

    def end(self) -> None:
        children = psutil.Process(self._process.pid).children(recursive=True)
        try:
            self._process.communicate(timeout=60)  # ends its input
        except subprocess.TimeoutExpired:
            self._process.kill()
        for child in children:
            if child.is_running():
                child.kill()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    nodes = Cluster()
    yield nodes
    nodes.end()


def test_jobs_wait_for_what_they_need_and_fail_with_it(cluster: Cluster) -> None:
    """What LocalExecutor is asked in test_executors, in one go; and the strategy that kills is not run again."""
    line = [sys.executable, "-m", "tests.measure.ray_jobs", cluster.address]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    outcomes = {key: rest for key, *rest in lines}
    order = [key for key, *_ in lines]
    assert set(order) == {"first", "second", "broken", "hopeless", "skipped", "killer"} and len(order) == 6
    assert order.index("first") < order.index("second")
    assert (outcomes["first"][1], outcomes["second"][1]) == ({"answer": 1}, {"answer": 2})
    assert "RuntimeError: as asked" in outcomes["broken"][2]
    assert "broken failed" in outcomes["hopeless"][2]
    assert outcomes["skipped"][0] == "skipped"
    assert outcomes["killer"][3] is True


def results(folder: Path) -> dict[str, Any]:
    """What must be the same wherever a trial is trained: all but seconds and places."""
    records = [record for record in read_records(folder) if isinstance(record, TrainedRecord)]
    assert len({record.id for record in records}) == len(records)
    samples = {record.id: record.samples.model_dump() if record.samples else {} for record in records}
    return {r.id: (r.status, r.reason, repeatable(samples[r.id])) for r in records}


def ray_workers() -> list[psutil.Process]:
    """Processes that work on a task now: those that have a child of ours."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "bench.measure.training.worker" in (process.info["cmdline"] or []):
            parent = process.parent()
            if parent is not None and parent.name().startswith("ray::"):
                found.append(parent)
    return found


@pytest.mark.slow
def test_a_cluster_that_loses_a_worker_and_a_node_gives_the_records_of_one_machine(
    cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "small.toml").write_text(SMALL)
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "two_back.py").write_text(TWO_BACK)
    asked = ["run", "--config", str(tmp_path / "small.toml"), "--only", "accuracy", "--quiet"]
    asked += ["--strategies-dir", str(tmp_path / "plugins")]
    done = command(*asked, "--out", str(tmp_path / "local"))
    assert done.returncode == 0, done.stderr

    folder = tmp_path / "cluster"
    line = [sys.executable, str(ROOT / "run_bench.py"), *asked, "--out", str(folder)]
    line += ["--executor", "ray", "--ray-address", cluster.address]
    run = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        killed = wait_for(ray_workers, run)[0]
        killed.send_signal(signal.SIGKILL)
        wait_for(lambda: folder.exists() and [r for r in read_records(folder) if r.kind == "trained"], run)
        cluster.lose_a_node()
        _, error = run.communicate(timeout=400)
    finally:
        run.kill()
    assert run.returncode == 0, error
    assert results(folder) == results(tmp_path / "local")


def wait_for(something: Any, run: "subprocess.Popen[str]") -> Any:
    deadline = time.monotonic() + 200
    while not (found := something()):
        assert run.poll() is None, f"the run ended too early: {run.communicate()}"
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)
    return found


def test_a_cluster_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = "run --only accuracy --executor ray --ray-address 127.0.0.1:1 --out"
    assert main([*line.split(), str(tmp_path / "x")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no Ray cluster at 127.0.0.1:1") and error.count("\n") == 1
    assert not (tmp_path / "x").exists()
