"""What a run knows, and the pickers that find the values which a claim speaks of.

A picker maps (the claim's ``where``, the evidence) to findings; each finding holds one list of independent values
(per process or per seed) for every comparison that must hold at once. Signs are such that the claim says "> 0".
The paper's findings are about its own function, so only mechanisms that compute it are judged. Accuracies are judged
under the usual condition alone, the one that was declared for it; other conditions are the controls' business.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from typing import Any

from bench.analysis.arms import Arm, ArmKey
from bench.analysis.detectors import Form
from bench.analysis.overheads import Overhead, Slope, baseline_of, over_pct
from bench.spec.axes import BASELINE, parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Condition, Panel, Variant
from bench.stats.estimators import t_interval

PUBLISHED = "copy_shift"
"""The released code's strategy: its function is the paper's, whatever else computes the same is judged beside it."""

FROM_AN_EIGHTH = 7 / 8
"""Of a slope over the fractions from 0 to 1: from 1/8 to all, as the paper speaks of it."""

EXCHANGE = "temporal_conv"
"""The strategy that puts a learnable 3×1×1 convolution where the shift would be; it has one setting."""

INNER = "inner_shift"
"""The strategy that shifts at the narrow part of the bottleneck; it has one placement."""

USUAL = Condition()
"""The condition under which accuracies are judged."""

REPLICATION = "replication"
"""The cohort of the arms that were trained again with other seeds."""

_PAPER_PANEL = {"backbone": "resnet50", "frames": 8, "size": 224, "batch": 1}
_PLAIN_PANEL = {"runtime": "eager", "dtype": "fp32", "memory_format": "nchw"}
_PAPER_FRACTIONS = tuple(map(Fraction, ("1/8", "1/4", "1/2", "1")))


@dataclass(frozen=True)
class Evidence:
    """All estimates of a run.

    failed_cases, failed_arms: {what failed: why}; an arm counts as failed where one of its seeds did. exact: the
    strategies that compute the paper's function. suspect: why the run's latencies must not be trusted, or None.
    online…: the same of what ran frame by frame. forms: of the detector, trained; lost_seeds: {form: how many of
    its seeds failed}.
    """

    overheads: Sequence[Overhead] = ()
    slopes: Sequence[Slope] = ()
    arms: Sequence[Arm] = ()
    statics: dict[Case, dict[str, Any]] = field(default_factory=dict)
    failed_cases: dict[Case, str] = field(default_factory=dict)
    failed_arms: dict[ArmKey, str] = field(default_factory=dict)
    exact: frozenset[str] = frozenset({PUBLISHED})
    suspect: str | None = None
    online: Sequence[Overhead] = ()
    online_statics: dict[Case, dict[str, Any]] = field(default_factory=dict)
    online_failed: dict[Case, str] = field(default_factory=dict)
    online_suspect: str | None = None
    forms: Sequence[Form] = ()
    lost_seeds: dict[tuple[Variant, Condition], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """The values behind one verdict. ``invalid``: why they must not be judged; ``missing``: why there are none.

    note: what else a reader should know. repeated: the same from other seeds, where the run has it.
    """

    subject: str = ""
    samples: Sequence[Sequence[float]] = ()
    names: Sequence[str] = ()
    invalid: str | None = None
    missing: str | None = None
    note: str = ""
    repeated: "Finding | None" = None


Picker = Callable[[dict[str, Any], Evidence], list[Finding]]


def _is_papers(panel: Panel, where: dict[str, Any]) -> bool:
    """The paper's network and clip, as PyTorch runs it unless the claim names a runtime or dtype."""
    named: dict[str, Any] = {key: where[key] for key in ("runtime", "dtype") if key in where}
    wanted = {**_PAPER_PANEL, **_PLAIN_PANEL, **named}
    return all(getattr(panel, key) == value for key, value in wanted.items())


def _tag(panel: Panel, panels: Iterable[Panel]) -> str:
    """Says which panel, by what tells it from the others, where a run has several that fit."""
    all_of_them = [asdict(other) for other in set(panels)]
    telling = [f"{key} {value}" for key, value in asdict(panel).items() if any(o[key] != value for o in all_of_them)]
    return f" ({', '.join(telling)})" if telling else ""


