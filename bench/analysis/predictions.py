"""Predictions of one checkpoint, moved in each way, in each runtime -> accuracies, paired differences, disagreements.

Intervals are over clips, for this one checkpoint. Wilson's for an accuracy. Two rows saw the same clips, so their
difference is paired, with Newcombe's interval: McNemar's exact test would only say whether two rows differ, this says
by how much they may, also where few clips or none tell them apart.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from bench.analysis.tables import AXES, PANEL, interval_columns, of_case
from bench.spec.axes import EAGER
from bench.spec.cases import Case, Variant
from bench.stats.estimators import CONFIDENCE, Interval
from bench.store.records import Status, write_atomically
from bench.store.samples import Bools

_TOP = 5
_WHERE = [*AXES, "runtime", "dtype"]
_COLUMNS = [
    *(*AXES, *PANEL, "clips", "top1_pct", "top1_ci_low_pct", "top1_ci_high_pct", "top5_pct"),
    *("delta_pct", "delta_ci_low_pct", "delta_ci_high_pct", "gained", "lost"),
    *("unlike_eager", "deviation", "unlike_same_function", "status", "reason", "records"),
]
_COSTS = ["latency_ms", "overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct"]


@dataclass(frozen=True)
class Judged:
    """The clips that all cases saw: their names [N], their classes by number [N], and what the numbers mean."""

    names: tuple[str, ...]
    labels: NDArray[np.intp]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """What a case made of all clips: logits [N, classes], empty where it gave none, for the reason."""

    case: Case
    logits: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    status: Status = "ok"
    reason: str | None = None

    @property
    def classes(self) -> NDArray[np.intp]:
        """The predicted ones [N]."""
        found: NDArray[np.intp] = self.logits.argmax(axis=1)
        return found


@dataclass(frozen=True)
class Disagreement:
    """How many clips a strategy puts into another class than one of the same function does, in eager fp32. fault: None
    where rounding explains every one."""

    case: Case
    unlike: int
    fault: str | None


def wilson(right: int, count: int) -> Interval:
    """The share in per cent; count > 0."""
    found = stats.binomtest(right, count).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(right / count, float(found.low), float(found.high), count).scaled(100)


def paired(own: Bools, other: Bools) -> Interval:
    """Accuracy minus accuracy in pp, of answers to the same clips [N], right or wrong (method 10 of Newcombe, "Improved
    confidence intervals for the difference between binomial proportions based on paired data", 1998)."""
    count, sums, both = len(own), (int(own.sum()), int(other.sum())), int((own & other).sum())
    first, second = (wilson(right, count) for right in sums)
    excess = float(count * both - sums[0] * sums[1])  # both right × both wrong - gained × lost
    excess = max(0.0, excess - count / 2) if excess > 0 else excess  # corrected for continuity
    margins = math.prod(float(right * (count - right)) for right in sums)
    phi = excess / math.sqrt(margins) if margins else 0.0

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a**2 - 2 * phi * a * b + b**2))

    middle = 100 * (sums[0] - sums[1]) / count
    low = middle - reach(first.mean - first.low, second.high - second.mean)
    return Interval(middle, low, middle + reach(first.high - first.mean, second.mean - second.low), count)


def accuracy_table(found: Sequence[Prediction], judged: Judged, apart: Sequence[Disagreement]) -> pd.DataFrame:
    """One row per case. delta_pct: in pp over the first row that answered; gained, lost: clips that are right here and
    wrong there, and the reverse. unlike_eager: clips in another class than the same strategy gives in eager fp32;
    deviation: max |logit - eager's| / max |eager's|. unlike_same_function: as ``disagreements`` counts."""
    eager, unlike = _in_eager(found), {own.case: own.unlike for own in apart}
    right = {one.case: one.classes == judged.labels for one in found if one.status == "ok"}
    rows = []
    for one in found:
        row: dict[str, Any] = {**of_case(one.case), "status": one.status, "reason": one.reason}
        if one.case in right:
            own, (first, before) = right[one.case], next(iter(right.items()))
            row |= {"clips": len(own), "top5_pct": _top5_pct(one.logits, judged.labels)}
            row |= interval_columns("top1_pct", "top1", wilson(int(own.sum()), len(own)))
            if one.case != first:
                row |= interval_columns("delta_pct", "delta", paired(own, before))
                row |= {"gained": int((own & ~before).sum()), "lost": int((before & ~own).sum())}
            if reference := eager.get(one.case.variant):
                row["unlike_eager"] = int((one.classes != reference.classes).sum())
                row["deviation"] = float(np.abs(one.logits - reference.logits).max() / np.abs(reference.logits).max())
            row["unlike_same_function"] = unlike.get(one.case, math.nan)
        rows.append(row)
    return pd.DataFrame(rows, columns=_COLUMNS)


