"""How many processes, of how many superblocks: planned from a pilot, on width alone and never on significance.

The variance of a case's estimate over n processes of m superblocks is (between + within / m) / n. A process costs its
start and m superblocks. So the pilot's two variances say how long a process should last and how many there must be.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.spec.schema import Stopping
from bench.stats import estimators

PILOT_SUPERBLOCKS = 2  # the fewest that tell the two variances apart


@dataclass(frozen=True)
class Costs:
    """Seconds: a process's start (import, build, warm-up) and one superblock."""

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
    """The plan after a pilot (or before one, where ``cases`` is empty).

    As many processes as are needed, as the budget holds and as the settings allow; what time is left over then goes
    into longer processes. cases: for each case, for each process, the log ratio of each superblock. budget: seconds for
    all processes.
    """
    superblocks, needed = PILOT_SUPERBLOCKS, None
    if pieces := [part for case in cases if (part := estimators.components(case)) is not None]:
        between = max(part.between for part in pieces)
        within = max(part.within for part in pieces)
        superblocks = settings.max_superblocks
        if between > 0.0:  # the least variance in a given time
            best = math.sqrt(costs.startup / costs.superblock * within / between)
            superblocks = min(max(round(best), 1), superblocks)
        deviation = max(math.sqrt(part.between + part.within / superblocks) for part in pieces)
        needed = estimators.groups_needed(deviation, settings.target_half_width_pp / 100)  # of log ratios
    fewest, most = settings.min_replicates, settings.max_replicates
    superblocks = min(superblocks, max(1, int((budget / fewest - costs.startup) / costs.superblock)))
    held = int(budget / costs.process(superblocks))
    processes = min(max(min(held, needed or held), fewest), most)
    if processes == most and (needed is None or needed > processes):
        spare = int((budget / processes - costs.startup) / costs.superblock)
        superblocks = max(superblocks, min(spare, settings.max_superblocks))
    return Shape(processes, superblocks, needed)
