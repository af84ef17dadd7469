"""Arms -> training jobs: each arm, and before the first of a kind the pre-training that it starts from."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.axes import PRETRAINED_FORM
from bench.executors import Job
from bench.sweep import Sweep

_FRAMES_PER_SECOND = {"cpu": 1800.0, "cuda": 10000.0}  # expected training speed of one process, until the run knows
_COST = {"digits_bottleneck": 1.5, "digits_r3d": 3.0, "digits_r2plus1d": 2.0}  # of a frame, against digits_resnet
_FRAMES = 8  # of a clip, in all data sets


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
