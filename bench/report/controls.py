"""The controls of the accuracy experiment as values: what figure, table and words about them are made of.

A control asks what else could explain the main result, or whether that result lasts; each has one or more comparisons.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.published import PUBLISHED
from bench.report.numbers import Estimate, fixed, found_text, number, p_text
from bench.report.selection import Row, rows

EXPLAINING: dict[str, str] = {
    "one_frame": "One frame only",
    "shuffled": "Frames in random order",
    "mixture": "Every second clip asks for the order too",
    "spatial_only": "Asked only what is seen",
    "temporal_only": "Asked only for the order",
    "matched": "At equal accuracy in time",
    "exchange": "A 3×1×1 convolution for the shift",
    "volumetric": "3-D networks of equal width",
}
"""Controls that ask whether something else explains the result -> their titles."""

LASTING: dict[str, str] = {
    "longer": "Twice the training",
    "schedule": "Learning rate and length",
    "depth": "A deeper network",
    "inner": "At the narrow part of the bottleneck",
    "second_data": "A second data set",
    "replication": "Other seeds",
}
"""Controls that ask whether it lasts -> their titles."""

ABOVE, BELOW, NULL, OPEN = "above", "below", "holds zero", "no interval"

_SAME = 1e-9  # points: means of shares are sums of rounded numbers
_IN_WORDS = {"inplace": "in-place", "1": "all"}


@dataclass(frozen=True)
class Comparison:
    """One row of the table. part: ``joint``, ``spatial``, ``temporal``, ``mixture``; words: what is held against what;
    subject: which arm, or under which schedule. reference: zero for differences in points, else an accuracy in %.
    told: the table's own answer. p: adjusted, where there is one."""

    control: str
    part: str
    words: str
    subject: str
    measured: Estimate
    unit: str
    detectable: float
    seeds: int
    reference: float
    told: str
    p: float = math.nan

    @property
    def title(self) -> str:
        """The control in words."""
        return {**EXPLAINING, **LASTING}.get(self.control, self.control.replace("_", " "))

    @property
    def distance(self) -> Estimate:
        """How far from the reference, in points."""
        m = self.measured
        return Estimate(m.value - self.reference, m.low - self.reference, m.high - self.reference)

    @property
    def answer(self) -> str:
        """``above`` or ``below`` the reference only where both the interval and the table say so."""
        if not self.measured.has_interval:
            return OPEN
        side = ABOVE if self.distance.low > _SAME else BELOW if self.distance.high < -_SAME else NULL
        return side if self.told in (side, "") else NULL

    @property
    def value_text(self) -> str:
        """``+4.2 points [2.0, 6.4]``, ``25.0 % [24.6, 25.4]``; with its p where there is one."""
        missing = "one seed: no interval" if self.seeds == 1 else "no interval"
        text = self.measured.text(self.unit, signed=self.unit == "points", missing=missing)
        return f"{text}, {p_text(self.p)}" if math.isfinite(self.p) else text

    @property
    def found(self) -> str:
        """Behind a null result: what would have been found; empty elsewhere."""
        return found_text(self.detectable) if self.answer == NULL else ""

    @property
    def words_text(self) -> str:
        """The words as prose has them: ``residual all minus no_shift``."""
        return " minus ".join(arm_name(side) for side in self.words.split(" minus "))

    @property
    def name(self) -> str:
        """The subject as prose names it: the published strategy is not named, ``in-place``, ``all``."""
        return arm_name(self.subject)


def comparisons(controls: pd.DataFrame, *, of: Iterable[str] | None = None) -> list[Comparison]:
    """The table's rows, control by control as the report tells them; of: these controls only."""
    if controls.empty:
        return []
    order = [*EXPLAINING, *LASTING]
    found = [_comparison(row) for row in rows(controls)]
    wanted = found if of is None else [one for one in found if one.control in set(of)]
    return sorted(wanted, key=lambda one: order.index(one.control) if one.control in order else len(order))


def picked(found: Sequence[Comparison], control: str, words: str = "", part: str = "") -> list[Comparison]:
    """Of one control, the comparisons whose words contain ``words``, of one part."""
    return [one for one in found if one.control == control and words in one.words and part in ("", one.part)]


def arm_name(subject: str) -> str:
    """``copy_shift inplace 1`` -> ``in-place all``; ``copy_shift 1/2, learning rate × 2, epochs × 1`` ->
    ``learning rate × 2 / epochs × 1``."""
    arm, comma, rest = subject.partition(", ")
    if comma and "×" in rest:
        return rest.replace(", ", " / ")
    words = [_IN_WORDS.get(word, word) for word in arm.removeprefix(f"{PUBLISHED} ").split(" ")]
    plain = [word for word in words if word != PUBLISHED]
    return ", ".join(text for text in (" ".join(plain), rest) if text)


def reference_text(one: Comparison) -> str:
    """``0`` or ``25 %``."""
    return fixed(one.reference, 0) + (" %" if one.unit == "%" else "")


def _comparison(row: Row) -> Comparison:
    part, colon, words = str(row["comparison"]).partition(": ")
    reference, seeds = number(row.get("reference")), number(row.get("seeds"))
    told = row.get("answer")
    return Comparison(
        control=str(row["control"]),
        part=part if colon else "",
        words=words if colon else part,
        subject=str(row.get("subject") or ""),
        measured=Estimate(number(row.get("measured")), number(row.get("ci_low")), number(row.get("ci_high"))),
        unit=str(row.get("unit") or "points"),
        detectable=number(row.get("detectable")),
        seeds=int(seeds) if math.isfinite(seeds) else 0,
        reference=reference if math.isfinite(reference) else 0.0,
        told=told if isinstance(told, str) else "",
    )
