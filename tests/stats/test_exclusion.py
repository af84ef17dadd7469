"""The declared rules, on quiet and on disturbed machines made of arithmetic."""

import math
import random

import pytest

from bench.stats import exclusion

TICK = 0.01


def machine(rng: random.Random, wall: float, foreign: float, cores: int = 2) -> dict[str, float]:
    """What a machine's counters say of a superblock: CPU time of the system in whole ticks, of the process exactly.

    foreign: cores that others use. They take it from the measured process, which would use all cores.
    """
    own = wall * (cores - foreign) * rng.uniform(0.99, 1.0)
    others = wall * rng.gauss(foreign, 0.1 * foreign)
    ticks = sum(math.floor((own + others) / cores / TICK + rng.random()) for _ in range(cores))
    return {"own": own, "foreign": max(0.0, ticks * TICK - own), "steal": wall * rng.uniform(0.0, 0.005)}


@pytest.mark.parametrize("wall", [0.2, 0.5, 3.0, 9.0])
def test_quiet_machines_raise_few_flags_and_a_busy_process_nearly_always(wall: float) -> None:
    rng = random.Random(0)
    quiet = [bool(exclusion.reasons(machine(rng, wall, 0.006), wall)) for _ in range(2000)]
    busy = [bool(exclusion.reasons(machine(rng, wall, 0.6), wall)) for _ in range(2000)]
    assert sum(quiet) <= 0.05 * len(quiet)
    assert sum(busy) >= 0.95 * len(busy)


@pytest.mark.parametrize(
    ("readings", "words"),
    [
        ({"foreign": 2.0}, "foreign CPU"),
        ({"steal": 2.0}, "steal"),
        ({"major_faults": 200}, "paging from disk"),
        ({"pressure_memory": 1.0}, "memory pressure"),
        ({"throttled": 1.0}, "GPU throttled"),
        ({"stops": 1.0, "suspended": 0.0}, "stopped or suspended"),
        ({"suspended": 30.0}, "stopped or suspended"),
    ],
)
def test_every_rule_fires_alone_and_has_a_name(readings: dict[str, float], words: str) -> None:
    assert exclusion.reasons(readings, 10.0) == (words,)
    assert exclusion.severity(readings, 10.0) > 1


def test_what_is_unknown_is_quiet() -> None:
    assert exclusion.reasons({}, 10.0) == ()
    assert exclusion.reasons({"foreign": math.nan, "pressure_memory": math.nan}, 10.0) == ()
    assert exclusion.severity({}, 10.0) == 0.0


def blocks(*foreign: float) -> list[tuple[dict[str, float], float]]:
    return [({"foreign": value}, 10.0) for value in foreign]


def test_the_worst_are_left_out_up_to_the_cap_and_no_process_loses_all() -> None:
    replicates = {0: blocks(0.0, 9.0, 0.0, 0.0, 0.0), 1: blocks(3.0, 0.0, 0.0, 0.0, 6.0)}
    assert exclusion.excluded(replicates) == {0: frozenset({1}), 1: frozenset({4})}  # two of ten
    assert exclusion.excluded({0: blocks(*[6.0] * 4), 1: blocks(9.0)}) == {0: frozenset({3})}  # 1 keeps its only one
    assert exclusion.excluded({0: blocks(0.0, 0.0)}) == {}


def test_on_a_machine_that_is_always_disturbed_most_stays_in() -> None:
    left_out = exclusion.excluded({r: blocks(*[9.0 + r] * 5) for r in range(4)})
    assert sum(map(len, left_out.values())) == 4  # a fifth of twenty
