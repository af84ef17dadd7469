"""Timed records -> overheads with the independent values behind them: what tables, verdicts and stopping need.

The overhead of a case: in each superblock the mean log-latency of its two slots minus the baseline's; a robust
location over the superblocks of a process (Hodges–Lehmann), as a ratio; over processes a trimmed mean.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from bench.spec.cases import Case
from bench.spec.panel import Panel
from bench.stats import estimators, exclusion
from bench.stats.estimators import CONFIDENCE, Estimate, Interval, Processes
from bench.store.records import ProcessRecord, Record, StaticRecord, TimedRecord
from bench.store.samples import Slots

NEGLIGIBLE_PP = 1.0  # the margin of "free" and "the same", twice that of the A/A control; findings and reports share it

Logs = dict[int, dict[int, float]]  # {replicate: {superblock: a logarithm}}
LeftOut = dict[int, frozenset[int]]  # {replicate: superblocks}


@dataclass(frozen=True)
class Overhead:
    """A case against its panel's baseline.

    every: the log ratio of seconds in each superblock; cycles: the same of seconds × clock, empty where no clock is
    known. left_out: the superblocks that the rules of ``exclusion`` take out. seconds: the median slot; faults: the
    median slot's page faults, NaN where not read; mhz: the median clock, NaN where not known. own: log seconds of the
    case alone, to be held against a case of another panel. min_replicates: the fewest processes that give an interval,
    by the run's settings; 0 where they do not say.
    """

    case: Case
    every: Logs
    left_out: LeftOut
    cycles: Logs
    seconds: float
    faults: float
    mhz: float
    own: Logs = field(default_factory=dict)
    min_replicates: int = 0
    alone: float = math.nan

    @property
    def too_few(self) -> bool:
        """Its panel's budget ended before there were processes enough: it has no interval and is no finding."""
        return len(self.every) < self.min_replicates

    @cached_property
    def per_superblock(self) -> dict[int, list[float]]:
        """{replicate: log ratios}, without what is left out."""
        return _kept(self.every, self.left_out)

    @cached_property
    def pct(self) -> Processes:
        """The overhead of each process in per cent: a robust location over its superblocks."""
        return self._units(self.per_superblock)

    def _units(self, logs: dict[int, list[float]]) -> Processes:
        return replace(_in_per_cent(logs), fewest=self._fewest)

    @property
    def _fewest(self) -> int:
        return max(2, self.min_replicates)

    @property
    def log_seconds(self) -> Processes:
        """A robust location of each process's log seconds; it drifts with the machine, as no baseline stands by."""
        kept = _kept(self.own, self.left_out)
        logs = {replicate: estimators.hodges_lehmann(values) for replicate, values in kept.items()}
        return Processes(logs, self._fewest)

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """The overhead in per cent, over processes."""
        return self.pct.interval(confidence)

    def interval_of_all(self) -> Interval:
        """The same with nothing left out."""
        return self._units(_kept(self.every, {})).interval()

    def interval_in_cycles(self) -> Interval:
        """The overhead in cycles of the device instead of seconds, in per cent; NaN where no clock is known."""
        return self._units(_kept(self.cycles, self.left_out)).interval()


class OverheadEstimator:
    """Takes records as they come, process after process; each is looked at once."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._slots: dict[Case, dict[int, Slots]] = {}
        self._logs: dict[Case, Logs] = {}
        self._cycles: dict[Case, Logs] = {}
        self._readings: dict[Panel, dict[int, list[tuple[exclusion.Readings, float]]]] = {}
        self._fewest: dict[Panel, int] = {}
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Records that say nothing of a time are passed over."""
        if isinstance(record, TimedRecord) and record.status == "ok" and record.replicate is not None:
            case, slots, number = record.case, record.samples, record.replicate
            self._slots.setdefault(case, {})[number] = slots
            self._logs.setdefault(case, {})[number] = _block_means(slots, [math.log(value) for value in slots.seconds])
            clocked = zip(slots.seconds, slots.mhz, strict=True) if slots.mhz else ()
            cycles = [math.log(seconds * mhz) for seconds, mhz in clocked]
            self._cycles.setdefault(case, {})[number] = _block_means(slots, cycles)
        elif isinstance(record, ProcessRecord) and record.samples is not None and record.replicate is not None:
            readings = zip(record.samples.disturbance, record.samples.wall, strict=True)
            self._readings.setdefault(record.panel, {})[record.replicate] = list(readings)
            self._fewest[record.panel] = record.samples.min_replicates

    def overheads(self) -> list[Overhead]:
        """The overhead of every measured case, the baseline's twin included, the baseline itself too (zero)."""
        left_out = {panel: exclusion.excluded(replicates) for panel, replicates in self._readings.items()}
        found = []
        for case, replicates in self._slots.items():
            base, slots = case.baseline, list(replicates.values())
            overhead = Overhead(
                case,
                every=_differences(self._logs[case], self._logs.get(base, {})),
                left_out=left_out.get(case.panel, {}),
                cycles=_differences(self._cycles[case], self._cycles.get(base, {})),
                seconds=_median(own.seconds for own in slots),
                faults=_median(own.faults for own in slots),
                mhz=_median(own.mhz for own in slots),
                own=dict(sorted(self._logs[case].items())),
                min_replicates=self._fewest.get(case.panel, 0),
                alone=_median(own.alone_seconds for own in slots),
            )
            if overhead.every:
                found.append(overhead)
        return found


