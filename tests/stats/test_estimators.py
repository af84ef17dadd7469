"""Estimators against textbook values, and the whole chain from simulated clock to interval."""

import math
import random
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest

from bench.analysis import overheads
from bench.measure.latency.clocks import SimulatedClock
from bench.measure.latency.sampling import run_superblock
from bench.spec.cases import BASELINE_VARIANT, Case, Panel, Variant
from bench.stats import estimators
from bench.stats.estimators import Interval
from bench.store.records import Record
from bench.system.counters import Counters

PANEL = Panel("resnet50", "cpu", "eager", "fp32", "nchw", 2, 8, 224, 1)
EFFECTS = (0.0, 0.0, 0.005, 0.01, 0.03, 0.10)  # the first two are the baseline and its twin
CASES = (
    Case(BASELINE_VARIANT, PANEL),
    Case(BASELINE_VARIANT, PANEL, aa=True),
    *(Case(Variant("copy_shift", Fraction(i, 8), "residual", "bidirectional"), PANEL) for i in (1, 2, 4, 8)),
)
JSON = {case: case.to_json() for case in CASES}
NOTHING = Counters(0.0, 0.0, 0.0, 0, 0)


def test_t_interval_of_known_values() -> None:
    interval = estimators.t_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.mean == 3.0
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-5)


def test_one_value_has_no_interval() -> None:
    interval = estimators.t_interval([7.0])
    assert interval.mean == 7.0
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_hodges_lehmann_shrugs_off_a_spike() -> None:
    assert estimators.hodges_lehmann([1.0, 1.0, 1.0, 1.0, 100.0]) == 1.0
    assert estimators.hodges_lehmann([1.0, 2.0, 4.0]) == 2.25  # the median of 1, 1.5, 2, 2.5, 3, 4


def test_simultaneous_intervals_are_wider_and_alone_they_are_not() -> None:
    values = [1.0, 2.0, 4.0, 3.0]
    alone, many = estimators.simultaneous([values])[0], estimators.simultaneous([values] * 4)[0]
    assert alone == estimators.t_interval(values)
    assert many.half_width > 1.3 * alone.half_width


def test_welch_of_known_values() -> None:
    interval = estimators.welch_interval([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2 / 3), rel=1e-5)


def test_the_number_needed_finds_the_effect() -> None:
    values = np.array([-1.0, 1.0, 0.0])  # deviation 1
    needed = estimators.count_needed(values, 0.5)
    assert needed is not None
    assert 32 <= needed <= 36  # a power table gives 34 for half a deviation, four times in five
    assert estimators.count_needed(values, 1e-9) is None


def test_holm_of_known_values() -> None:
    """The textbook's steps: 4 × 0.005, 3 × 0.01, 2 × 0.03, and never below the one before."""
    assert estimators.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert estimators.holm([0.6, 0.9]) == [1.0, 1.0]
    assert estimators.holm([]) == []


def test_holm_passes_over_what_was_not_tested() -> None:
    adjusted = estimators.holm([0.01, math.nan, 0.02])
    assert math.isnan(adjusted[1])
    assert [adjusted[0], adjusted[2]] == pytest.approx([0.02, 0.02])


def test_holm_keeps_false_alarms_rare_in_a_family() -> None:
    rng = np.random.default_rng(0)
    families = rng.uniform(size=(2000, 8))
    alarms = sum(min(estimators.holm(list(family))) < 0.05 for family in families)
    assert 70 <= alarms <= 130  # 100 expected; 660 without adjustment


