"""Trials -> how far each tool was off, and the verdict. Pure; no files, no torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tests.harnesses.cases import EFFECTS
from tests.harnesses.readings import Reading
from tests.harnesses.tools import OURS

ASKED = 0.5  # of the other tool's root-mean-square error, at the most: the bar that was set before any trial
TRIALS_ASKED = 12  # of each tool: with fewer there is no verdict
TRUTH_WITHIN = 0.05  # points: an error of the truth is one of every tool; this much hides no error of a tenth
RESAMPLES = 10_000
_SEED = 7

Trials = Sequence[Mapping[str, Mapping[str, Reading]]]
"""One entry per round: {tool: {effect: what it said}}."""


@dataclass(frozen=True)
class Score:
    """One tool on one effect; errors in points. covered of intervals: how many held the truth. found: intervals of a
    3 % effect above zero."""

    tool: str
    effect: str
    trials: int
    bias: float
    deviation: float
    rmse: float
    intervals: int
    covered: int
    half_width: float
    found: int
    wrong_signs: int | None


@dataclass(frozen=True)
class Ratio:
    """The root-mean-square error of this harness over another tool's, with a 95 % bootstrap interval over rounds."""

    other: str
    effect: str
    ratio: float
    low: float
    high: float

    @property
    def met(self) -> bool:
        """At most the share that was asked."""
        return self.ratio <= ASKED


@dataclass(frozen=True)
class Summary:
    """All that the page says."""

    truths: dict[str, float]
    known_within: float
    scores: tuple[Score, ...]
    ratios: tuple[Ratio, ...]

    @property
    def trials(self) -> int:
        """Of each tool."""
        return self.scores[0].trials

    @property
    def settled(self) -> bool:
        """There are trials enough, and the truth is known well enough, for a verdict."""
        return self.trials >= TRIALS_ASKED and self.known_within <= TRUTH_WITHIN

    @property
    def met(self) -> bool | None:
        """Against every tool on every effect; None: no verdict."""
        return all(ratio.met for ratio in self.ratios) if self.settled else None

    def to_json(self) -> dict[str, Any]:
        """Plain values; None for what is not known."""
        rows = {name: [_plain(asdict(row)) for row in getattr(self, name)] for name in ("scores", "ratios")}
        known = None if math.isnan(self.known_within) else self.known_within
        return {"asked": ASKED, "met": self.met, "truths_pct": self.truths, "truth_half_width": known, **rows}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in row.items()}


def summarise(trials: Trials, truths: dict[str, float], known_within: float) -> Summary:
    """trials: complete rounds only. truths: {effect: per cent}. known_within: half of the truth's interval, in points;
    NaN where there is none."""
    used = list(trials[0])
    scores = tuple(_score(tool, effect, trials, truths[effect]) for effect in EFFECTS for tool in used)
    others = [tool for tool in used if tool != OURS]
    ratios = tuple(_ratio(other, effect, trials, truths[effect]) for effect in EFFECTS for other in others)
    return Summary(truths, known_within, scores, ratios)


def errors(tool: str, effect: str, trials: Trials, truth: float) -> np.ndarray:
    """Estimate minus truth in points, round by round."""
    return np.array([trial[tool][effect].value - truth for trial in trials])


def _score(tool: str, effect: str, trials: Trials, truth: float) -> Score:
    off = errors(tool, effect, trials, truth)
    said = [trial[tool][effect] for trial in trials]
    known = [reading for reading in said if reading.has_interval]
    return Score(
        tool=tool,
        effect=effect,
        trials=len(off),
        bias=float(off.mean()),
        deviation=float(off.std(ddof=1)) if len(off) > 1 else math.nan,
        rmse=_rms(off),
        intervals=len(known),
        covered=sum(reading.low <= truth <= reading.high for reading in known),
        half_width=float(np.median([(r.high - r.low) / 2 for r in known])) if known else math.nan,
        found=sum(reading.low > 0 for reading in known),
        wrong_signs=sum(reading.value <= 0 for reading in said) if truth > 0 else None,
    )


def _ratio(other: str, effect: str, trials: Trials, truth: float) -> Ratio:
    """Rounds are drawn whole: the tools of a round met the same hour."""
    ours, theirs = errors(OURS, effect, trials, truth), errors(other, effect, trials, truth)
    drawn = np.random.default_rng(_SEED).integers(0, len(ours), (RESAMPLES, len(ours)))
    ratios = np.sqrt((ours[drawn] ** 2).mean(axis=1) / (theirs[drawn] ** 2).mean(axis=1))
    low, high = np.quantile(ratios, [0.025, 0.975])
    return Ratio(other, effect, _rms(ours) / _rms(theirs), float(low), float(high))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
