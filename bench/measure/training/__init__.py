"""Trainings: what a shift buys, or costs, once a network has learned with it.

A 2-D network learns from single frames: the pre-training that all trials of a seed share. Then a strategy is put into
it, and it learns from clips and is judged. ``harness`` has both stages and their loop, ``checkpoint`` the shared
weights, ``worker`` the process in which one of them runs. On videos of one's own the network starts from weights that
it has, and ``video_cache`` has the videos decoded before the first trial.

A task (data, network, loss, evaluation) is a ``harness.Task`` in a module of its own and an entry in ``TASKS``. Its
data and recipe stand in ``spec.training``, its samples in ``store.samples``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec


@dataclass(frozen=True)
class TaskInfo:
    """What must be known of a task before its module, which imports torch, is loaded.

    implementation: module:class. frames_per_second: expected speed of one process, by device; cost: of a frame, by
    network, where it is not 1. requires: packages beyond torch, which ``extra`` installs. examples: test clips of which
    trials of the first seed keep a frame. weights: the folder of trained weights. epoch_states: the folder in which a
    training keeps its state after each epoch, while it lasts.
    """

    implementation: str
    frames_per_second: Mapping[str, float]
    cost: Mapping[str, float] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    extra: str = ""
    examples: int = 0
    weights: str | None = None
    epoch_states: str | None = None

    def missing(self) -> str | None:
        """A sentence on the packages that are not installed, or None."""
        names = [name for name in self.requires if find_spec(name) is None]
        return f"{' and '.join(names)} must be installed: the extra {self.extra}" if names else None


TASKS: dict[str, TaskInfo] = {  # by section
    "accuracy": TaskInfo(
        "bench.measure.training.recognition:RecognitionTask",
        {"cpu": 1000.0, "cuda": 10_000.0},  # a core of a Zen 3; a Zen 4 does 1600
        cost={"digits_bottleneck": 1.5, "digits_vit": 1.5, "digits_r3d": 3.0, "digits_r2plus1d": 2.0},
    ),
    "detection": TaskInfo(
        "bench.measure.training.detection:DetectionTask",
        {"cpu": 190.0, "cuda": 2000.0},
        requires=("torchmetrics", "faster_coco_eval"),
        extra="detection",
        examples=48,
        weights="detectors",
    ),
    "video": TaskInfo(
        "bench.measure.training.video:VideoTask",
        {"cpu": 130.0, "cuda": 4000.0},  # EfficientNet-Lite0 on frames of 64²
        requires=("av",),
        extra="video",
        weights="trained",
        epoch_states="training",
    ),
}
