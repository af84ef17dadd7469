"""What a run knows, and the values that a claim speaks of.

What a claim compares is data (``claims.toml``), interpreted by the function of its metric. Each finding holds an
estimate (over processes or seeds) for every comparison that must hold at once. Signs are such that the claim
says "> 0". Only mechanisms that compute the paper's own function are judged, and accuracies under the usual condition
alone; other conditions are the controls' business.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from typing import Any

from bench.analysis import selection
from bench.analysis.aa_control import AAControl, AAControls
from bench.analysis.arms import Arm, ArmKey, difference
from bench.analysis.overheads import Line, Overhead, Slope, line_of, over, spans
from bench.analysis.selection import PUBLISHED, REPLICATION, USUAL, Selector
from bench.spec.axes import BASELINE, channels_moved
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.spec.panel import Panel
from bench.stats.estimators import Estimate
from bench.store.samples import Static


@dataclass(frozen=True)
class Evidence:
    """All estimates of a run.

    failed_cases: {what failed: why}. partial_arms: {of which a seed failed, or is yet to be trained: how many}. exact:
    the strategies that compute the paper's function. arrows: the questions that ask whether a video is shown reversed.
    controls: the A/A controls of all panels.
    """

    overheads: Sequence[Overhead] = ()
    slopes: Sequence[Slope] = ()
    arms: Sequence[Arm] = ()
    statics: Mapping[Case, Static] = field(default_factory=dict)
    failed_cases: Mapping[Case, str] = field(default_factory=dict)
    partial_arms: Mapping[tuple[str, ArmKey], str] = field(default_factory=dict)
    exact: frozenset[str] = frozenset({PUBLISHED})
    arrows: frozenset[str] = frozenset()
    controls: AAControls = field(default_factory=lambda: AAControls({}))

    def arms_of(self, section: str) -> dict[ArmKey, Arm]:
        """The arms that were trained in a section."""
        return {arm.key: arm for arm in self.arms if arm.section == section}


@dataclass(frozen=True)
class Finding:
    """The estimates behind one verdict, in pp. invalid: why they must not be judged; missing: why there are none.

    control: of the panels that they come from, where they come from the clock. baseline_cancels: they are differences
    within one panel, which no error of its baseline moves. note: what else a reader should know. repeated: the same
    from other seeds, where the run has it.
    """

    subject: str = ""
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    invalid: str | None = None
    missing: str | None = None
    control: AAControl | None = None
    baseline_cancels: bool = False
    note: str = ""
    repeated: "Finding | None" = None


Where = Mapping[str, Any]


def _cases(where: Where, evidence: Evidence) -> list[Finding]:
    """The overhead of each case that the claim selects."""
    asked, exact, failed, controls = where["select"], evidence.exact, evidence.failed_cases, evidence.controls
    selected = [o for o in evidence.overheads if selection.selects_case(asked, o.case, exact)]
    fitting = [o for o in selected if o.case not in failed]
    broken = {case: why for case, why in failed.items() if selection.selects_case(asked, case, exact)}
    panels = [case.panel for case in (*(o.case for o in fitting), *broken)]

    def subject(case: Case) -> str:
        return f"{case.variant.strategy} {case.variant.placement}{selection.panel_difference(case.panel, panels)}"

    return [
        *(Finding(subject(o.case), {"overhead": o.pct.estimate()}, control=controls.of(o.case.panel)) for o in fitting),
        *(Finding(subject(case), invalid=f"the case failed: {why}") for case, why in broken.items()),
    ]


def _ratios(where: Where, evidence: Evidence) -> list[Finding]:
    """How much longer the first case takes than the second, in per cent, for each panel of the first."""
    measured = {overhead.case: overhead for overhead in evidence.overheads}
    known = dict.fromkeys([*measured, *evidence.failed_cases])
    pairs = {
        case: Case(*selection.replaced(case.variant, case.panel, where["second"]))
        for case in known
        if selection.selects_case(where["first"], case, evidence.exact)
    }
    panels = [case.panel for case in pairs]
    found = []
    for first, second in pairs.items():
        subject = where["subject"] + selection.panel_difference(first.panel, panels)
        broken = [case for case in (first, second) if case in evidence.failed_cases]
        if broken:
            why = f"the case {broken[0].label} failed: {evidence.failed_cases[broken[0]]}"
            found.append(Finding(subject, invalid=why))
        elif second not in measured:
            found.append(Finding(subject, missing=f"this run has not measured {second.label}"))
        else:
            estimates = {"latency": over(measured[first], measured[second])}
            control = evidence.controls.of(first.panel, second.panel)
            note = _flops_note(first, second, evidence)
            cancels = first.panel == second.panel
            found.append(Finding(subject, estimates, control=control, baseline_cancels=cancels, note=note))
    return found


def _slope(where: Where, evidence: Evidence) -> list[Finding]:
    """How many percentage points the overhead grows from 1/8 to all, per mechanism, placement and panel."""
    return _along_lines(where, evidence, lambda line: {"slope": line.rise.estimate()})


def _fractions(where: Where, evidence: Evidence) -> list[Finding]:
    """What each fraction costs more than the least one: a straight line through them would hide a bend."""

    def steps(line: Slope) -> dict[str, Estimate]:
        least = Fraction(line.fractions[0])
        return {f"{fraction} against {least}": step.estimate() for fraction, step in line.steps.items()}

    return _along_lines(where, evidence, steps)


def _along_lines(where: Where, evidence: Evidence, estimates: Callable[[Slope], dict[str, Estimate]]) -> list[Finding]:
    """One finding for each line; invalid where one of its cases failed. ``strategy``: of this one alone."""
    chosen = {where["strategy"]} if "strategy" in where else evidence.exact
    lines = [line for line in evidence.slopes if line.strategy in chosen]
    broken = _broken_lines(chosen, evidence)
    panels = [*(line.panel for line in lines), *(line[0] for line in broken)]

    def subject(panel: Panel, strategy: str, placement: str, direction: str) -> str:
        text = f"{strategy} {placement} {direction}".removesuffix(" bidirectional")
        return text + selection.panel_difference(panel, panels)

    found = [
        Finding(subject(*line), invalid=f"the case {case.label} failed: {why}") for line, (case, why) in broken.items()
    ]
    for line in lines:
        control = evidence.controls.of(line.panel)
        name = subject(line.panel, line.strategy, line.placement, line.direction)
        found.append(Finding(name, estimates(line), control=control, baseline_cancels=True))
    return found


def _broken_lines(chosen: Collection[str], evidence: Evidence) -> dict[Line, tuple[Case, str]]:
    """{line: a case of it that failed, and why}, of lines that would have been long enough."""
    tried = dict.fromkeys([*(overhead.case for overhead in evidence.overheads), *evidence.failed_cases])
    found = {}
    for case, why in evidence.failed_cases.items():
        own = [one.variant.fraction for one in tried if line_of(one) == line_of(case) and one.variant.fraction > 0]
        if case.variant.strategy in chosen and not case.panel.streams and spans(own):
            found[line_of(case)] = case, why
    return found


def _flops_note(first: Case, second: Case, evidence: Evidence) -> str:
    panel, statics = first.panel, evidence.statics
    given = f"{panel.frames} frames of {panel.size}², batch {panel.batch}"
    if first not in statics or second not in statics:
        return f"Measured on {given}."
    own, other = (statics[case].flops / 1e9 for case in (first, second))
    return f"On {given}: {own:.1f} against {other:.1f} GFLOPs, {own / other:.2f} times as many."


def _extra_parameters_and_flops(where: Where, evidence: Evidence) -> list[Finding]:
    """Parameters and FLOPs beyond the baseline's, one verdict for each mechanism."""
    extra: dict[str, float] = {}
    for case, static in evidence.statics.items():
        base, name = evidence.statics.get(case.baseline), case.variant.strategy
        if base is not None and not case.panel.streams and name != BASELINE and name in evidence.exact:
            differences = extra.get(name, 0.0), static.params - base.params, static.flops - base.flops
            extra[name] = float(max(differences, key=abs))
    return [Finding(name, {"extra": Estimate(value)}) for name, value in extra.items()]


