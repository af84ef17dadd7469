"""Does it last? What longer training, another schedule, a deeper network, a second data set and other seeds change."""

import math
from collections.abc import Sequence

from bench.report.controls import LASTING, Comparison, comparisons, picked
from bench.report.numbers import Estimate, listed, sentence
from bench.report.selection import VERDICTS, Row, Tables
from bench.report.told import Says, by_answer, level, placements

AGAINST = Says("a gain for", "a loss for", "no difference was found for")
"""For arms against the network without a shift."""

_INSTEAD = Says("a gain for", "a loss for", "no difference was found for")
_RECIPE = "learning rate × 1 / epochs × 1"
_PARTS = {"joint": "both right", "mixture": "on mixed clips", "spatial": "in space"}


def lasting_sentences(tables: Tables) -> list[str]:
    """One sentence for each control that was run, or one for each outcome that it looks at."""
    found = comparisons(tables.controls, of=LASTING)
    told = [text for tell in (_longer, _schedule, _depth, _inner, _second_data) for text in tell(found)]
    return [f"{sentence(text)}." for text in [*told, *_replication(tables.claims)] if text]


def _longer(found: Sequence[Comparison]) -> list[str]:
    same, quarter = (picked(found, "longer", f"minus {words}", "joint") for words in ("the recipe", "1/4"))
    told = Says("a gain for", "a loss for", "no difference was found for")
    against = Says("still ahead of it:", "still behind it:", "not told from it:")
    return [
        f"trained twice as long, both right: {by_answer(same, told)}" if same else "",
        f"and so, against 1/4 of the channels trained once, {by_answer(quarter, against)}; whether 1/4 gains as much "
        "by longer training was not tried"
        if quarter
        else "",
    ]


def _schedule(found: Sequence[Comparison]) -> list[str]:
    others = [one for one in found if one.name != _RECIPE]
    told = _placements(others, "schedule", "at 1/2 of the channels, other learning rates and lengths")
    says = Says("larger than in the recipe with", "smaller than in the recipe with", "no change was found with")
    for part, words in (("joint", "both right"), ("spatial", "in space")):
        if changes := picked(others, "schedule", "against the recipe", part):
            told.append(f"the lead of residual over in-place, {words}: {by_answer(changes, says)}")
    return told


def _depth(found: Sequence[Comparison]) -> list[str]:
    where = "in the deeper network"
    return _placements(found, "depth", where) + _baselines(found, "depth", where)


def _inner(found: Sequence[Comparison]) -> list[str]:
    where = "shifted at the narrow part of the bottleneck instead of before it"
    groups = {part: picked(found, "inner", part=part) for part in ("joint", "spatial")}
    told = [f"{_PARTS[part]}: {by_answer(group, _INSTEAD)}" for part, group in groups.items() if group]
    return [f"{where}, {'; '.join(told)}"] if told else []


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
    groups = {
        part: [one for one in picked(found, control, "residual minus", part) if "against" not in one.words]
        for part in ("joint", "spatial")
    }
    return [placements(group, f"{where}, {_PARTS[part]}") for part, group in groups.items()]


def _baselines(found: Sequence[Comparison], control: str, where: str) -> list[str]:
    """Arms against no shift, all outcomes in one sentence."""
    groups = {part: picked(found, control, "against network", part) for part in ("mixture", "spatial")}
    told = [f"{_PARTS[part]}: {by_answer(group, AGAINST)}" for part, group in groups.items() if group]
    return [f"{where}, against no shift, {'; '.join(told)}"] if told else []


def _replication(claims: Sequence[Row]) -> list[str]:
    """Verdict by verdict: what other seeds say, and which verdicts were not repeated."""
    judged = [claim for claim in claims if claim.get("unit") == "points" and claim.get("measured") is not None]
    repeated = [claim for claim in judged if claim.get("repeated")]
    if not repeated:
        return []
    told = []
    for claim in repeated:
        again = claim["repeated"]
        values = f"{_value(claim)}, then {_value(again)}"
        if again["verdict"] == claim["verdict"]:
            told.append(f"{claim['id']} {VERDICTS[claim['verdict']]} both times ({values})")
        else:
            words = f"{VERDICTS[claim['verdict']]}, then it {VERDICTS[again['verdict']]}"
            told.append(f"{claim['id']} moved: it {words} ({values})")
    alone = [str(claim["id"]) for claim in judged if not claim.get("repeated")]
    rest = f"; not repeated in whole: {listed(alone)}" if alone else ""
    return [f"trained again with other seeds, {'; '.join(told)}{rest}"]


def _value(verdict: Row) -> str:
    bounds = (math.nan if verdict[name] is None else float(verdict[name]) for name in ("measured", "ci_low", "ci_high"))
    return Estimate(*bounds).text("points", missing="no interval")
