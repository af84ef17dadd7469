"""Two runs (two machines, two versions, CPU and GPU) held against each other, case by case.

Only overheads and accuracies are compared, never times: an overhead is a ratio within one run. Two cases are the same
where strategy, fraction, placement, direction, network, runtime, dtype, layout, allocator and input are; device,
threads and machine may differ, because that is what one compares. What the paper says of all devices is judged here:
both must show it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.aa_control import AAControls, aa_controls, worst
from bench.analysis.arms import ArmKey, arms, partial_arms, trainings
from bench.analysis.claims import Verdict, corrected, judge_finding, load_claims
from bench.analysis.evidence import Finding
from bench.analysis.overheads import Overhead, failed_cases, overheads, slopes
from bench.spec.cases import Case
from bench.spec.panel import Panel
from bench.stats.estimators import Units
from bench.store.journal import read_records
from bench.store.records import FolderError, ProcessRecord, Record, read_header, write_atomically
from bench.store.samples import PARTS, TOPS

_TREND = "trend-devices"  # the claim that speaks of all devices
_OUTCOMES = {"accuracy": PARTS, "video": TOPS[:1]}
_ELSEWHERE = ("path", "root", "cache", "cache_gib")  # where a machine has the videos, which need not be the same
_IN = " in "  # between a variant and the setting that it was measured in
_SIDES = ("a", "b")
_OF_SIDES = [f"{side}{end}" for side in _SIDES for end in ("", "_ci_low", "_ci_high")]
_COLUMNS = ["section", "what", "unit", *_OF_SIDES, "difference", "ci_low", "ci_high", "differs"]
_COLOURS = {"a": "#D55E00", "b": "#009E73", "difference": "#0072B2"}
_BESIDE = 0.12  # of a row, by which the two runs stand above and below its middle

_Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class _Side:
    folder: Path
    header: dict[str, Any]
    records: list[Record]
    clips: list[Overhead]

    @classmethod
    def read(cls, folder: Path) -> "_Side":
        header, records = read_header(folder), list(read_records(folder))
        return cls(folder, header, records, [o for o in overheads(records) if not o.case.panel.streams])

    @property
    def controls(self) -> AAControls:
        """Of its panels."""
        return aa_controls(self.clips)

    @property
    def failed(self) -> dict[Case, str]:
        """Cases, with the reasons; nothing of them is compared."""
        return failed_cases(self.records)

    @property
    def machine(self) -> str:
        """Its processor, and the GPUs that were measured."""
        processes = [record.samples for record in self.records if isinstance(record, ProcessRecord)]
        backends = [samples.backend for samples in processes if samples is not None]
        gpus = dict.fromkeys(str(backend["device_name"]) for backend in backends if "device_name" in backend)
        return " with ".join([str(self.header.get("environment", {}).get("cpu", "unknown machine")), *gpus])


def compare_runs(folder_a: Path, folder_b: Path) -> str:
    """What differs, in words; writes a table and a figure beside the second run.

    Raises FolderError where one of the two is not a run, or where nothing in them can be compared.
    """
    sides = [_Side.read(folder) for folder in (folder_a, folder_b)]
    found = {"latency": _latency(sides), "accuracy": _trained(sides, "accuracy")}
    if any(trainings(side.records, "video") for side in sides):
        found["video"] = _trained(sides, "video")
    rows = [row for own in found.values() if not isinstance(own, str) for row in own]
    reasons = [f"{section} cannot be compared: {own}" for section, own in found.items() if isinstance(own, str)]
    if not rows:
        raise FolderError("; ".join(reasons))
    table = pd.DataFrame(rows, columns=_COLUMNS)
    trends = [] if isinstance(found["latency"], str) else _trends(sides)
    target = folder_b.resolve().parent / f"compare-{folder_a.resolve().name}-{folder_b.resolve().name}"
    try:
        target.mkdir(exist_ok=True)
        write_atomically(target / "comparison.csv", table.to_csv(index=False))
        write_atomically(target / "claims.json", json.dumps([asdict(trend) for trend in trends], indent=2) + "\n")
        _draw(table, target, [f"A: {folder_a.name} ({sides[0].machine})", f"B: {folder_b.name} ({sides[1].machine})"])
    except OSError as error:
        raise FolderError(f"cannot write to {target}: {error.strerror}") from None
    lines = [
        f"A: {folder_a} on {sides[0].machine}",
        f"B: {folder_b} on {sides[1].machine}",
        _machines(*(side.header for side in sides)),
        *reasons,
        *(
            f"not compared, as not all seeds of the arm are there: {key[0].label} in {key[1].label}"
            for _, key in _lost(sides)
        ),
        *_unshared(sides),
        *(_sentence(row) for row in table.itertuples()),
        *(f"{trend.id}: {trend.verdict}. {trend.why}" for trend in trends),
        f"{int(table.differs.sum())} of {len(table)} differ beyond their 95 % intervals (not corrected for number).",
        f"table and figure: {target}",
    ]
    return "\n".join(lines)


def _machines(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Whether the two ran on one machine, and in what two machines differ."""
    facts, other = (header.get("environment", {}) for header in (a, b))
    if "machine" not in facts or "machine" not in other:
        return "one of the two runs is older and does not say which machine it ran on"
    if a.get("machine_id") == b.get("machine_id"):
        return "one machine"
    keys = ("cpu", "cores", "memory_gb", *facts["machine"]["processor"], *other["machine"]["processor"], "own", "gpus")
    flat, flat_other = ({**own, **own["machine"], **own["machine"]["processor"]} for own in (facts, other))
    differ = [key for key in dict.fromkeys(keys) if flat.get(key) != flat_other.get(key)]
    return f"two machines, which differ in {', '.join(differ)}: milliseconds cannot be compared, overheads can"


