"""How many processes, of how many superblocks: planned from a pilot, on width alone and never on significance.

The variance of a case's estimate over n processes of m superblocks is (between + within / m) / n. A process costs its
start and m superblocks. For a given time this variance is least at m = sqrt(start / superblock * within / between)
(Kalibera & Jones, 2013), but an interval also widens where few processes leave few degrees of freedom. So all shapes
are tried: the cheapest that reaches the target is taken, or else the narrowest that the budget holds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy import stats

from bench.spec.schema import Stopping
from bench.stats import estimators

FEWEST = estimators.TRIMMED_FROM  # processes before narrow intervals end a panel: below, the estimate is another
PILOT_SUPERBLOCKS = 2  # the fewest that tell the two variances apart; more where a process is slow to start


@dataclass(frozen=True)
class Costs:
    """Seconds: a process's start (import, build, warm-up) and one superblock, with the building of its cases."""

    startup: float
    superblock: float

    def process(self, superblocks: int) -> float:
        """A whole process."""
        return self.startup + superblocks * self.superblock


@dataclass(frozen=True)
class Shape:
    """A plan: so many processes in all, of so many superblocks each. needed: processes that would reach the target."""

    processes: int
    superblocks: int
    needed: int | None = None


def shape(cases: Sequence[Sequence[Sequence[float]]], costs: Costs, budget: float, settings: Stopping) -> Shape:
    """The plan after a pilot; before one, where ``cases`` is empty, as many processes as the budget holds, short ones,
    or longer where they start slowly: of as many superblocks as are worth it where those differ as processes do.

    The variances are pooled: each is the median over cases, as that of one case is known from a few processes only.
    Where the budget cannot hold the fewest processes, those are planned all the same, of one superblock. cases: for
    each case, for each process, the log ratio of each superblock. budget: seconds for all processes.
    """
    fewest, most = settings.min_replicates, settings.max_replicates
    superblocks = np.arange(1, settings.max_superblocks + 1)[:, np.newaxis]
    processes = np.arange(fewest, most + 1)
    seconds = processes * (costs.startup + superblocks * costs.superblock)
    possible = seconds <= budget
    possible[0, 0] = True
    pieces = [part for case in cases if (part := estimators.components(case)) is not None]
    if not pieces:
        worth = max(PILOT_SUPERBLOCKS, round(math.sqrt(costs.startup / costs.superblock)))
        length = min(worth, int(possible.any(axis=1).sum()))  # the longest of which the budget holds the fewest
        count = int(processes[possible[length - 1]].max())
        if count == most:  # no further process may use the time
            length = int(superblocks[possible[:, -1]].max())
        return Shape(count, length)
    between, within = (median(getattr(part, name) for part in pieces) for name in ("between", "within"))
    deviation = np.sqrt(between + within / superblocks)
    quantile = stats.t.ppf((1 + estimators.CONFIDENCE) / 2, np.maximum(processes - 1, 1))
    half_width = np.where(possible, quantile * deviation / np.sqrt(processes), math.inf)
    target = settings.target_half_width_pp / 100  # of log ratios
    enough = (half_width <= target) & (processes >= min(FEWEST, most))
    best = np.argmin(np.where(enough, seconds, math.inf)) if enough.any() else np.argmin(half_width)
    row, column = np.unravel_index(best, half_width.shape)
    needed = estimators.groups_needed(float(deviation[row, 0]), target)
    return Shape(int(processes[column]), int(superblocks[row, 0]), needed)
