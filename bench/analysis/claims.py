"""Published findings as data (``claims.toml``) -> verdicts. A verdict is a pure function of (claim, evidence).

First match wins: *not measured* (this run has no such rows), *invalid* (a case failed, or the A/A control is off),
*reproduced*, *not reproduced*, *direction only* (magnitudes: beyond the smallest effect, of another size),
*inconclusive*. Where the A/A control is undecided, a verdict must hold with every interval widened by its bound on both
sides; differences within one panel, in which the baseline cancels, are not widened.

All verdicts of a run are one family: ``verdict_holm`` is what is left of each after Holm's correction over them.
"""

import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.analysis.evidence import METRICS, Evidence, Finding
from bench.stats import estimators
from bench.stats.estimators import CONFIDENCE, FEWEST_SEEDS, Estimate, Interval

_FILE = Path(__file__).with_name("claims.toml")
LEVEL = 1 - CONFIDENCE


class Claim(BaseModel):
    """One published finding; ``claims.toml`` explains the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    version: int = 1
    finding: str
    source: str
    kind: Literal["magnitude", "bound", "ordering", "equivalence", "exact"]
    metric: str
    where: dict[str, Any] = {}
    paper: str
    claimed: float = 0.0
    tolerance: float = 0.0
    smallest: float = 0.0
    alike: str = ""
    missing: str = ""
    unit: str = "%"


@dataclass(frozen=True)
class Verdict:
    """An entry of ``claims.json``. measured, ci_low and ci_high are None where there is nothing to show.

    repeated: verdict, measured, ci_low and ci_high with other seeds, where there are any. p: the two-sided level at
    which the claim is decided, one way or the other; p_holm: adjusted for the number of verdicts in the run; None where
    nothing is tested. verdict_holm: the verdict where p_holm is at most 5 %, else inconclusive; direction_p: the level
    at which a magnitude that is reproduced has its direction, which may be left of it. version: of the claim.
    """

    id: str
    claim: str
    subject: str
    finding: str
    source: str
    paper: str
    measured: float | None
    ci_low: float | None
    ci_high: float | None
    unit: str
    verdict: str
    why: str
    repeated: dict[str, Any] | None = None
    p: float | None = None
    p_holm: float | None = None
    verdict_holm: str = ""
    direction_p: float | None = None
    version: int = 1


def load_claims(path: Path = _FILE) -> list[Claim]:
    """The claims that come with the suite, each with the set-up that it names put into its selector."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    claims = []
    for entry in data["claim"]:
        where = dict(entry.get("where", {}))
        if set_up := entry.pop("set_up", None):
            where["select"] = {**data["set_up"][set_up], **where.get("select", {})}
        claims.append(Claim.model_validate({**entry, "where": where}))
    return claims


def judge(claims: Sequence[Claim], evidence: Evidence) -> list[Verdict]:
    """A verdict on every claim, one for each mechanism where the claim speaks of mechanisms."""
    verdicts = []
    for claim in claims:
        found = METRICS[claim.metric](claim.where, evidence)
        why = claim.missing or "this run has no such rows"
        verdicts += [judge_finding(claim, finding) for finding in found or [Finding(missing=why)]]
    return corrected(verdicts)


