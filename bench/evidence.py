"""What a run knows, and the pickers that find the values which a claim speaks of.

A picker maps (the claim's ``where``, the evidence) to findings; each finding holds one list of independent values
(per process or per seed) for every comparison that must hold at once. Signs are such that the claim says "> 0".
The paper's findings are about its own function, so only mechanisms that compute it are judged.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from bench.axes import BASELINE, parse_fraction
from bench.estimates import Arm, Overhead, Slope, baseline_of
from bench.sweep import BASELINE_VARIANT, Case, Panel, Variant

PUBLISHED = "copy_shift"
"""The released code's strategy: its function is the paper's, whatever else computes the same is judged beside it."""

_PAPER_PANEL = {"backbone": "resnet50", "frames": 8, "size": 224, "batch": 1}
_PLAIN_PANEL = {"runtime": "eager", "dtype": "fp32", "memory_format": "nchw"}
_PAPER_FRACTIONS = tuple(map(Fraction, ("1/8", "1/4", "1/2", "1")))


@dataclass(frozen=True)
class Evidence:
    """All estimates of a run.

    failed_cases, failed_arms: {what failed: why}; an arm counts as failed where one of its seeds did. exact: the
    strategies that compute the paper's function. suspect: why the run's latencies must not be trusted, or None.
    """

    overheads: Sequence[Overhead] = ()
    slopes: Sequence[Slope] = ()
    arms: Sequence[Arm] = ()
    statics: dict[Case, dict[str, Any]] = field(default_factory=dict)
    failed_cases: dict[Case, str] = field(default_factory=dict)
    failed_arms: dict[Variant, str] = field(default_factory=dict)
    exact: frozenset[str] = frozenset({PUBLISHED})
    suspect: str | None = None


@dataclass(frozen=True)
class Finding:
    """The values behind one verdict. ``invalid``: why they must not be judged; ``missing``: why there are none."""

    subject: str = ""
    samples: Sequence[Sequence[float]] = ()
    names: Sequence[str] = ()
    invalid: str | None = None
    missing: str | None = None


Picker = Callable[[dict[str, Any], Evidence], list[Finding]]


def _is_papers(panel: Panel) -> bool:
    return all(getattr(panel, key) == value for key, value in {**_PAPER_PANEL, **_PLAIN_PANEL}.items())


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

    fitting = [o for o in evidence.overheads if fits(o.case) and _is_papers(o.case.panel) and o.case not in failed]
    broken = {case: why for case, why in failed.items() if fits(case) and _is_papers(case.panel)}
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
            [[value * 7 / 8 for value in line.per_process]],
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


def _compared(evidence: Evidence, pairs: dict[str, tuple[Variant, Variant, str]]) -> list[Finding]:
    """{name: (first, second, part)} -> one finding over all of them: first - second in points, paired by seed.

    Invalid where one of the arms failed, missing where one was not trained.
    """
    failed = evidence.failed_arms
    arms = {arm.variant: arm for arm in evidence.arms}
    needed = dict.fromkeys(variant for first, second, _ in pairs.values() for variant in (first, second))
    for variant in needed:
        if variant in failed:
            return [Finding(invalid=f"the arm {variant.label} failed: {failed[variant]}")]
    absent = [variant.label for variant in needed if variant not in arms]
    if len(absent) == len(needed):
        return []
    if absent:
        return [Finding(missing=f"this run has not trained {', '.join(absent)}")]
    samples = [arms[first].deltas(arms[second], part) for first, second, part in pairs.values()]
    return [Finding(samples=samples, names=list(pairs))]


def residual_minus_inplace(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Residual minus in-place at each of the paper's fractions, in each part that the claim names."""
    return _compared(
        evidence,
        {
            f"{part} at {fraction}": (
                _variant(where, fraction=fraction, placement="residual"),
                _variant(where, fraction=fraction, placement="inplace"),
                part,
            )
            for fraction in _PAPER_FRACTIONS
            for part in where["parts"]
        },
    )


def over_baseline(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """One arm minus the 2-D baseline."""
    return _compared(evidence, {where["part"]: (_variant(where), BASELINE_VARIANT, where["part"])})


def below_baseline(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The 2-D baseline minus one arm."""
    return _compared(evidence, {where["part"]: (BASELINE_VARIANT, _variant(where), where["part"])})


def quarter_over_others(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """Residual 1/4 minus each of the paper's other fractions."""
    quarter = _variant(where, fraction="1/4")
    return _compared(
        evidence,
        {
            f"over {fraction}": (quarter, _variant(where, fraction=fraction), where["part"])
            for fraction in _PAPER_FRACTIONS
            if fraction != quarter.fraction
        },
    )


def unidirectional_minus_bidirectional(where: dict[str, Any], evidence: Evidence) -> list[Finding]:
    """The causal arm minus the offline one, residual."""
    causal = _variant(where, fraction=where["unidirectional"], direction="unidirectional")
    offline = _variant(where, fraction=where["bidirectional"])
    return _compared(evidence, {where["part"]: (causal, offline, where["part"])})


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
