"""The controls of the accuracy experiment: what else could explain the main result, and did it?

Each control is one function from arms to rows, and says in its docstring what it shows. A row is one comparison with
its 95 % interval over seeds; intervals are not corrected for the number of rows. An arm of which a seed failed stands
in no comparison. What a run has not trained has no rows.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.arms import OUTCOMES, PARTS, Arm, ArmKey
from bench.analysis.evidence import EXCHANGE, INNER, PUBLISHED, REPLICATION, USUAL
from bench.analysis.tables.matched import inplace_minus_residual, over_all
from bench.spec.axes import ACCURACY_VOLUMETRIC
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant
from bench.stats import estimators

_COLUMNS = [
    *("control", "comparison", "subject", "measured", "ci_low", "ci_high", "unit", "detectable", "seeds"),
    *("reference", "answer"),
]

Row = dict[str, Any]
Rows = Iterator[Row]

_HALF, _QUARTER, _ALL = Fraction(1, 2), Fraction(1, 4), Fraction(1)


@dataclass(frozen=True)
class _Trained:
    """The arms of a run that can be judged."""

    arms: dict[ArmKey, Arm]

    def shift(self, placement: str, fraction: Fraction, condition: Condition = USUAL) -> Arm | None:
        """The published, bidirectional shift; None where it was not trained."""
        return self.arms.get((Variant(PUBLISHED, fraction, placement, "bidirectional"), condition))

    def baseline(self, condition: Condition = USUAL) -> Arm | None:
        """The network without a shift."""
        return self.arms.get((BASELINE_VARIANT, condition))

    def under(self, condition: Condition) -> list[Arm]:
        """All arms of a condition but the baseline."""
        return [arm for arm in self.arms.values() if arm.condition == condition and arm.variant != BASELINE_VARIANT]

    def fractions(self, condition: Condition) -> list[Fraction]:
        """Those at which the published shift was trained in some placement."""
        shifts = [arm.variant for arm in self.under(condition) if arm.variant.strategy == PUBLISHED]
        return sorted({variant.fraction for variant in shifts})


def control_table(trained: Sequence[Arm], failed: Collection[ArmKey] = ()) -> pd.DataFrame:
    """One row per comparison. failed: the arms of which a seed failed.

    measured, ci_low, ci_high, detectable: in ``unit``; points are differences, % are accuracies. reference: what
    ``measured`` is held against. answer: whether the interval *holds zero* (that is, the reference), or lies *above* or
    *below* it; *no interval* for fewer than two seeds.
    """
    sound = _Trained({arm.key: arm for arm in trained if arm.key not in failed})
    rows = [{"control": name, **row} for name, control in CONTROLS.items() for row in control(sound)]
    return pd.DataFrame(rows, columns=_COLUMNS)


def one_frame(trained: _Trained) -> Rows:
    """Does a single frame tell the order of all? A network trained on one frame of each clip should not beat chance;
    and how much of the digit does a single frame show?"""
    single, whole = trained.baseline(replace(USUAL, view="one_frame")), trained.baseline()
    if single:
        yield from _level(single, "temporal: one-frame network against chance")
    yield from _difference(single, whole, "spatial", "one-frame network minus network without a shift")


def mixture(trained: _Trained) -> Rows:
    """Does a shift pay where only every second clip asks for the order, so that the baseline is not capped?"""
    base = trained.baseline()
    for arm in trained.under(USUAL):
        yield from _difference(arm, base, "mixture", "against network without a shift")


def shuffled(trained: _Trained) -> Rows:
    """Does the network read the order of the frames, or something beside it? In random order it should fall to chance
    in time; what that costs in space says how much it leans on the order to see the digit."""
    arm = trained.shift("residual", _QUARTER)
    if arm:
        told = [samples for samples in arm.seeds.values() if "shuffled_temporal_accuracy" in samples]
        temporal = [100 * samples["shuffled_temporal_accuracy"] for samples in told]
        subject = f"{_text(arm.variant)}, frames in random order"
        yield from _row("temporal: shuffled frames against chance", subject, temporal, arm.chance_pct)
        spatial = [100 * (samples["shuffled_spatial_accuracy"] - samples["spatial_accuracy"]) for samples in told]
        yield from _row("spatial: shuffled frames minus ordered frames", _text(arm.variant), spatial)


def spatial_only(trained: _Trained) -> Rows:
    """Does a shift cost space when nothing competes for the features? The loss asks for the digit alone."""
    condition = replace(USUAL, objective="spatial")
    yield from _against_baseline(trained, condition, ("spatial",))
    yield from _residual_minus_inplace(trained, condition, ("spatial",))


def temporal_only(trained: _Trained) -> Rows:
    """What can each placement learn of the order when nothing competes? The loss asks for the order alone."""
    condition = replace(USUAL, objective="temporal")
    yield from _against_baseline(trained, condition, ("temporal",))
    yield from _residual_minus_inplace(trained, condition, ("temporal",))


def matched(trained: _Trained) -> Rows:
    """Does in-place lose space beyond what knowing the order costs? Each in-place arm against the residual arms' path
    over the fractions, where that is as good in time."""
    fractions = trained.fractions(USUAL)
    path = [arm for fraction in fractions if (arm := trained.shift("residual", fraction))]
    by_fraction = {
        fraction: values
        for fraction in fractions
        if (arm := trained.shift("inplace", fraction)) and (values := inplace_minus_residual(arm, path))
    }
    comparison = "spatial: in-place minus residual path at equal temporal accuracy"
    if len(by_fraction) > 1:
        everything = over_all(list(by_fraction.values()))
        yield from _row(comparison, f"{PUBLISHED}, mean over fractions", list(everything.values()))
    for fraction, values in by_fraction.items():
        yield from _row(comparison, f"{PUBLISHED} inplace {fraction}", list(values.values()))


def exchange(trained: _Trained) -> Rows:
    """Would a learned exchange between frames do better than a fixed one? A 3×1×1 convolution stands where the shift
    stood."""
    shift = trained.shift("residual", _QUARTER)
    for arm in trained.under(USUAL):
        if arm.variant.strategy == EXCHANGE:
            for part in PARTS:
                yield from _difference(arm, shift, part, "3×1×1 convolution minus residual shift of 1/4")


def volumetric(trained: _Trained) -> Rows:
    """Does a 3-D network of the same depth and width know more than the 2-D network with a shift?"""
    shift = trained.shift("residual", _QUARTER)
    for backbone in ACCURACY_VOLUMETRIC:
        arm = trained.baseline(replace(USUAL, backbone=backbone))
        for part in PARTS:
            yield from _difference(arm, shift, part, "3-D network minus residual shift of 1/4", backbone)


def longer(trained: _Trained) -> Rows:
    """Is 1/2 merely under-trained? Twice the epochs against the recipe's, and against 1/4 with the recipe's."""
    for placement in ("residual", "inplace"):
        double = trained.shift(placement, _HALF, replace(USUAL, length_factor=2.0))
        for fraction, words in ((_HALF, "the recipe's epochs"), (_QUARTER, "1/4 with the recipe's epochs")):
            for part in PARTS:
                once = trained.shift(placement, fraction)
                yield from _difference(double, once, part, f"twice the epochs minus {words}")


def schedule(trained: _Trained) -> Rows:
    """Does the better placement depend on how gently and how long the network is adapted? Residual minus in-place
    under each schedule, and by how much that differs from the recipe's own."""
    plain = [key[1] for key in trained.arms if replace(key[1], lr_factor=1.0, length_factor=1.0) == USUAL]
    factors = sorted({(condition.length_factor, condition.lr_factor) for condition in plain})
    if len(factors) < 2:
        return
    for part in ("joint", "spatial"):
        for length, lr in factors:
            condition = replace(USUAL, lr_factor=lr, length_factor=length)
            residual, inplace = (trained.shift(placement, _HALF, condition) for placement in ("residual", "inplace"))
            subject = f"{PUBLISHED} 1/2, learning rate × {lr:g}, epochs × {length:g}"
            yield from _difference(residual, inplace, part, "residual minus in-place", subject)
            usual = [trained.shift(placement, _HALF) for placement in ("residual", "inplace")]
            if condition != USUAL and residual and inplace and usual[0] and usual[1]:
                changes = _change(residual.by_seed(inplace, part), usual[0].by_seed(usual[1], part))
                yield from _row(f"{part}: residual minus in-place, against the recipe's schedule", subject, changes)


