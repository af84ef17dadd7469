"""Raw samples -> what the harness recovered of the effects that were built in. Pure: no torch, no clock.

The estimator is that of every run (``analysis.overheads``): declared exclusions, a robust location
over the superblocks of a process, the mean and a t interval over processes. One *group* of consecutive processes is one
experiment, as a user would run it; all quiet processes together tell the bias.

The truth of N layers against the base B: a call takes a fixed part F and N times one layer's time L, so the effect is
(N - B)·L / (F + B·L). Two depths measured in the same superblocks give F and L: with r the time of H layers over that
of the base, it is (N - B) / (B - H) · (1 - r). The truth of burning is the time burnt over the base's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from bench.analysis.overheads import Overhead
from bench.spec.cases import BASELINE_VARIANT, Case, Panel
from bench.stats import estimators, exclusion
from bench.stats.estimators import Interval
from bench.validation.design import Design
from bench.validation.experiment import Measured, Process

BASE, HALF = 0, 1  # indices of ``Design.calls``
FIRST_EFFECT = 2


@dataclass(frozen=True)
class Share:
    """``count`` of ``total``, with Wilson's 95 % interval of the share behind it."""

    count: int
    total: int
    low: float
    high: float

    @classmethod
    def of(cls, count: int, total: int) -> "Share":
        """NaN ends where there is nothing to count."""
        if not total:
            return cls(0, 0, math.nan, math.nan)
        ends = stats.binomtest(count, total).proportion_ci(estimators.CONFIDENCE, method="wilson")
        return cls(count, total, float(ends.low), float(ends.high))

    def too_few_for(self, share: float) -> bool:
        """So few would come less than one time in twenty if ``share`` were true: 53 of 60 where it is 95 %."""
        return self.total > 0 and stats.binomtest(self.count, self.total, share, alternative="less").pvalue < 0.05


@dataclass(frozen=True)
class Effect:
    """One built-in effect, in per cent and points.

    nominal_pct: what it is called by. truth_pct: what was built in. estimate, bias: over all quiet processes.
    groups: each group's interval; covered: those that hold the truth. detectable_pct: the smallest effect that one
    group would have found four times in five.
    """

    name: str
    nominal_pct: float
    truth_pct: float
    estimate: Interval
    bias: Interval
    groups: tuple[Interval, ...]
    covered: Share
    detectable_pct: float


@dataclass(frozen=True)
class Pair:
    """Two identical stacks in one group: their difference in per cent, and what would have been found."""

    group: int
    pair: int
    interval: Interval
    detectable_pct: float

    @property
    def holds_zero(self) -> bool:
        """As it should."""
        return self.interval.low <= 0 <= self.interval.high