def _sentence(row: Any) -> str:
    values = f"{row.what}: A {row.a:.2f}, B {row.b:.2f} {row.unit}; "
    if pd.isna(row.ci_low):
        return f"{values}no interval"
    interval = f"{row.difference:+.2f} [{row.ci_low:+.2f}, {row.ci_high:+.2f}]"
    return f"{values}B - A = {interval}{'  *' if row.differs else ''}"


def _naming(sides: Sequence[_Side]) -> Callable[[Panel], str]:
    """What a panel is called in both runs: device and threads only where a run has several of them."""
    panels = [{o.case.panel for o in side.clips} for side in sides]
    devices = any(len({panel.device for panel in own}) > 1 for own in panels)
    threads = any(len({panel.threads for panel in own}) > 1 for own in panels)

    def name(panel: Panel) -> str:
        text = f"{panel.backbone} {panel.frames}x{panel.size} batch {panel.batch}"
        text += f" {panel.runtime} {panel.dtype} {panel.memory_format}"
        text += "" if panel.allocator == "default" else f" {panel.allocator} heap"
        text += f" {panel.device}" if devices else ""
        return text + (f" {panel.threads} threads" if threads else "")

    return name


def _latency(sides: Sequence[_Side]) -> _Rows | str:
    """Rows, or the reason why there are none."""
    naming, found = _naming(sides), list[dict[str, tuple[Units, float]]]()
    for side in sides:
        if not side.clips:
            return f"{side.folder} has no latency"
        if alarm := side.controls.alarm(streams=False):
            return f"the A/A control of {side.folder} is off ({alarm})"
        controls = side.controls
        found.append({name: (o.pct, controls.of(o.case.panel).slack) for name, o in _named(side, naming).items()})
    shared = [(key, *own, *found[1][key]) for key, own in found[0].items() if key in found[1]]
    rows = [_row("latency", key, "% overhead", a, b, slack + other) for key, a, slack, b, other in shared]
    return rows or "the two have no case in common (network, input, runtime, dtype and layout must be the same)"


def _named(side: _Side, naming: Callable[[Panel], str]) -> dict[str, Overhead]:
    """The cases that can be compared, by what they are called in both runs."""
    failed = side.failed
    moved = [o for o in side.clips if o.case.variant.fraction > 0 and o.case not in failed]
    return {f"{o.case.variant.label}{_IN}{naming(o.case.panel)}": o for o in moved}


def _unshared(sides: Sequence[_Side]) -> list[str]:
    """How many cases of each run the other one has not, and where the first of them was measured."""
    naming = _naming(sides)
    a, b = (_named(side, naming) for side in sides)
    lines = []
    for name, own, other in (("A", a, b), ("B", b, a)):
        if alone := [key for key in own if key not in other]:
            lines.append(f"only in {name}: {len(alone)} cases, as in {alone[0].partition(_IN)[2]}")
    return lines if a and b else []


def _trends(sides: Sequence[_Side]) -> list[Verdict]:
    """Does the overhead grow with the fraction in both runs? A verdict on each mechanism that both measured so."""
    claim = next(claim for claim in load_claims() if claim.id == _TREND).model_copy(update={"alike": ""})
    naming, lines = _naming(sides), [slopes(side.clips, side.failed) for side in sides]
    a, b = (
        {f"{line.strategy} {line.placement} {line.direction}{_IN}{naming(line.panel)}": line for line in own}
        for own in lines
    )
    shared = [key for key in a if key in b]
    several = len({key.partition(_IN)[2] for key in shared}) > 1
    verdicts = []
    for key in shared:
        control = worst(side.controls.of(own[key].panel) for side, own in zip(sides, (a, b), strict=True))
        estimates = {name: own[key].rise.estimate() for name, own in (("A", a), ("B", b))}
        finding = Finding(key if several else key.partition(_IN)[0], estimates, control=control, baseline_cancels=True)
        verdicts.append(judge_finding(claim, finding))
    return corrected(verdicts)


