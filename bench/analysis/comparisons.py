"""The controls of the accuracy experiment: what else could explain the main result, does it last?

``comparisons.toml`` says what each control compares; this interprets it. An arm of which a seed failed stands in no
comparison; what a run has not trained has none.
"""

import tomllib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.analysis.arms import Arm, ArmKey, difference
from bench.analysis.selection import PUBLISHED, USUAL, replaced, selects_arm
from bench.spec.cases import BASELINE_VARIANT, Variant
from bench.stats.estimators import Interval, Seeds, Shares

_FILE = Path(__file__).with_name("comparisons.toml")
ABOVE, BELOW, HOLDS_REFERENCE, NO_INTERVAL = "above", "below", "holds reference", "no interval"


@dataclass(frozen=True)
class Comparison:
    """One comparison of a control, with its 95 % interval over seeds (not corrected for their number).

    control, title: which control it belongs to. explains: whether the control asks for another explanation of the main
    result (else: whether that result lasts). outcome: joint, spatial, temporal or mixture. words: what is compared,
    like ``residual minus in-place``; subject: for which arm. interval: in ``unit``, percentage points (pp) for a
    difference and % for a level. reference: what it is held against, 0 for a difference and chance for a level.
    mde: the minimum detectable effect, in pp. seeds: how many pairs.
    """

    control: str
    title: str
    explains: bool
    outcome: str
    words: str
    subject: str
    interval: Interval
    unit: str
    reference: float
    mde: float
    seeds: int

    @property
    def answer(self) -> str:
        """Where the interval lies: above or below the reference, or around it."""
        if self.interval.low != self.interval.low:
            return NO_INTERVAL
        if self.interval.low > self.reference:
            return ABOVE
        return BELOW if self.interval.high < self.reference else HOLDS_REFERENCE


class Compared(BaseModel):
    """One kind of comparison. first: a selector; each arm that it selects is compared with ``second``, the same with
    some fields replaced; without a second, its level is held against chance. minus: of the difference, the same
    difference with some fields replaced. words, subject: format strings over the fields of the first arm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: dict[str, Any]
    second: dict[str, Any] | str | None = None
    minus: dict[str, Any] | None = None
    outcomes: tuple[str, ...]
    words: str
    subject: str = "{first}"
    several: bool = False  # only where the selector finds more than one arm


class Control(BaseModel):
    """explains: it asks for another explanation of the result, else whether the result lasts. function: what cannot be
    said as data. repeats: the cohort in which each comparison is made again, for those that can be made in both."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    question: str
    explains: bool
    function: str | None = None
    repeats: str | None = None
    compare: tuple[Compared, ...] = ()


