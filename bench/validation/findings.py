"""Raw samples -> what the harness recovered of the effects that were built in, and whether that is good enough.

The estimator is that of every run (``analysis.overheads``). One *group* of consecutive processes is one experiment, as
a user would run it; all quiet processes together give the bias.

The truth of N layers against the base B: a call takes a fixed part F and N times one layer's time L, so the effect is
(N - B)·L / (F + B·L). Two depths measured in the same superblocks give F and L: with r the time of H layers over that
of the base, it is (N - B) / (B - H) · (1 - r). The truth of burning is the time burnt over the base's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.analysis.overheads import Overhead
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.spec.panel import Panel
from bench.stats import estimators, exclusion
from bench.stats.estimators import Interval, Processes
from bench.validation.experiment import Design, Measured, Process

RECOVERED_WITHIN = 0.5  # pp, for an effect of 3 %: the paper's 3 % against its 13.7 % needs no more
BIAS_AT_MOST = 0.1  # pp, for effects up to 3 %: below what any table prints
_SMALL_EFFECTS = 3.5  # per cent: those that must not be biased
_FLAGS_WHEN_BUSY = 0.95  # share of superblocks beside a busy process in which an alarm must fire
_FLAGS_WHEN_QUIET = 0.05  # share of superblocks of a quiet machine in which one may
_DIFFERENCES = (0.5, 1.0, 3.0)  # per cent: how many processes find them is what a user wants to know

BASE, HALF, FIRST_EFFECT = 0, 1, 2  # indices of ``Design.calls``
_CASE = Case(BASELINE_VARIANT, Panel("stack", "cpu", "eager", "fp32", "nchw", 0, 1, 1, 1))  # what an Overhead is of


@dataclass(frozen=True)
class Share:
    """So many of all."""

    count: int
    total: int

    def too_few_for(self, share: float) -> bool:
        """So few would come less than one time in twenty if ``share`` were true: 53 of 60 where it is 95 %."""
        return self.total > 0 and stats.binomtest(self.count, self.total, share, alternative="less").pvalue < 0.05

    def __str__(self) -> str:
        return f"{self.count} of {self.total}"


@dataclass(frozen=True)
class Validation:
    """What this machine can tell. Times in seconds, differences in per cent.

    table: see ``_row``. fixed_seconds: what of the base's time does not depend on the layers. superblocks: of the
    median process. group_seconds: wall time of one group. aa_…: of the pairs, their bias all together.
    detectable_pct: the minimum detectable effect of one group; _all: of all quiet processes. processes_for:
    {difference: processes that would find it}. biased: effects up to 3 % whose bias is beyond doubt too large;
    bias_half_width: the widest interval among them. flagged: superblocks that the rules call disturbed.
    """

    table: pd.DataFrame
    threads: int
    base_seconds: float
    fixed_seconds: float
    processes: int
    superblocks: float
    group_size: int
    groups: int
    group_seconds: float
    aa_held: Share
    aa_bias: Interval
    aa_half_width: float
    detectable_pct: float
    detectable_all_pct: float
    processes_for: dict[float, int | None]
    biased: list[str]
    bias_half_width: float
    flagged: Share
    flagged_busy: Share
    notes: list[str]

    def rows(self, kind: str) -> list[Any]:
        """The rows of one kind, with the columns as attributes."""
        return list(self.table[self.table["kind"] == kind].itertuples())

    @property
    def noisy(self) -> bool:
        """Whether alarms fired before anything was disturbed on purpose."""
        return self.flagged.count > _FLAGS_WHEN_QUIET * self.flagged.total


class Sample:
    """Processes of one phase that are analysed together: a group, or all of them."""

    def __init__(self, design: Design, processes: Sequence[Process]) -> None:
        self.design, self.processes = design, processes
        self._logs = {process.number: dict(enumerate(map(_mean_logs, process.blocks))) for process in processes}
        readings = {p.number: [(block["disturbance"], block["wall"]) for block in p.blocks] for p in processes}
        self._left_out = exclusion.excluded(readings)

    def overhead(self, call: int, reference: int = BASE) -> Overhead:
        """One call against another, as a run compares a strategy with the baseline."""
        every = {n: {block: log[call] - log[reference] for block, log in own.items()} for n, own in self._logs.items()}
        single = {n: {block: log[call] for block, log in own.items()} for n, own in self._logs.items()}
        return Overhead(_CASE, every, self._left_out, {}, math.nan, math.nan, math.nan, single)

    def seconds(self) -> Processes:
        """The base's time in each process."""
        return Processes({number: math.exp(log) for number, log in self.overhead(BASE).log_seconds.by_unit.items()})

    def half_logs(self) -> Processes:
        """The log ratio of the half stack to the base in each process."""
        blocks = self.overhead(HALF).per_superblock
        return Processes({number: estimators.hodges_lehmann(logs) for number, logs in blocks.items()})

    def truth(self, call: int) -> Processes:
        """The effect built in, in per cent, by what each process measured."""
        asked, seconds = self.design.calls[call], self.seconds().by_unit
        if asked.burns:
            return Processes({p.number: 100 * p.burn / seconds[p.number] for p in self.processes})
        halves = self.half_logs().by_unit.items()
        return Processes({number: built_in_pct(self.design, asked.layers, math.exp(log)) for number, log in halves})

    def flagged(self) -> Share:
        """The superblocks that the rules call disturbed."""
        blocks = [block for process in self.processes for block in process.blocks]
        return Share(sum(bool(exclusion.reasons(block["disturbance"], block["wall"])) for block in blocks), len(blocks))


