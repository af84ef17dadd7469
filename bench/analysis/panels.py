"""What the processes of a panel recorded beside the times: how well it was measured, and what moving bytes costs there.

The prediction of an overhead: counted traffic at measured bandwidth (every operator that a strategy adds moves so many
bytes, read and written; a copy of that size took so long in the same superblocks) and counted page faults at their
measured price (memory that an allocator has given back comes back as fresh pages, which the kernel fills with zeros;
counters say how many more of them a case takes than its baseline, and touching fresh pages what one costs).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.overheads import Overhead
from bench.spec.cases import BASELINE_VARIANT
from bench.spec.panel import Panel
from bench.stats import dependence, estimators, exclusion
from bench.store.records import ProcessRecord, Record
from bench.store.samples import Process, Static

_MEBI = 1 << 20
PREDICTION_TOLERANCE_PP = 1.0  # what prices that vary between superblocks, and counts of a single forward, may miss by
SIGNIFICANT = 0.01  # shared by all cases of a panel (Bonferroni): one false alarm in a hundred runs

Processes = dict[Panel, dict[int, Process]]


@dataclass(frozen=True)
class PanelQuality:
    """How well one panel was measured.

    reasons: {rule: superblocks that it declared disturbed}. between_sd_pct, within_sd_pct: standard deviations of
    processes and of superblocks, of the median case. autocorrelated, trending: how many cases were flagged for it.
    backend: numeric settings in force. sensors: {sensor: median reading}.
    """

    panel: Panel
    replicates: int
    superblocks: int
    disturbed_pct: float
    excluded: int
    waited_seconds: float
    reasons: Mapping[str, int]
    between_sd_pct: float
    within_sd_pct: float
    autocorrelated: int
    trending: int
    page_microseconds: float
    backend: Mapping[str, object]
    sensors: Mapping[str, float]


def processes(records: Sequence[Record]) -> Processes:
    """{panel: {replicate: what its process went through}}."""
    found: Processes = {}
    for record in records:
        if isinstance(record, ProcessRecord) and record.samples is not None and record.replicate is not None:
            found.setdefault(record.panel, {})[record.replicate] = record.samples
    return found


def panel_qualities(records: Sequence[Record], measured: Sequence[Overhead]) -> list[PanelQuality]:
    """One for each panel that was measured."""
    found = []
    for panel, replicates in processes(records).items():
        own = [o for o in measured if o.case.panel == panel and (o.case.aa or o.case.variant != BASELINE_VARIANT)]
        own.sort(key=lambda overhead: overhead.case.aa)
        found.append(_quality(panel, replicates, own))
    return found


def disturbed_superblocks(found: Processes) -> dict[Panel, dict[int, list[bool]]]:
    """{panel: {replicate: was each superblock disturbed?}}."""
    return {
        panel: {number: [bool(reasons) for reasons in _reasons(own)] for number, own in replicates.items()}
        for panel, replicates in found.items()
    }


def throttled_panels(found: Processes) -> set[Panel]:
    """Those in which the GPU's driver slowed it down at some time."""
    return {
        panel
        for panel, replicates in found.items()
        if any(reading.get("throttled") for own in replicates.values() for reading in own.disturbance)
    }


def dependence_flags(overhead: Overhead, cases: int) -> list[str]:
    """``autocorrelated``, ``trend``: the values are not as independent as the interval takes them to be.

    Tested over the processes in their order, and over the superblocks inside processes. cases: how many share the
    significance.
    """
    blocks = list(overhead.per_superblock.values())
    logs = [estimators.hodges_lehmann(values) for values in blocks]
    levels = ([logs], blocks)
    limit = SIGNIFICANT / max(cases, 1) / len(levels)
    tests = {"autocorrelated": dependence.lag_one, "trend": dependence.trend}
    return [flag for flag, test in tests.items() if any(test(level).p < limit for level in levels)]  # NaN is not below


