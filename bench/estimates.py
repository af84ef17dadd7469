"""Records -> estimates with the independent values behind them: what tables, verdicts and stopping are made of.

The overhead of a case: in each superblock the mean log-latency of its two slots minus the baseline's; a robust
location over the superblocks of a process (Hodges–Lehmann), as a ratio; the mean and a t interval over processes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench import interference, statistics
from bench.records import Record
from bench.statistics import Interval
from bench.sweep import BASELINE_VARIANT, Case, Panel, Variant

AA_CONFIDENCE = 0.99
AA_LIMIT_POINTS = 0.5  # an A/A difference smaller than this hides no finding that the suite speaks of

PARTS = ("spatial", "temporal", "joint")


@dataclass(frozen=True)
class Overhead:
    """A case against its panel's baseline.

    every: {replicate: {superblock: log ratio of seconds}}; cycles: the same of seconds × clock, empty where no clock is
    known. left_out: the superblocks that the rules of ``interference`` exclude. seconds: the median slot; faults: the
    median slot's page faults, NaN where not read; mhz: the median clock, NaN where not known.
    """

    case: Case
    every: dict[int, dict[int, float]]
    left_out: dict[int, frozenset[int]]
    cycles: dict[int, dict[int, float]]
    seconds: float
    faults: float
    mhz: float

    @property
    def per_superblock(self) -> dict[int, list[float]]:
        """{replicate: log ratios}, without what is left out."""
        return _kept(self.every, self.left_out)

    @property
    def per_process(self) -> list[float]:
        """One robust location per replicate, as a log ratio."""
        return [statistics.hodges_lehmann(values) for values in self.per_superblock.values()]

    @property
    def per_process_pct(self) -> list[float]:
        """The same in per cent."""
        return _in_per_cent(self.per_superblock)

    def interval(self, confidence: float = statistics.CONFIDENCE) -> Interval:
        """The overhead in per cent, over processes."""
        return statistics.t_interval(self.per_process_pct, confidence)

    def interval_of_all(self) -> Interval:
        """The same with nothing left out."""
        return statistics.t_interval(_in_per_cent(_kept(self.every, {})))

    def interval_in_cycles(self) -> Interval:
        """The overhead in cycles of the device instead of seconds, in per cent; NaN where no clock is known."""
        return statistics.t_interval(_in_per_cent(_kept(self.cycles, self.left_out)))


def _kept(values: dict[int, dict[int, float]], left_out: dict[int, frozenset[int]]) -> dict[int, list[float]]:
    nothing: frozenset[int] = frozenset()
    kept = {r: [v for block, v in own.items() if block not in left_out.get(r, nothing)] for r, own in values.items()}
    return {replicate: own for replicate, own in kept.items() if own}


def _in_per_cent(values: dict[int, list[float]]) -> list[float]:
    return [statistics.percent(statistics.hodges_lehmann(own)) for own in values.values()]


@dataclass(frozen=True)
class Arm:
    """An arm of the accuracy experiment: {seed: raw samples}, accuracies as shares."""

    variant: Variant
    dataset: str
    backbone: str
    seeds: dict[int, dict[str, Any]]

    def values(self, part: str) -> list[float]:
        """Accuracy per seed in per cent; part: spatial, temporal or joint."""
        return [100 * samples[f"{part}_accuracy"] for samples in self.seeds.values()]

    def deltas(self, other: "Arm", part: str) -> list[float]:
        """This arm minus ``other`` in points, paired by seed."""
        shared = [seed for seed in self.seeds if seed in other.seeds]
        key = f"{part}_accuracy"
        return [100 * (self.seeds[seed][key] - other.seeds[seed][key]) for seed in shared]


def baseline_of(case: Case) -> Case:
    """The case that ``case`` is held against."""
    return Case(BASELINE_VARIANT, case.panel)


def overheads(records: Iterable[Record]) -> list[Overhead]:
    """The overhead of every measured case, the baseline's twin included, the baseline itself too (zero)."""
    slots: dict[Case, dict[int, dict[str, Any]]] = {}
    quiet: dict[Panel, dict[int, list[tuple[dict[str, float], float]]]] = {}
    for record in records:
        if record.status != "ok" or record.replicate is None:
            continue
        if record.kind == "latency":
            slots.setdefault(Case.from_json(record.case), {})[record.replicate] = record.samples
        elif record.kind == "replicate":
            readings = list(zip(record.samples["disturbance"], record.samples["wall"], strict=True))
            quiet.setdefault(Panel(**record.case), {})[record.replicate] = readings
    left_out = {panel: interference.excluded(replicates) for panel, replicates in quiet.items()}
    found = []
    for case, replicates in slots.items():
        reference = slots.get(baseline_of(case), {})
        every = _log_ratios(replicates, reference, _log_seconds)
        if every:
            columns = {name: [v for own in replicates.values() for v in own.get(name, ())] for name in _MEDIANS}
            medians = {name: float(np.median(values)) if values else math.nan for name, values in columns.items()}
            cycles = _log_ratios(replicates, reference, _log_cycles)
            found.append(Overhead(case, every, left_out.get(case.panel, {}), cycles, **medians))
    return found