@dataclass(frozen=True)
class Busy:
    """Beside a foreign busy process: how many superblocks were flagged, and what became of the effects of about 3 %.

    slower: the base's time as a multiple of its quiet time.
    """

    processes: int
    flagged: Share
    slower: float
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class Validation:
    """What this machine can tell. Times in seconds, effects in per cent.

    base_seconds: the base's time, of which fixed_seconds do not depend on the layers. superblocks: median of a process.
    group_seconds: wall time of one group. aa_bias: of all pairs together. detectable_pct: median over pairs and groups;
    detectable_all_pct: with all quiet processes. processes_for: {effect in %: processes that would find it}.
    flagged: quiet superblocks that the rules call disturbed.
    """

    threads: int
    base_seconds: float
    fixed_seconds: float
    processes: int
    superblocks: float
    group_size: int
    groups: int
    group_seconds: float
    effects: tuple[Effect, ...]
    pairs: tuple[Pair, ...]
    aa_held: Share
    aa_bias: Interval
    aa_half_width: float
    detectable_pct: float
    detectable_all_pct: float
    processes_for: dict[float, int | None]
    flagged: Share
    autocorrelation: estimators.Test
    busy: Busy | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Some processes of one phase, looked at together: a group, or all of them."""

    design: Design
    processes: Sequence[Process]
    left_out: dict[int, frozenset[int]]

    @classmethod
    def of(cls, design: Design, processes: Sequence[Process]) -> "Sample":
        """With the superblocks left out that a run of these processes would leave out."""
        readings = {p.number: [(block["disturbance"], block["wall"]) for block in p.blocks] for p in processes}
        return cls(design, processes, exclusion.excluded(readings))

    def overhead(self, call: int, reference: int = BASE) -> Overhead:
        """One call against another, as a run sees a strategy against the baseline."""
        every = {
            p.number: {block: logs[call] - logs[reference] for block, logs in enumerate(p.logs)} for p in self.processes
        }
        return Overhead(_CASE, every, self.left_out, {}, math.nan, math.nan, math.nan)

    def truths(self, call: int) -> list[float]:
        """The effect built in, in per cent, as each process tells it."""
        asked = self.design.calls[call]
        if asked.burns:
            return [100 * p.burn / base for p, base in zip(self.processes, self.seconds(BASE), strict=True)]
        return [built_in_pct(self.design, asked.layers, math.exp(half)) for half in self.overhead(HALF).per_process]

    def seconds(self, call: int) -> list[float]:
        """A call's time in each process."""
        kept = [
            [logs[call] for block, logs in enumerate(p.logs) if block not in self.left_out.get(p.number, ())]
            for p in self.processes
        ]
        return [math.exp(estimators.hodges_lehmann(logs)) for logs in kept]


_CASE = Case(BASELINE_VARIANT, Panel("stack", "cpu", "eager", "fp32", "nchw", 0, 1, 1, 1))  # what an Overhead is of


def built_in_pct(design: Design, layers: int, half_over_base: float) -> float:
    """The effect of ``layers`` against the base in per cent, given the time of the half stack over the base's."""
    return 100 * (layers - design.base) / (design.base - design.half) * (1 - half_over_base)


def grouped(processes: Sequence[Process], size: int, least: int) -> list[Sequence[Process]]:
    """Consecutive groups; what is left over joins none. Too few for one: all of them, if at least ``least``."""
    groups = [processes[start : start + size] for start in range(0, len(processes) - size + 1, size)]
    return groups or ([processes] if len(processes) >= least else [])


def findings(measured: Measured) -> Validation:
    """Everything that can be said. Raises ValueError where there is not one group."""
    design, quiet = measured.design, measured.phase("quiet")
    size = measured.plan.group_size if measured.plan else design.least_group
    chunks = grouped(quiet, size, design.least_group)
    if not chunks:
        raise ValueError(f"{len(quiet)} processes are no experiment; it takes {design.least_group}")
    everything = Sample.of(design, quiet)
    groups = [Sample.of(design, chunk) for chunk in chunks]
    effects = tuple(_effect(everything, groups, call) for call in _effect_calls(design))
    pairs = tuple(_pair(group, g, pair) for g, group in enumerate(groups) for pair in range(design.pairs))
    twins = [everything.overhead(*_twins(design, pair)) for pair in range(design.pairs)]
    by_process = np.array([twin.per_process_pct for twin in twins])  # [pairs, processes]
    base = estimators.hodges_lehmann(everything.seconds(BASE))
    half = estimators.t_interval(everything.overhead(HALF).per_process).mean
    deviation = float(np.sqrt((by_process.std(axis=1, ddof=1) ** 2).mean()))
    return Validation(
        threads=measured.threads,
        base_seconds=base,
        fixed_seconds=base * (1 - design.base / (design.base - design.half) * (1 - math.exp(half))),
        processes=len(quiet),
        superblocks=float(np.median([len(process.blocks) for process in quiet])),
        group_size=len(chunks[0]),
        groups=len(groups),
        group_seconds=float(np.mean([sum(process.wall for process in chunk) for chunk in chunks])),
        effects=effects,
        pairs=pairs,
        aa_held=Share.of(sum(pair.holds_zero for pair in pairs), len(pairs)),
        aa_bias=estimators.t_interval(by_process.mean(axis=0)),
        aa_half_width=float(np.median([pair.interval.half_width for pair in pairs])),
        detectable_pct=float(np.median([pair.detectable_pct for pair in pairs])),
        detectable_all_pct=float(np.median([estimators.smallest_detectable(own) for own in by_process])),
        processes_for={effect: _processes_for(deviation, effect) for effect in (0.5, 1.0, 3.0)},
        flagged=_flagged(quiet),
        autocorrelation=estimators.lag_one([list(own.values()) for twin in twins for own in twin.every.values()]),
        busy=_busy(measured, everything, base),
        notes=tuple(measured.notes),
    )


