"""Tiny recipes, and one pre-training of each task for all tests."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from bench.data import open_dataset
from bench.data.cluttered_digits import ClutteredDigits
from bench.measure.training import checkpoint
from bench.measure.training.checkpoint import State
from bench.measure.training.detection import DetectionTask
from bench.measure.training.harness import Fit, pretrain
from bench.measure.training.recognition import RecognitionTask
from bench.measure.training.worker import handle
from bench.plugins.discovery import strategy_files
from bench.spec.axes import DETECTION_DATASET, TRAINED_DETECTOR
from bench.spec.cases import BASELINE_VARIANT, Condition
from bench.spec.training import ClutteredDigitsData, Data, DetectionRecipe, Recipe

RECIPE = Recipe(
    pretrain_frames=144,
    pretrain_epochs_easy=1,
    pretrain_epochs_hard=1,
    pretrain_batch=48,
    clips=40,
    epochs=2,
    batch=16,
    test_clips=21,
    validation_clips=5,
    bf16=False,
    device="cpu",
)
QUICK = RECIPE.model_copy(update={"clips": 16, "epochs": 1, "test_clips": 2, "validation_clips": 1})
DETECTION_RECIPE = DetectionRecipe(
    pretrain_frames=48,
    pretrain_epochs=2,
    pretrain_batch=16,
    clips=4,
    epochs=1,
    batch=2,
    test_clips=4,
    bf16=False,
    device="cpu",
)
OF_DETECTORS = Condition(dataset=DETECTION_DATASET, backbone=TRAINED_DETECTOR)
RESULT = ("seconds", "clips_per_second", "machine")
"""What differs from one training to the same again."""


def repeatable(samples: dict[str, Any]) -> dict[str, Any]:
    """All of a result but its times."""
    return {name: value for name, value in samples.items() if not name.endswith(RESULT)}


def quiet(share: float) -> None:
    """Nobody watches."""


@pytest.fixture(scope="session")
def recognition() -> RecognitionTask:
    return RecognitionTask(RECIPE, Condition(), 1, open_dataset("ring_digits", RECIPE, Data(), seed=1))


@pytest.fixture(scope="session")
def pretrained(recognition: RecognitionTask) -> tuple[State, Fit]:
    return pretrain(recognition, quiet)


@pytest.fixture(scope="session")
def detection() -> DetectionTask:
    dataset = ClutteredDigits.split(DETECTION_RECIPE, ClutteredDigitsData(), seed=1)
    return DetectionTask(DETECTION_RECIPE, OF_DETECTORS, 1, dataset, examples=3)


@pytest.fixture(scope="session")
def pretrained_detector(detection: DetectionTask) -> tuple[State, Fit]:
    return pretrain(detection, quiet)


def job_of(section: str, folder: Path) -> dict[str, Any]:
    """A job of a worker, which needs its stage."""
    accuracy = section == "accuracy"
    return {
        "section": section,
        "recipe": (RECIPE if accuracy else DETECTION_RECIPE).model_dump(mode="json"),
        "data": (Data() if accuracy else ClutteredDigitsData()).model_dump(mode="json"),
        "condition": asdict(Condition() if accuracy else OF_DETECTORS),
        "seed": 1,
        "checkpoint": str(folder / "pretrained.pt"),
        "variant": BASELINE_VARIANT.to_json(),
        "strategy_files": [str(path) for path in strategy_files()],
    }


def do(job: dict[str, Any], stage: str) -> list[dict[str, Any]]:
    """The events of a job that is done in this process."""
    events: list[dict[str, Any]] = []
    handle(job | {"stage": stage}, events.append)
    return events


@pytest.fixture(scope="session")
def trials(tmp_path_factory: pytest.TempPathFactory, pretrained: tuple[State, Fit]) -> dict[str, dict[str, Any]]:
    """Samples of three trials of one seed."""
    job = job_of("accuracy", tmp_path_factory.mktemp("trials"))
    task = RecognitionTask.open(job["recipe"], job["data"], Condition(), 1)
    key = checkpoint.key_of(task.recipe, task.condition.dataset, task.data_version, task.form, 1)
    checkpoint.save(Path(job["checkpoint"]), key, pretrained[0])
    offline = {"strategy": "copy_shift", "fraction": "1/8", "placement": "residual", "direction": "bidirectional"}
    variants = {"baseline": job["variant"], "offline": offline, "causal": {**offline, "direction": "unidirectional"}}
    return {name: do(job | {"variant": own}, "fine_tune")[-1]["samples"] for name, own in variants.items()}