_MEDIANS = ("seconds", "faults", "mhz")


def _log_ratios(
    replicates: dict[int, dict[str, Any]],
    reference: dict[int, dict[str, Any]],
    values: Callable[[dict[str, Any]], list[float]],
) -> dict[int, dict[int, float]]:
    """{replicate: {superblock: log of the case over its baseline}}, where both were measured."""
    ratios: dict[int, dict[int, float]] = {}
    for replicate, samples in sorted(replicates.items()):
        own, base = _means(samples, values), _means(reference.get(replicate, {}), values)
        shared = {block: own[block] - base[block] for block in own if block in base}
        if shared:
            ratios[replicate] = shared
    return ratios


def _means(samples: dict[str, Any], values: Callable[[dict[str, Any]], list[float]]) -> dict[int, float]:
    """{superblock: the mean over its slots}."""
    blocks: dict[int, list[float]] = {}
    for block, value in zip(samples.get("superblock", ()), values(samples), strict=False):
        blocks.setdefault(block, []).append(value)
    return {block: sum(own) / len(own) for block, own in blocks.items()}


def _log_seconds(samples: dict[str, Any]) -> list[float]:
    return [math.log(value) for value in samples.get("seconds", ())]


def _log_cycles(samples: dict[str, Any]) -> list[float]:
    """Empty where the clock of any slot is unknown."""
    clocks = samples.get("mhz", ())
    return [math.log(s * mhz) for s, mhz in zip(samples["seconds"], clocks, strict=True)] if clocks else []


def arms(records: Iterable[Record]) -> list[Arm]:
    """Every trained arm with its seeds."""
    found: dict[tuple[Variant, str, str], dict[int, dict[str, Any]]] = {}
    for record in records:
        if record.kind == "accuracy" and record.status == "ok" and record.seed is not None:
            key = (Variant.from_json(record.case), record.case["dataset"], record.case["backbone"])
            found.setdefault(key, {})[record.seed] = record.samples
    return [Arm(*key, dict(sorted(seeds.items()))) for key, seeds in found.items()]


def baseline_arm(arm: Arm, all_arms: Sequence[Arm]) -> Arm | None:
    """The 2-D network trained on the same data."""
    for other in all_arms:
        if (other.variant, other.dataset, other.backbone) == (BASELINE_VARIANT, arm.dataset, arm.backbone):
            return other
    return None


def suspicion(measured: Sequence[Overhead]) -> str | None:
    """Why this run's latencies should not be trusted: the A/A control is off, or missing. None: all is well."""
    controlled = {overhead.case.panel for overhead in measured if overhead.case.aa}
    for overhead in measured:
        if overhead.case.panel not in controlled:
            return f"there is no A/A control in {overhead.case.panel.label}"
    for overhead in measured:
        if not overhead.case.aa:
            continue
        interval = overhead.interval(AA_CONFIDENCE)
        if (interval.low > 0 or interval.high < 0) and abs(interval.mean) > AA_LIMIT_POINTS:
            return (
                f"two identical baselines differ by {interval.mean:+.2f} % "
                f"(99 % interval {interval.low:+.2f} to {interval.high:+.2f}) in {overhead.case.panel.label}"
            )
    return None


@dataclass(frozen=True)
class Slope:
    """How the overhead of one mechanism grows with the fraction: points from 0 to 1, one value per process."""

    panel: Panel
    strategy: str
    placement: str
    direction: str
    fractions: tuple[float, ...]
    per_process: list[float]


def slopes(measured: Sequence[Overhead]) -> list[Slope]:
    """A slope for every mechanism and placement that was measured at two fractions or more."""
    lines: dict[tuple[Panel, str, str, str], list[Overhead]] = {}
    for overhead in measured:
        variant = overhead.case.variant
        if variant.fraction > 0:
            key = (overhead.case.panel, variant.strategy, variant.placement, variant.direction)
            lines.setdefault(key, []).append(overhead)
    found = []
    for key, line in lines.items():
        line.sort(key=lambda overhead: overhead.case.variant.fraction)
        shared = set.intersection(*(set(overhead.per_superblock) for overhead in line))
        if len(line) < 2 or not shared:
            continue
        x = tuple(float(overhead.case.variant.fraction) for overhead in line)
        y = [dict(zip(overhead.per_superblock, overhead.per_process_pct, strict=True)) for overhead in line]
        per_process = [statistics.slope(x, [values[replicate] for values in y]) for replicate in sorted(shared)]
        found.append(Slope(*key, x, per_process))
    return found