def _effect_calls(design: Design) -> range:
    """The effects by layers, then the one that burns."""
    return range(FIRST_EFFECT, FIRST_EFFECT + len(design.effects) + 1)


def _twins(design: Design, pair: int) -> tuple[int, int]:
    """(call, reference) of a pair."""
    first, second = design.pair(pair)
    return second, first


def _effect(everything: Sample, groups: Sequence[Sample], call: int, truth: float | None = None) -> Effect:
    """truth: where it is known better than from ``everything``; then the bias is held against it."""
    design, values = everything.design, everything.overhead(call).per_process_pct
    truths = everything.truths(call) if truth is None else [truth] * len(values)
    known = estimators.t_interval(truths).mean
    each = [group.overhead(call).per_process_pct for group in groups]
    intervals = tuple(estimators.t_interval(own) for own in each)
    asked = design.calls[call]
    return Effect(
        name=asked.name,
        nominal_pct=100 * design.burn_share if asked.burns else design.nominal_pct(asked.layers),
        truth_pct=known,
        estimate=estimators.t_interval(values),
        bias=estimators.t_interval([value - built_in for value, built_in in zip(values, truths, strict=True)]),
        groups=intervals,
        covered=Share.of(sum(interval.low <= known <= interval.high for interval in intervals), len(intervals)),
        detectable_pct=float(np.median([estimators.smallest_detectable(own) for own in each])),
    )


def _pair(group: Sample, number: int, pair: int) -> Pair:
    values = group.overhead(*_twins(group.design, pair)).per_process_pct
    return Pair(number, pair, estimators.t_interval(values), estimators.smallest_detectable(values))


def _processes_for(deviation: float, effect: float) -> int | None:
    """``count_needed`` takes values and looks at their spread alone: here are two with that deviation."""
    return estimators.count_needed(np.array([-1.0, 1.0]) * deviation / math.sqrt(2), effect)


def _flagged(processes: Sequence[Process]) -> Share:
    blocks = [block for process in processes for block in process.blocks]
    disturbed = [bool(exclusion.reasons(block["disturbance"], block["wall"])) for block in blocks]
    return Share.of(sum(disturbed), len(disturbed))


def _busy(measured: Measured, quiet: Sample, base: float) -> Busy | None:
    """None where nothing was measured beside the busy process; a single one there gives no interval, so no effects.

    Layers keep their quiet truth: it is a ratio.
    """
    processes = measured.phase("busy")
    if not processes:
        return None
    sample = Sample.of(measured.design, processes)
    calls = measured.design.busy_calls[1:] if len(processes) > 1 else ()
    truths = {call: estimators.t_interval(quiet.truths(call)).mean for call in calls}
    effects = [_effect(sample, [sample], call, truth) for call, truth in truths.items()]
    slower = estimators.hodges_lehmann(sample.seconds(BASE)) / base
    return Busy(len(processes), _flagged(processes), slower, tuple(effects))


def to_json(value: Any) -> Any:
    """Nested dataclasses as plain values; NaN, which JSON does not know, as None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): to_json(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(own) for own in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_json(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
