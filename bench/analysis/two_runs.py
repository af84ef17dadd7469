"""Two runs (two machines, two versions, CPU and GPU) held against each other, case by case.

Only overheads and accuracies are compared, never times: an overhead is a ratio within one run. Two cases are the same
where strategy, fraction, placement, direction, network, runtime, dtype, layout and input are; device, threads and
machine may differ, because that is what one compares. What the paper says of all devices is judged here: both must show
it.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.arms import arms
from bench.analysis.claims import Verdict, judge_finding, load_claims
from bench.analysis.evidence import Finding
from bench.analysis.overheads import Overhead, overheads, slopes, suspicion
from bench.spec.panel import Panel
from bench.stats import estimators
from bench.stats.units import Units
from bench.store.journal import read_records
from bench.store.records import FolderError, Record, read_header, write_atomically
from bench.store.samples import PARTS

_TREND = "trend-devices"  # the claim that speaks of all devices
_IN = " in "  # between a variant and the setting that it was measured in
_COLUMNS = ["section", "what", "unit", "a", "b", "difference", "ci_low", "ci_high", "differs"]


@dataclass(frozen=True)
class _Side:
    folder: Path
    header: dict[str, Any]
    records: list[Record]

    @property
    def machine(self) -> str:
        return str(self.header.get("environment", {}).get("cpu", "unknown machine"))


def compare_runs(folder_a: Path, folder_b: Path) -> str:
    """What differs, in words; writes a table and a figure beside the second run.

    Raises FolderError where one of the two is not a run, or where nothing in them can be compared.
    """
    sides = [_Side(folder, read_header(folder), list(read_records(folder))) for folder in (folder_a, folder_b)]
    measured = [[o for o in overheads(side.records) if not o.case.panel.streams] for side in sides]
    latency, why_latency = _latency(sides, measured)
    accuracy, why_accuracy = _accuracy(*sides)
    table = pd.DataFrame(latency + accuracy, columns=_COLUMNS)
    reasons = [
        f"{section} cannot be compared: {why}"
        for section, why in zip(("latency", "accuracy"), (why_latency, why_accuracy), strict=True)
        if why
    ]
    if table.empty:
        raise FolderError("; ".join(reasons))
    target = folder_b.resolve().parent / f"compare-{folder_a.resolve().name}-{folder_b.resolve().name}"
    try:
        target.mkdir(exist_ok=True)
        write_atomically(target / "comparison.csv", table.to_csv(index=False))
        trends = [] if why_latency else _trends(measured)
        write_atomically(target / "claims.json", json.dumps([asdict(trend) for trend in trends], indent=2) + "\n")
        _draw(table, target, [f"A: {folder_a.name} ({sides[0].machine})", f"B: {folder_b.name} ({sides[1].machine})"])
    except OSError as error:
        raise FolderError(f"cannot write to {target}: {error.strerror}") from None
    lines = [
        f"A: {folder_a} on {sides[0].machine}",
        f"B: {folder_b} on {sides[1].machine}",
        *reasons,
        *(_sentence(row) for row in table.itertuples()),
        *(f"{trend.id}: {trend.verdict}. {trend.why}" for trend in trends),
        f"{int(table.differs.sum())} of {len(table)} differ beyond their 95 % intervals (not corrected for number).",
        f"table and figure: {target}",
    ]
    return "\n".join(lines)


def _sentence(row: Any) -> str:
    if pd.isna(row.ci_low):
        return f"{row.what}: A {row.a:.2f}, B {row.b:.2f} {row.unit}; no interval"
    interval = f"{row.difference:+.2f} [{row.ci_low:+.2f}, {row.ci_high:+.2f}]"
    return f"{row.what}: A {row.a:.2f}, B {row.b:.2f} {row.unit}; B - A = {interval}{'  *' if row.differs else ''}"


@dataclass(frozen=True)
class _Naming:
    """What a panel is called in both runs: device and threads only where a run has several of them."""

    devices: bool
    threads: bool

    @classmethod
    def of(cls, measured: Sequence[Sequence[Overhead]]) -> "_Naming":
        panels = [{o.case.panel for o in own} for own in measured]
        return cls(
            any(len({panel.device for panel in own}) > 1 for own in panels),
            any(len({panel.threads for panel in own}) > 1 for own in panels),
        )

    def __call__(self, panel: Panel) -> str:
        name = (
            f"{panel.backbone} {panel.frames}x{panel.size} batch {panel.batch} "
            f"{panel.runtime} {panel.dtype} {panel.memory_format}"
        )
        return (
            name + (f" {panel.device}" if self.devices else "") + (f" {panel.threads} threads" if self.threads else "")
        )


def _latency(
    sides: Sequence[_Side], measured: Sequence[Sequence[Overhead]]
) -> tuple[list[tuple[Any, ...]], str | None]:
    """Rows, or the reason why there are none."""
    naming, found = _Naming.of(measured), list[dict[str, Overhead]]()
    for side, own in zip(sides, measured, strict=True):
        if not own:
            return [], f"{side.folder} has no latency"
        if suspect := suspicion(own):
            return [], f"the A/A control of {side.folder} failed ({suspect})"
        moved = [o for o in own if o.case.variant.fraction > 0]
        found.append({f"{o.case.variant.label}{_IN}{naming(o.case.panel)}": o for o in moved})
    shared = [key for key in found[0] if key in found[1]]
    if not shared:
        return [], "the two have no case in common (network, input, runtime, dtype and layout must be the same)"
    return [_row("latency", key, "% overhead", found[0][key].pct, found[1][key].pct) for key in shared], None


def _trends(measured: Sequence[Sequence[Overhead]]) -> list[Verdict]:
    """Does the overhead grow with the fraction in both runs? A verdict on each mechanism that both measured so."""
    claim = next(claim for claim in load_claims() if claim.id == _TREND).model_copy(update={"alike": ""})
    naming = _Naming.of(measured)
    a, b = (
        {f"{line.strategy} {line.placement} {line.direction}{_IN}{naming(line.panel)}": line for line in slopes(own)}
        for own in measured
    )
    shared = [key for key in a if key in b]
    several = len({key.partition(_IN)[2] for key in shared}) > 1
    verdicts = []
    for key in shared:
        samples = {"A": a[key].rise, "B": b[key].rise}
        verdicts.append(judge_finding(claim, Finding(key if several else key.partition(_IN)[0], samples)))
    return verdicts


def _accuracy(a: _Side, b: _Side) -> tuple[list[tuple[Any, ...]], str | None]:
    """Rows, or the reason why there are none."""
    trained = [{arm.key: arm for arm in arms(side.records, "accuracy")} for side in (a, b)]
    for side, found in zip((a, b), trained, strict=True):
        if not found:
            return [], f"{side.folder} has no accuracy"
    trainings = [side.header["sweep"]["trainings"]["accuracy"] for side in (a, b)]
    recipes = [{**training["recipe"], "data": training.get("data")} for training in trainings]
    if recipes[0] != recipes[1]:
        names = dict.fromkeys([*recipes[0], *recipes[1]])  # an older recipe does not say all that a newer one does
        different = [name for name in names if recipes[0].get(name) != recipes[1].get(name)]
        return [], f"the recipes differ in {', '.join(different)}"
    rows = []
    for key in trained[0]:
        if key in trained[1]:
            variant, condition = key
            for part in PARTS:
                values = [side[key].pct(part) for side in trained]
                rows.append(_row("accuracy", f"{variant.label} {part}{_IN}{condition.label}", "% right", *values))
    return rows, None if rows else "the two have no arm in common"


def _row(section: str, what: str, unit: str, a: Units, b: Units) -> tuple[Any, ...]:
    difference = estimators.welch_interval(b.values, a.values)
    differs = bool(difference.low > 0 or difference.high < 0)
    means = a.interval().mean, b.interval().mean
    return (section, what, unit, *means, difference.mean, difference.low, difference.high, differs)


def _draw(table: pd.DataFrame, target: Path, names: list[str]) -> None:
    """B - A with its interval, a line for each case."""
    from matplotlib.figure import Figure

    sections = [section for section in ("latency", "accuracy") if (table.section == section).any()]
    heights = [int((table.section == section).sum()) for section in sections]
    figure = Figure(figsize=(9, 1.6 + 0.28 * sum(heights)), layout="constrained")
    for axes, section in zip(
        figure.subplots(len(sections), 1, squeeze=False, height_ratios=heights)[:, 0], sections, strict=True
    ):
        rows = table[table.section == section].iloc[::-1]
        places = range(len(rows))
        errors = [rows.difference - rows.ci_low, rows.ci_high - rows.difference]
        axes.errorbar(rows.difference, places, xerr=[e.fillna(0) for e in errors], fmt="o", color="#0072B2", capsize=3)
        axes.axvline(0, color="0.5", linewidth=0.8)
        settings = {what.partition(_IN)[2] for what in rows.what}
        shown = [what.partition(_IN)[0] if len(settings) == 1 else what for what in rows.what]  # said once, above
        axes.set_yticks(places, shown, fontsize=7, parse_math=False)
        axes.set_title(f"{section} {' '.join(settings) if len(settings) == 1 else ''}", fontsize=9, parse_math=False)
        axes.set_xlabel(f"B − A in pp ({rows.unit.iloc[0]}), 95 % intervals")
    figure.suptitle("\n".join(names), fontsize=9, parse_math=False)
    for kind in ("svg", "png"):
        figure.savefig(target / f"comparison.{kind}", dpi=150)
