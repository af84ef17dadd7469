"""What the controls show, in words: is there another explanation of what a shift buys and costs?"""

from collections.abc import Sequence
from dataclasses import replace

from bench.analysis.published import EXCHANGE
from bench.report.controls import EXPLAINING, Comparison, comparisons, picked
from bench.report.numbers import sentence
from bench.report.selection import Tables
from bench.report.told import Says, by_answer, level, one_by_answer, placements

IN_WORDS = {"joint": "both together", "spatial": "what is seen", "temporal": "the order", "mixture": "mixed clips"}
"""The outcomes as things that a network gets right."""

_MEAN = "mean over fractions"


def control_sentences(tables: Tables) -> list[str]:
    """One sentence for each control that was run, two where it asks two things."""
    found = comparisons(tables.controls, of=EXPLAINING)
    told = (_one_frame, _shuffled, _mixture, _spatial_only, _temporal_only, _matched, _exchange, _volumetric)
    return [f"{sentence(text)}." for tell in told for text in tell(found) if text]


def _one_frame(found: Sequence[Comparison]) -> list[str]:
    in_time = [
        level(
            one,
            "a network that sees one frame of each clip",
            null="no sign that a single frame tells the order",
            above="single frames tell something of the order, so accuracy in time is not about order alone",
            below="only a fault of the data would explain that",
        )
        for one in picked(found, "one_frame", "chance")
    ]
    less = Says(
        "one frame shows more than the whole clip",
        "one frame shows less of what is there than the whole clip",
        "one frame shows as much of what is there as the whole clip, as far as this run can tell",
    )
    return in_time + [one_by_answer(one, less) for one in picked(found, "one_frame", "minus", "spatial")]


def _shuffled(found: Sequence[Comparison]) -> list[str]:
    in_time = [
        level(
            one,
            f"tested with {one.subject.rpartition(', ')[2]}, {one.name.partition(',')[0]}",
            null="no sign that it reads anything but the order",
            above="a part of its accuracy in time does not come from the order",
            below="a wrong order misleads it",
        )
        for one in picked(found, "shuffled", "chance")
    ]
    seen = Says(
        "it then sees better what is there",
        "it then also sees less well what is there {}: it leans on the order for that as well",
        "what is there it sees as well as before, as far as this run can tell",
    )
    in_space = [one_by_answer(one, seen) for one in picked(found, "shuffled", "minus", "spatial")]
    return ["; ".join(in_time + in_space)]


def _mixture(found: Sequence[Comparison]) -> list[str]:
    group = [one for one in picked(found, "mixture") if not one.subject.startswith(EXCHANGE)]
    told = by_answer(group, Says("a gain for", "a loss for", "no difference was found for"))
    where = "on clips of which every second one asks for the order too, so that no shift is capped at 62.5 %, not 25"
    return [f"{where}: against it {told}"] if group else []


def _spatial_only(found: Sequence[Comparison]) -> list[str]:
    lost = picked(found, "spatial_only", "against")
    told = Says("a gain in space for", "a loss in space all the same for", "no loss in space was found for")
    return [
        f"asked only what is seen, so that nothing competes, against no shift: {by_answer(lost, told)}" if lost else "",
        placements(picked(found, "spatial_only", "residual minus"), "asked only what is seen"),
    ]


def _temporal_only(found: Sequence[Comparison]) -> list[str]:
    won = picked(found, "temporal_only", "against")
    told = Says("more than chance for", "less than chance for", "nothing beyond chance was found for")
    return [
        f"asked only for the order, against no shift: {by_answer(won, told)}" if won else "",
        placements(picked(found, "temporal_only", "residual minus"), "asked only for the order"),
    ]


def _matched(found: Sequence[Comparison]) -> list[str]:
    group = picked(found, "matched")
    means = [one for one in group if _MEAN in one.subject] or group[:1]
    says = Says(
        "in-place sees better what is there than residual",
        "in-place still sees less well what is there than residual {}: the placement itself costs space",
        "in-place and residual are not told apart in space",
    )
    over = f", on average over {len(group) - 1} fractions," if len(group) > 2 else ","
    where = "held against the residual arms at a share that is equally good in time"
    return [f"{where}{over} {one_by_answer(one, says)}" for one in means]


def _exchange(found: Sequence[Comparison]) -> list[str]:
    group = [replace(one, subject=IN_WORDS.get(one.part, one.part)) for one in picked(found, "exchange")]
    told = by_answer(group, Says("better at", "worse at", "not told from it at"))
    where = "a learned 3×1×1 convolution in its place, under the recipe that was chosen for the shift"
    return [f"{where}, against the residual shift of 1/4: {told}"] if group else []


def _volumetric(found: Sequence[Comparison]) -> list[str]:
    group = picked(found, "volumetric", part="joint")
    told = by_answer(group, Says("better:", "worse:", "not told apart:"))
    where = "3-D networks of equal width, under the recipe that was chosen for the shift"
    return [f"{where}, against the residual shift of 1/4, both right: {told}"] if group else []
