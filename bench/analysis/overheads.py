"""Records of latency -> estimates with the independent values behind them: what tables, verdicts and stopping need.

The overhead of a case: in each superblock the mean log-latency of its two slots minus the baseline's; a robust
location over the superblocks of a process (Hodges–Lehmann), as a ratio; the mean and a t interval over processes.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from bench.spec.cases import BASELINE_VARIANT, Case, Panel, panel_from_json
from bench.stats import estimators, exclusion
from bench.stats.estimators import Interval
from bench.store.records import TIMED, Record

AA_CONFIDENCE = 0.99
AA_LIMIT_POINTS = 0.5  # an A/A difference smaller than this hides no finding that the suite speaks of


@dataclass(frozen=True)
class Overhead:
    """A case against its panel's baseline.

    every: {replicate: {superblock: log ratio of seconds}}; cycles: the same of seconds × clock, empty where no clock is
    known. left_out: the superblocks that the rules of ``interference`` exclude. seconds: the median slot; faults: the
    median slot's page faults, NaN where not read; mhz: the median clock, NaN where not known. own: {replicate:
    {superblock: log seconds}} of the case alone, to be held against a case of another panel.
    """

    case: Case
    every: dict[int, dict[int, float]]
    left_out: dict[int, frozenset[int]]
    cycles: dict[int, dict[int, float]]
    seconds: float
    faults: float
    mhz: float
    own: dict[int, dict[int, float]] = field(default_factory=dict)

    @property
    def per_superblock(self) -> dict[int, list[float]]:
        """{replicate: log ratios}, without what is left out."""
        return _kept(self.every, self.left_out)

    @property
    def per_process(self) -> list[float]:
        """One robust location per replicate, as a log ratio."""
        return [estimators.hodges_lehmann(values) for values in self.per_superblock.values()]

    @property
    def per_process_pct(self) -> list[float]:
        """The same in per cent."""
        return _in_per_cent(self.per_superblock)

    @property
    def log_seconds_per_process(self) -> dict[int, float]:
        """{replicate: a robust location of the log seconds}; it drifts with the machine, as no baseline stands by."""
        kept = _kept(self.own, self.left_out)
        return {replicate: estimators.hodges_lehmann(values) for replicate, values in kept.items()}

    def interval(self, confidence: float = estimators.CONFIDENCE) -> Interval:
        """The overhead in per cent, over processes."""
        return estimators.t_interval(self.per_process_pct, confidence)

    def interval_of_all(self) -> Interval:
        """The same with nothing left out."""
        return estimators.t_interval(_in_per_cent(_kept(self.every, {})))

    def interval_in_cycles(self) -> Interval:
        """The overhead in cycles of the device instead of seconds, in per cent; NaN where no clock is known."""
        return estimators.t_interval(_in_per_cent(_kept(self.cycles, self.left_out)))


def _kept(values: dict[int, dict[int, float]], left_out: dict[int, frozenset[int]]) -> dict[int, list[float]]:
    nothing: frozenset[int] = frozenset()
    kept = {r: [v for block, v in own.items() if block not in left_out.get(r, nothing)] for r, own in values.items()}
    return {replicate: own for replicate, own in kept.items() if own}


def _in_per_cent(values: dict[int, list[float]]) -> list[float]:
    return [estimators.percent(estimators.hodges_lehmann(own)) for own in values.values()]


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
        if record.kind in TIMED:
            slots.setdefault(Case.from_json(record.case), {})[record.replicate] = record.samples
        elif record.kind == "replicate":
            readings = list(zip(record.samples["disturbance"], record.samples["wall"], strict=True))
            quiet.setdefault(panel_from_json(record.case), {})[record.replicate] = readings
    left_out = {panel: exclusion.excluded(replicates) for panel, replicates in quiet.items()}
    logs = {case: _by_superblock(replicates, _log_seconds) for case, replicates in slots.items()}
    cycles = {case: _by_superblock(replicates, _log_cycles) for case, replicates in slots.items()}
    found = []
    for case, replicates in slots.items():
        base = baseline_of(case)
        every = _differences(logs[case], logs.get(base, {}))
        if every:
            columns = {name: [v for own in replicates.values() for v in own.get(name, ())] for name in _MEDIANS}
            medians = {name: float(np.median(values)) if values else math.nan for name, values in columns.items()}
            in_cycles = _differences(cycles[case], cycles.get(base, {}))
            found.append(Overhead(case, every, left_out.get(case.panel, {}), in_cycles, **medians, own=logs[case]))
    return found


_MEDIANS = ("seconds", "faults", "mhz")

Logs = dict[int, dict[int, float]]  # {replicate: {superblock: a logarithm}}


def _by_superblock(replicates: dict[int, dict[str, Any]], values: Callable[[dict[str, Any]], list[float]]) -> Logs:
    return {replicate: _means(samples, values) for replicate, samples in sorted(replicates.items())}


def _differences(first: Logs, second: Logs) -> Logs:
    """first - second, where both were measured."""
    pairs = {replicate: (own, second.get(replicate, {})) for replicate, own in first.items()}
    shared = {r: {b: own[b] - other[b] for b in own if b in other} for r, (own, other) in pairs.items()}
    return {replicate: own for replicate, own in shared.items() if own}


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


def own_way_of(case: Case) -> Case:
    """The case in which nothing moves, its layers computed as in ``case``; measured where a strategy owns them."""
    return replace(case, variant=replace(case.variant, fraction=Fraction(0)), aa=False)


def over_pct(first: Overhead, second: Overhead) -> list[float]:
    """How much longer ``first`` takes than ``second``, in per cent, one value per process that measured both.

    Two cases of one panel are paired superblock by superblock. Cases of two panels never run in the same process: they
    are paired by the processes' numbers. That pairing is arbitrary, as the processes know nothing of each other, so an
    interval over its values is valid; with half the degrees of freedom of a comparison of two independent samples it
    is a little wide.
    """
    if first.case.panel == second.case.panel:
        return _in_per_cent(_kept(_differences(first.every, second.every), first.left_out))
    logs, others = first.log_seconds_per_process, second.log_seconds_per_process
    return [estimators.percent(log - others[replicate]) for replicate, log in logs.items() if replicate in others]


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


_LEAST_SPAN = 3 / 8  # of all channels, between the fractions that a slope is drawn through: from 1/8 to 1/2


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
    """A slope for every mechanism and placement whose fractions lie as far apart as 1/8 and 1/2, or farther.

    From nearer ones it would be stretched: what 1/8 and 1/4 differ by, seven times, is no statement on all channels.
    """
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
        x = tuple(float(overhead.case.variant.fraction) for overhead in line)
        if x[-1] - x[0] < _LEAST_SPAN or not shared:
            continue
        y = [dict(zip(overhead.per_superblock, overhead.per_process_pct, strict=True)) for overhead in line]
        per_process = [estimators.slope(x, [values[replicate] for values in y]) for replicate in sorted(shared)]
        found.append(Slope(*key, x, per_process))
    return found