def _mean_logs(block: dict[str, Any]) -> dict[int, float]:
    """{call: the mean log-seconds of its slots}."""
    slots: dict[int, list[float]] = {}
    for call, _, seconds, *_ in block["slots"]:
        slots.setdefault(int(call), []).append(math.log(seconds))
    return {call: sum(logs) / len(logs) for call, logs in slots.items()}


def built_in_pct(design: Design, layers: int, half_over_base: float) -> float:
    """The effect of ``layers`` against the base in per cent, given the time of the half stack over the base's."""
    return 100 * (layers - design.base) / (design.base - design.half) * (1 - half_over_base)


def findings(measured: Measured) -> Validation:
    """All that can be said. Raises ValueError where there is not one group."""
    design, quiet = measured.design, measured.phase("quiet")
    size, (sample, busy) = design.group_size, (Sample(design, own) for own in (quiet, measured.phase("busy")))
    groups = [Sample(design, quiet[start : start + size]) for start in range(0, len(quiet) - size + 1, size)]
    if not groups:
        raise ValueError(f"{len(quiet)} processes are no experiment; it takes {size}")
    twins = [sample.overhead(*design.twins(pair)).pct for pair in range(design.pairs)]
    by_process = np.array([twin.values for twin in twins])  # [pairs, processes]
    deviation = float(np.sqrt((by_process.std(axis=1, ddof=1) ** 2).mean()))
    base, half = estimators.hodges_lehmann(sample.seconds().values), math.exp(sample.half_logs().interval().mean)
    table = _table(sample, groups, busy)
    pairs = table[table["kind"] == "aa"]
    small = table[(table["kind"] == "effect") & (table["truth_pct"] <= _SMALL_EFFECTS)]
    low, high = small["bias_ci_low_points"], small["bias_ci_high_points"]
    return Validation(
        table=table,
        threads=measured.threads,
        base_seconds=base,
        fixed_seconds=base * (1 - design.base / (design.base - design.half) * (1 - half)),
        processes=len(quiet),
        superblocks=float(np.median([len(process.blocks) for process in quiet])),
        group_size=size,
        groups=len(groups),
        group_seconds=float(np.mean([sum(process.wall for process in group.processes) for group in groups])),
        aa_held=Share(int(pairs["covered"].sum()), len(pairs)),
        aa_bias=estimators.trimmed_mean(by_process.mean(axis=0)).interval(),
        aa_half_width=float(((pairs["ci_high_pct"] - pairs["ci_low_pct"]) / 2).median()),
        detectable_pct=float(pairs["detectable_pct"].median()),
        detectable_all_pct=float(np.median([twin.mde() for twin in twins])),
        processes_for={difference: estimators.processes_needed(deviation, difference) for difference in _DIFFERENCES},
        biased=list(small["name"][(low > BIAS_AT_MOST) | (high < -BIAS_AT_MOST)]),
        bias_half_width=float(((high - low) / 2).max()),
        flagged=sample.flagged(),
        flagged_busy=busy.flagged(),
        notes=measured.notes,
    )


