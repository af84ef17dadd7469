"""A small record of every kind; what a test does not care about is filled in."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from bench.spec.axes import BASELINE
from bench.spec.cases import BASELINE_VARIANT, Case, Condition, Trial, Variant
from bench.spec.panel import Panel
from bench.store.records import CheckedRecord, ProcessRecord, StaticRecord, TimedRecord, TrainedRecord
from bench.store.samples import MEASURES, Detection, Process, Recognition, Slots, Static, VideoRecognition

PANEL = Panel("resnet50", "cpu", "eager", "fp32", "nchw", threads=2, frames=8, size=224, batch=1)
STREAM = replace(PANEL, frames=4, streams=1)
USUAL = Condition()
DETECTOR = Condition(dataset="cluttered_digits", backbone="digits_fcos")
VIDEO = Condition(dataset="pairs", backbone="timm:tf_efficientnet_lite0")


def shift(
    placement: str = "residual",
    fraction: str = "1/4",
    direction: str = "bidirectional",
    strategy: str = "copy_shift",
) -> Variant:
    """The baseline where the strategy is its name."""
    return BASELINE_VARIANT if strategy == BASELINE else Variant(strategy, Fraction(fraction), placement, direction)


BASE = Case(BASELINE_VARIANT, PANEL)
TWIN = replace(BASE, aa=True)
SHIFT = Case(shift(), PANEL)


def timed(
    case: Case = SHIFT, replicate: int = 0, seconds: Sequence[float] = (0.1, 0.25), **columns: Any
) -> TimedRecord:
    """Two slots a superblock."""
    places = {"superblock": [slot // 2 for slot in range(len(seconds))], "position": list(range(len(seconds)))}
    samples = Slots(**{**places, "seconds": list(seconds), **columns})
    return TimedRecord(id=f"{case.key}/r{replicate}", case=case, replicate=replicate, samples=samples)


def unmeasured(case: Case = SHIFT, status: str = "failed", reason: str = "it hung") -> TimedRecord:
    """A case that failed or was skipped."""
    return TimedRecord(id=f"{case.key}/{status}", case=case, status=status, reason=reason)  # type: ignore[arg-type]


def process(panel: Panel = PANEL, replicate: int = 0, blocks: int = 1, **samples: Any) -> ProcessRecord:
    """A quiet process of so many superblocks."""
    quiet = {"wall": [5.0] * blocks, "waited": [0.0] * blocks, "disturbance": [{}] * blocks, "sensors": [{}] * blocks}
    more = {"copies": {}, "page_seconds": [], "startup_seconds": 5.0, "warm_up_seconds": 1.0, "backend": {}}
    own = Process.model_validate({**quiet, **more, **samples})
    return ProcessRecord(id=f"replicate/{panel.label}/r{replicate}", panel=panel, replicate=replicate, samples=own)


def counted(**samples: Any) -> Static:
    """What one forward moves and holds."""
    plain = {"params": 100, "flops": 1000, "bytes_moved": 3, "peak_live_bytes": 4, "operations": {}}
    return Static.model_validate({**plain, **samples})


def static(case: Case = SHIFT, **samples: Any) -> StaticRecord:
    """A counted case."""
    return StaticRecord(id=f"static/{case.label}", case=case, samples=counted(**samples))


_SECONDS = {"train_seconds": 30.0, "data_seconds": 0.6, "test_seconds": 1.0}
_FITTED = {**_SECONDS, "train_loss": [], "params": 439_390, "test_clips": 8}


def recognition(**samples: Any) -> Recognition:
    """What a network knows that is right in every second of two clips, in all orders."""
    plain = {"spatial_accuracy": 0.5, "temporal_accuracy": 0.5, "joint_accuracy": 0.5, "flops": 145_635_328}
    right = {"spatial_correct": "f0", "temporal_correct": "f0", "spatial_classes": 10, "temporal_classes": 4}
    return Recognition.model_validate({**_FITTED, **plain, **right, "clips_per_second": 333.0, **samples})


def detection(**samples: Any) -> Detection:
    """What a detector finds."""
    plain = dict.fromkeys(MEASURES, 0.5)
    asked = {"asked_slow": 9, "asked_medium": 8, "asked_fast": 7, "by_class": [0.5], "played_clips": 1, "examples": {}}
    return Detection.model_validate({**_FITTED, **plain, **asked, **samples})


def video(**samples: Any) -> VideoRecognition:
    """A network that is right in every second of eight videos of two classes."""
    plain = {"top1_accuracy": 0.5, "shuffled_accuracy": 0.5, "one_frame_accuracy": 0.5, "correct": "f0"}
    plain |= {"videos": [f"{place}.mp4" for place in range(8)], "classes": ["left", "right"]}
    plain |= {"confusion": {"left": {"left": 4}, "right": {"left": 4}}, "weights": "imagenet", "flips": False}
    learned = {"clips_seen": [16, 32], "curve": {"top1": [0.4, 0.5]}, "validation_clips": 4, "train_clips": 16}
    return VideoRecognition.model_validate(
        {**_FITTED, **plain, **learned, "flops": 1_000, "clips_per_second": 16.0, **samples}
    )


def trained(
    samples: Recognition | Detection | VideoRecognition | None,
    variant: Variant = BASELINE_VARIANT,
    seed: int = 0,
    condition: Condition | None = None,
) -> TrainedRecord:
    """One arm and seed. Without samples: a training that failed in the accuracy section."""
    usual = {Detection: ("detection", DETECTOR), VideoRecognition: ("video", VIDEO)}
    section, own = usual.get(type(samples), ("accuracy", USUAL))
    trial = Trial(section, variant, condition or own, seed)
    return TrainedRecord(id=trial.key, trial=trial, samples=samples)


def failed_training(
    variant: Variant, seed: int, reason: str, condition: Condition = USUAL, section: str = "accuracy"
) -> TrainedRecord:
    """One arm and seed that was lost."""
    trial = Trial(section, variant, condition, seed)
    return TrainedRecord(id=trial.key, trial=trial, status="failed", reason=reason)


def checked(strategy: str = "copy_shift", **more: Any) -> CheckedRecord:
    """A strategy that passed, unless ``more`` says otherwise."""
    return CheckedRecord(id=f"conformance/{strategy}", strategy=strategy, **more)
