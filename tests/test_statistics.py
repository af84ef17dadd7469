"""Estimators against textbook values, and the whole chain from simulated clock to interval."""

import math
import random

import numpy as np
import pytest

from bench import estimates, statistics
from bench.axes import parse_fraction
from bench.latency.clocks import SimulatedClock
from bench.latency.sampling import run_superblock
from bench.records import Record
from bench.sweep import BASELINE_VARIANT, Case, Panel, Variant

PANEL = Panel("resnet50", "cpu", "eager", "fp32", "nchw", 2, 8, 224, 1)
CASES = (
    Case(BASELINE_VARIANT, PANEL),
    Case(BASELINE_VARIANT, PANEL, aa=True),
    Case(Variant("copy_shift", parse_fraction("1"), "residual", "bidirectional"), PANEL),
)


def test_t_interval_of_known_values() -> None:
    interval = statistics.t_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval.mean == 3.0
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2.5 / 5), rel=1e-5)


def test_one_value_has_no_interval() -> None:
    interval = statistics.t_interval([7.0])
    assert interval.mean == 7.0
    assert math.isnan(interval.low) and math.isnan(interval.high)


def test_hodges_lehmann_shrugs_off_a_spike() -> None:
    assert statistics.hodges_lehmann([1.0, 1.0, 1.0, 1.0, 100.0]) == 1.0
    assert statistics.hodges_lehmann([1.0, 2.0, 4.0]) == 2.25  # the median of 1, 1.5, 2, 2.5, 3, 4


def test_simultaneous_intervals_are_wider_and_alone_they_are_not() -> None:
    values = [1.0, 2.0, 4.0, 3.0]
    alone, many = statistics.simultaneous([values])[0], statistics.simultaneous([values] * 4)[0]
    assert alone == statistics.t_interval(values)
    assert many.half_width > 1.3 * alone.half_width


def test_welch_of_known_values() -> None:
    interval = statistics.welch_interval([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(2.776445 * math.sqrt(2 / 3), rel=1e-5)


def test_the_number_needed_finds_the_effect() -> None:
    values = np.array([-1.0, 1.0, 0.0])  # deviation 1
    needed = statistics.count_needed(values, 0.5)
    assert needed is not None
    assert 32 <= needed <= 36  # a power table gives 34 for half a deviation, four times in five
    assert statistics.count_needed(values, 1e-9) is None


def test_slope_of_a_line() -> None:
    assert statistics.slope([0.125, 0.25, 1.0], [1.25, 2.5, 10.0]) == pytest.approx(10.0)


def simulate(seed: int, effect: float, replicates: int = 6, blocks: int = 6, **noise: float) -> list[Record]:
    """One experiment on simulated clocks: a baseline, its twin and a case that takes ``effect`` longer."""
    records, truth = [], (0.35, 0.35, 0.35 * (1 + effect))
    for replicate in range(replicates):
        clock = SimulatedClock(seed * 1000 + replicate, **noise)
        rng = random.Random(seed * 1000 + replicate)
        calls = {index: (lambda seconds=seconds: seconds) for index, seconds in enumerate(truth)}
        own: list[list[tuple[int, int, float]]] = [[] for _ in CASES]
        for block in range(blocks):
            for slot in run_superblock(calls, clock, rng):
                own[slot.case].append((block, slot.position, slot.seconds))
        for case, slots in zip(CASES, own, strict=True):
            samples = dict(zip(("superblock", "position", "seconds"), map(list, zip(*slots, strict=True)), strict=True))
            label = f"{case.label}/r{replicate}"
            records.append(
                Record(id=label, kind="latency", status="ok", case=case.to_json(), replicate=replicate, samples=samples)
            )
    return records


@pytest.mark.parametrize("effect", [0.0, 0.03])
def test_intervals_cover_the_truth(effect: float) -> None:
    """Drift, autocorrelation, process effects and spikes at once: about 95 in 100 intervals hold the true overhead."""
    noise = {
        "noise_sd": 0.015,
        "autocorrelation": 0.5,
        "process_sd": 0.004,
        "drift_per_slot": 0.0005,
        "spike_rate": 0.01,
    }
    experiments, covered, errors = 400, 0, []
    for seed in range(experiments):
        measured = {o.case: o for o in estimates.overheads(simulate(seed, effect, **noise))}
        interval = measured[CASES[2]].interval()
        covered += interval.low <= 100 * effect <= interval.high
        errors.append(interval.mean - 100 * effect)
    assert 0.92 <= covered / experiments <= 0.98
    assert abs(float(np.mean(errors))) < 0.1  # points


def test_linear_drift_cancels_exactly() -> None:
    records = simulate(1, 0.03, noise_sd=0.0, drift_per_slot=0.01)
    overhead = {o.case: o for o in estimates.overheads(records)}
    assert overhead[CASES[2]].interval().mean == pytest.approx(3.0, abs=1e-9)
    assert overhead[CASES[1]].interval().mean == pytest.approx(0.0, abs=1e-9)


def test_an_unlike_twin_makes_the_run_suspect() -> None:
    honest = simulate(3, 0.0, noise_sd=0.005)
    assert estimates.suspicion(estimates.overheads(honest)) is None
    tilted = [
        r.model_copy(update={"samples": {**r.samples, "seconds": [1.01 * s for s in r.samples["seconds"]]}})
        if r.case["aa"]
        else r
        for r in honest
    ]
    assert "two identical baselines differ by +" in (estimates.suspicion(estimates.overheads(tilted)) or "")