def depth(trained: _Trained) -> Rows:
    """Does the better placement depend on the network's depth? 16 bottleneck blocks, as many as ResNet-50 has."""
    condition = replace(USUAL, backbone="digits_bottleneck")
    yield from _residual_minus_inplace(trained, condition, ("joint", "spatial"))
    yield from _against_baseline(trained, condition, ("mixture", "spatial"))


def inner(trained: _Trained) -> Rows:
    """Does it matter where in the bottleneck the shift stands? At its narrow part, a quarter of the bytes, against the
    usual place, the same share of the channels there."""
    condition = replace(USUAL, backbone="digits_bottleneck")
    for arm in trained.under(condition):
        if arm.variant.strategy == INNER:
            usual = trained.arms.get((replace(arm.variant, strategy=PUBLISHED), condition))
            for part in PARTS:
                yield from _difference(arm, usual, part, "at the narrow part minus at the usual place")


def second_data(trained: _Trained) -> Rows:
    """Does it hold on another task? Opening against closing, the paper's own example of an order that matters."""
    condition = replace(USUAL, dataset="opening_digits")
    base = trained.baseline(condition)
    if base:
        yield from _level(base, "temporal: network without a shift against chance")
    yield from _residual_minus_inplace(trained, condition, ("joint", "spatial"))
    yield from _against_baseline(trained, condition, ("mixture", "spatial"))


