"""Arms -> training jobs: each arm, and before the first of a kind the pre-training that it starts from."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.measure.executors import DETECTION_WORKER, Job
from bench.spec.axes import PRETRAINED_FORM
from bench.spec.cases import Detecting, Sweep

_FRAMES_PER_SECOND = {"cpu": 1800.0, "cuda": 10000.0}  # expected training speed of one process, until the run knows
_COST = {"digits_bottleneck": 1.5, "digits_r3d": 3.0, "digits_r2plus1d": 2.0}  # of a frame, against digits_resnet
_FRAMES = 8  # of a clip, in all data sets


_DETECTED_PER_SECOND = {"cpu": 190.0, "cuda": 2000.0}  # frames that one process trains a detector on, expected
_SHOWN = 48  # test clips of which the first seed's arms keep a frame, for the figure


def detection_jobs(detection: Detecting | None, strategy_files: Sequence[Path], folder: Path) -> list[Job]:
    """The jobs of the detection section; pre-trained detectors lie in ``folder``/pretraining too, trained ones in
    ``folder``/detectors."""
    if detection is None:
        return []
    recipe, jobs = detection.recipe, dict[str, Job]()
    speed = _DETECTED_PER_SECOND[recipe.device]
    for arm in detection.arms:
        condition = arm.condition
        tuned = {
            "lr": recipe.lr * condition.lr_factor,
            "epochs": max(1, round(recipe.epochs * condition.length_factor)),
        }
        source = f"pretraining/{condition.dataset}-{condition.backbone}-seed{arm.seed}"
        common = {
            "recipe": recipe.model_dump(mode="json"),
            "data": detection.data.model_dump(mode="json"),
            "seed": arm.seed,
            "checkpoint": str(folder.resolve() / f"{source}.pt"),
        }
        work = recipe.pretrain_frames * recipe.pretrain_epochs / speed
        jobs.setdefault(source, Job(source, {"task": "pretrain", **common}, work=work, module=DETECTION_WORKER))
        payload = {
            **common,
            "recipe": recipe.model_copy(update=tuned).model_dump(mode="json"),
            "task": "fine_tune",
            "variant": arm.variant.to_json(),
            "strategy_files": [str(file) for file in strategy_files],
            "examples": _SHOWN if arm.seed == detection.shown else 0,
            "weights": str(folder.resolve() / "detectors" / f"{arm.label.replace('/', '_')}.pt"),
        }
        key, work = f"detection/{arm.label}", recipe.clips * tuned["epochs"] * _FRAMES / speed
        jobs[key] = Job(key, payload, source, work, culprit=arm.variant.strategy, module=DETECTION_WORKER)
    return list(jobs.values())


def jobs_of(sweep: Sweep, strategy_files: Sequence[Path], folder: Path) -> list[Job]:
    """The jobs of all arms of ``sweep``; pre-trained weights lie in ``folder``/pretraining and may be deleted."""
    recipe, data = sweep.recipe, sweep.data
    epochs, speed = recipe.pretrain_epochs_easy + recipe.pretrain_epochs_hard, _FRAMES_PER_SECOND[recipe.device]
    jobs: dict[str, Job] = {}
    for arm in sweep.arms:
        condition = arm.condition
        form = PRETRAINED_FORM.get(condition.backbone, condition.backbone)
        source = f"pretraining/{condition.dataset}-{form}-seed{arm.seed}"
        common = {
            "recipe": recipe.model_dump(mode="json"),
            "data": data.model_dump(mode="json"),
            "condition": asdict(condition),
            "seed": arm.seed,
            "checkpoint": str(folder.resolve() / f"{source}.pt"),
        }
        work = recipe.pretrain_frames * epochs * _COST.get(form, 1.0) / speed
        jobs.setdefault(source, Job(source, {"task": "pretrain", **common}, work=work))
        payload = {
            **common,
            "task": "fine_tune",
            "variant": arm.variant.to_json(),
            "strategy_files": [str(file) for file in strategy_files],
        }
        clips = recipe.clips * recipe.epochs * condition.length_factor
        work = clips * _FRAMES * _COST.get(condition.backbone, 1.0) / speed
        key = f"accuracy/{arm.label}"
        jobs[key] = Job(key, payload, source, work, culprit=arm.variant.strategy)
    return list(jobs.values())
