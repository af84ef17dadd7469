"""How well a panel was measured: what disturbed it, what was left out, how processes and superblocks scatter."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.overheads import Overhead
from bench.spec.cases import BASELINE_VARIANT
from bench.spec.panel import Panel
from bench.stats import estimators, exclusion
from bench.store.records import ProcessRecord, Record
from bench.store.samples import Process

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
    limit = SIGNIFICANT / max(cases, 1) / 2  # two levels
    across, inside = estimators.lag_one([logs]), estimators.lag_one(blocks)
    rising, rising_inside = estimators.trend(logs), estimators.trend_inside(blocks)
    flags = ["autocorrelated"] if across.p < limit or inside.p < limit else []  # NaN is not below
    return [*flags, "trend"] if rising.p < limit or rising_inside.p < limit else flags


def _quality(panel: Panel, replicates: dict[int, Process], own: Sequence[Overhead]) -> PanelQuality:
    samples = list(replicates.values())
    reasons = [found for process in samples for found in _reasons(process)]
    readings = {
        number: list(zip(process.disturbance, process.wall, strict=True)) for number, process in replicates.items()
    }
    components = [part for o in own if (part := estimators.components(list(o.per_superblock.values()))) is not None]
    flags = Counter(flag for o in own for flag in dependence_flags(o, len(own)))
    pages = [value for process in samples for value in process.page_seconds]
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
        page_microseconds=1e6 * float(np.median(pages)) if pages else math.nan,
        backend=samples[0].backend,
        sensors={name: float(np.median([s[name] for s in sensors if name in s])) for name in names},
    )


def _deviation(variances: list[float]) -> float:
    """Of the median case, in per cent."""
    return 100 * math.sqrt(float(np.median(variances))) if variances else math.nan


def _reasons(process: Process) -> list[tuple[str, ...]]:
    """Why each superblock counts as disturbed; empty where it was quiet."""
    return [exclusion.reasons(readings, wall) for readings, wall in zip(process.disturbance, process.wall, strict=True)]
