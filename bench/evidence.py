"""What a run knows, and the pickers that find the values which a claim speaks of.

A picker maps (the claim's ``where``, the evidence) to findings; each finding holds one list of independent values
(per process or per seed) for every comparison that must hold at once. Signs are such that the claim says "> 0".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bench.axes import BASELINE, parse_fraction
from bench.estimates import Arm, Overhead, Slope, baseline_arm, baseline_of
from bench.sweep import Case, Panel

_PAPER_PANEL = {"backbone": "resnet50", "frames": 8, "size": 224, "batch": 1}
_PLAIN_PANEL = {"runtime": "eager", "dtype": "fp32", "memory_format": "nchw"}


@dataclass(frozen=True)
class Evidence:
    """All estimates of a run. ``suspect``: why its latencies must not be trusted, or None."""

    overheads: Sequence[Overhead]
    slopes: Sequence[Slope]
    arms: Sequence[Arm]
    statics: dict[Case, dict[str, Any]]
    failed: dict[Case, str]
    suspect: str | None


@dataclass(frozen=True)
class Finding:
    """The values behind one verdict. ``invalid``: why they must not be judged."""

    subject: str
    samples: Sequence[Sequence[float]]
    names: Sequence[str]
    invalid: str | None = None


Picker = Callable[[dict[str, Any], Evidence], list[Finding]]


def _is_papers(panel: Panel) -> bool:
    return all(getattr(panel, key) == value for key, value in {**_PAPER_PANEL, **_PLAIN_PANEL}.items())


def _tag(panel: Panel, panels: Sequence[Panel]) -> str:
    """Says which panel, where a run has several that fit."""
    return f" ({panel.device}, {panel.threads} threads)" if len(set(panels)) > 1 else ""


def overhead(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The overhead of each mechanism and placement at one fraction on one device, in the paper's set-up."""
    fraction = parse_fraction(where["fraction"])

    def fits(case: Case) -> bool:
        variant = case.variant
        right = variant.fraction == fraction and variant.direction == "bidirectional" and variant.strategy != BASELINE
        return right and case.panel.device == where["device"] and _is_papers(case.panel)

    fitting = [o for o in evidence.overheads if fits(o.case)]
    panels = [o.case.panel for o in fitting]
    findings = [
        Finding(
            f"{_mechanism(o.case)}{_tag(o.case.panel, panels)}", [o.per_process_pct], ["overhead"], evidence.suspect
        )
        for o in fitting
        if o.case not in evidence.failed
    ]
    return findings + [
        Finding(_mechanism(case), [], [], f"the case failed: {reason}")
        for case, reason in evidence.failed.items()
        if fits(case)
    ]


def _mechanism(case: Case) -> str:
    return f"{case.variant.strategy} {case.variant.placement}"


def slope(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """How many points the overhead grows from 1/8 to all, per mechanism, placement and panel."""
    panels = [s.panel for s in evidence.slopes]
    return [
        Finding(
            f"{s.strategy} {s.placement} {s.direction}".removesuffix(" bidirectional") + _tag(s.panel, panels),
            [[value * 7 / 8 for value in s.per_process]],
            ["slope"],
            evidence.suspect,
        )
        for s in evidence.slopes
    ]


def extra_parameters_and_flops(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Parameters and FLOPs beyond the baseline's, one verdict for each strategy."""
    extra: dict[str, list[float]] = {}
    for case, samples in evidence.statics.items():
        base = evidence.statics.get(baseline_of(case))
        if base is not None and case.variant.strategy != BASELINE:
            differences = [float(samples[key] - base[key]) for key in ("params", "flops")]
            extra.setdefault(case.variant.strategy, []).append(max(differences, key=abs))
    return [Finding(name, [[max(values, key=abs)]], ["extra"]) for name, values in extra.items()]


def _arm(
    evidence: Evidence, strategy: str, placement: str, fraction: Fraction, direction: str = "bidirectional"
) -> Arm | None:
    for arm in evidence.arms:
        v = arm.variant
        if (v.strategy, v.placement, v.fraction, v.direction) == (strategy, placement, fraction, direction):
            return arm
    return None


def _fractions(evidence: Evidence, strategy: str, placement: str) -> list[Fraction]:
    found = [
        arm.variant.fraction
        for arm in evidence.arms
        if (arm.variant.strategy, arm.variant.placement, arm.variant.direction)
        == (strategy, placement, "bidirectional")
    ]
    return sorted(set(found))


def residual_minus_inplace(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Residual minus in-place at every fraction that has both, in each part that the claim names."""
    samples, names = [], []
    for fraction in _fractions(evidence, where["strategy"], "residual"):
        residual = _arm(evidence, where["strategy"], "residual", fraction)
        inplace = _arm(evidence, where["strategy"], "inplace", fraction)
        if residual and inplace:
            for part in where["parts"]:
                samples.append(residual.deltas(inplace, part))
                names.append(f"{part} at {fraction}")
    return [Finding("", samples, names)] if samples else []


def over_baseline(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """One arm minus the 2-D baseline."""
    arm = _arm(evidence, where["strategy"], where["placement"], parse_fraction(where["fraction"]))
    base = baseline_arm(arm, evidence.arms) if arm else None
    return [Finding("", [arm.deltas(base, where["part"])], [where["part"]])] if arm and base else []


def below_baseline(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The 2-D baseline minus one arm."""
    return [
        Finding(finding.subject, [[-value for value in values] for values in finding.samples], finding.names)
        for finding in over_baseline(where, evidence)
    ]


def quarter_over_others(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Residual 1/4 minus each other fraction."""
    quarter = _arm(evidence, where["strategy"], "residual", Fraction(1, 4))
    others = [f for f in _fractions(evidence, where["strategy"], "residual") if f != Fraction(1, 4)]
    arms = [_arm(evidence, where["strategy"], "residual", fraction) for fraction in others]
    samples = [quarter.deltas(arm, where["part"]) for arm in arms if arm] if quarter else []
    return [Finding("", samples, [f"over {fraction}" for fraction in others])] if samples else []


def unidirectional_minus_bidirectional(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The causal arm minus the offline one, residual."""
    causal = _arm(evidence, where["strategy"], "residual", parse_fraction(where["unidirectional"]), "unidirectional")
    offline = _arm(evidence, where["strategy"], "residual", parse_fraction(where["bidirectional"]))
    return [Finding("", [causal.deltas(offline, where["part"])], [where["part"]])] if causal and offline else []


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
    )
}
