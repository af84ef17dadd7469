"""Comparisons -> words by rule: one text where the interval lies above what it is held against, another where it lies
below, and a third, with the smallest effect that would have been found, where it holds it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.report.controls import ABOVE, BELOW, NULL, OPEN, Comparison, reference_text
from bench.report.numbers import found_text, listed

EXACT = 1e-6  # points: every clip of a network that cannot know the order is judged in all of its orders
MOST_NAMED = 2  # comparisons told one by one; of more, how many there are and the ends of their range


@dataclass(frozen=True)
class Says:
    """What stands before the comparisons that are above, below, and not told from what they are held against."""

    above: str
    below: str
    null: str

    def of(self, answer: str) -> str:
        """The text for one answer; with one seed there is none."""
        texts = {ABOVE: self.above, BELOW: self.below, NULL: self.null}
        return texts.get(answer, "undecided with one seed:")


def one_by_answer(one: Comparison, says: Says) -> str:
    """``a loss (-2.1 points [-3.2, -1.0])``, ``no difference (0.1 points [-0.4, 0.6]; a difference of …)``; the value
    stands at ``{}`` where the text has one, and behind it where not."""
    text, value = says.of(one.answer), f"({one.value_text}{one.found})"
    return text.replace("{}", value) if "{}" in text else f"{text.rstrip(':')} {value}"


def by_answer(group: Sequence[Comparison], says: Says) -> str:
    """Sorted by answer: ``a gain for A (+2.1 points [1.0, 3.2]); no difference was found for B (…)``."""
    parts = []
    for answer in (ABOVE, BELOW, NULL, OPEN):
        own = [one for one in group if one.answer == answer]
        if own:
            parts.append(f"{says.of(answer)} {these(own, len(group))}{_found(own) if answer == NULL else ''}")
    return "; ".join(parts)


def level(one: Comparison, who: str, *, null: str, above: str, below: str) -> str:
    """An accuracy in time against chance, and what follows from the answer."""
    chance, m = f"chance ({reference_text(one)})", one.measured
    if max(abs(m.low - one.reference), abs(m.high - one.reference)) < EXACT:
        return f"{who} is right about the order in exactly {reference_text(one)}, which is chance: {null}"
    head = f"{who} is right about the order in {one.value_text}"
    tails = {
        NULL: f", not told from {chance}{one.found}: {null}",
        ABOVE: f", above {chance}: {above}",
        BELOW: f", below {chance}: {below}",
    }
    return head + tails.get(one.answer, ", which decides nothing")


AHEAD = Says("residual is ahead of in-place with", "in-place is ahead of residual with", "neither is ahead with")
"""For residual minus in-place."""


def placements(group: Sequence[Comparison], where: str) -> str:
    """Residual minus in-place under one condition; empty where it was not trained."""
    return f"{where}, {by_answer([_by_share(one) for one in group], AHEAD)}" if group else ""


def _by_share(one: Comparison) -> Comparison:
    """Named by the share that moves, where that is what its name says."""
    share = "all channels" if one.name == "all" else f"{one.name} of the channels"
    return one if "×" in one.name else replace(one, subject=share)


def these(own: Sequence[Comparison], of: int) -> str:
    """Few by name, many by number and range; each with its interval."""
    if len(own) <= MOST_NAMED:
        return listed([_valued(one) for one in own])
    ordered = sorted(own, key=lambda one: one.measured.value)
    count = f"all {of}" if len(own) == of else f"{len(own)} of {of}"
    return f"{count}, from {_valued(ordered[0])} to {_valued(ordered[-1])}"


def _found(own: Sequence[Comparison]) -> str:
    """What would have been found even in the least certain of them."""
    known = [one.detectable for one in own if math.isfinite(one.detectable)]
    return found_text(max(known, default=math.nan))


def _valued(one: Comparison) -> str:
    return f"{one.name} ({one.value_text})"
