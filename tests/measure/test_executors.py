"""Jobs packed on this machine: order, dependence, and who is not run again."""

from functools import partial

import pytest

from bench.measure.executors import Job as AnyJob
from bench.measure.executors import LocalExecutor, Outcome

Job = partial(AnyJob, module="tests.measure.obedient_worker")


def run(*jobs: AnyJob, slots: int = 2) -> dict[str, Outcome]:
    shares: list[tuple[str, float]] = []
    executor = LocalExecutor(slots)
    outcomes = {o.job.key: o for o in executor.run(jobs, lambda job, share: shares.append((job.key, share)))}
    assert set(outcomes) == {job.key for job in jobs}
    return outcomes


def test_jobs_give_their_samples_and_wait_for_what_they_need() -> None:
    first = Job("first", {"do": "work", "answer": 1})
    outcomes = run(Job("second", {"do": "work", "answer": 2}, needs="first"), first)
    assert list(outcomes) == ["first", "second"]
    assert [o.samples for o in outcomes.values()] == [{"answer": 1}, {"answer": 2}]
    assert all(o.status == "ok" and o.reason is None for o in outcomes.values())


def test_what_needs_a_failed_job_fails_with_it() -> None:
    outcomes = run(Job("first", {"do": "raise"}), Job("second", {"do": "work", "answer": 2}, needs="first"))
    assert "RuntimeError: as asked" in (outcomes["first"].reason or "")
    assert outcomes["second"].status == "failed"
    assert "first failed" in (outcomes["second"].reason or "")


def test_a_skipped_job_is_no_failure() -> None:
    outcome = run(Job("one", {"do": "skip"}))["one"]
    assert (outcome.status, outcome.reason) == ("skipped", "not for this network")


@pytest.mark.parametrize(("deed", "again"), [("die", False), ("raise", True)])
def test_who_kills_a_process_is_not_run_again(deed: str, again: bool) -> None:
    outcomes = run(
        Job("a", {"do": deed}, culprit="evil"),
        Job("b", {"do": "work", "answer": 1}, culprit="evil"),
        Job("c", {"do": "work", "answer": 2}, culprit="honest"),
        slots=1,
    )
    assert outcomes["a"].status == "failed"
    assert (outcomes["b"].status == "ok") is again
    assert outcomes["c"].status == "ok"


def test_a_pause_finishes_what_runs_and_leaves_the_rest() -> None:
    jobs = [Job(key, {"do": "work", "answer": 1}) for key in "abc"]
    begun: list[str] = []

    def go_on() -> bool:
        return not begun

    executor = LocalExecutor(1)
    outcomes = [outcome.job.key for outcome in executor.run(jobs, lambda job, share: begun.append(job.key), go_on)]
    assert outcomes == ["a"]


@pytest.mark.parametrize(("device", "room"), [("cpu", 16), ("cuda", 4)])
def test_a_gpu_is_shared_by_a_few_trainings_however_many_cores_there_are(device: str, room: int) -> None:
    jobs = [Job(str(number), {"recipe": {"device": device}}) for number in range(20)]
    assert LocalExecutor(16)._room(jobs) == room