def disagreements(
    found: Sequence[Prediction], judged: Judged, roots: Mapping[str, str], tolerance: float
) -> list[Disagreement]:
    """Each strategy in eager fp32 against the one whose function it computes, or the first that does so too.

    roots: {strategy: the one whose function it computes}. tolerance: of a proof, max |difference| / max |reference|.
    Two logits that may each be off by it may change places while no more than twice as much lies between them.
    """
    groups: dict[Variant, list[Prediction]] = {}
    for own, one in _in_eager(found).items():
        root = Variant(roots[own.strategy], own.fraction, own.placement, own.direction)
        groups.setdefault(root, []).append(one)
    apart, clips = [], np.arange(len(judged.names))
    for root, group in groups.items():
        reference, *others = sorted(group, key=lambda one: one.case.variant != root)
        allowed = 2 * tolerance * float(np.abs(reference.logits).max())
        for one in others:
            margins = reference.logits[clips, reference.classes] - reference.logits[clips, one.classes]
            worst, beyond = int(margins.argmax()), int((margins > allowed).sum())
            fault = (
                f"{one.case.variant.label} puts {beyond} of {len(clips)} clips into another class than "
                f"{reference.case.variant.label}, whose function it declares to compute; worst {judged.names[worst]}: "
                f"{margins[worst]:.2g} between the two logits, of which rounding explains {allowed:.2g}"
            )
            unlike = int((one.classes != reference.classes).sum())
            apart.append(Disagreement(one.case, unlike, fault if beyond else None))
    return apart


def write(
    folder: Path,
    found: Sequence[Prediction],
    judged: Judged,
    apart: Sequence[Disagreement],
    broken: Mapping[str, str],
    latency: pd.DataFrame | None,
) -> pd.DataFrame:
    """``evaluation/*.csv`` in ``folder``; returns the accuracies, beside what each case costs. Raises OSError.

    broken: {video: why it was left out}. latency: a run's table of the same cases; None: nothing was timed.
    """
    table, answered = accuracy_table(found, judged, apart), [one for one in found if one.status == "ok"]
    if latency is None:
        table = table.assign(**dict.fromkeys(_COSTS, math.nan))
    else:
        table = table.merge(latency[["records", *_COSTS]], how="left", on="records")
    tables = {
        "accuracy": table,
        "classes": pd.DataFrame([row for one in answered for row in _of_classes(one, judged)]),
        "predictions": pd.DataFrame([row for one in answered for row in _of_clips(one, judged)]),
        "unreadable": pd.DataFrame(broken.items(), columns=["video", "reason"]),
    }
    (folder / "evaluation").mkdir(parents=True, exist_ok=True)
    for name, frame in tables.items():
        write_atomically(folder / "evaluation" / f"{name}.csv", frame.to_csv(index=False))
    return table


def _in_eager(found: Sequence[Prediction]) -> dict[Variant, Prediction]:
    """What the others are held against."""
    panels = [(one, one.case.panel) for one in found if one.status == "ok"]
    return {one.case.variant: one for one, panel in panels if (panel.runtime, panel.dtype) == (EAGER, "fp32")}


def _of_classes(one: Prediction, judged: Judged) -> Iterator[dict[str, Any]]:
    """How many clips of each class a case recognises."""
    right = one.classes == judged.labels
    for number in np.unique(judged.labels):
        own = right[judged.labels == number]
        counts = {"class": judged.classes[number], "clips": len(own), "right": int(own.sum())}
        yield {**_where(one), **counts, **interval_columns("top1_pct", "top1", wilson(int(own.sum()), len(own)))}


def _of_clips(one: Prediction, judged: Judged) -> Iterator[dict[str, Any]]:
    where, names = _where(one), judged.classes
    for clip, label, predicted in zip(judged.names, judged.labels, one.classes, strict=True):
        yield {**where, "clip": clip, "label": names[label], "predicted": names[predicted]}


def _where(one: Prediction) -> dict[str, Any]:
    return {name: value for name, value in of_case(one.case).items() if name in _WHERE}


def _top5_pct(logits: NDArray[np.float32], labels: NDArray[np.intp]) -> float:
    """NaN where there are no more classes than that."""
    if logits.shape[1] <= _TOP:
        return math.nan
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    return float(100 * ((logits > own).sum(axis=1) < _TOP).mean())