def _quality(panel: Panel, replicates: dict[int, Process], own: Sequence[Overhead]) -> PanelQuality:
    samples = list(replicates.values())
    reasons = [found for process in samples for found in _reasons(process)]
    readings = {number: list(zip(own.disturbance, own.wall, strict=True)) for number, own in replicates.items()}
    components = [part for o in own if (part := estimators.components(list(o.per_superblock.values()))) is not None]
    flags = Counter(flag for o in own for flag in dependence_flags(o, len(own)))
    sensors = [reading for process in samples for reading in process.sensors]
    names = dict.fromkeys(name for reading in sensors for name in reading)
    return PanelQuality(
        panel=panel,
        replicates=len(samples),
        superblocks=len(reasons),
        disturbed_pct=100 * sum(map(bool, reasons)) / len(reasons) if reasons else math.nan,
        excluded=sum(map(len, exclusion.excluded(readings).values())),
        waited_seconds=sum(sum(process.waited) for process in samples),
        reasons=dict(Counter(reason for found in reasons for reason in found).most_common()),
        between_sd_pct=_deviation([part.between for part in components]),
        within_sd_pct=_deviation([part.within for part in components]),
        autocorrelated=flags["autocorrelated"],
        trending=flags["trend"],
        page_microseconds=1e6 * _page_seconds(replicates),
        backend=samples[0].backend,
        sensors={name: float(np.median([s[name] for s in sensors if name in s])) for name in names},
    )


def _deviation(variances: list[float]) -> float:
    """Of the median case, in per cent."""
    return 100 * math.sqrt(float(np.median(variances))) if variances else math.nan


def _reasons(process: Process) -> list[tuple[str, ...]]:
    """Why each superblock counts as disturbed; empty where it was quiet."""
    return [exclusion.reasons(readings, wall) for readings, wall in zip(process.disturbance, process.wall, strict=True)]


@dataclass(frozen=True)
class Movement:
    """What a panel's moving of bytes costs.

    copies: {MiB copied: seconds, one for each superblock}. page_seconds: of one page fault, NaN where not measured.
    """

    copies: dict[int, list[float]]
    page_seconds: float

    def rates(self, mebibytes: int) -> list[float]:
        """Bytes per second, read and written, superblock by superblock."""
        return [2 * mebibytes * _MEBI / value for value in self.copies[mebibytes]]

    def traffic_seconds(self, static: Static, base: Static) -> float:
        """The time of the operators that a case runs beyond its baseline's; those that it saves count as gained."""
        own, other = static.operations, base.operations
        extra = {size: own.get(size, 0) - other.get(size, 0) for size in own.keys() | other.keys()}
        return sum(number * self._copy_seconds(size) for size, number in extra.items() if number) if extra else math.nan

    def fault_seconds(self, extra_faults: float) -> float:
        """The time of so many page faults; none where faults are not counted (a GPU's allocator keeps its memory)."""
        return 0.0 if math.isnan(extra_faults) or math.isnan(self.page_seconds) else extra_faults * self.page_seconds

    def _copy_seconds(self, moved: int) -> float:
        """Of an operator that moves so many bytes: at the bandwidth of the nearest sizes, between them along the
        logarithm of the size; NaN where no copies were measured."""
        if not self.copies:
            return math.nan
        sizes = sorted(self.copies)
        medians = [float(np.median(self.rates(size))) for size in sizes]
        places = [math.log(2 * size * _MEBI) for size in sizes]
        return moved / float(np.interp(math.log(max(moved, 1)), places, medians))


def movements(records: Sequence[Record]) -> dict[Panel, Movement]:
    """For each panel that has processes."""
    found = {}
    for panel, replicates in processes(records).items():
        copies: dict[int, list[float]] = {}
        for own in replicates.values():
            for size, seconds in own.copies.items():
                copies.setdefault(size, []).extend(seconds)
        found[panel] = Movement(copies, _page_seconds(replicates))
    return found


def _page_seconds(replicates: dict[int, Process]) -> float:
    pages = [value for process in replicates.values() for value in process.page_seconds]
    return float(np.median(pages)) if pages else math.nan


def prediction_off(predicted: float, low: float, high: float) -> bool:
    """The predicted overhead lies outside the measured interval by more than the tolerance. NaN is not off."""
    return predicted < low - PREDICTION_TOLERANCE_PP or predicted > high + PREDICTION_TOLERANCE_PP
