"""Published findings as data (``claims.toml``) -> verdicts. A verdict is a pure function of (claim, evidence).

First match wins: *not measured* (this run has no such rows), *invalid* (the A/A control or conformance failed),
*reproduced*, *not reproduced*, *direction only* (magnitudes: beyond the smallest effect, of another size),
*inconclusive*.
"""

import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from bench.analysis.evidence import METRICS, Evidence, Finding
from bench.stats import estimators
from bench.stats.estimators import CONFIDENCE, Interval, Units

_FILE = Path(__file__).with_name("claims.toml")

Outcome = tuple[str, str]  # verdict, why


class Claim(BaseModel):
    """One published finding; ``claims.toml`` explains the fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
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

    repeated: verdict, measured, ci_low and ci_high with other seeds, where there are any.
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
    return verdicts


def judge_finding(claim: Claim, finding: Finding) -> Verdict:
    """The verdict on one claim from the values that were found for it."""
    interval, (verdict, why) = _outcome(claim, finding)
    repeated = None
    if interval is not None and finding.repeated is not None:
        again, (second, reason) = _outcome(claim, finding.repeated)
        same = "the same verdict" if second == verdict else second
        estimate = reason if again is None else again.signed()
        why += f" Repeated with other seeds: {same}, {estimate.rstrip('.')}."
        repeated = {"verdict": second, **_numbers(again)}
    if interval is not None:
        why += f" {finding.note}" if finding.note else ""
        why += f" Set-up: {claim.alike}." if claim.alike else ""
    return Verdict(
        id=f"{claim.id}/{finding.subject}" if finding.subject else claim.id,
        claim=claim.id,
        subject=finding.subject,
        finding=claim.finding,
        source=claim.source,
        paper=claim.paper,
        **_numbers(interval),
        unit=claim.unit,
        verdict=verdict,
        why=why,
        repeated=repeated,
    )


def _outcome(claim: Claim, finding: Finding) -> tuple[Interval | None, Outcome]:
    """The interval that decided, and what it says; None where nothing could be judged."""
    if finding.missing:
        return None, ("not measured", finding.missing)
    if finding.invalid:
        return None, ("invalid", finding.invalid)
    confidence = 1 - (1 - CONFIDENCE) / len(finding.samples)  # intervals that hold all at once (Bonferroni)
    intervals = {name: units.interval(confidence) for name, units in finding.samples.items()}
    weakest = min(intervals, key=lambda name: intervals[name].low)
    if claim.kind != "exact" and any(math.isnan(interval.low) for interval in intervals.values()):
        few = "One value has no interval: at least two processes or seeds are needed."
        return intervals[weakest], ("inconclusive", few)
    verdict, why = _RULES[claim.kind](claim, list(intervals.values()))
    if verdict == "not reproduced":  # what decided is what is shown
        weakest = min(intervals, key=lambda name: intervals[name].high)
    if claim.kind != "exact":
        where = f" ({weakest})" if len(intervals) > 1 else ""
        decided = verdict != "inconclusive"
        why += _detectable_text(claim, finding.samples[weakest], confidence, where, decided=decided)
    if len(intervals) > 1:
        listed = [f"{name} {interval.signed()}" for name, interval in intervals.items()]
        why += f" Simultaneous intervals: {', '.join(listed)}."
    return intervals[weakest], (verdict, why)


def _magnitude(claim: Claim, intervals: Sequence[Interval]) -> Outcome:
    interval = intervals[0]
    low, high = claim.claimed - claim.tolerance, claim.claimed + claim.tolerance
    if low <= interval.low and interval.high <= high and interval.low > 0:
        return "reproduced", f"The interval lies within {low:g} to {high:g} %."
    if interval.high < claim.smallest:
        why = f"The whole interval lies below {claim.smallest:g} %, the smallest effect that matters."
        return "not reproduced", why
    if interval.low > claim.smallest:
        return "direction only", f"It costs time, but the size is not shown to lie within {low:g} to {high:g} %."
    return "inconclusive", f"The interval holds values on both sides of {claim.smallest:g} %."


def _bound(claim: Claim, intervals: Sequence[Interval]) -> Outcome:
    interval, bound = intervals[0], claim.claimed + claim.tolerance
    limit = f"{bound:g} {claim.unit}"
    if interval.high <= bound:
        return "reproduced", f"The interval's upper end is at or below {limit}."
    if interval.low > bound:
        return "not reproduced", f"The whole interval lies above {limit}."
    return "inconclusive", f"The interval holds {limit}."


def _ordering(claim: Claim, intervals: Sequence[Interval]) -> Outcome:
    if all(interval.low > 0 for interval in intervals):
        return "reproduced", "Every interval lies beyond zero on the claimed side."
    if any(interval.high < claim.smallest for interval in intervals):
        least = f"{claim.smallest:g} {claim.unit}"
        return "not reproduced", f"An interval lies entirely short of {least}, or on the other side."
    return "inconclusive", "An interval holds zero."


def _equivalence(claim: Claim, intervals: Sequence[Interval]) -> Outcome:
    interval = intervals[0]
    if -claim.tolerance <= interval.low and interval.high <= claim.tolerance:
        return "reproduced", f"The interval lies within ± {claim.tolerance:g} pp."
    if interval.low > claim.tolerance or interval.high < -claim.tolerance:
        return "not reproduced", f"The whole interval lies outside ± {claim.tolerance:g} pp."
    return "inconclusive", f"The interval reaches beyond ± {claim.tolerance:g} pp."


def _exact(claim: Claim, intervals: Sequence[Interval]) -> Outcome:
    if all(interval.mean == claim.claimed for interval in intervals):
        return "reproduced", "Equal."
    return "not reproduced", f"Not equal to {claim.claimed:g}."


_RULES: dict[str, Callable[[Claim, Sequence[Interval]], Outcome]] = {
    "magnitude": _magnitude,
    "bound": _bound,
    "ordering": _ordering,
    "equivalence": _equivalence,
    "exact": _exact,
}


def _detectable_text(claim: Claim, units: Units, confidence: float, where: str, *, decided: bool) -> str:
    """The minimum detectable effect; where nothing is decided, also how many runs the effect that matters takes."""
    text = (
        f" An effect of {units.mde(confidence):.1f} pp{where} would have been found four times in five with these "
        f"{len(units)} values"
    )
    if decided:
        return f"{text}."
    if claim.kind == "equivalence":  # both ends must lie within: a stricter question than whether there is a difference
        power = 1 - (1 - estimators.POWER) / 2
        needed = estimators.count_needed(units.values, claim.tolerance, confidence, power=power)
        question = f"to show that it lies within ± {claim.tolerance:g} pp, were there none,"
    else:
        effect = claim.smallest or claim.tolerance or 1.0
        needed, question = estimators.count_needed(units.values, effect, confidence), f"for {effect:g} pp"
    return f"{text}; {question} it takes {needed or 'more than 10,000'} processes or seeds."


def _numbers(interval: Interval | None) -> dict[str, float | None]:
    """Of an interval, as JSON has them."""
    values = (math.nan,) * 3 if interval is None else (interval.mean, interval.low, interval.high)
    names = ("measured", "ci_low", "ci_high")
    return {name: None if math.isnan(value) else value for name, value in zip(names, values, strict=True)}
