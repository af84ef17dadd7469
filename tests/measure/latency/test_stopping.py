"""The plan after a pilot: how long a process lasts, and how many there are."""

import math

import numpy as np
import pytest

from bench.measure.latency.stopping import PILOT_SUPERBLOCKS, Costs, Limits, shape

COSTS = Costs(startup=8.0, superblock=4.0)
LIMITS = Limits(half_width=0.005, fewest=5, most=100)


def pilot(between: float, within: float, processes: int = 200, blocks: int = 4) -> list[list[list[float]]]:
    """One case whose processes and superblocks scatter as told."""
    rng = np.random.default_rng(0)
    return [[list(rng.normal(mean, within, blocks)) for mean in rng.normal(0.0, between, processes)]]


def test_before_the_pilot_processes_are_short_and_as_many_as_the_budget_holds() -> None:
    plan = shape([], COSTS, 600.0, LIMITS)
    assert (plan.processes, plan.superblocks, plan.needed) == (int(600 / 16), PILOT_SUPERBLOCKS, None)


@pytest.mark.parametrize(("between", "within", "superblocks"), [(0.03, 0.03, 1), (0.01, 0.03, 4), (0.003, 0.03, 14)])
def test_a_process_lasts_as_long_as_its_own_noise_is_worth(between: float, within: float, superblocks: int) -> None:
    plan = shape(pilot(between, within, 800, 10), COSTS, 36_000.0, Limits(0.02, 5, 100))
    assert plan.superblocks == pytest.approx(superblocks, abs=max(1, 0.25 * superblocks))  # sqrt(2) × within / between


def test_as_many_processes_as_the_width_needs_and_no_more() -> None:
    plan = shape(pilot(0.01, 0.01), COSTS, 36_000.0, LIMITS)
    assert plan.needed == plan.processes
    deviation = math.sqrt(0.01**2 + 0.01**2 / plan.superblocks)
    assert plan.needed == pytest.approx((1.97 * deviation / 0.005) ** 2, rel=0.3)


def test_the_budget_and_the_settings_are_the_limits() -> None:
    noisy = pilot(0.05, 0.05)
    short = shape(noisy, COSTS, 120.0, LIMITS)
    assert short.needed is not None and short.needed > short.processes
    assert short.processes * COSTS.process(short.superblocks) <= 120.0
    assert shape(noisy, COSTS, 36_000.0, LIMITS).processes == LIMITS.most


def test_time_that_no_further_process_may_use_goes_into_longer_ones() -> None:
    plan = shape([], COSTS, 600.0, Limits(0.005, 5, 5))
    assert (plan.processes, plan.superblocks) == (5, 28)  # 600 / 5 = 120 s: 8 of start and 28 superblocks


def test_a_budget_that_cannot_hold_the_fewest_still_plans_them_one_superblock_long() -> None:
    plan = shape([], COSTS, 20.0, LIMITS)
    assert (plan.processes, plan.superblocks) == (5, 1)