_MIB, _FP32_BYTES = 1 << 20, 4
_SITES = {
    "conv1": "Before conv1, where the released code shifts",
    "conv2": "Before conv2, the narrow part of the bottleneck",
}


def _cache_size(where: Where, evidence: Evidence) -> list[Finding]:
    """What one stream remembers at one fraction, for each place where a bottleneck block could shift: derived from what
    the layers read, which the static pass records."""
    selected = {c: s for c, s in evidence.statics.items() if selection.selects_case(where["select"], c, evidence.exact)}
    network = next((s for case, s in selected.items() if case.variant == BASELINE_VARIANT), None)
    if network is None or network.inputs is None:
        return []
    found, fraction = [], Fraction(where["fraction"])
    for site, words in _SITES.items():
        moved = [
            channels_moved(channels, float(fraction), "unidirectional") * height * width
            for channels, height, width in network.inputs[site]
        ]
        size = _FP32_BYTES * sum(moved)
        names = [
            f"{case.variant.strategy} {case.variant.placement}"
            for case, static in selected.items()
            if case.variant.fraction == fraction and static.state_bytes == size
        ]
        holders = f"held in this run by {', '.join(names)}" if names else "derived: no stream here holds that"
        note = f"{words}: {size:,} bytes, {size / 1e6:.2f} MB or {size / _MIB:.2f} MiB, {holders}."
        note += " Compared in MiB, to one decimal as the paper prints it."
        found.append(Finding(site, {"cache": Estimate(round(size / _MIB, 1))}, note=note))
    return found


@dataclass(frozen=True)
class _Compared:
    """One comparison of two arms in one outcome; without a second the level of the first. minus: another outcome, whose
    difference is taken off."""

    name: str
    outcome: str
    first: Selector
    second: Selector | str | None = None
    minus: str | None = None


