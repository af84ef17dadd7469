"""Records of trainings -> arms: what tables, controls and verdicts on accuracy are made of.

An arm is one variant under one condition, with one sample per seed. Seeds are independent given the pool of images, of
which each seed makes its own split; the clips of a seed are not: base clip i is shown in all K temporal classes, so K
judged clips stand or fall together.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.spec.cases import BASELINE_VARIANT, Condition, Variant
from bench.stats.packed_booleans import unpack
from bench.store.records import Record

PARTS = ("spatial", "temporal", "joint")
"""What a record measures."""

OUTCOMES = (*PARTS, "mixture")
"""And, derived from them, accuracy on a mixture of clips of which every second one asks a temporal question too: half
spatial, half joint. Joint accuracy caps a network that looks at single frames at chance (25 % with four classes), this
at half of that and 50 % (62.5 %)."""

ArmKey = tuple[Variant, Condition]


@dataclass(frozen=True)
class Arm:
    """An arm of the accuracy experiment: {seed: raw samples}, accuracies as shares."""

    variant: Variant
    condition: Condition
    seeds: dict[int, dict[str, Any]]

    @property
    def key(self) -> ArmKey:
        """What tells this arm from all others of a run."""
        return self.variant, self.condition

    @property
    def chance_pct(self) -> float:
        """Temporal accuracy of a network that guesses, in per cent: all temporal classes are equally frequent."""
        classes: int = next(iter(self.seeds.values()))["temporal_classes"]
        return 100 / classes

    def values(self, part: str) -> list[float]:
        """Accuracy per seed in per cent; part: one of OUTCOMES."""
        return [100 * _share(samples, part) for samples in self.seeds.values()]

    def deltas(self, other: "Arm", part: str) -> list[float]:
        """This arm minus ``other`` in points, paired by seed; empty where they share none."""
        return list(self.by_seed(other, part).values())

    def by_seed(self, other: "Arm", part: str) -> dict[int, float]:
        """The same with the seeds: {seed: this arm minus ``other``}."""
        return {
            seed: 100 * (_share(samples, part) - _share(other.seeds[seed], part))
            for seed, samples in self.seeds.items()
            if seed in other.seeds
        }

    def clip_deltas(self, other: "Arm", part: str) -> list[NDArray[np.float64]]:
        """For each shared seed, this arm minus ``other`` on each base clip [clips / K], in points.

        With one seed all arms are judged on the same clips. Seeds in which the two were judged on unlike numbers of
        clips are left out.
        """
        pairs = [
            (_base_clips_pct(samples, part), _base_clips_pct(other.seeds[seed], part))
            for seed, samples in self.seeds.items()
            if seed in other.seeds
        ]
        return [own - others for own, others in pairs if own.shape == others.shape]


def _share(samples: dict[str, Any], part: str) -> float:
    if part == "mixture":
        return (float(samples["spatial_accuracy"]) + float(samples["joint_accuracy"])) / 2
    return float(samples[f"{part}_accuracy"])


def _base_clips_pct(samples: dict[str, Any], part: str) -> NDArray[np.float64]:
    """The accuracy on each base clip over its K orders [clips / K], in per cent."""
    spatial, temporal = (unpack(samples[f"{name}_correct"], samples["test_clips"]) for name in ("spatial", "temporal"))
    joint = spatial & temporal
    right = {"spatial": spatial, "temporal": temporal, "joint": joint, "mixture": (1.0 * spatial + joint) / 2}[part]
    shares: NDArray[np.float64] = right.reshape(-1, samples["temporal_classes"]).mean(axis=1)
    return 100.0 * shares


def arms(records: Iterable[Record]) -> list[Arm]:
    """Every trained arm with its seeds, in the order of the seeds."""
    found: dict[ArmKey, dict[int, dict[str, Any]]] = {}
    for record in records:
        if record.kind == "accuracy" and record.status == "ok" and record.seed is not None:
            found.setdefault(key_of(record), {})[record.seed] = record.samples
    return [Arm(*key, dict(sorted(seeds.items()))) for key, seeds in found.items()]


def failed_arms(records: Iterable[Record]) -> dict[ArmKey, str]:
    """{arm: why one of its seeds failed}. What is left of such an arm must not be judged: seeds do not diverge by
    chance alone, so the mean over the others flatters it."""
    return {key_of(r): r.reason or "" for r in records if r.kind == "accuracy" and r.status == "failed"}


def key_of(record: Record) -> ArmKey:
    """The arm that an accuracy record belongs to."""
    return Variant.from_json(record.case), Condition.from_json(record.case)


def baseline_arm(arm: Arm, all_arms: Sequence[Arm]) -> Arm | None:
    """The network without a shift, trained under the same condition."""
    return next((other for other in all_arms if other.key == (BASELINE_VARIANT, arm.condition)), None)
