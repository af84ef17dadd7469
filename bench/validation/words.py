"""A validation in plain English: which checks it passed, and what differences this machine can tell in how long."""

import math
from dataclasses import dataclass

from bench.report.numbers import Estimate, count_text, duration_text, fixed, listed
from bench.stats.estimators import CONFIDENCE, Interval
from bench.validation.design import PAIRS_WANTED
from bench.validation.findings import Effect, Share, Validation

RECOVERED_WITHIN = 0.5  # points, for an effect of 3 %: the paper's 3 % against its 13.7 % needs no more
BIAS_AT_MOST = 0.1  # points, for effects up to 3 %: below what any table prints
_SMALL_EFFECTS = 3.5  # per cent: those that must not be biased
FLAGS_WHEN_BUSY = 0.95  # share of superblocks beside a busy process in which an alarm must fire
FLAGS_WHEN_QUIET = 0.05  # share of superblocks of a quiet machine in which one may
_TELLING = 0.05  # p value from which on autocorrelation is spoken of
_FEW_GROUPS = 5  # with fewer, coverage is counted but proves nothing


@dataclass(frozen=True)
class Check:
    """A property of the harness on this machine, and a sentence that says what was found."""

    name: str
    passed: bool
    words: str


def checks(validation: Validation) -> list[Check]:
    """All that can be judged, in the order in which a reader wants it."""
    found = [_identical(validation)]
    for effect in validation.effects:
        if not effect.name.startswith("burn") and abs(effect.nominal_pct - 1) < 0.25:
            found.append(_positive(effect))
        if abs(effect.nominal_pct - 3) < 0.5:
            found.append(_recovered(effect))
    found += [_unbiased(validation), _covering(validation)]
    if validation.busy:
        found.append(_alarms(validation.busy.flagged))
        found += [_busy_effect(effect) for effect in validation.busy.effects]
    return found


def words(validation: Validation) -> list[str]:
    """Lines for the terminal: what was measured, what was found, what it means, and what went wrong."""
    judged = checks(validation)
    failed = [check.name for check in judged if not check.passed]
    lines = [_setting(validation), *(f"{'ok    ' if c.passed else 'FAILED'}  {c.words}" for c in judged)]
    lines += [_table_line(effect) for effect in validation.effects]
    lines += _meaning(validation)
    lines += [f"note: {note}" for note in [*_cautions(validation), *validation.notes]]
    if failed:
        lines.append(f"{len(failed)} of {len(judged)} checks failed: {listed(failed)}. {_advice(validation)}")
    else:
        lines.append(f"All {len(judged)} checks passed: intervals of this size can be trusted on this machine.")
    return lines


def _setting(v: Validation) -> str:
    fixed_share = 100 * v.fixed_seconds / v.base_seconds
    return (
        f"The base took {1000 * v.base_seconds:.2f} ms with {count_text(v.threads, 'thread')} (fixed part "
        f"{fixed(fixed_share)} %); {count_text(v.processes, 'fresh process', 'fresh processes')} of "
        f"{v.superblocks:.0f} superblocks, {count_text(v.groups, 'experiment')} of {v.group_size} processes each."
    )


def _identical(v: Validation) -> Check:
    return Check(
        "A/A",
        not v.aa_held.too_few_for(CONFIDENCE),
        f"two identical stacks: {_of(v.aa_held)} intervals hold zero (95 % should); together they differ by "
        f"{_points(v.aa_bias, '%')}; median half-width {fixed(v.aa_half_width, 2)} points",
    )


def _positive(effect: Effect) -> Check:
    found = effect.estimate.low > 0
    how = "was found as positive" if found else "could not be told from zero"
    return Check(
        f"{effect.name} positive",
        found,
        f"an effect of {fixed(effect.truth_pct, 2)} % ({effect.name}) {how}: {_points(effect.estimate, '%')}",
    )


def _recovered(effect: Effect) -> Check:
    off = abs(effect.bias.mean)
    how = "was recovered within" if off <= RECOVERED_WITHIN else "was missed by more than"
    return Check(
        f"{effect.name} recovered",
        off <= RECOVERED_WITHIN,
        f"an effect of {fixed(effect.truth_pct, 2)} % ({effect.name}) {how} {RECOVERED_WITHIN} points: "
        f"{_points(effect.estimate, '%')}, off by {_points(effect.bias, 'points')}",
    )