def failed_cases(records: Iterable[Record]) -> dict[Case, str]:
    """{case: why}: also those of which some processes are on record."""
    timed = (record for record in records if isinstance(record, TimedRecord | StaticRecord))
    return {record.case: record.reason or "" for record in timed if record.status == "failed"}


def overheads(records: Iterable[Record]) -> list[Overhead]:
    """The overhead of every measured case among ``records``."""
    return OverheadEstimator(records).overheads()


def over(first: Overhead, second: Overhead) -> Estimate:
    """How much longer ``first`` takes than ``second``, in per cent.

    Two cases of one panel are paired superblock by superblock. Cases of two panels ran in processes of their own, which
    know nothing of each other: two independent samples. Only rounds that both panels went through count, as panels are
    not measured for equally long and a machine drifts. Logarithms are compared; the error of the ratio follows from
    that of its logarithm to first order, as it is a few per cent.
    """
    if first.case.panel == second.case.panel:
        paired = _kept(_differences(first.every, second.every), first.left_out)
        return replace(_in_per_cent(paired), fewest=max(first.pct.fewest, second.pct.fewest)).estimate()
    own, other = first.log_seconds, second.log_seconds
    logs = own.among(other.by_unit).estimate() - other.among(own.by_unit).estimate()
    return replace(logs, mean=estimators.percent(logs.mean), error=100 * math.exp(logs.mean) * logs.error)


def layer_baseline(case: Case) -> Case:
    """The case in which nothing moves, its layers computed as in ``case``; measured where a strategy owns them."""
    return replace(case, variant=replace(case.variant, fraction=Fraction(0)), aa=False)


_LEAST_SPAN = 3 / 8  # of all channels, between the fractions that a slope is drawn through: from 1/8 to 1/2


Line = tuple[Panel, str, str, str]  # panel, strategy, placement, direction: what differs in nothing but the fraction


def line_of(case: Case) -> Line:
    """The line that a case lies on."""
    return case.panel, case.variant.strategy, case.variant.placement, case.variant.direction


def spans(fractions: Iterable[float | Fraction]) -> bool:
    """They lie as far apart as 1/8 and 1/2, or farther."""
    known = sorted(float(fraction) for fraction in fractions)
    return bool(known) and known[-1] - known[0] >= _LEAST_SPAN


def free(overheads: Iterable[Interval], slack: float = 0.0) -> bool:
    """None costs more than ``NEGLIGIBLE_PP``, by its whole interval. slack: of the control of their panel."""
    return all(found.high + slack <= NEGLIGIBLE_PP for found in overheads)


def same(steps: Iterable[Interval]) -> bool:
    """All differences lie within ``NEGLIGIBLE_PP`` of zero, by their whole intervals: two one-sided tests of each."""
    return all(max(-step.low, step.high) <= NEGLIGIBLE_PP for step in steps)


@dataclass(frozen=True)
class Slope:
    """How the overhead of one mechanism grows with the fraction: pp from 0 to 1, along a straight line.

    steps: {fraction: its overhead minus that at the least fraction}, in pp; the last thing that a line may hide.
    """

    panel: Panel
    strategy: str
    placement: str
    direction: str
    fractions: tuple[float, ...]
    pp: Processes
    steps: dict[Fraction, Processes]

    @property
    def same(self) -> bool:
        """Shown to cost the same at every fraction."""
        return same(step.interval() for step in self.steps.values())

    @property
    def rise(self) -> Processes:
        """From 1/8 to all channels, as the paper speaks of it, in pp."""
        return replace(self.pp, by_unit={unit: 7 / 8 * value for unit, value in self.pp.by_unit.items()})


