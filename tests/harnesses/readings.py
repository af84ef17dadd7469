"""Raw samples of a trial -> what the tool says of each effect, with its interval where it gives one. No torch.

torch.utils.benchmark: the ratio of the medians of all its blocks. No interval: it gives none for a ratio.
pyperf: the ratio of the means of all values, the figure that it prints. Beside it pyperf prints the standard deviation,
which is no interval for a mean; the one here is ours, from its processes: Welch's t on the logarithms of their means.
ShiftBench: ``analysis.overheads``, as in any run: declared exclusions, Hodges–Lehmann over superblocks,
trimmed mean and Yuen's interval over processes.
"""

import math
import statistics as plain
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.analysis.overheads import Overhead
from bench.stats import estimators, exclusion
from tests.harnesses.cases import BASE, CASES, LAYERS
from tests.harnesses.tools import OURS, PYPERF, TORCH
from tests.harnesses.truth import log_ratios


@dataclass(frozen=True)
class Reading:
    """An overhead in per cent; NaN ends: no interval."""

    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def has_interval(self) -> bool:
        """Both ends are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)


def of_torch(raw: dict[str, list[float]]) -> dict[str, Reading]:
    """raw: {case: seconds per call of each block}."""
    base = plain.median(raw[BASE])
    return {effect: Reading(100 * (plain.median(raw[case]) / base - 1)) for effect, case in CASES.items()}


def of_pyperf(raw: dict[str, list[list[float]]]) -> dict[str, Reading]:
    """raw: {case: one list of values per worker process}."""
    means = {case: plain.fmean(value for values in runs for value in values) for case, runs in raw.items()}
    logs = {case: [math.log(plain.fmean(values)) for values in runs] for case, runs in raw.items()}
    found = {}
    for effect, case in CASES.items():
        ends = (estimators.mean(logs[case]) - estimators.mean(logs[BASE])).interval()
        value = 100 * (means[case] / means[BASE] - 1)
        found[effect] = Reading(value, estimators.percent(ends.low), estimators.percent(ends.high))
    return found


def of_shiftbench(raw: list[list[dict[str, Any]]]) -> dict[str, Reading]:
    """raw: the superblocks of each process."""
    quiet = {process: [(block["readings"], block["wall"]) for block in blocks] for process, blocks in enumerate(raw)}
    left_out = exclusion.excluded(quiet)
    found = {}
    for effect, case in CASES.items():
        index = list(LAYERS).index(case)
        every = {process: dict(enumerate(log_ratios(blocks, index))) for process, blocks in enumerate(raw)}
        case_of_none: Any = None  # a stack is no strategy, and the estimator does not ask
        overhead = Overhead(case_of_none, every, left_out, cycles={}, seconds=math.nan, faults=math.nan, mhz=math.nan)
        interval = overhead.interval()
        found[effect] = Reading(interval.mean, interval.low, interval.high)
    return found


READERS: dict[str, Callable[[Any], dict[str, Reading]]] = {TORCH: of_torch, PYPERF: of_pyperf, OURS: of_shiftbench}
