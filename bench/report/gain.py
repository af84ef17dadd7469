"""What a shift buys, in words: the best arm against the network without one, and what the arms lose in space.

A difference to the network without a shift is named only where its interval and its p, adjusted by Holm over the arms,
both say so. Rows of older runs have no p: there the interval decides alone.
"""

import math
from collections.abc import Sequence

from bench.report.controls import NULL, Comparison
from bench.report.numbers import Estimate, channels_text, count_text, fixed, found_text, listed, number
from bench.report.selection import (
    CHANCE_TEMPORAL,
    Row,
    Tables,
    arms,
    baselines,
    incomplete,
    line_text,
    main_condition,
    rows,
)
from bench.report.told import Says, by_answer

SIGNIFICANT = 0.05  # two-sided, after Holm: the level of the 95 % intervals beside it
MOST_NAMED = 4  # arms that are as good as the best; the table has all
_SAME = 1e-6  # points


def gain_sentences(tables: Tables) -> list[str]:
    """The best arm and what is behind it, the network without a shift, then the price in space."""
    trained = rows(arms(tables.accuracy))
    if not trained:
        return ["Not measured: this run has no trained arms.", *_left_out(tables)]
    best = max(trained, key=lambda arm: float(arm["joint_mean_pct"]))
    base = rows(baselines(main_condition(tables.accuracy)))[:1]
    told = [_head(best, len(trained)), _other_interval(best), *map(_at_chance, base), _price(best), _in_space(trained)]
    return [text for text in [*told, _near(best, trained), *_left_out(tables)] if text]


def against_none(arm: Row, part: str) -> Comparison:
    """An arm's difference to the network without a shift; not significant after Holm counts as not told from it."""
    delta, p = Estimate.of(arm, f"{part}_delta"), number(arm.get(f"{part}_delta_p"))
    direction = "" if arm["direction"] == "bidirectional" else f" {arm['direction']}"
    return Comparison(
        control="",
        part=part,
        words="against no shift",
        subject=f"{arm['strategy']} {arm['placement']} {fraction_word(arm)}{direction}",
        measured=delta,
        unit="points",
        detectable=number(arm.get(f"{part}_delta_detectable_pct")),
        seeds=int(arm["seeds"]),
        reference=0.0,
        told=NULL if p >= SIGNIFICANT else "",
        p=p,
    )


def fraction_word(arm: Row) -> str:
    """``1/4`` or ``all``."""
    return channels_text(float(arm["fraction"])).partition(" ")[0]


def arm_text(arm: Row) -> str:
    """``copy_shift, residual, 1/4 of the channels``."""
    where = channels_text(float(arm["fraction"]))
    return f"{line_text(arm['strategy'], arm['placement'], arm['direction'])}, {where}"


def _head(best: Row, count: int) -> str:
    missing = "one seed: no interval" if int(best["seeds"]) == 1 else "no interval"
    joint = Estimate.of(best, "joint", "joint_mean_pct").text(signed=False, missing=missing)
    gain = against_none(best, "joint")
    told = f"Best joint accuracy of {count_text(count, 'arm')} on {best['dataset']}: {arm_text(best)} reaches {joint}"
    if math.isnan(gain.measured.value):
        return f"{told}; no network without a shift was trained to hold it against."
    null = gain.measured.has_interval and gain.answer == NULL
    adjusted = " (p adjusted by Holm over the arms)" if math.isfinite(gain.p) else ""
    return f"{told}, {gain.value_text} against no shift{adjusted}{f': not told from it{gain.found}' if null else ''}."


def _other_interval(best: Row) -> str:
    """The interval for other seeds and other clips at once, and how much of the scatter the clips explain."""
    low, high = (number(best.get(f"joint_delta_boot_{end}_pct")) for end in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    told = f"Resampling seeds and test clips together puts that gain at [{fixed(low)}, {fixed(high)}] points"
    share = number(best.get("clip_share_pct"))
    if math.isfinite(share):
        told += f"; {fixed(share, 0)} % of its variance between seeds comes from the number of test clips"
    return f"{told}."


def _at_chance(base: Row) -> str:
    """The network without a shift cannot know the order; if it does, nothing here is about order."""
    chance = CHANCE_TEMPORAL.get(str(base["dataset"]), math.nan)
    level = Estimate.of(base, "temporal", "temporal_mean_pct")
    if math.isnan(chance) or math.isnan(level.value):
        return ""
    exactly = abs(level.value - chance) < _SAME
    if exactly or (level.has_interval and level.low <= chance <= level.high):
        where = f"exactly at chance, {fixed(chance, 0)} %" if exactly else f"at chance, {level.text(signed=False)}"
        return (
            f"In time the network without a shift stays {where}, as it must: it sees the same frames in every order. "
            "Its joint accuracy cannot be higher than that, so what a shift costs is to be looked for in space."
        )
    return (
        f"The network without a shift is right about the order in {level.text(signed=False)}, which is not chance "
        f"({fixed(chance, 0)} %): single frames leak the order, or too few clips were judged."
    )


def _price(best: Row) -> str:
    """What is lost (or not) of the single frame."""
    price = against_none(best, "spatial")
    if math.isnan(price.measured.value):
        return ""
    told = f"The best arm's spatial accuracy, what a single frame shows, changes by {price.value_text}"
    if not price.measured.has_interval:
        return f"{told}. With one seed, differences between arms cannot be told from chance."
    if price.answer == NULL:
        return f"{told}: not separated from zero{price.found}."
    return f"{told}: {'a loss, the price in space' if price.measured.value < 0 else 'a gain as well'}."


def _in_space(trained: Sequence[Row]) -> str:
    """All arms, sorted by what they cost in space."""
    prices = [against_none(arm, "spatial") for arm in trained]
    known = [one for one in prices if one.measured.has_interval]
    if len(known) < 2:
        return ""
    says = Says("a gain for", "a loss for", "neither gain nor loss is shown for")
    return f"In space, all arms against no shift: {by_answer(known, says)}."


def _near(best: Row, trained: Sequence[Row]) -> str:
    """Arms that are not shown to be worse than the best one: differences paired by seed, for all pairs at once."""
    near = [arm for arm in trained if arm is not best and not_behind(arm)]
    if not near or not Estimate.of(near[0], "joint_behind").has_interval:
        return ""
    near.sort(key=lambda arm: -float(arm["joint_mean_pct"]))
    names = [f"{against_none(arm, 'joint').name} ({behind_text(arm)})" for arm in near[:MOST_NAMED]]
    names += [f"{len(near) - MOST_NAMED} more"] if len(near) > MOST_NAMED else []
    detectable = max(number(arm.get("joint_behind_detectable_pct")) for arm in near)
    return f"Not told from it, paired by seed and for all arms at once: {listed(names)}{found_text(detectable)}."


def not_behind(arm: Row) -> bool:
    """Whether an arm is not shown to be worse than the best one of its condition."""
    return not Estimate.of(arm, "joint_behind").low > 0


def behind_text(arm: Row) -> str:
    """``2.1 points [-0.4, 4.6] behind``."""
    return f"{Estimate.of(arm, 'joint_behind').text('points', signed=False)} behind"


def _left_out(tables: Tables) -> list[str]:
    lost = rows(incomplete(tables.accuracy))
    if not lost:
        return []
    names = [f"{arm_text(arm)} ({str(arm['reason']).rstrip('.')})" for arm in lost[:MOST_NAMED]]
    return [f"Not judged, because seeds failed and the others would flatter: {listed(names)}."]