def slopes(measured: Sequence[Overhead], failed: Iterable[Case] = ()) -> list[Slope]:
    """A slope for every mechanism and placement whose fractions span enough, and of which no case failed.

    From nearer ones it would be stretched: what 1/8 and 1/4 differ by, seven times, is no statement on all channels.
    """
    broken = {line_of(case) for case in failed}
    found = []
    for (panel, strategy, placement, direction), line in _shifting(measured, "strategy").items():
        line.sort(key=lambda overhead: overhead.case.variant.fraction)
        shared = set.intersection(*(set(overhead.pct.by_unit) for overhead in line))
        x = tuple(float(overhead.case.variant.fraction) for overhead in line)
        if spans(x) and shared and (panel, strategy, placement, direction) not in broken:
            rising = {unit: estimators.slope(x, [own.pct.by_unit[unit] for own in line]) for unit in sorted(shared)}
            pp = Processes(rising, max(overhead.pct.fewest for overhead in line))
            steps = {own.case.variant.fraction: own.pct - line[0].pct for own in line[1:]}
            found.append(Slope(panel, strategy, placement, direction, x, pp, steps))
    return found


@dataclass(frozen=True)
class Ranked:
    """A mechanism's place among those of one function. gap: pp behind the first, simultaneous; mde: of that gap."""

    strategy: str
    overhead: Interval
    gap: Interval
    mde: float


@dataclass(frozen=True)
class Ranking:
    """Mechanisms that compute the same function in one panel, the least overhead first.

    The intervals of their gaps hold for all pairs at once (Bonferroni), so the best may be chosen after seeing them.
    """

    panel: Panel
    fraction: Fraction
    placement: str
    direction: str
    ranked: tuple[Ranked, ...]

    @property
    def decided(self) -> bool:
        """Every gap has an interval."""
        return not any(math.isnan(one.gap.low) for one in self.ranked[1:])

    @property
    def tied(self) -> tuple[Ranked, ...]:
        """Those that are not shown to be slower than the first."""
        return tuple(one for one in self.ranked[1:] if not one.gap.low > 0)


def rankings(measured: Sequence[Overhead]) -> list[Ranking]:
    """One for each function of which two mechanisms or more were measured. measured: those that compute one function
    (``copy_shift``'s, or what claims to equal it)."""
    found = []
    for (panel, fraction, placement, direction), group in _shifting(measured, "fraction").items():
        if len(group) < 2:
            continue
        first, *others = sorted(group, key=lambda overhead: overhead.interval().mean)
        confidence = 1 - (1 - CONFIDENCE) / math.comb(len(group), 2)
        ranked = [Ranked(first.case.variant.strategy, first.interval(), Interval(0.0, 0.0, 0.0, len(first.pct)), 0.0)]
        for overhead in others:
            gap = overhead.pct - first.pct
            estimates = overhead.interval(), gap.interval(confidence), gap.mde(confidence)
            ranked.append(Ranked(overhead.case.variant.strategy, *estimates))
        found.append(Ranking(panel, fraction, placement, direction, tuple(ranked)))
    return found


def _shifting(measured: Sequence[Overhead], name: str) -> dict[tuple[Panel, Any, str, str], list[Overhead]]:
    """{(panel, this field of the variant, placement, direction): the overheads of what moves channels}."""
    groups: dict[tuple[Panel, Any, str, str], list[Overhead]] = {}
    for overhead in measured:
        variant = overhead.case.variant
        if variant.fraction > 0:
            key = (overhead.case.panel, getattr(variant, name), variant.placement, variant.direction)
            groups.setdefault(key, []).append(overhead)
    return groups


def _block_means(slots: Slots, values: Sequence[float]) -> dict[int, float]:
    """{superblock: the mean over its slots}; empty without values."""
    blocks: dict[int, list[float]] = {}
    for block, value in zip(slots.superblock, values, strict=False):
        blocks.setdefault(block, []).append(value)
    return {block: sum(own) / len(own) for block, own in blocks.items()}


def _differences(first: Logs, second: Logs) -> Logs:
    """first - second, where both were measured."""
    pairs = {replicate: (own, second.get(replicate, {})) for replicate, own in sorted(first.items())}
    shared = {r: {b: own[b] - other[b] for b in own if b in other} for r, (own, other) in pairs.items()}
    return {replicate: own for replicate, own in shared.items() if own}


def _kept(values: Logs, left_out: LeftOut) -> dict[int, list[float]]:
    kept = {r: [v for block, v in own.items() if block not in left_out.get(r, ())] for r, own in values.items()}
    return {replicate: own for replicate, own in kept.items() if own}


def _in_per_cent(values: dict[int, list[float]]) -> Processes:
    return Processes({unit: estimators.percent(estimators.hodges_lehmann(own)) for unit, own in values.items()})


def _median(columns: Iterable[Sequence[float]]) -> float:
    values = [value for column in columns for value in column]
    return float(np.median(values)) if values else math.nan
