"""What a run says of real videos: does a shift help, does it matter where it stands, and with how many channels?

A shift helps with a question where the most accurate arm is told from the network without one, by more than the margin
and after Holm over the arms of that question. Which arm is the most accurate is seen in the same numbers, which
flatters it.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.run import Analysis
from bench.analysis.selection import EXCHANGE, PUBLISHED
from bench.analysis.tables.video import MARGIN_PP
from bench.report import selection
from bench.report.numbers import channels_text, estimate, fraction_text, known, listed, number
from bench.report.selection import Row, grouped, line_text, mechanism_of, rows, separated
from bench.spec.axes import BASELINE
from bench.stats.estimators import Interval

HELPS, HURTS, OPEN, ALIKE, NO_INTERVAL = "helps", "hurts", "open", "alike", "no interval"
RESIDUAL, IN_PLACE, NO_BASELINE = "residual", "in-place", "no baseline"


def _matters(found: Interval) -> bool:
    """It lies beyond the margin as a whole, as verdicts ask."""
    return found.low > MARGIN_PP or found.high < -MARGIN_PP


@dataclass(frozen=True)
class Gap:
    """Residual minus in-place with one fraction, in pp; mde: what would have been found."""

    fraction: float
    found: Interval
    mde: float
    told: bool

    @property
    def answer(self) -> str:
        """The better placement; ``alike``: shown to differ by less than the margin; ``open``; ``no interval``."""
        if not known(self.found):
            return NO_INTERVAL
        if self.told and _matters(self.found):
            return RESIDUAL if self.found.mean > 0 else IN_PLACE
        return ALIKE if max(-self.found.low, self.found.high) <= MARGIN_PP else OPEN


@dataclass(frozen=True)
class Asked:
    """What is known of one question. base: the network without a shift, None where a seed of it was lost; best: the
    most accurate of ``trained`` arms."""

    question: str
    base: Row | None
    best: Row
    trained: int
    gaps: tuple[Gap, ...]

    @property
    def gain(self) -> str:
        """``helps``, ``hurts``, ``open``; ``no interval`` or ``no baseline`` where that cannot be said."""
        if self.base is None:
            return NO_BASELINE
        found = estimate(self.best, "top1_delta")
        if not known(found):
            return NO_INTERVAL
        if not (separated(self.best, "top1") and _matters(found)):
            return OPEN
        return HELPS if found.mean > 0 else HURTS


@dataclass(frozen=True)
class VideoAnswer:
    """asked: each question, in the run's order. lost: arms of which not all seeds are there. setting: what was trained,
    where, on which parts, as the run's settings have it."""

    asked: tuple[Asked, ...]
    lost: list[Row]
    setting: dict[str, Any]

    @property
    def seeds(self) -> list[int]:
        """Of the arms that are spoken of."""
        return [int(row["seeds"]) for one in self.asked for row in (one.best, one.base or one.best)]

    @property
    def fractions(self) -> list[float]:
        """With which the two placements are compared in any question."""
        return sorted({gap.fraction for one in self.asked for gap in one.gaps})

    @property
    def gains(self) -> dict[str, list[str]]:
        """{whether a shift helps: questions}, with the most accurate arm where it does."""

        def name(one: Asked) -> str:
            arm = f"{line_text(*mechanism_of(one.best))}, {channels_text(one.best['fraction'])}"
            return f"{one.question} (best: {arm})" if one.gain == HELPS else one.question

        found: dict[str, list[str]] = {}
        for gain in (HELPS, HURTS, OPEN, NO_INTERVAL, NO_BASELINE):
            for one in self.asked:
                if one.gain == gain:
                    found.setdefault(gain, []).append(name(one))
        return found

    @property
    def placements(self) -> dict[str, list[str]]:
        """{the better placement, or ``alike``: ``pairs with 1/8 and all``}, of the gaps that say so."""
        found: dict[str, list[str]] = {}
        for answer in (RESIDUAL, IN_PLACE, ALIKE):
            for one in self.asked:
                shares = [fraction_text(gap.fraction) for gap in one.gaps if gap.answer == answer]
                if shares:
                    found.setdefault(answer, []).append(f"{one.question} with {listed(shares)}")
        return found

    @property
    def gaps(self) -> Counter[str]:
        """{what a gap says: how many do}, over all questions and fractions."""
        return Counter(gap.answer for one in self.asked for gap in one.gaps)


def video(run: Analysis) -> VideoAnswer | None:
    """None where no arm came to its end."""
    whole = grouped(selection.whole_arms(run.video), lambda row: str(row["question"]))
    asked = [one for question, found in whole.items() if (one := _asked(question, found)) is not None]
    if not asked:
        return None
    failed = rows(selection.main_condition(selection.finished(run.video)))
    lost = [row | {"reason": f"{row['question']}: {row['reason']}"} for row in failed if row["reason"]]
    return VideoAnswer(tuple(asked), lost, _setting(run, [one.best for one in asked]))


def _asked(question: str, found: Sequence[Row]) -> Asked | None:
    base = [row for row in found if row["strategy"] == BASELINE]
    arms = [row for row in found if row["strategy"] not in (BASELINE, EXCHANGE)]
    if not arms:
        return None
    best = max(arms, key=lambda row: number(row["top1_mean_pct"]))
    usual = [row for row in arms if (row["strategy"], row["direction"]) == (PUBLISHED, "bidirectional")]
    in_place = {row["fraction"] for row in usual if row["placement"] == "inplace"}
    gaps = [
        Gap(row["fraction"], gap, number(row["placement_delta_mde_pct"]), separated(row, "placement"))
        for row in sorted(usual, key=lambda row: float(row["fraction"]))
        if row["fraction"] in in_place and not math.isnan((gap := estimate(row, "placement_delta")).mean)
    ]
    return Asked(question, base[0] if base else None, best, len(arms), tuple(gaps))


def _setting(run: Analysis, told: list[Row]) -> dict[str, Any]:
    """weights, backbones: of the arms that are spoken of; the rest as settings and machine have it, as far as known."""
    settings, machine = selection.settings_of(run, "video"), run.header.get("environment") or {}
    data, recipe = settings.get("data") or {}, settings.get("recipe") or {}
    return {
        **{"size": data.get("size"), "frames": data.get("frames")},
        "epochs": {
            one["name"]: one.get("epochs") or recipe.get("epochs") for one in data.get("questions") or [{"name": ""}]
        },
        **{"split": data.get("split") or {}, "lists": "=" in str(data.get("path"))},
        **{"cpu": machine.get("cpu"), "cores": machine.get("cores")},
        "gpus": [] if recipe.get("device") == "cpu" else (machine.get("machine") or {}).get("gpus") or [],
        "weights": list(dict.fromkeys(str(row["weights"]) for row in told)),
        "backbones": list(dict.fromkeys(str(row["backbone"]) for row in told)),
    }