def load_controls(path: Path = _FILE) -> list[Control]:
    """Those that come with the suite, in the order in which they are shown."""
    return [Control.model_validate(entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["control"]]


def compare_controls(trained: Sequence[Arm], failed: Collection[ArmKey] = ()) -> list[Comparison]:
    """All comparisons that can be made. failed: the arms of which a seed failed."""
    sound = {arm.key: arm for arm in trained if arm.key not in failed}
    found = []
    for control in load_controls():
        rows: list[_Row] = []
        for compared in control.compare:
            own = list(_rows(compared, sound))
            rows += _repeated(compared, control.repeats, own, sound) if control.repeats else own
        if control.function:
            rows += _FUNCTIONS[control.function](sound)
        for outcome, words, subject, units, chance in rows:
            names = (control.id, control.title, control.explains, outcome, words, subject)
            unit, reference = ("pp", 0.0) if chance is None else ("%", chance)
            found.append(Comparison(*names, units.interval(), unit, reference, units.mde(), len(units)))
    return found


_Row = tuple[str, str, str, Seeds, float | None]  # outcome, words, subject, values, chance (of a level)
_Arms = dict[ArmKey, Arm]


def _rows(compared: Compared, sound: _Arms) -> Iterator[_Row]:
    chosen = [arm for arm in sound.values() if selects_arm(compared.first, arm)]
    if compared.several and len(chosen) < 2:
        return
    chosen.sort(key=lambda arm: (arm.variant.fraction, arm.condition.lr_factor, arm.condition.length_factor))
    for outcome, arm in product(compared.outcomes, chosen):
        names: dict[str, Any] = {**vars(arm.variant), **vars(arm.condition), "first": _name(arm.variant)}
        if compared.second is None:
            yield outcome, compared.words, compared.subject.format(**names), arm.pct(outcome), arm.chance_pct
            continue
        key = replaced(*arm.key, compared.second)
        names["second"] = _name(key[0])
        units = difference(sound, arm.key, key, outcome)
        if compared.minus is not None:
            usual = replaced(*arm.key, compared.minus)
            if usual == arm.key:
                continue
            units -= difference(sound, usual, replaced(*key, compared.minus), outcome)
        if len(units):
            yield outcome, compared.words.format(**names), compared.subject.format(**names), units, None


def _repeated(compared: Compared, cohort: str, rows: list[_Row], sound: _Arms) -> list[_Row]:
    """Each comparison with the main seeds and with those of the cohort, where both can be made."""
    again = list(_rows(compared.model_copy(update={"first": {**compared.first, "cohort": cohort}}), sound))
    pairs = [(one, other) for one in rows for other in again if one[:2] == other[:2]]
    subjects = ("main seeds", "other seeds")
    return [(*row[:2], subject, *row[3:]) for pair in pairs for row, subject in zip(pair, subjects, strict=True)]


def _name(variant: Variant) -> str:
    """The usual direction is not named."""
    if variant == BASELINE_VARIANT:
        return variant.strategy
    text = f"{variant.strategy} {variant.placement} {variant.fraction} {variant.direction}"
    return text.removesuffix(" bidirectional")


def _shuffled(sound: _Arms) -> Iterator[_Row]:
    """Tested on frames in random order: in time against chance, in space against ordered frames."""
    arm = sound.get((Variant(PUBLISHED, Fraction(1, 4), "residual", "bidirectional"), USUAL["accuracy"]))
    if arm is None:
        return
    text = _name(arm.variant)
    temporal, spatial = dict[int, float](), dict[int, float]()
    for seed, samples in arm.recognition.items():
        if samples.shuffled_temporal_accuracy is not None and samples.shuffled_spatial_accuracy is not None:
            temporal[seed] = 100 * samples.shuffled_temporal_accuracy
            spatial[seed] = 100 * (samples.shuffled_spatial_accuracy - samples.spatial_accuracy)
    if temporal:
        subject = f"{text}, frames in random order"
        yield (
            "temporal",
            "shuffled frames against chance",
            subject,
            Shares(temporal, judged=arm.pct("temporal").judged),
            arm.chance_pct,
        )
        yield "spatial", "shuffled frames minus ordered frames", text, Seeds(spatial), None


def _matched(sound: _Arms) -> Iterator[_Row]:
    """Each in-place arm against the residual arms' path over the fractions, where that is as good in time."""

    def shift(placement: str) -> list[Arm]:
        selector = {"strategy": PUBLISHED, "placement": placement, "direction": "bidirectional"}
        found = [arm for arm in sound.values() if selects_arm(selector, arm)]
        return sorted(found, key=lambda arm: arm.variant.fraction)

    path = shift("residual")
    by_fraction = {arm.variant.fraction: _over_path(arm, path) for arm in shift("inplace")}
    by_fraction = {fraction: values for fraction, values in by_fraction.items() if values}
    words = "in-place minus residual path at equal temporal accuracy"
    if len(by_fraction) > 1:  # for those seeds of which every arm has a value: all means are over the same
        seeds = sorted(set.intersection(*(set(values) for values in by_fraction.values())))
        means = {seed: float(np.mean([values[seed] for values in by_fraction.values()])) for seed in seeds}
        if means:
            yield "spatial", words, f"{PUBLISHED}, mean over fractions", Seeds(means), None
    for fraction, values in by_fraction.items():
        yield "spatial", words, f"{PUBLISHED} inplace {fraction}", Seeds(values), None


def _over_path(inplace: Arm, residual: Sequence[Arm]) -> dict[int, float]:
    """{seed: spatial accuracy of ``inplace`` minus that of the residual path at equal temporal accuracy}, in pp.

    At the end of a training the two placements have learned to tell orders apart to different degrees, and what each
    lost in space may be the price of that. Between two neighbours in temporal accuracy the path of the residual arms is
    a straight line. A seed has no value where an arm lacks it, or where in-place is better or worse in time than every
    residual arm. Final test accuracies only: along one training the learning rate changes too.
    """
    found = {}
    path_of = [arm.recognition for arm in residual]
    for seed, own in inplace.recognition.items():
        if len(path_of) < 2 or not all(seed in seeds for seeds in path_of):
            continue
        path = sorted((seeds[seed].temporal_accuracy, seeds[seed].spatial_accuracy) for seeds in path_of)
        in_time, seen = np.array(path).T
        if in_time[0] <= own.temporal_accuracy <= in_time[-1]:
            found[seed] = 100 * (own.spatial_accuracy - float(np.interp(own.temporal_accuracy, in_time, seen)))
    return found


_FUNCTIONS: dict[str, Callable[[_Arms], Iterator[_Row]]] = {"shuffled": _shuffled, "matched": _matched}
