"""The declared rules: when a superblock counts as disturbed, and which are left out. Nothing here looks at a latency.

A rule holds a counter of the system against a limit that was fixed before the run. What is left out is chosen by how
far a superblock exceeds its limits, never by what its slots took, so that leaving it out cannot favour a strategy; it
takes whole superblocks, all cases alike; it is capped. Tables carry the estimate with nothing left out beside it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Readings = Mapping[str, float]

EXCLUDED_AT_MOST = 0.20
"""Share of a panel's superblocks: beyond it the machine is simply like that, and its noise belongs to the interval."""


@dataclass(frozen=True)
class Rule:
    """``value`` over ``limit`` is a disturbance. words: how it is named in tables."""

    words: str
    value: Callable[[Readings, float], float]
    limit: float


_TICKS = 0.03  # seconds: CPU time is counted in ticks of 10 ms, so a difference of two readings is that uncertain


def _rate(name: str, slack: float = 0.0) -> Callable[[Readings, float], float]:
    return lambda readings, wall: (readings.get(name, math.nan) - slack) / wall


def _asleep(readings: Readings, wall: float) -> float:
    return readings.get("stops", 0.0) + readings.get("suspended", 0.0)


RULES = (
    Rule("foreign CPU", _rate("foreign", _TICKS), 0.05),  # cores; quiet: 0.005 to 0.02, with a busy process 0.5 to 1
    Rule("steal", _rate("steal", _TICKS), 0.05),  # cores; quiet virtual machines showed 0.001 to 0.005
    Rule("paging from disk", _rate("major_faults"), 10.0),  # a second; a warm process has none
    Rule("memory pressure", _rate("pressure_memory"), 0.01),  # share of the time that some process waited for memory
    Rule("GPU throttled", lambda readings, wall: readings.get("throttled", 0.0), 0.5),  # 1 where the driver says so
    Rule("stopped or suspended", _asleep, 0.01),  # once, or seconds: the two clocks are read microseconds apart
)


def reasons(readings: Readings, wall: float) -> tuple[str, ...]:
    """Why a superblock of ``wall`` seconds counts as disturbed; empty where it was quiet. Unknown is quiet."""
    return tuple(rule.words for rule in RULES if rule.value(readings, wall) > rule.limit)


def severity(readings: Readings, wall: float) -> float:
    """How far the worst rule is exceeded: above 1 is disturbed."""
    values = (rule.value(readings, wall) / rule.limit for rule in RULES)
    return max((value for value in values if not math.isnan(value)), default=0.0)


def excluded(replicates: Mapping[int, Sequence[tuple[Readings, float]]]) -> dict[int, frozenset[int]]:
    """{replicate: superblocks to leave out}, the worst first, at most ``EXCLUDED_AT_MOST`` of all in a panel.

    replicates: {replicate: (readings, wall seconds) of each superblock}. No process loses its last superblock.
    """
    total = sum(map(len, replicates.values()))
    worst = sorted(
        (
            (severity(*block), replicate, number)
            for replicate, blocks in replicates.items()
            for number, block in enumerate(blocks)
            if reasons(*block)
        ),
        reverse=True,
    )
    left_out: dict[int, set[int]] = {}
    for _, replicate, number in worst:
        mine = left_out.setdefault(replicate, set())
        if sum(map(len, left_out.values())) + 1 > EXCLUDED_AT_MOST * total:
            break
        if len(mine) + 1 < len(replicates[replicate]):
            mine.add(number)
    return {replicate: frozenset(numbers) for replicate, numbers in left_out.items() if numbers}