def replication(trained: _Trained) -> Rows:
    """Do the differences that carry the verdicts come out again with other seeds? Two rows each: main, and repeated."""
    everything = Variant(PUBLISHED, _ALL, "residual", "bidirectional")
    quarter, inplace = replace(everything, fraction=_QUARTER), replace(everything, placement="inplace")
    differences = (
        (everything, BASELINE_VARIANT, "joint"),
        (BASELINE_VARIANT, inplace, "spatial"),
        (quarter, everything, "joint"),
        (everything, inplace, "joint"),
        (everything, inplace, "spatial"),
    )
    cohorts = {"main seeds": USUAL, "other seeds": replace(USUAL, cohort=REPLICATION)}
    for first, second, part in differences:
        pairs = {
            name: [trained.arms.get((v, condition)) for v in (first, second)] for name, condition in cohorts.items()
        }
        if all(arm for pair in pairs.values() for arm in pair):
            for name, (own, other) in pairs.items():
                yield from _difference(own, other, part, f"{_text(first)} minus {_text(second)}", name)


Control = Callable[[_Trained], Rows]

CONTROLS: dict[str, Control] = {
    control.__name__: control
    for control in (
        *(one_frame, mixture, shuffled, spatial_only, temporal_only, matched, exchange, volumetric, longer, schedule),
        *(depth, inner, second_data, replication),
    )
}
"""In the order of the table."""


def _against_baseline(trained: _Trained, condition: Condition, parts: Sequence[str]) -> Rows:
    base = trained.baseline(condition)
    for part in parts:
        for arm in trained.under(condition):
            if arm.variant.strategy == PUBLISHED:
                yield from _difference(arm, base, part, "against network without a shift")


def _residual_minus_inplace(trained: _Trained, condition: Condition, parts: Sequence[str]) -> Rows:
    for part in parts:
        for fraction in trained.fractions(condition):
            pair = [trained.shift(placement, fraction, condition) for placement in ("residual", "inplace")]
            yield from _difference(pair[0], pair[1], part, "residual minus in-place", f"{PUBLISHED} {fraction}")


def _difference(first: Arm | None, second: Arm | None, part: str, words: str, subject: str = "") -> Rows:
    """first - second in points, paired by seed; no row where one of the two is not there."""
    assert part in OUTCOMES
    if first and second:
        yield from _row(f"{part}: {words}", subject or _text(first.variant), first.deltas(second, part))


def _change(under: dict[int, float], usual: dict[int, float]) -> list[float]:
    """By how many points a difference changes, for the seeds that both have."""
    return [value - usual[seed] for seed, value in under.items() if seed in usual]


def _level(arm: Arm, words: str) -> Rows:
    """Temporal accuracy against chance."""
    yield from _row(words, _text(arm.variant), arm.values("temporal"), arm.chance_pct)


def _row(comparison: str, subject: str, values: Sequence[float], chance: float | None = None) -> Rows:
    """chance: values are accuracies in per cent, held against it; otherwise they are points, held against zero."""
    if not len(values):
        return
    interval, reference = estimators.t_interval(values), 0.0 if chance is None else chance
    yield {
        "comparison": comparison,
        "subject": subject,
        "measured": interval.mean,
        "ci_low": interval.low,
        "ci_high": interval.high,
        "unit": "points" if chance is None else "%",
        "detectable": estimators.smallest_detectable(values),
        "seeds": len(values),
        "reference": reference,
        "answer": _answer(interval, reference),
    }


def _answer(interval: estimators.Interval, reference: float) -> str:
    if np.isnan(interval.low):
        return "no interval"
    if interval.low > reference:
        return "above"
    return "below" if interval.high < reference else "holds zero"


def _text(variant: Variant) -> str:
    """An arm in words: the usual direction is not named."""
    if variant == BASELINE_VARIANT:
        return variant.strategy
    return f"{variant.strategy} {variant.placement} {variant.fraction} {variant.direction}".removesuffix(
        " bidirectional"
    )
