"""Trained records -> arms: what tables, comparisons and verdicts on trained networks are made of.

An arm is one variant under one condition, with one sample per seed: a network that recognises rendered clips (section
accuracy) or real videos (section video), or a detector. Seeds are independent given the pool of images, of which each
seed makes its own split. Of videos they are so given the split: where its halves change places with every second seed,
seeds of one parity share it. The clips of a seed are not independent: base clip i is shown in all K temporal classes,
so K judged clips stand or fall together.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.spec.axes import BASELINE
from bench.spec.cases import BASELINE_VARIANT, Condition, Trial, Variant
from bench.stats.estimators import Seeds, Shares
from bench.store.records import Record, TrainedRecord
from bench.store.samples import Detection, Recognition, VideoRecognition

ArmKey = tuple[Variant, Condition]
Known = Recognition | Detection | VideoRecognition  # what a trained arm and seed has shown

FORMS = ("frame by frame", "online", "offline")


@dataclass(frozen=True)
class Arm:
    """One variant under one condition of a section: {seed: raw samples}."""

    section: str
    variant: Variant
    condition: Condition
    seeds: dict[int, Known]

    @property
    def key(self) -> ArmKey:
        """What tells this arm from all others of its section."""
        return self.variant, self.condition

    @property
    def records(self) -> str:
        """What the ids of its records begin with."""
        return Trial(self.section, self.variant, self.condition, 0).key.removesuffix("/seed0")

    @property
    def recognition(self) -> dict[int, Recognition]:
        """The samples of an arm of the section accuracy; empty for others."""
        return {seed: samples for seed, samples in self.seeds.items() if isinstance(samples, Recognition)}

    @property
    def videos(self) -> dict[int, VideoRecognition]:
        """The samples of an arm of the section video; empty for others."""
        return {seed: samples for seed, samples in self.seeds.items() if isinstance(samples, VideoRecognition)}

    @property
    def recognising(self) -> dict[int, Recognition | VideoRecognition]:
        """The samples of either of the two; empty for a detector."""
        return {**self.recognition, **self.videos}

    @property
    def chance_pct(self) -> float:
        """Temporal accuracy of a network that guesses, in per cent: all temporal classes are equally frequent. Of
        videos its top-1, were all classes equally frequent."""
        if self.videos:
            return 100 / len(next(iter(self.videos.values())).classes)
        return 100 / next(iter(self.recognition.values())).temporal_classes

    def pct(self, outcome: str) -> Shares:
        """The outcome of each seed in per cent, where it has one; outcome: of OUTCOMES, MEASURES or TOPS."""
        values = {seed: samples.outcome(outcome) for seed, samples in self.seeds.items()}
        judged = next(iter(self.seeds.values())).judged(outcome)
        return Shares({seed: value for seed, value in values.items() if value is not None}, judged=judged)

    def clip_deltas(self, other: "Arm", outcome: str) -> list[NDArray[np.float64]]:
        """For each shared seed, this arm minus ``other`` on each base clip [clips / K], in pp.

        With one seed all arms are judged on the same clips. Seeds in which the two were judged on unlike numbers of
        clips are left out.
        """
        theirs = other.recognition
        pairs = [
            (samples.base_clips_pct(outcome), theirs[seed].base_clips_pct(outcome))
            for seed, samples in self.recognition.items()
            if seed in theirs
        ]
        return [own - others for own, others in pairs if own.shape == others.shape]


def form_of(variant: Variant) -> str:
    """What the variant makes of a detector: one of FORMS."""
    if variant.strategy == BASELINE:
        return "frame by frame"
    return "online" if variant.direction == "unidirectional" else "offline"


def trainings(records: Iterable[Record], section: str) -> list[TrainedRecord]:
    """All that a section trained or tried to."""
    return [record for record in records if isinstance(record, TrainedRecord) and record.trial.section == section]


def arms(records: Iterable[Record], section: str) -> list[Arm]:
    """Every trained arm of a section with its seeds; detectors in the order of FORMS."""
    found: dict[ArmKey, dict[int, Known]] = {}
    for record in trainings(records, section):
        if record.samples is not None:
            trial = record.trial
            found.setdefault((trial.variant, trial.condition), {})[trial.seed] = record.samples
    trained = [Arm(section, *key, dict(sorted(seeds.items()))) for key, seeds in found.items()]
    return sorted(trained, key=lambda arm: FORMS.index(form_of(arm.variant))) if section == "detection" else trained


def lost_seeds(records: Iterable[Record], section: str) -> dict[ArmKey, str]:
    """{arm: how many of its seeds failed, and why the first of them did}. What is left of such an arm must not be
    judged: seeds do not diverge by chance alone, so the mean over the others flatters it."""
    reasons: dict[ArmKey, list[str]] = {}
    for record in trainings(records, section):
        if record.status == "failed":
            reasons.setdefault((record.trial.variant, record.trial.condition), []).append(record.reason or "")
    return {key: f"{len(own)} {'seed' if len(own) == 1 else 'seeds'} failed: {own[0]}" for key, own in reasons.items()}


def unfinished(header: Mapping[str, Any], trained: Iterable[Arm]) -> dict[ArmKey, str]:
    """{arm: how many of the seeds that its run has planned are trained}, where some are missing yet. Such an arm must
    not be judged either: who looks before the end may stop where it looks best."""
    sections = header.get("sweep", {}).get("trainings", {})
    planned = Counter(
        f"{name}/{trial}".rpartition("/seed")[0] for name, of in sections.items() for trial in of.get("trials", ())
    )
    return {
        arm.key: f"{len(arm.seeds)} of {planned[arm.records]} seeds are trained"
        for arm in trained
        if len(arm.seeds) < planned[arm.records]
    }


def partial_arms(header: Mapping[str, Any], records: Sequence[Record], section: str) -> dict[ArmKey, str]:
    """{arm: why not all its seeds are there}: some failed, or are yet to be trained."""
    return unfinished(header, arms(records, section)) | lost_seeds(records, section)


def baseline_arm(arm: Arm, all_arms: Sequence[Arm]) -> Arm | None:
    """The network without a shift, trained under the same condition."""
    return next((other for other in all_arms if other.key == (BASELINE_VARIANT, arm.condition)), None)


def difference(sound: Mapping[ArmKey, Arm], first: ArmKey, second: ArmKey, outcome: str) -> Seeds:
    """first - second in pp, paired by seed; empty where one of the two is not there."""
    if first not in sound or second not in sound:
        return Seeds({})
    return sound[first].pct(outcome) - sound[second].pct(outcome)
