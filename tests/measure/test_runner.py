"""What a resumed run still has of its budget; who is blamed where proving a strategy broke a device."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.measure import runner
from bench.measure.executors import LocalExecutor
from bench.measure.runner import Execution, beyond_processes
from bench.spec.schema import USUAL_LIMITS
from bench.store.journal import Run, read_records
from bench.store.records import CheckedRecord, FolderError, ProcessRecord
from bench.system.progress import Reporter
from tests.measure.latency.test_section import KEPT

STREAM = replace(KEPT, streams=1)
GPU = replace(KEPT, device="cuda", allocator="default")


@pytest.mark.parametrize(
    ("used", "charged"),
    [(100.0, 30.0), (70.0, 0.0), (50.0, 0.0), (0.0, 0.0)],
    ids=["counting", "none", "killed", "again"],
)
def test_a_resume_pays_for_what_no_process_on_record_stands_for(used: float, charged: float) -> None:
    panels = (KEPT, KEPT, STREAM)
    known = [ProcessRecord(id=f"process/{n}", panel=panel, wall_seconds=35.0) for n, panel in enumerate(panels)]
    assert {panel.section for panel in panels} == {"latency", "online"}
    assert beyond_processes("latency", used, known) == charged


class OnGpu:
    """A sweep of three strategies on a GPU alone, of which ``bad`` breaks the context of its process."""

    strategies = ("good", "bad", "later")
    cases = (SimpleNamespace(panel=GPU),)
    trainings = ()
    jobs: list[dict[str, Any]]

    def __init__(self) -> None:
        self.jobs = []

    def variants(self, name: str) -> list[Any]:
        return []

    def stream(self, module: str, job: dict[str, Any], **limits: Any) -> Iterator[dict[str, Any]]:
        self.jobs.append(job)
        for name in (entry["name"] for entry in job["strategies"]):
            broke = name == "bad"
            yield {"event": "enter", "strategy": name}
            yield {"event": "verdict", "check": "shape"}
            failed = "CUDA error: an illegal memory access" if broke else None
            yield {"event": "checked", "strategy": name, "failed": failed, "flags": [], "broke": broke}
            if broke:
                return


@pytest.mark.parametrize("gone", [False, True])
def test_who_breaks_a_device_is_blamed_alone_and_nobody_for_one_that_is_gone(
    gone: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Strategies are proven in one process, in which nothing works on the device from then on."""
    sweep, asked = OnGpu(), list[str]()
    infos = [SimpleNamespace(name=name, file=f"{name}.py", error=None) for name in sweep.strategies]
    settings = SimpleNamespace(limits=USUAL_LIMITS)
    monkeypatch.setattr(runner.workers, "stream", sweep.stream)
    monkeypatch.setattr(runner, "device_present", lambda device: asked.append(device) or not gone)
    with Run(tmp_path / "run") as run:
        plan: Any = SimpleNamespace(sweep=sweep, infos=infos, files=[], settings=settings)
        execution = Execution(plan, run, {}, Reporter(quiet=True), LocalExecutor(1))
        if gone:
            with pytest.raises(FolderError, match=r"cuda disappeared while bad was proven.*--resume"):
                execution._conformance()
        else:
            execution._conformance()
    found = {own.strategy: own.status for own in read_records(tmp_path / "run") if isinstance(own, CheckedRecord)}
    assert found == ({"good": "ok"} if gone else {"good": "ok", "bad": "failed", "later": "ok"})
    assert asked == ["cuda"] and all(job["devices"] == ["cuda"] for job in sweep.jobs)
    assert [len(job["strategies"]) for job in sweep.jobs] == ([3] if gone else [3, 1])