def overhead(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The overhead of each mechanism and placement at one fraction on one device, in the paper's set-up."""
    fraction, failed = parse_fraction(where["fraction"]), evidence.failed_cases

    def fits(case: Case) -> bool:
        variant = case.variant
        right = variant.fraction == fraction and variant.direction == "bidirectional"
        return right and variant.strategy in evidence.exact and case.panel.device == where["device"]

    fitting = [
        o for o in evidence.overheads if fits(o.case) and _is_papers(o.case.panel, where) and o.case not in failed
    ]
    broken = {case: why for case, why in failed.items() if fits(case) and _is_papers(case.panel, where)}
    panels = {o.case.panel for o in fitting} | {case.panel for case in broken}

    def subject(case: Case) -> str:
        return f"{case.variant.strategy} {case.variant.placement}{_tag(case.panel, panels)}"

    return [
        *(Finding(subject(o.case), [o.per_process_pct], ["overhead"], evidence.suspect) for o in fitting),
        *(Finding(subject(case), invalid=f"the case failed: {why}") for case, why in broken.items()),
    ]


def slope(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """How many points the overhead grows from 1/8 to all, per mechanism, placement and panel."""
    lines = [line for line in evidence.slopes if line.strategy in evidence.exact]
    panels = [line.panel for line in lines]
    return [
        Finding(
            f"{line.strategy} {line.placement} {line.direction}".removesuffix(" bidirectional")
            + _tag(line.panel, panels),
            [[value * FROM_AN_EIGHTH for value in line.per_process]],
            ["slope"],
            evidence.suspect,
        )
        for line in lines
    ]


def extra_parameters_and_flops(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Parameters and FLOPs beyond the baseline's, one verdict for each mechanism."""
    extra: dict[str, list[float]] = {}
    statics = evidence.statics
    for case, samples in statics.items():
        base = statics.get(baseline_of(case))
        if base is not None and case.variant.strategy != BASELINE and case.variant.strategy in evidence.exact:
            differences = [float(samples[key] - base[key]) for key in ("params", "flops")]
            extra.setdefault(case.variant.strategy, []).append(max(differences, key=abs))
    return [Finding(name, [[max(values, key=abs)]], ["extra"]) for name, values in extra.items()]


def _variant(where: dict[str, Any], **settings: Any) -> Variant:
    values = {"direction": "bidirectional", "placement": "residual", **where, **settings}
    return Variant.from_json(values)


def _exchange() -> Variant:
    return _variant({"strategy": EXCHANGE, "fraction": "1"})


def volumetric_over_shift(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Latency of a 3-D network over that of the 2-D network with a shift, in per cent above, in the same set-up.

    They never share a process; ``estimates.over_pct`` says how they are paired.
    """

    def shift(case: Case) -> Case:
        return Case(_variant(where), replace(case.panel, backbone=where["backbone"]))

    dearer = [c for c in _cases(evidence) if c.panel.backbone == where["volumetric"] and not c.aa]
    return _latencies(evidence, where["volumetric"], {case: shift(case) for case in dearer})


def exchange_over_shift(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Latency of the learnable exchange over that of the shift, in per cent above, paired within superblocks."""
    dearer = [case for case in _cases(evidence) if case.variant == _exchange()]
    return _latencies(evidence, EXCHANGE, {case: Case(_variant(where), case.panel) for case in dearer})


def _cases(evidence: Evidence) -> list[Case]:
    """All that were measured, or failed."""
    return list(dict.fromkeys([*(o.case for o in evidence.overheads), *evidence.failed_cases]))


def _latencies(evidence: Evidence, name: str, pairs: dict[Case, Case]) -> list[Finding]:
    """{first: second} -> for each panel, how much longer the first takes, in per cent."""
    measured = {overhead.case: overhead for overhead in evidence.overheads}
    found = []
    for first, second in pairs.items():
        subject = name + _tag(first.panel, [case.panel for case in pairs])
        broken = [case for case in (first, second) if case in evidence.failed_cases]
        if broken:
            why = f"the case {broken[0].label} failed: {evidence.failed_cases[broken[0]]}"
            found.append(Finding(subject, invalid=why))
        elif second not in measured:
            found.append(Finding(subject, missing=f"this run has not measured {second.label}"))
        else:
            values, note = over_pct(measured[first], measured[second]), _flops(first, second, evidence)
            found.append(Finding(subject, [values], ["latency"], evidence.suspect, note=note))
    return found


def _flops(first: Case, second: Case, evidence: Evidence) -> str:
    panel, statics = first.panel, evidence.statics
    given = f"{panel.frames} frames of {panel.size}², batch {panel.batch}"
    if first not in statics or second not in statics:
        return f"Measured on {given}."
    own, other = (statics[case]["flops"] / 1e9 for case in (first, second))
    return f"On {given}: {own:.1f} against {other:.1f} GFLOPs, {own / other:.2f} times as many."


Comparison = tuple[ArmKey, ArmKey, str]  # first - second, in which part


def _compared(evidence: Evidence, pairs: dict[str, Comparison], subject: str = "") -> list[Finding]:
    """{name: comparison} -> one finding over all of them, in points, paired by seed; and its repetition, if any.

    Invalid where one of the arms failed, missing where one was not trained; no finding where none was.
    """
    finding = _points(evidence, pairs, subject)
    if finding is None:
        return []
    again = {name: (_again(first), _again(second), part) for name, (first, second, part) in pairs.items()}
    repeated = _points(evidence, again, subject)
    return [finding if repeated is None or repeated.missing else replace(finding, repeated=repeated)]


def _again(key: ArmKey) -> ArmKey:
    return key[0], replace(key[1], cohort=REPLICATION)


def _points(evidence: Evidence, pairs: dict[str, Comparison], subject: str) -> Finding | None:
    arms, failed = {arm.key: arm for arm in evidence.arms}, evidence.failed_arms
    needed = dict.fromkeys(key for first, second, _ in pairs.values() for key in (first, second))
    for key in needed:
        if key in failed:
            return Finding(subject, invalid=f"the arm {_name(key)} failed: {failed[key]}")
    absent = [_name(key) for key in needed if key not in arms]
    if len(absent) == len(needed):
        return None
    if absent:
        return Finding(subject, missing=f"this run has not trained {', '.join(absent)}")
    samples = [arms[first].deltas(arms[second], part) for first, second, part in pairs.values()]
    if not all(samples):
        return Finding(subject, missing="this run has trained the arms with different seeds; they cannot be paired")
    return Finding(subject, samples, list(pairs))


def _name(key: ArmKey) -> str:
    variant, condition = key
    return variant.label if condition == USUAL else f"{variant.label} ({condition.label})"


def residual_minus_inplace(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Residual minus in-place at each of the paper's fractions, in each part that the claim names."""
    return _compared(
        evidence,
        {
            f"{part} at {fraction}": (
                (_variant(where, fraction=fraction, placement="residual"), USUAL),
                (_variant(where, fraction=fraction, placement="inplace"), USUAL),
                part,
            )
            for fraction in _PAPER_FRACTIONS
            for part in where["parts"]
        },
    )


def over_baseline(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """One arm minus the 2-D baseline."""
    part, pair = where["part"], ((_variant(where), USUAL), (BASELINE_VARIANT, USUAL))
    return _with_other_parts(evidence, _compared(evidence, {part: (*pair, part)}), *pair)


def below_baseline(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The 2-D baseline minus one arm."""
    part, pair = where["part"], ((BASELINE_VARIANT, USUAL), (_variant(where), USUAL))
    return _with_other_parts(evidence, _compared(evidence, {part: (*pair, part)}), *pair)


def _with_other_parts(evidence: Evidence, found: list[Finding], first: ArmKey, second: ArmKey) -> list[Finding]:
    """The same difference in all parts, as a note: which part a finding is judged in can decide it."""
    arms = {arm.key: arm for arm in evidence.arms}
    if first not in arms or second not in arms:
        return found
    told = []
    for part in ("joint", "spatial", "mixture"):
        interval = t_interval(arms[first].deltas(arms[second], part))
        told.append(f"{part} {interval.mean:+.1f} [{interval.low:+.1f}, {interval.high:+.1f}]")
    note = f"The same difference by what is asked, in points: {', '.join(told)}."
    return [replace(finding, note=note) for finding in found]


def quarter_over_others(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Residual 1/4 minus each of the paper's other fractions."""
    quarter = _variant(where, fraction="1/4")
    return _compared(
        evidence,
        {
            f"over {fraction}": ((quarter, USUAL), (_variant(where, fraction=fraction), USUAL), where["part"])
            for fraction in _PAPER_FRACTIONS
            if fraction != quarter.fraction
        },
    )


def unidirectional_minus_bidirectional(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The causal arm minus the offline one, residual."""
    causal = _variant(where, fraction=where["unidirectional"], direction="unidirectional")
    offline = _variant(where, fraction=where["bidirectional"])
    return _compared(evidence, {where["part"]: ((causal, USUAL), (offline, USUAL), where["part"])})


def volumetric_minus_shift(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Each 3-D network minus the 2-D network with a shift."""
    shift, part = (_variant(where), USUAL), where["part"]
    found = []
    for backbone in where["backbones"]:
        network = (BASELINE_VARIANT, replace(USUAL, backbone=backbone))
        found += _compared(evidence, {part: (network, shift, part)}, backbone)
    return found


def shift_minus_exchange(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The shift minus the learnable exchange in its place."""
    part = where["part"]
    return _compared(evidence, {part: ((_variant(where), USUAL), (_exchange(), USUAL), part)})


PICKERS: dict[str, Picker] = {
    picker.__name__: picker
    for picker in (
        overhead,
        slope,
        extra_parameters_and_flops,
        residual_minus_inplace,
        over_baseline,
        below_baseline,
        quarter_over_others,
        unidirectional_minus_bidirectional,
        volumetric_over_shift,
        exchange_over_shift,
        volumetric_minus_shift,
        shift_minus_exchange,
    )
}