def _arms(where: Where, evidence: Evidence) -> list[Finding]:
    """One finding over all comparisons of a claim: for the arms that they name, or each that a selector leaves open.
    ``each``: {field: values}, a finding for each value, which stands for ``$field``; ``over``: a comparison so. Of
    videos one for each question; ``task``: of those alone that ask so."""
    section, found = where["section"], []
    arms = evidence.arms_of(section)
    for each in _crossed(where.get("each", {})):
        compared = []
        for entry in _filled(where["compare"], each):
            crossed = _crossed(entry.pop("over", {}))
            compared += [_Compared(**_filled(entry, values)) for values in crossed]
        named = [key for one in compared if (key := selection.named_arm(one.first, section)) is not None]
        choices = [named]
        if len(named) < len(compared):
            asked, exact = compared[0].first, evidence.exact
            fitting = [arm for arm in arms.values() if selection.selects_arm(asked, arm, exact)]
            if where.get("task") == "arrow":
                fitting = [arm for arm in fitting if arm.condition.dataset in evidence.arrows]
            choices = [[arm.key] * len(compared) for arm in fitting]
        for firsts in choices:
            finding = _finding(compared, firsts, section, evidence)
            if finding is not None:
                variant, condition = firsts[0]
                chosen = f"{variant.strategy} {variant.placement} {variant.fraction}" if len(choices) > 1 else ""
                chosen = condition.dataset if section == "video" else chosen
                note = _note(where.get("note_outcomes", ()), firsts[0], compared[0], arms)
                found.append(replace(finding, subject=" ".join(each.values()) or chosen, note=note))
    return found


def _crossed(values: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    for chosen in product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def _filled(value: Any, assignment: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _filled(own, assignment) for name, own in value.items()}
    if isinstance(value, list):
        return [_filled(own, assignment) for own in value]
    if isinstance(value, str):
        for name, own in assignment.items():
            value = value.replace(f"${name}", own)
    return value


def _finding(
    compared: Sequence[_Compared], firsts: Sequence[ArmKey], section: str, evidence: Evidence
) -> Finding | None:
    """All comparisons, in pp, paired by seed; and their repetition, if any. None where none of the arms was trained."""
    finding = _once(compared, firsts, section, evidence)
    if finding is not None and section == "accuracy":
        again = [(variant, replace(condition, cohort=REPLICATION)) for variant, condition in firsts]
        repeated = _once(compared, again, section, evidence)
        if repeated is not None and not repeated.missing:
            return replace(finding, repeated=repeated)
    return finding


def _once(compared: Sequence[_Compared], firsts: Sequence[ArmKey], section: str, evidence: Evidence) -> Finding | None:
    """Invalid where one of the arms is not whole, missing where one was not trained."""
    arms = evidence.arms_of(section)
    pairs = [
        (first, first if one.second is None else selection.replaced(*first, one.second))
        for one, first in zip(compared, firsts, strict=True)
    ]
    needed = dict.fromkeys(key for pair in pairs for key in pair)
    for key in needed:
        if (section, key) in evidence.partial_arms:
            return Finding(invalid=f"the arm {_name(key, section)} is not whole: {evidence.partial_arms[section, key]}")
    absent = [key for key in needed if key not in arms]
    if len(absent) == len(needed):
        return None
    if absent:
        return Finding(missing=f"this run has not trained {', '.join(_name(key, section) for key in absent)}")
    estimates = {}
    for one, (first, second) in zip(compared, pairs, strict=True):
        level = arms[first].pct(one.outcome)
        units = level if one.second is None else difference(arms, first, second, one.outcome)
        if one.minus is not None:
            units -= difference(arms, first, second, one.minus)
        estimates[one.name] = units.estimate()
    if not all(estimate.count for estimate in estimates.values()):
        return Finding(missing="this run has trained the arms with different seeds; they cannot be paired")
    return Finding("", estimates)


def _note(outcomes: Sequence[str], first: ArmKey, compared: _Compared, arms: Mapping[ArmKey, Arm]) -> str:
    """The same difference in other outcomes: which one a finding is judged in can decide it."""
    if not outcomes or compared.second is None:
        return ""
    second = selection.replaced(*first, compared.second)
    if first not in arms or second not in arms:
        return ""
    parts = [f"{name} {difference(arms, first, second, name).interval().signed()}" for name in outcomes]
    return f"The same difference by what is asked, in pp: {', '.join(parts)}."


def _name(key: ArmKey, section: str) -> str:
    variant, condition = key
    return variant.label if condition == USUAL[section] else f"{variant.label} ({condition.label})"


METRICS: dict[str, Callable[[Where, Evidence], list[Finding]]] = {
    "cases": _cases,
    "ratios": _ratios,
    "slope": _slope,
    "fractions": _fractions,
    "extra_parameters_and_flops": _extra_parameters_and_flops,
    "cache_size": _cache_size,
    "arms": _arms,
}
"""{metric of a claim: what it finds in a run}."""
