"""The plan after a pilot: how long a process lasts, and how many there are."""

import math

import numpy as np
import pytest

from bench.measure.latency.stopping import PILOT_SUPERBLOCKS, Costs, Shape, shape
from bench.spec.schema import Stopping

COSTS = Costs(startup=8.0, superblock=4.0)
SETTINGS = Stopping(min_replicates=5, max_replicates=100)


def pilot(between: float, within: float, processes: int = 200, blocks: int = 4) -> list[list[list[float]]]:
    """One case whose processes and superblocks have these standard deviations."""
    rng = np.random.default_rng(0)
    return [[list(rng.normal(mean, within, blocks)) for mean in rng.normal(0.0, between, processes)]]


def test_before_the_pilot_processes_are_short_and_as_many_as_the_budget_holds() -> None:
    plan = shape([], COSTS, 600.0, SETTINGS)
    assert (plan.processes, plan.superblocks, plan.needed) == (int(600 / 16), PILOT_SUPERBLOCKS, None)


def test_before_the_pilot_processes_that_start_slowly_are_longer() -> None:
    """A compiled network takes minutes to build and a second a superblock: two of those would waste the start."""
    slow = Costs(startup=100.0, superblock=1.0)
    assert shape([], slow, 3000.0, SETTINGS) == Shape(int(3000 / 110), 10)
    assert shape([], slow, 520.0, SETTINGS) == Shape(5, 4), "as long as the budget holds of the fewest"
    assert shape([], slow, 3000.0, Stopping(max_replicates=100, max_superblocks=6)).superblocks == 6


@pytest.mark.parametrize(("between", "within", "superblocks"), [(0.03, 0.03, 1), (0.01, 0.03, 4), (0.003, 0.03, 14)])
def test_a_process_lasts_as_long_as_its_own_noise_is_worth(between: float, within: float, superblocks: int) -> None:
    settings = Stopping(target_half_width_pp=0.01, min_replicates=5, max_replicates=1000)
    plan = shape(pilot(between, within, 800, 10), COSTS, 3000.0, settings)
    assert plan.superblocks == pytest.approx(superblocks, abs=max(1, 0.25 * superblocks))  # sqrt(2) × within / between


def test_few_processes_are_not_taken_for_their_few_starts_alone() -> None:
    """Where processes do not differ, longer ones would save starts, and leave few degrees of freedom."""
    settings = Stopping(target_half_width_pp=0.01, min_replicates=5, max_replicates=100)
    noise = np.random.default_rng(1).normal(0.0, 0.04, (7, 20)).tolist()
    plan = shape([noise], COSTS, 420.0, settings)
    assert 7 <= plan.processes <= 16


def test_the_cheapest_shape_that_reaches_the_width_is_taken() -> None:
    plan = shape(pilot(0.01, 0.01), COSTS, 36_000.0, Stopping(target_half_width_pp=0.5, max_replicates=400))
    deviation = math.sqrt(0.01**2 + 0.01**2 / plan.superblocks)
    assert plan.processes == pytest.approx((1.99 * deviation / 0.005) ** 2, rel=0.3)
    assert plan.needed == pytest.approx(plan.processes, abs=1)


def test_one_noisy_case_does_not_decide_for_all() -> None:
    calm, settings = pilot(0.01, 0.03, 800, 10), Stopping(target_half_width_pp=0.01, max_replicates=100)
    wild = pilot(0.2, 0.03, 800, 10)
    assert shape([*calm, *calm, *wild], COSTS, 3000.0, settings) == shape(calm, COSTS, 3000.0, settings)


def test_the_budget_and_the_settings_are_the_limits() -> None:
    noisy = pilot(0.05, 0.05)
    short = shape(noisy, COSTS, 120.0, SETTINGS)
    assert short.needed is not None and short.needed > short.processes
    assert short.processes * COSTS.process(short.superblocks) <= 120.0
    assert shape(noisy, COSTS, 36_000.0, SETTINGS).processes == SETTINGS.max_replicates


@pytest.mark.parametrize(
    ("budget", "most", "planned"),
    [
        (600.0, 5, (5, 28)),  # time that no further process may use: 600 / 5 = 8 of start and 28 superblocks of 4 s
        (20.0, 100, (5, 1)),  # a budget that cannot hold the fewest still plans them, one superblock long
    ],
)
def test_what_the_fewest_and_the_most_processes_make_of_a_budget(
    budget: float, most: int, planned: tuple[int, int]
) -> None:
    plan = shape([], COSTS, budget, Stopping(min_replicates=5, max_replicates=most))
    assert (plan.processes, plan.superblocks) == planned
