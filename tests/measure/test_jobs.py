"""Trials -> jobs, and a record of each that ended; nothing is really trained."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure import training
from bench.measure.executors import GoOn, Job, Outcome, Report
from bench.measure.jobs import Trainer, jobs_of
from bench.spec.axes import DETECTION_DATASET, TRAINED_DETECTOR, ValueNotAllowed
from bench.spec.cases import BASELINE_VARIANT, Condition, Training, Trial, Variant, parse_fraction
from bench.spec.training import ClutteredDigitsData, Data, DetectionRecipe, Recipe, VideoRecipe
from bench.spec.videos import Question, Videos
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


# --- videos -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def of_videos(tmp_path: Path) -> Training:
    """Two questions, of which one has half of the classes; no file is read."""
    for name in "abcd":
        (tmp_path / name).mkdir()
        for number in range(10):
            (tmp_path / name / f"{number}.mp4").touch()
    questions = (Question(name="all"), Question(name="some", classes=("a", "b")))
    trials = [
        Trial("video", variant, Condition(dataset=question.name, backbone="resnet18"), seed)
        for seed in (0, 1)
        for question in questions
        for variant in (BASELINE_VARIANT, SHIFT)
    ]
    data = Videos(path=str(tmp_path), questions=questions, size=64)
    return Training("video", tuple(trials), VideoRecipe(device="cpu", bf16=False), data)


def test_videos_are_decoded_once_for_all_trials_and_nothing_is_pretrained(of_videos: Training, tmp_path: Path) -> None:
    first, *others = jobs_of(of_videos, of_videos.trials, [], tmp_path)
    assert first.module == "bench.measure.training.video_cache" and not first.on_gpu
    assert Videos.model_validate(first.payload["data"]) == of_videos.data
    assert [job.key for job in others] == [trial.key for trial in of_videos.trials]
    assert {job.needs for job in others} == {first.key}
    assert not [job for job in others if "checkpoint" in job.payload]
    states = {job.payload["epoch_state"] for job in others}
    assert len(states) == len(others) and {Path(state).parent for state in states} == {tmp_path / "training"}
    of_all, _, of_some, _ = (job.work for job in others[:4])
    assert of_all == pytest.approx(2 * of_some)
    larger = replace(of_videos, data=of_videos.data.model_copy(update={"size": 128}))
    assert jobs_of(larger, larger.trials, [], tmp_path)[1].work == pytest.approx(4 * of_all)


def test_the_state_of_a_training_goes_when_it_has_ended(of_videos: Training, tmp_path: Path) -> None:
    jobs = jobs_of(of_videos, of_videos.trials[:2], [], tmp_path)
    states = [Path(job.payload["epoch_state"]) for job in jobs[1:]]
    states[0].parent.mkdir()
    for state in states:
        state.touch()

    def ends(job: Job) -> Outcome:
        return Outcome(job, "ok", {}) if job.needs is None else failing(job)

    executor, few = Scripted(ends), replace(of_videos, trials=of_videos.trials[:1])
    trainer = Trainer(executor, Reporter(quiet=True), lambda record: None, {}, math.inf, [], tmp_path)
    assert trainer.train(few, ()) == 0
    assert [state.exists() for state in states] == [False, True]


def test_videos_that_cannot_be_trained_on_are_a_mistake_of_which_no_trial_is_on_record(of_videos: Training) -> None:
    def skipping(job: Job) -> Outcome:
        return Outcome(job, "skipped", {}, "the disk is full")

    kept, executor = list[Record](), Scripted(skipping)
    trainer = Trainer(executor, Reporter(quiet=True), kept.append, {}, math.inf, [], Path("/nowhere"))
    with pytest.raises(ValueNotAllowed, match="the disk is full; nothing is lost: go on with run --resume /nowhere"):
        trainer.train(of_videos, ())
    assert not kept and len(executor.begun) == 1
