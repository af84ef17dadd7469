"""Published findings as data (``claims.toml``) -> verdicts. A verdict is a pure function of (claim, evidence).

First match wins: *not measured* (this run has no such rows), *invalid* (a case failed, or the A/A control is off),
*reproduced*, *not reproduced*, *direction only* (magnitudes: beyond the smallest effect, of another size),
*inconclusive*. Where the A/A control is undecided, effects smaller than its bound are inconclusive.

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
    nothing is tested. verdict_holm: the verdict where p_holm is at most 5 %, else inconclusive. version: of the claim.
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
    found = []
    for verdict, p in zip(verdicts, adjusted, strict=True):
        tested = not math.isnan(p)
        left = "inconclusive" if tested and p > LEVEL else verdict.verdict
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
        version=claim.version,
    )


@dataclass(frozen=True)
class _Outcome:
    """A verdict with its reason; interval: of the estimate that decided, None where nothing could be judged."""

    verdict: str
    why: str
    interval: Interval | None = None
    p: float = math.nan


def _outcome(claim: Claim, finding: Finding) -> _Outcome:
    control = finding.control
    if finding.missing:
        return _Outcome("not measured", finding.missing)
    if finding.invalid:
        return _Outcome("invalid", finding.invalid)
    if control is not None and control.outcome == "off":
        return _Outcome("invalid", control.why)
    estimates = finding.estimates
    confidence = 1 - LEVEL / len(estimates)  # intervals that hold all at once (Bonferroni)
    intervals = {name: estimate.interval(confidence) for name, estimate in estimates.items()}
    weakest = min(intervals, key=lambda name: intervals[name].low)
    if claim.kind == "exact":
        equal = all(estimate.mean == claim.claimed for estimate in estimates.values())
        why = "Equal." if equal else f"Not equal to {claim.claimed:g}."
        return _Outcome("reproduced" if equal else "not reproduced", why, intervals[weakest])
    if any(math.isnan(interval.low) for interval in intervals.values()):
        few = f"There is no interval: at least two processes or {FEWEST_SEEDS} seeds are needed."
        return _Outcome("inconclusive", few, intervals[weakest])
    decisions, otherwise = _RULES[claim.kind](claim, list(estimates.values()))
    least = min(decision.p for decision in decisions)
    decided = next((decision for decision in decisions if decision.p <= LEVEL), None)
    verdict, why, p = (decided.verdict, decided.why, decided.p) if decided else ("inconclusive", otherwise, least)
    if verdict == "not reproduced":  # what decided is what is shown
        weakest = min(intervals, key=lambda name: intervals[name].high)
    where = f" ({weakest})" if len(intervals) > 1 else ""
    why += _detectable_text(claim, estimates[weakest], confidence, where, decided=decided is not None)
    if len(intervals) > 1:
        listed = [f"{name} {interval.signed()}" for name, interval in intervals.items()]
        why += f" Simultaneous intervals: {', '.join(listed)}."
    undecided = control if control is not None and control.outcome == "undecided" else None
    if decided and undecided and abs(intervals[weakest].mean) < undecided.bound:
        verdict = "inconclusive"
        why = f"The A/A control is undecided, and the effect is smaller than its bound: {undecided.why}. Else: {why}"
    return _Outcome(verdict, why, intervals[weakest], p)


@dataclass(frozen=True)
class _Decision:
    """A verdict that the estimates give at the two-sided level ``p`` (and at every higher one)."""

    verdict: str
    p: float
    why: str


_Rule = Callable[[Claim, Sequence[Estimate]], tuple[list[_Decision], str]]  # the first that holds; else why none does


def _above(estimate: Estimate, limit: float, compared: int = 1) -> float:
    """The level at which the interval, one of so many that hold at once, lies at or above ``limit``."""
    if estimate.mean < limit:
        return 1.0
    return 0.0 if estimate.error == 0 else min(1.0, compared * estimate.p(limit))


def _below(estimate: Estimate, limit: float, compared: int = 1) -> float:
    return _above(replace(estimate, mean=-estimate.mean), -limit, compared)


def _magnitude(claim: Claim, estimates: Sequence[Estimate]) -> tuple[list[_Decision], str]:
    estimate = estimates[0]
    low, high = claim.claimed - claim.tolerance, claim.claimed + claim.tolerance
    within = max(_above(estimate, max(low, 0.0)), _below(estimate, high))
    least = f"{claim.smallest:g} %, the smallest effect that matters"
    sized = f"It costs time, but the size is not shown to lie within {low:g} to {high:g} %."
    return [
        _Decision("reproduced", within, f"The interval lies within {low:g} to {high:g} %."),
        _Decision("not reproduced", _below(estimate, claim.smallest), f"The whole interval lies below {least}."),
        _Decision("direction only", _above(estimate, claim.smallest), sized),
    ], f"The interval holds values on both sides of {least}."


def _bound(claim: Claim, estimates: Sequence[Estimate]) -> tuple[list[_Decision], str]:
    estimate, bound = estimates[0], claim.claimed + claim.tolerance
    limit = f"{bound:g} {claim.unit}"
    return [
        _Decision("reproduced", _below(estimate, bound), f"The interval's upper end is at or below {limit}."),
        _Decision("not reproduced", _above(estimate, bound), f"The whole interval lies above {limit}."),
    ], f"The interval holds {limit}."


def _ordering(claim: Claim, estimates: Sequence[Estimate]) -> tuple[list[_Decision], str]:
    smallest, compared = claim.smallest, len(estimates)
    least = f"{smallest:g} {claim.unit}, the smallest effect that matters"
    beyond = max(_above(estimate, smallest, compared) for estimate in estimates)
    short = min(_below(estimate, smallest, compared) for estimate in estimates)
    return [
        _Decision("reproduced", beyond, f"Every interval lies beyond {least}, on the claimed side."),
        _Decision("not reproduced", short, f"An interval lies entirely short of {least}, or on the other side."),
    ], f"An interval holds {least}."


def _equivalence(claim: Claim, estimates: Sequence[Estimate]) -> tuple[list[_Decision], str]:
    estimate, margin = estimates[0], claim.tolerance
    within = max(_above(estimate, -margin), _below(estimate, margin))
    outside = min(_above(estimate, margin), _below(estimate, -margin))
    return [
        _Decision("reproduced", within, f"The interval lies within ± {margin:g} pp."),
        _Decision("not reproduced", outside, f"The whole interval lies outside ± {margin:g} pp."),
    ], f"The interval reaches beyond ± {margin:g} pp."


_RULES: dict[str, _Rule] = {
    "magnitude": _magnitude,
    "bound": _bound,
    "ordering": _ordering,
    "equivalence": _equivalence,
}


def _detectable_text(claim: Claim, estimate: Estimate, confidence: float, where: str, *, decided: bool) -> str:
    """The minimum detectable effect; where nothing is decided, also how many runs the effect that matters takes."""
    text = (
        f" An effect of {estimate.mde(confidence):.1f} pp{where} would have been found four times in five with these "
        f"{estimate.count} values"
    )
    if decided:
        return f"{text}."
    if claim.kind == "equivalence":  # both ends must lie within: a stricter question than whether there is a difference
        power = 1 - (1 - estimators.POWER) / 2
        needed = estimate.needed(claim.tolerance, confidence, power)
        question = f"to show that it lies within ± {claim.tolerance:g} pp, were there none,"
    else:
        effect = claim.smallest or claim.tolerance or 1.0
        needed, question = estimate.needed(effect, confidence), f"for {effect:g} pp"
    return f"{text}; {question} it takes {needed or 'more than 10,000'} processes or seeds."


def _numbers(interval: Interval | None) -> dict[str, Any]:
    """Of an interval, as JSON has them."""
    values = (math.nan,) * 3 if interval is None else (interval.mean, interval.low, interval.high)
    names = ("measured", "ci_low", "ci_high")
    return {name: None if math.isnan(value) else value for name, value in zip(names, values, strict=True)}
