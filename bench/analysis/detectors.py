"""Records of trained detectors -> forms with one value per seed: what the detection table and its verdicts are made of.

A form is the detector with one variant of a shift in its backbone: frame by frame, online (from the past only) or
offline. Seeds are paired: all forms of a seed start from the same weights and see the same clips.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.data.speed import SPEEDS
from bench.spec.axes import BASELINE
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant
from bench.store.records import Record

MEASURES = ("map", *(f"map_{speed}" for speed in SPEEDS))
"""What a record measures: mean average precision at IoU 0.5, of all objects and by their speed."""


_ORDER = ("frame by frame", "online", "offline")


@dataclass(frozen=True)
class Form:
    """One form of the detector: {seed: raw samples}."""

    variant: Variant
    condition: Condition
    seeds: dict[int, dict[str, Any]]

    @property
    def name(self) -> str:
        """``frame by frame``, ``online`` or ``offline``."""
        return form_of(self.variant)

    def values(self, measure: str) -> list[float]:
        """Per seed in per cent, where anything was asked for."""
        return [100 * s[measure] for s in self.seeds.values() if s[measure] is not None]

    def deltas(self, other: "Form", measure: str) -> dict[int, float]:
        """{seed: this form minus ``other`` in points}."""
        pairs = {
            seed: (samples[measure], other.seeds[seed][measure])
            for seed, samples in self.seeds.items()
            if seed in other.seeds
        }
        return {seed: 100 * (own - its) for seed, (own, its) in pairs.items() if own is not None and its is not None}


def form_of(variant: Variant) -> str:
    """What a variant makes of the detector."""
    if variant.strategy == BASELINE:
        return "frame by frame"
    return "online" if variant.direction == "unidirectional" else "offline"


def forms(records: Iterable[Record]) -> list[Form]:
    """Every trained form with its seeds, in their order: frame by frame, then online, then offline."""
    found: dict[tuple[Variant, Condition], dict[int, dict[str, Any]]] = {}
    for record in records:
        if record.kind == "detection" and record.status == "ok" and record.seed is not None:
            key = (Variant.from_json(record.case), Condition.from_json(record.case))
            found.setdefault(key, {})[record.seed] = record.samples
    trained = [Form(*key, dict(sorted(seeds.items()))) for key, seeds in found.items()]
    return sorted(trained, key=lambda form: _ORDER.index(form.name))


def lost_seeds(records: Iterable[Record]) -> dict[tuple[Variant, Condition], str]:
    """{form: how many of its seeds failed, and why the first of them did}."""
    reasons: dict[tuple[Variant, Condition], list[str]] = {}
    for record in records:
        if record.kind == "detection" and record.status == "failed":
            key = (Variant.from_json(record.case), Condition.from_json(record.case))
            reasons.setdefault(key, []).append(record.reason or "")
    return {key: f"{len(own)} {'seed' if len(own) == 1 else 'seeds'} failed: {own[0]}" for key, own in reasons.items()}


def frame_by_frame(found: Sequence[Form]) -> Form | None:
    """The detector without a shift, the first one of ``found``."""
    return next((form for form in found if form.variant == BASELINE_VARIANT), None)