def test_paired_p_of_known_values() -> None:
    assert estimators.paired_p([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(0.0132356, abs=1e-7)  # t² = 18, 4 degrees
    assert estimators.paired_p([-1.0, -2.0, -3.0]) == estimators.paired_p([1.0, 2.0, 3.0])


def test_paired_p_without_spread() -> None:
    assert estimators.paired_p([0.0, 0.0, 0.0]) == 1.0
    assert estimators.paired_p([75.1, 75.1, 75.1]) == 0.0
    assert math.isnan(estimators.paired_p([3.0]))


def test_slope_of_a_line() -> None:
    assert estimators.slope([0.125, 0.25, 1.0], [1.25, 2.5, 10.0]) == pytest.approx(10.0)


def simulate(
    seed: int, effects: Sequence[float] = EFFECTS, replicates: int = 5, blocks: int = 4, **noise: float
) -> list[Record]:
    """One experiment on simulated clocks: for each of the first cases the true overhead, as a share."""
    records, cases = [], CASES[: len(effects)]
    for replicate in range(replicates):
        clock = SimulatedClock(seed * 1000 + replicate, **noise)
        rng = random.Random(seed * 1000 + replicate)
        calls = {i: (lambda seconds=0.35 * (1 + effect): seconds) for i, effect in enumerate(effects)}
        own: list[list[tuple[int, int, float]]] = [[] for _ in cases]
        for block in range(blocks):
            for slot in run_superblock(calls, clock, rng, counters=lambda: NOTHING):
                own[slot.case].append((block, slot.position, slot.seconds))
        for case, slots in zip(cases, own, strict=True):
            samples = dict(zip(("superblock", "position", "seconds"), map(list, zip(*slots, strict=True)), strict=True))
            data = {"id": f"{len(records)}", "case": JSON[case], "replicate": replicate, "samples": samples}
            records.append(Record(kind="latency", status="ok", **data))
    return records


WEATHER = {
    "noise_sd": 0.015,
    "autocorrelation": 0.5,
    "process_sd": 0.004,
    "drift_per_slot": 0.0005,
    "spike_rate": 0.01,
    "switch_effect": 0.01,
}


@pytest.fixture(scope="module")
def experiments() -> list[dict[Case, Interval]]:
    """2,000 experiments on machines with drift, autocorrelated noise, spikes, slot and process effects."""
    return [{o.case: o.interval() for o in overheads.overheads(simulate(seed, **WEATHER))} for seed in range(2000)]


@pytest.mark.parametrize("number", range(1, len(EFFECTS)))
def test_intervals_cover_the_truth(experiments: list[dict[Case, Interval]], number: int) -> None:
    """About 95 in 100 intervals hold the true overhead, for none, 0.5, 1, 3 and 10 %; what they centre on is right."""
    truth, intervals = 100 * EFFECTS[number], [measured[CASES[number]] for measured in experiments]
    covered = sum(interval.low <= truth <= interval.high for interval in intervals) / len(intervals)
    assert 0.92 <= covered <= 0.98
    bias = float(np.mean([interval.mean for interval in intervals])) - truth
    assert abs(bias) <= 0.1  # points


@pytest.mark.parametrize("effect", [0.0, 0.03])
def test_stopping_on_width_keeps_coverage(effect: float) -> None:
    """Processes are added until the interval is narrow enough; as width and not significance decides, it stays true."""
    experiments, covered, counts = 500, 0, set()
    for seed in range(experiments):
        rng = np.random.default_rng(seed)
        values = list(100 * effect + rng.normal(0.0, 1.0, 5))
        while estimators.t_interval(values).half_width > 0.6 and len(values) < 40:
            values.append(100 * effect + float(rng.normal(0.0, 1.0)))
        interval = estimators.t_interval(values)
        covered += interval.low <= 100 * effect <= interval.high
        counts.add(len(values))
    assert 0.91 <= covered / experiments <= 0.98  # Chow and Robbins: a little under 95 at five to twenty processes
    assert len(counts) > 5


def test_linear_drift_cancels_exactly() -> None:
    records = simulate(1, (0.0, 0.0, 0.03), noise_sd=0.0, drift_per_slot=0.01)
    overhead = {o.case: o for o in overheads.overheads(records)}
    assert overhead[CASES[2]].interval().mean == pytest.approx(3.0, abs=1e-9)
    assert overhead[CASES[1]].interval().mean == pytest.approx(0.0, abs=1e-9)


def test_an_unlike_twin_makes_the_run_suspect() -> None:
    honest = simulate(3, (0.0, 0.0), noise_sd=0.005)
    assert overheads.suspicion(overheads.overheads(honest)) is None
    tilted = [
        r.model_copy(update={"samples": {**r.samples, "seconds": [1.01 * s for s in r.samples["seconds"]]}})
        if r.case["aa"]
        else r
        for r in honest
    ]
    assert "two identical baselines differ by +" in (overheads.suspicion(overheads.overheads(tilted)) or "")


def replicate(number: int, foreign: Sequence[float], wall: float = 5.0) -> Record:
    """What closes a process: seconds of foreign CPU in each superblock."""
    samples = {"disturbance": [{"foreign": value} for value in foreign], "wall": [wall] * len(foreign)}
    return Record(id=f"r{number}", kind="replicate", status="ok", case=asdict(PANEL), replicate=number, samples=samples)


def test_a_disturbed_superblock_is_left_out_and_the_estimate_with_it_stays_beside() -> None:
    records = simulate(5, (0.0, 0.0, 0.03), noise_sd=0.001)
    spoilt = [r.model_copy(update={"samples": _slower(r.samples)}) if r.replicate == 2 else r for r in records]
    closing = [replicate(number, [0.1, 4.0 if number == 2 else 0.1, 0.1, 0.1]) for number in range(5)]
    overhead = {o.case: o for o in overheads.overheads([*spoilt, *closing])}[CASES[2]]
    assert overhead.left_out == {2: frozenset({1})}
    assert [len(values) for values in overhead.per_superblock.values()] == [4, 4, 3, 4, 4]
    assert overhead.interval().mean == pytest.approx(3.0, abs=0.2)
    assert [len(values) for values in overhead.every.values()] == [4] * 5
    assert overhead.interval_of_all().half_width > overhead.interval().half_width


def _slower(samples: dict[str, list[float]]) -> dict[str, list[float]]:
    """Someone else ran in superblock 1, and hit the early slots harder."""
    slow = [
        s * (1 + 0.05 * p) if block == 1 else s
        for block, p, s in zip(samples["superblock"], samples["position"], samples["seconds"], strict=True)
    ]
    return {**samples, "seconds": slow}


def test_cycles_are_seconds_times_the_clock() -> None:
    records = simulate(6, (0.0, 0.0, 0.03), noise_sd=0.0, drift_per_slot=0.0)
    falling = [
        r.model_copy(
            update={
                "samples": {
                    **r.samples,
                    "mhz": [2000.0 - 50 * p for p in r.samples["position"]],
                    "seconds": [
                        s / (2000 - 50 * p) for s, p in zip(r.samples["seconds"], r.samples["position"], strict=True)
                    ],
                }
            }
        )
        for r in records
    ]
    overhead = {o.case: o for o in overheads.overheads(falling)}[CASES[2]]
    assert overhead.interval_in_cycles().mean == pytest.approx(3.0, abs=1e-9)
    assert abs(overhead.interval().mean - 3.0) > 1e-4  # the mirror cancels a linear clock, not the curved time it makes


def test_variances_of_groups() -> None:
    rng = np.random.default_rng(0)
    groups = [mean + rng.normal(0.0, 1.0, 6) for mean in rng.normal(0.0, 3.0, 400)]
    parts = estimators.components(groups)
    assert parts is not None
    assert math.sqrt(parts.between) == pytest.approx(3.0, rel=0.1)
    assert math.sqrt(parts.within) == pytest.approx(1.0, rel=0.1)
    assert estimators.components([[1.0], [2.0]]) is None
    assert estimators.components([[1.0, 2.0]]) is None


def test_the_number_of_groups_for_a_width() -> None:
    needed = estimators.groups_needed(1.0, 0.5)
    assert needed == 18  # 2.110 / sqrt(18) = 0.497
    assert estimators.groups_needed(1.0, 1e-9) == 10_000


@pytest.mark.parametrize(("rho", "found"), [(0.0, (0, 6)), (0.8, (85, 100))])
def test_autocorrelation_is_found_where_it_is(rho: float, found: tuple[int, int]) -> None:
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(100):
        values = [0.0]
        for _ in range(30):
            values.append(rho * values[-1] + float(rng.normal()))
        alarms += estimators.lag_one([values[1:]]).p < 0.01
    assert found[0] <= alarms <= found[1]


def test_a_trend_is_found_where_it_is() -> None:
    rng = np.random.default_rng(2)
    flat = [estimators.trend(rng.normal(0, 1, 30)).p < 0.01 for _ in range(200)]
    rising = [estimators.trend(np.arange(30) * 0.1 + rng.normal(0, 1, 30)).p < 0.01 for _ in range(200)]
    assert sum(flat) <= 8
    assert sum(rising) >= 150
    warm_up = [np.array([0.0, -1.0, -2.0]) + rng.normal(0, 0.5, 3) for _ in range(8)]
    assert estimators.trend_inside(warm_up).p < 0.001
    assert math.isnan(estimators.trend([1.0, 2.0]).p)