def _unbiased(v: Validation) -> Check:
    """Fails where the bias is beyond doubt too large; an interval too wide to tell is no failure, and it is printed."""
    small = [effect for effect in v.effects if effect.truth_pct <= _SMALL_EFFECTS]
    biased = [e.name for e in small if e.bias.low > BIAS_AT_MOST or e.bias.high < -BIAS_AT_MOST]
    known = [e for e in small if e.bias.half_width <= BIAS_AT_MOST]
    if biased:
        text = f"biased by more than {BIAS_AT_MOST} points: {listed(biased)}"
    elif len(known) == len(small):
        text = f"no effect up to 3 % is biased by more than {BIAS_AT_MOST} points beyond its interval"
    else:
        text = (
            f"no bias above {BIAS_AT_MOST} points was found up to 3 %, but it is known only to "
            f"{fixed(max((e.bias.half_width for e in small), default=math.nan), 2)} points: a larger budget tells more"
        )
    return Check("bias", not biased, text)


def _covering(v: Validation) -> Check:
    low = [effect.name for effect in v.effects if effect.covered.too_few_for(CONFIDENCE)]
    counts = ", ".join(f"{effect.name} {effect.covered.count} of {effect.covered.total}" for effect in v.effects)
    few = "; too few experiments to prove anything" if v.groups < _FEW_GROUPS else ""
    return Check("coverage", not low, f"experiments whose 95 % interval holds the built-in effect: {counts}{few}")


def _alarms(flagged: Share) -> Check:
    fired = flagged.total > 0 and flagged.count / flagged.total >= FLAGS_WHEN_BUSY
    return Check("alarms", fired, f"beside a busy process alarms fired in {_of(flagged)} superblocks (95 % should)")


def _busy_effect(effect: Effect) -> Check:
    covered = effect.covered.count == effect.covered.total
    return Check(
        f"{effect.name} beside a busy process",
        covered,
        f"beside a busy process {fixed(effect.truth_pct, 2)} % ({effect.name}) came out as "
        f"{_points(effect.estimate, '%')}, which {'holds' if covered else 'misses'} it",
    )


def _table_line(effect: Effect) -> str:
    return (
        f"        {effect.name}: built in {fixed(effect.truth_pct, 2)} %, found {_points(effect.estimate, '%')}, bias "
        f"{_points(effect.bias, 'points')}, smallest detectable in one experiment {fixed(effect.detectable_pct, 2)} %"
    )


def _meaning(v: Validation) -> list[str]:
    each = v.group_seconds / v.group_size
    lines = [
        f"In {duration_text(v.group_seconds)} ({v.group_size} processes) this machine tells a difference of "
        f"{fixed(v.detectable_pct, 2)} % four times in five; all {v.processes} processes together "
        f"({duration_text(each * v.processes)}) one of {fixed(v.detectable_all_pct, 2)} %."
    ]
    for effect, count in v.processes_for.items():
        if count:
            took = duration_text(count * each)
            lines.append(f"To tell {effect:g} % it takes {count_text(count, 'process', 'processes')}: about {took}.")
        else:
            lines.append(f"{effect:g} % is too small a difference for this machine.")
    return lines


def _cautions(v: Validation) -> list[str]:
    found = []
    if v.flagged.total and v.flagged.count / v.flagged.total > FLAGS_WHEN_QUIET:
        found.append(
            f"the machine was not quiet: {_of(v.flagged)} superblocks were disturbed before anything was on purpose"
        )
    if v.autocorrelation.p < _TELLING:
        found.append(
            f"superblocks that follow each other are alike (lag-1 autocorrelation {v.autocorrelation.value:+.2f}): "
            "intervals are taken over processes, so they need not mind"
        )
    if v.aa_held.total < PAIRS_WANTED:
        found.append(
            f"{count_text(v.aa_held.total, 'A/A interval')} cannot tell 95 % coverage from 85 %: {PAIRS_WANTED} can, "
            "which a budget of 10m gives"
        )
    if v.busy is None:
        found.append("nothing was measured beside a busy process, so the alarms are not proven")
    return found


def _advice(v: Validation) -> str:
    if v.flagged.total and v.flagged.count / v.flagged.total > FLAGS_WHEN_QUIET:
        return "Close what else is running, see `doctor`, and try again before trusting small differences."
    return "Do not trust differences of that size from this machine."


def _of(share: Share) -> str:
    return f"{share.count} of {share.total}"


def _points(interval: Interval, unit: str) -> str:
    """``+1.02 % [0.91, 1.13]``."""
    if math.isnan(interval.low):
        return Estimate(interval.mean).text(unit)
    return f"{fixed(interval.mean, 2, signed=True)} {unit} [{fixed(interval.low, 2)}, {fixed(interval.high, 2)}]"