def corrected(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts of one run, with Holm's correction over all that were tested."""
    adjusted = estimators.holm([math.nan if verdict.p is None else verdict.p for verdict in verdicts])
    found, count = [], sum(verdict.p is not None for verdict in verdicts)
    for verdict, p in zip(verdicts, adjusted, strict=True):
        tested = not math.isnan(p)
        left = verdict.verdict
        if tested and p > LEVEL:  # the direction alone, by Bonferroni: with Holm for the sizes one family all the same
            fallen = verdict.direction_p is not None and count * verdict.direction_p <= LEVEL
            left = "direction only" if fallen else "inconclusive"
        found.append(replace(verdict, p_holm=p if tested else None, verdict_holm=left))
    return found


def judge_finding(claim: Claim, finding: Finding) -> Verdict:
    """The verdict on one claim from the estimates that were found for it, before Holm's correction."""
    outcome = _outcome(claim, finding)
    why, repeated = outcome.why, None
    if outcome.interval is not None and finding.repeated is not None:
        again = _outcome(claim, finding.repeated)
        same = "the same verdict" if again.verdict == outcome.verdict else again.verdict
        estimate = again.why if again.interval is None else again.interval.signed()
        why += f" Repeated with other seeds: {same}, {estimate.rstrip('.')}."
        repeated = {"verdict": again.verdict, **_numbers(again.interval)}
    if outcome.interval is not None:
        why += f" {finding.note}" if finding.note else ""
        why += f" Set-up: {claim.alike}." if claim.alike else ""
    return Verdict(
        id=f"{claim.id}/{finding.subject}" if finding.subject else claim.id,
        claim=claim.id,
        subject=finding.subject,
        finding=claim.finding,
        source=claim.source,
        paper=claim.paper,
        **_numbers(outcome.interval),
        unit=claim.unit,
        verdict=outcome.verdict,
        why=why,
        repeated=repeated,
        p=None if math.isnan(outcome.p) else outcome.p,
        direction_p=None if math.isnan(outcome.direction_p) else outcome.direction_p,
        version=claim.version,
    )


@dataclass(frozen=True)
class _Outcome:
    """A verdict with its reason; interval: of the estimate that decided, None where nothing could be judged."""

    verdict: str
    why: str
    interval: Interval | None = None
    p: float = math.nan
    direction_p: float = math.nan


def _outcome(claim: Claim, finding: Finding) -> _Outcome:
    control = finding.control
    if finding.missing:
        return _Outcome("not measured", finding.missing)
    if finding.invalid:
        return _Outcome("invalid", finding.invalid)
    if control is not None and control.outcome == "off":
        return _Outcome("invalid", control.why)
    estimates, equivalence = finding.estimates, claim.kind == "equivalence"
    compared = 1 if equivalence else len(estimates)  # all within a margin: intersection-union, nothing to correct for
    confidence = 1 - LEVEL / compared  # intervals that hold all at once (Bonferroni)
    intervals = {name: estimate.interval(confidence) for name, estimate in estimates.items()}
    farthest = {name: max(-own.low, own.high) if equivalence else -own.low for name, own in intervals.items()}
    shown = max(farthest, key=farthest.__getitem__)
    if claim.kind == "exact":
        equal = all(estimate.mean == claim.claimed for estimate in estimates.values())
        why = "Equal." if equal else f"Not equal to {claim.claimed:g}."
        return _Outcome("reproduced" if equal else "not reproduced", why, intervals[shown])
    if any(math.isnan(interval.low) for interval in intervals.values()):
        few = f"There is no interval: at least two processes or {FEWEST_SEEDS} seeds are needed."
        return _Outcome("inconclusive", few, intervals[shown])
    bound = control.slack if control is not None and not finding.baseline_cancels else 0.0
    judged = {name: _Judged(estimate, compared, bound) for name, estimate in estimates.items()}
    rule = _RULES[claim.kind]
    decisions, otherwise, limits = rule(claim, list(judged.values()))
    decided = _first(decisions)
    verdict, why = (decided.verdict, decided.why) if decided else ("inconclusive", otherwise)
    p = decided.p if decided else min(decision.p for decision in decisions)
    if verdict == "not reproduced" and not equivalence:  # what decided is what is shown
        shown = min(intervals, key=lambda name: intervals[name].high)
    where = f" ({shown})" if len(intervals) > 1 else ""
    why += _power_text(judged[shown], limits, confidence, claim.unit + where, decided=decided is not None)
    if len(intervals) > 1:
        listed = [f"{name} {interval.signed()}" for name, interval in intervals.items()]
        why += f" {'Simultaneous intervals' if compared > 1 else 'Intervals'}: {', '.join(listed)}."
    alone = _first(rule(claim, [replace(one, bound=0.0) for one in judged.values()])[0])
    if control is not None and alone is not None and alone.verdict != verdict:
        why = f"The A/A control is undecided: {control.why}. Without its bound: {alone.verdict}. With it: {why}"
    sized = decisions[-1].p if verdict == "reproduced" and decisions[-1].verdict == "direction only" else math.nan
    return _Outcome(verdict, why, intervals[shown], p, sized)


@dataclass(frozen=True)
class _Decision:
    """A verdict that the estimates give at the two-sided level ``p`` (and at every higher one)."""

    verdict: str
    p: float
    why: str


@dataclass(frozen=True)
class _Judged:
    """An estimate as rules see it: one of ``compared`` whose intervals hold at once, each widened by ``bound``."""

    estimate: Estimate
    compared: int = 1
    bound: float = 0.0

    def above(self, limit: float) -> float:
        """The level at which the widened interval lies at or above ``limit``."""
        least = replace(self.estimate, mean=self.estimate.mean - self.bound)
        if least.mean < limit:
            return 1.0
        return 0.0 if least.error == 0 else min(1.0, self.compared * least.p(limit))

    def below(self, limit: float) -> float:
        """The level at which it lies at or below ``limit``."""
        return replace(self, estimate=replace(self.estimate, mean=-self.estimate.mean)).above(-limit)


_Found = tuple[list[_Decision], str, tuple[float, ...]]  # the first that holds; else why none does; limits tested
_Rule = Callable[[Claim, Sequence[_Judged]], _Found]


def _first(decisions: Sequence[_Decision]) -> _Decision | None:
    return next((decision for decision in decisions if decision.p <= LEVEL), None)


def _magnitude(claim: Claim, estimates: Sequence[_Judged]) -> _Found:
    estimate = estimates[0]
    low, high = claim.claimed - claim.tolerance, claim.claimed + claim.tolerance
    within = max(estimate.above(max(low, 0.0)), estimate.below(high))
    least = f"{claim.smallest:g} %, the smallest effect that matters"
    sized = f"It costs time, but the size is not shown to lie within {low:g} to {high:g} %."
    return (
        [
            _Decision("reproduced", within, f"The interval lies within {low:g} to {high:g} %."),
            _Decision("not reproduced", estimate.below(claim.smallest), f"The whole interval lies below {least}."),
            _Decision("direction only", estimate.above(claim.smallest), sized),
        ],
        f"The interval holds values on both sides of {least}.",
        (claim.smallest, low, high),
    )


def _bound(claim: Claim, estimates: Sequence[_Judged]) -> _Found:
    estimate, bound = estimates[0], claim.claimed + claim.tolerance
    limit = f"{bound:g} {claim.unit}"
    return (
        [
            _Decision("reproduced", estimate.below(bound), f"The interval's upper end is at or below {limit}."),
            _Decision("not reproduced", estimate.above(bound), f"The whole interval lies above {limit}."),
        ],
        f"The interval holds {limit}.",
        (bound,),
    )


def _ordering(claim: Claim, estimates: Sequence[_Judged]) -> _Found:
    smallest = claim.smallest
    least = f"{smallest:g} {claim.unit}, the smallest effect that matters"
    beyond = max(estimate.above(smallest) for estimate in estimates)
    short = min(estimate.below(smallest) for estimate in estimates)
    return (
        [
            _Decision("reproduced", beyond, f"Every interval lies beyond {least}, on the claimed side."),
            _Decision("not reproduced", short, f"An interval lies entirely short of {least}, or on the other side."),
        ],
        f"An interval holds {least}.",
        (smallest,),
    )


def _equivalence(claim: Claim, estimates: Sequence[_Judged]) -> _Found:
    margin, compared = claim.tolerance, len(estimates)
    within = max(max(estimate.above(-margin), estimate.below(margin)) for estimate in estimates)
    outside = min(min(estimate.above(margin), estimate.below(-margin)) for estimate in estimates)
    what = "The interval" if compared == 1 else "Every interval"
    return (
        [
            _Decision("reproduced", within, f"{what} lies within ± {margin:g} pp."),
            _Decision(
                "not reproduced", min(1.0, compared * outside), f"A whole interval lies outside ± {margin:g} pp."
            ),
        ],
        f"An interval reaches beyond ± {margin:g} pp.",
        (-margin, margin),
    )


_RULES: dict[str, _Rule] = {
    "magnitude": _magnitude,
    "bound": _bound,
    "ordering": _ordering,
    "equivalence": _equivalence,
}


def _power_text(one: _Judged, limits: Sequence[float], confidence: float, unit: str, *, decided: bool) -> str:
    """Which values would be told from the limit nearest to what was measured; where nothing is decided, also how many
    processes or seeds would decide it, were the truth what was measured."""
    if math.isinf(one.bound):
        return ""
    estimate = one.estimate
    limit = min(limits, key=lambda value: abs(estimate.mean - value))
    reach = estimate.mde(confidence) + one.bound
    text = (
        f" Values below {limit - reach:.1f} or above {limit + reach:.1f} {unit} would be told from {limit:g} four "
        f"times in five with these {estimate.count} values"
    )
    if decided:
        return f"{text}."
    needed = estimate.needed(abs(estimate.mean - limit) - one.bound, confidence)
    if needed is None:
        return f"{text}; so near to it as was measured nothing can be decided."
    return f"{text}; at the distance measured it takes {needed} processes or seeds."


def _numbers(interval: Interval | None) -> dict[str, Any]:
    """Of an interval, as JSON has them."""
    values = (math.nan,) * 3 if interval is None else (interval.mean, interval.low, interval.high)
    names = ("measured", "ci_low", "ci_high")
    return {name: None if math.isnan(value) else value for name, value in zip(names, values, strict=True)}
