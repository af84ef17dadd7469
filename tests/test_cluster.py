"""Training on a Ray cluster of two nodes (processes of this machine): the same records, whatever dies on the way."""

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

from bench.cli import main
from bench.executors import Job
from bench.journal import read_records
from tests.conftest import ROOT, SMALL, TWO_BACK, command

pytestmark = [
    pytest.mark.xdist_group("cluster"),
    pytest.mark.filterwarnings("ignore"),  # Ray's own
]
os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"  # read once, when Ray is imported
cluster_utils = pytest.importorskip("ray.cluster_utils")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one core each."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the obedient worker lies
    nodes = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


def test_jobs_wait_for_what_they_need_and_fail_with_it(cluster: Any) -> None:
    """What LocalExecutor is asked in test_executors, in one go; and the strategy that kills is not run again."""
    from bench.cluster import RayExecutor

    jobs = [
        Job("second", {"do": "work", "answer": 2}, needs="first"),
        Job("first", {"do": "work", "answer": 1}),
        Job("broken", {"do": "raise"}),
        Job("hopeless", {"do": "work", "answer": 3}, needs="broken"),
        Job("skipped", {"do": "skip"}),
        Job("killer", {"do": "die"}, culprit="evil"),
    ]
    outcomes = {o.job.key: o for o in RayExecutor(cluster.address, module="tests.obedient_worker").run(jobs, _nobody)}
    assert set(outcomes) == {job.key for job in jobs}
    assert list(outcomes).index("first") < list(outcomes).index("second")
    assert (outcomes["first"].samples, outcomes["second"].samples) == ({"answer": 1}, {"answer": 2})
    assert "RuntimeError: as told" in (outcomes["broken"].reason or "")
    assert "broken failed" in (outcomes["hopeless"].reason or "")
    assert outcomes["skipped"].status == "skipped"
    assert outcomes["killer"].fatal


def _nobody(job: Job, share: float) -> None:
    """Nobody listens."""


def results(folder: Path) -> dict[str, Any]:
    """What must be the same wherever an arm is trained: all but seconds and places."""
    fixed = ("spatial_correct", "temporal_correct", "joint_accuracy", "params", "flops", "test_clips")
    records = [record for record in read_records(folder) if record.kind == "accuracy"]
    assert len({record.id for record in records}) == len(records)
    assert all(record.status != "ok" or record.samples["machine"]["torch"] for record in records)
    return {r.id: (r.status, r.reason, [r.samples.get(key) for key in fixed]) for r in records}


def ray_workers() -> list[psutil.Process]:
    """Processes that work on a task now: those that have a child of ours."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "bench.accuracy.worker" in (process.info["cmdline"] or []):
            parent = process.parent()
            if parent is not None and parent.name().startswith("ray::"):
                found.append(parent)
    return found


def test_a_cluster_that_loses_a_worker_and_a_node_gives_the_records_of_one_machine(
    cluster: Any, tmp_path: Path
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
        wait_for(lambda: folder.exists() and [r for r in read_records(folder) if r.kind == "accuracy"], run)
        cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)
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
    asked = [
        "run",
        "--only",
        "accuracy",
        "--executor",
        "ray",
        "--ray-address",
        "127.0.0.1:1",
        "--out",
        str(tmp_path / "x"),
    ]
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: there is no Ray cluster at 127.0.0.1:1") and error.count("\n") == 1
    assert not (tmp_path / "x").exists()
