"""Does it last? What longer training, another schedule, a deeper network, a second data set and other seeds change."""

from collections.abc import Sequence

from bench.report.controls import LASTING, OPEN, Comparison, comparisons, picked
from bench.report.numbers import listed, sentence
from bench.report.selection import Tables
from bench.report.told import Says, by_answer, level, placements

AGAINST = Says("a gain for", "a loss for", "no difference was found for")
"""For arms against the network without a shift."""

_PARTS = {"joint": "both right", "mixture": "on mixed clips", "spatial": "in space"}


def lasting_sentences(tables: Tables) -> list[str]:
    """One sentence for each control that was run, or one for each outcome that it looks at."""
    found = comparisons(tables.controls, of=LASTING)
    told = (_longer, _schedule, _depth, _second_data, _replication)
    return [f"{sentence(text)}." for tell in told for text in tell(found) if text]


def _longer(found: Sequence[Comparison]) -> list[str]:
    group = picked(found, "longer", part="joint")
    told = Says("a gain, so it was under-trained, for", "a loss for", "no difference was found for")
    return [f"trained twice as long, both right: {by_answer(group, told)}"] if group else []


def _schedule(found: Sequence[Comparison]) -> list[str]:
    return _placements(found, "schedule", "at 1/2 of the channels, other learning rates and lengths")


def _depth(found: Sequence[Comparison]) -> list[str]:
    where = "in the deeper network"
    return _placements(found, "depth", where) + _baselines(found, "depth", where)


def _second_data(found: Sequence[Comparison]) -> list[str]:
    where = "on the second data set"
    in_time = [
        level(
            one,
            f"{where}, the network without a shift",
            null="no sign that a single frame tells the order there",
            above="single frames tell something of the order there",
            below="only a fault of the data would explain that",
        )
        for one in picked(found, "second_data", "chance")
    ]
    return in_time + _placements(found, "second_data", where) + _baselines(found, "second_data", where)


def _placements(found: Sequence[Comparison], control: str, where: str) -> list[str]:
    """Residual minus in-place, a sentence for each outcome."""
    groups = {part: picked(found, control, "residual minus", part) for part in ("joint", "spatial")}
    return [placements(group, f"{where}, {_PARTS[part]}") for part, group in groups.items()]


def _baselines(found: Sequence[Comparison], control: str, where: str) -> list[str]:
    """Arms against no shift, all outcomes in one sentence."""
    groups = {part: picked(found, control, "against network", part) for part in ("mixture", "spatial")}
    told = [f"{_PARTS[part]}: {by_answer(group, AGAINST)}" for part, group in groups.items() if group]
    return [f"{where}, against no shift, {'; '.join(told)}"] if told else []


def _replication(found: Sequence[Comparison]) -> list[str]:
    """The two rows of each difference: the verdict stands where both have the same answer."""
    pairs: dict[tuple[str, str], list[Comparison]] = {}
    for one in picked(found, "replication"):
        pairs.setdefault((one.part, one.words), []).append(one)
    whole = [pair for pair in pairs.values() if len(pair) == 2]
    decided = [pair for pair in whole if all(one.answer != OPEN for one in pair)]
    if not decided:
        return ["with other seeds nothing is decided: one seed has no interval"] if whole else []
    moved = [pair for pair in decided if pair[0].answer != pair[1].answer]
    head = f"trained again with other seeds, {len(decided) - len(moved)} of {len(decided)}"
    head += " differences that carry the main verdicts come out as before"
    if not moved:
        return [f"{head}: the verdicts stand"]
    return [f"{head}; moved: {listed([_moved(pair) for pair in moved])}"]


def _moved(pair: Sequence[Comparison]) -> str:
    first = pair[0]
    values = " and ".join(f"{one.value_text} with the {one.subject}" for one in pair)
    return f"{first.words_text}, {_PARTS.get(first.part, first.part)}, {values}"