def checks(v: Validation) -> dict[str, bool]:
    """{a property of the harness on this machine: whether it holds}, in the order of the text."""
    passed = {"A/A": not v.aa_held.too_few_for(estimators.CONFIDENCE)}
    for effect in v.rows("effect"):
        if abs(effect.nominal_pct - 1) < 0.25:
            passed[f"{effect.name} positive"] = effect.ci_low_pct > 0
        if abs(effect.nominal_pct - 3) < 0.5:
            passed[f"{effect.name} recovered"] = abs(effect.bias_points) <= RECOVERED_WITHIN
    shares = [Share(effect.groups_covered, effect.groups) for effect in v.rows("effect")]
    passed["bias"] = not v.biased
    passed["coverage"] = not any(share.too_few_for(estimators.CONFIDENCE) for share in shares)
    if v.flagged_busy.total:
        passed["alarms"] = v.flagged_busy.count >= _FLAGS_WHEN_BUSY * v.flagged_busy.total
    return passed | {f"{row.name} beside a busy process": row.covered for row in v.rows("busy")}


def _table(sample: Sample, groups: Sequence[Sample], busy: Sample) -> pd.DataFrame:
    """kind ``effect``: all quiet processes; ``group``: the same effect in one group; ``busy``: beside a busy process,
    held against the quiet truth, which is a ratio; ``aa``: a pair of identical stacks in one group."""
    design, rows = sample.design, []
    for call in range(FIRST_EFFECT, FIRST_EFFECT + len(design.effects) + 1):
        asked, truth = design.calls[call], sample.truth(call)
        known, nominal = truth.interval().mean, {"nominal_pct": design.nominal_pct(asked)}
        each = [_row("group", asked.name, n, own.overhead(call).pct, known) for n, own in enumerate(groups)]
        held = {"groups_covered": sum(row["covered"] for row in each), "groups": len(each)}
        typical = {"detectable_pct": float(np.median([row["detectable_pct"] for row in each]))}
        rows.append(_row("effect", asked.name, None, sample.overhead(call).pct, truth) | nominal | held | typical)
        if call in design.busy_calls and len(busy.processes) > 1:  # a single process has no interval
            beside = _row("busy", asked.name, None, busy.overhead(call).pct, known)
            rows.append(beside | nominal | {"groups_covered": int(beside["covered"]), "groups": 1})
        rows += each
    for n, group in enumerate(groups):
        rows += [_row("aa", f"pair {i}", n, group.overhead(*design.twins(i)).pct, 0.0) for i in range(design.pairs)]
    return pd.DataFrame(rows).astype(dict.fromkeys(("group", "groups_covered", "groups"), "Int64"))


def _row(kind: str, name: str, group: int | None, found: Processes, truth: Processes | float) -> dict[str, Any]:
    """covered: whether the interval holds the truth. bias: estimate less truth, paired by process.

    detectable_pct: the minimum detectable effect of one group (kind ``effect``: of the median group).
    """
    truths = truth if isinstance(truth, Processes) else Processes(dict.fromkeys(found.by_unit, truth))
    estimate, bias, known = found.interval(), (found - truths).interval(), truths.interval().mean
    return {
        **{"kind": kind, "name": name, "group": group, "processes": len(found), "truth_pct": known},
        **{"estimate_pct": estimate.mean, "ci_low_pct": estimate.low, "ci_high_pct": estimate.high},
        "covered": estimate.low <= known <= estimate.high,
        **{"bias_points": bias.mean, "bias_ci_low_points": bias.low, "bias_ci_high_points": bias.high},
        "detectable_pct": found.mde(),
    }
