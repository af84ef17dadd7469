"""Trials -> jobs, and a record of each that ended; nothing is really trained."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from bench.measure import training
from bench.measure.executors import GoOn, Job, Outcome, Report
from bench.measure.jobs import Trainer, jobs_of
from bench.spec.axes import DETECTION_DATASET, TRAINED_DETECTOR
from bench.spec.cases import BASELINE_VARIANT, Condition, Training, Trial, Variant, parse_fraction
from bench.spec.training import ClutteredDigitsData, Data, DetectionRecipe, Recipe
from bench.store.records import Record, TrainedRecord
from bench.system.progress import Reporter

SHIFT = Variant("copy_shift", parse_fraction("1/4"), "residual", "bidirectional")
OF_DETECTORS = Condition(dataset=DETECTION_DATASET, backbone=TRAINED_DETECTOR)


def asked(section: str = "accuracy", *conditions: Condition) -> Training:
    """Two variants under each condition, with seeds 3 and 4."""
    accuracy = section == "accuracy"
    trials = [
        Trial(section, variant, condition, seed)
        for seed in (3, 4)
        for condition in conditions or (Condition() if accuracy else OF_DETECTORS,)
        for variant in (BASELINE_VARIANT, SHIFT)
    ]
    recipe = Recipe(device="cpu") if accuracy else DetectionRecipe(device="cpu")
    return Training(section, tuple(trials), recipe, Data() if accuracy else ClutteredDigitsData())


def test_trials_of_a_seed_share_a_pretraining(tmp_path: Path) -> None:
    every = asked("accuracy", Condition(), Condition(backbone="digits_r3d"), Condition(backbone="digits_bottleneck"))
    jobs = {job.key: job for job in jobs_of(every, every.trials, [tmp_path / "a.py"], tmp_path)}
    shared = [key for key, job in jobs.items() if job.payload["stage"] == "pretrain"]
    forms = ("digits_resnet", "digits_bottleneck")
    assert shared == [f"pretraining/ring_digits-{form}-seed{seed}" for seed in (3, 4) for form in forms]
    for trial in every.trials:
        job = jobs[trial.key]
        assert job.needs in shared and job.culprit == trial.variant.strategy
        assert job.payload["checkpoint"] == jobs[job.needs].payload["checkpoint"] == f"{tmp_path}/{job.needs}.pt"
        assert job.payload["strategy_files"] == [str(tmp_path / "a.py")]
    left = jobs_of(every, every.trials[-1:], [], tmp_path)
    assert [job.key for job in left] == ["pretraining/ring_digits-digits_bottleneck-seed4", every.trials[-1].key]


def test_only_detectors_keep_weights_and_the_first_seed_of_them_examples(tmp_path: Path) -> None:
    for section, examples in (("accuracy", [0, 0]), ("detection", [48, 0])):
        every = asked(section)
        jobs = {job.key: job.payload for job in jobs_of(every, every.trials, [], tmp_path)}
        ends = [jobs[trial.key] for trial in every.trials if trial.variant == SHIFT]
        assert [payload["examples"] for payload in ends] == examples
        kept = f"{tmp_path}/detectors/cluttered_digits-digits_fcos_copy_shift-residual-1_4-bidirectional_seed3.pt"
        assert ends[0]["weights"] == (kept if section == "detection" else None)
    resumed = jobs_of(every, every.trials[2:], [], tmp_path)  # of seed 4 alone
    assert [job.payload.get("examples", 0) for job in resumed] == [0, 0, 0]


class Scripted:
    """An executor whose jobs end as the test says; it begins none after a pause."""

    def __init__(self, ends: Callable[[Job], Outcome]) -> None:
        self.ends, self.begun = ends, list[str]()

    def run(self, jobs: Sequence[Job], report: Report, go_on: GoOn = lambda: True) -> Iterator[Outcome]:
        for job in jobs:
            if go_on():
                self.begun.append(job.key)
                yield self.ends(job)


def failing(job: Job) -> Outcome:
    return Outcome(job, "failed", {}, "it hung", wall_seconds=2.0)


def train(
    every: Training, known: Sequence[str] = (), refused: dict[str, str] | None = None, pause_at: float = math.inf
) -> tuple[int, list[TrainedRecord], list[str]]:
    """Trials left by a pause, records, jobs that were begun."""
    kept, executor = list[Record](), Scripted(failing)
    trainer = Trainer(executor, Reporter(quiet=True), kept.append, refused or {}, pause_at, [], Path("/nowhere"))
    left = trainer.train(every, known)
    records = [record for record in kept if isinstance(record, TrainedRecord)]
    assert len(records) == len(kept)
    return left, records, executor.begun


def test_each_trial_gets_one_record_and_known_ones_none() -> None:
    every = asked()
    left, records, begun = train(every, [every.trials[0].key], {"copy_shift": "conformance: shape"})
    assert left == 0 and begun == ["pretraining/ring_digits-digits_resnet-seed4", every.trials[2].key]
    assert {record.id: (record.status, record.reason, record.trial) for record in records} == {
        every.trials[1].key: ("failed", "conformance: shape", every.trials[1]),
        every.trials[3].key: ("failed", "conformance: shape", every.trials[3]),
        every.trials[2].key: ("failed", "it hung", every.trials[2]),
    }


def test_a_pause_leaves_trials_without_a_record() -> None:
    assert train(asked(), pause_at=-1.0) == (4, [], [])


def test_without_the_packages_it_needs_a_task_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "find_spec", lambda name: None)
    left, records, begun = train(asked("detection"), refused={"copy_shift": "never mind"})
    assert left == 0 and not begun
    assert {(record.status, record.reason) for record in records} == {
        ("skipped", "torchmetrics and faster_coco_eval must be installed: the extra detection")
    }
    assert len(train(asked())[1]) == 4  # others need none