def _trained(sides: Sequence[_Side], section: str) -> _Rows | str:
    """Rows, or the reason why there are none."""
    lost = _lost(sides)  # the seeds that are left of them are a selection
    every = [{arm.key: arm for arm in arms(side.records, section)} for side in sides]
    a, b = trained = [{key: arm for key, arm in own.items() if (section, key) not in lost} for own in every]
    for side, found in zip(sides, trained, strict=True):
        if not found:
            return f"{side.folder} has no {section}"
    first, second = (_recipe(side, section) for side in sides)
    if first != second:
        names = dict.fromkeys([*first, *second])  # an older recipe does not say all that a newer one does
        different = [name for name in names if first.get(name) != second.get(name)]
        return f"the recipes differ in {', '.join(different)}"
    rows = [
        _row(section, f"{key[0].label} {part}{_IN}{key[1].label}", "% right", a[key].pct(part), b[key].pct(part))
        for key in a
        if key in b
        for part in _OUTCOMES[section]
    ]
    return rows or "the two have no arm in common"


def _recipe(side: _Side, section: str) -> dict[str, Any]:
    """With the data, but for where the machine has them."""
    training = side.header["sweep"]["trainings"][section]
    data = training.get("data") or {}
    return {**training["recipe"], "data": {name: value for name, value in data.items() if name not in _ELSEWHERE}}


def _lost(sides: Sequence[_Side]) -> dict[tuple[str, ArmKey], str]:
    """Arms of which a seed failed, or is yet to be trained, on either side, with the reasons."""
    return {
        (section, key): why
        for section in _OUTCOMES
        for side in sides
        for key, why in partial_arms(side.header, side.records, section).items()
    }


def _row(section: str, what: str, unit: str, a: Units, b: Units, slack: float = 0.0) -> tuple[Any, ...]:
    """slack: by how much the interval is widened before it is judged, where a control is undecided."""
    difference = (b.estimate() - a.estimate()).interval()
    differs = bool(difference.low > slack or difference.high < -slack)
    each = [(own.mean, own.low, own.high) for own in (a.estimate().interval(), b.estimate().interval())]
    return (section, what, unit, *each[0], *each[1], difference.mean, difference.low, difference.high, differs)


def _draw(table: pd.DataFrame, target: Path, names: list[str]) -> None:
    """Both runs and what lies between them, each with its interval, a line for each case."""
    from matplotlib.figure import Figure

    sections = list(dict.fromkeys(table.section))
    heights = [int((table.section == section).sum()) for section in sections]
    figure = Figure(figsize=(11, 1.8 + 0.28 * sum(heights)), layout="constrained")
    plots = figure.subplots(len(sections), 2, squeeze=False, height_ratios=heights, sharey="row")
    for (values, differences), section in zip(plots, sections, strict=True):
        rows = table[table.section == section].iloc[::-1]
        settings = {what.partition(_IN)[2] for what in rows.what}
        shown = [what.partition(_IN)[0] if len(settings) == 1 else what for what in rows.what]  # said once, above
        for side, above in zip(_SIDES, (_BESIDE, -_BESIDE), strict=True):
            _points(values, rows[side], rows[f"{side}_ci_low"], rows[f"{side}_ci_high"], above, side)
        _points(differences, rows.difference, rows.ci_low, rows.ci_high, 0.0, "difference")
        values.set_yticks(range(len(rows)), shown, fontsize=7, parse_math=False)
        values.set_title(f"{section} {' '.join(settings) if len(settings) == 1 else ''}", fontsize=9, parse_math=False)
        values.set_xlabel(f"A above, B below, in {rows.unit.iloc[0]}, 95 % intervals", fontsize=9)
        differences.set_xlabel("B − A in pp, 95 % intervals", fontsize=9)
        for axes in (values, differences) if section == "latency" else (differences,):
            axes.axvline(0, color="0.5", linewidth=0.8)
    figure.suptitle("\n".join(names), fontsize=9, parse_math=False, x=0.01, horizontalalignment="left")
    for kind in ("svg", "png"):
        figure.savefig(target / f"comparison.{kind}", dpi=150)


def _points(axes: Any, means: pd.Series, low: pd.Series, high: pd.Series, above: float, what: str) -> None:
    """A point with its interval in each row; without one, the point alone."""
    errors = [(means - low).fillna(0), (high - means).fillna(0)]
    places = [row + above for row in range(len(means))]
    axes.errorbar(means, places, xerr=errors, fmt="o", markersize=4, color=_COLOURS[what], capsize=3)
