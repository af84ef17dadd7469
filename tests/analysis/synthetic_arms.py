"""Records of trainings that never took place: right and wrong per clip is drawn, everything else follows from it."""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from bench.spec.cases import BASELINE_VARIANT, Arm, Condition, Variant
from bench.stats.packed_booleans import pack
from bench.store.records import Record

USUAL = Condition()
CLIPS, CLASSES = 50, 4


def shift(placement: str, fraction: str, direction: str = "bidirectional", strategy: str = "copy_shift") -> Variant:
    return Variant(strategy, Fraction(fraction), placement, direction)


def trained(
    variant: Variant,
    spatial: float,
    temporal: float,
    seed: int,
    condition: Condition = USUAL,
    classes: int = CLASSES,
    **more: Any,
) -> Record:
    """One arm and seed whose chances are ``spatial`` and ``temporal``; the baseline is at chance exactly, as it is.

    With one seed all arms meet the same clips, of which some are harder than others.
    """
    clips = np.random.default_rng(seed).normal(0.0, 0.1, (CLIPS, 1))
    rng = np.random.default_rng([seed, *map(ord, Arm(variant, condition, 0).label)])
    right = {"spatial": rng.random((CLIPS, classes)) < spatial + clips}
    right["temporal"] = rng.random((CLIPS, classes)) < temporal + clips
    if variant == BASELINE_VARIANT and condition.view == "clip":
        right["temporal"] = rng.permuted(np.tile(np.arange(classes) == 0, (CLIPS, 1)), axis=1)
        right["spatial"] = np.repeat(right["spatial"][:, :1], classes, axis=1)
    right["joint"] = right["spatial"] & right["temporal"]
    samples = {
        **{f"{part}_accuracy": float(bits.mean()) for part, bits in right.items()},
        **{f"{part}_correct": pack(right[part].ravel()) for part in ("spatial", "temporal")},
        "test_clips": CLIPS * classes,
        "spatial_classes": 10,
        "temporal_classes": classes,
        "params": 439_390,
        "flops": 145_635_328,
        "train_seconds": 30.0,
        "data_seconds": 0.6,
        "clips_per_second": 333.0,
    }
    arm = Arm(variant, condition, seed)
    return Record(
        id=f"accuracy/{arm.label}",
        kind="accuracy",
        status="ok",
        case=arm.to_json(),
        seed=seed,
        samples=samples | more,
    )


def failed(variant: Variant, seed: int, reason: str, condition: Condition = USUAL) -> Record:
    record = trained(variant, 0.5, 0.5, seed, condition)
    return record.model_copy(update={"status": "failed", "reason": reason, "samples": {}})


def curve(spatial: Iterable[float], temporal: Iterable[float]) -> dict[str, Any]:
    """The learning curves of one record, and the clips seen at each of their points."""
    both = {"spatial": list(spatial), "temporal": list(temporal)}
    joint = [a * b for a, b in zip(*both.values(), strict=True)]
    return {"curve": {**both, "joint": joint}, "clips_seen": [2000 * (epoch + 1) for epoch in range(len(joint))]}


def main_study(seeds: Iterable[int] = range(5), cohort: str = "main") -> list[Record]:
    """Two placements at 1/4 and all, and the baseline; in-place loses space."""
    condition = replace(USUAL, cohort=cohort)
    chances = {
        BASELINE_VARIANT: (0.95, 0.25),
        shift("residual", "1/4"): (0.9, 0.85),
        shift("residual", "1"): (0.85, 0.7),
        shift("inplace", "1/4"): (0.85, 0.85),
        shift("inplace", "1"): (0.7, 0.4),
    }
    return [trained(variant, *chance, seed, condition) for seed in seeds for variant, chance in chances.items()]
