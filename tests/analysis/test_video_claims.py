"""The suite's claims on networks that learned from real videos: each question is judged apart, by top-1 alone."""

from dataclasses import replace

import pytest

from bench.analysis.arms import Arm
from bench.analysis.claims import load_claims
from bench.spec.cases import BASELINE_VARIANT, Condition
from tests.analysis.judging import verdict, verdicts
from tests.analysis.synthetic import ARROW, watching
from tests.store.synthetic import VIDEO, shift

JITTER = (-0.01, -0.005, 0.0, 0.005, 0.01)
QUARTER, CAUSAL = shift(), shift(fraction="1/8", direction="unidirectional")


def around(mean: float, spread: float = 1) -> list[float]:
    return [mean + spread * off for off in JITTER]


def placements(fraction: str, gap: float, condition: Condition = VIDEO, spread: float = 0.2) -> list[Arm]:
    """Residual and in-place, the first more accurate by ``gap``."""
    second = [value - gap + spread * off for value, off in zip(around(0.8), reversed(JITTER), strict=True)]
    arms = shift(fraction=fraction), shift("inplace", fraction)
    return [watching(arms[0], around(0.8), condition), watching(arms[1], second, condition)]


def test_real_video_comes_before_the_digits() -> None:
    ids = [claim.id for claim in load_claims()]
    videos = [place for place, name in enumerate(ids) if name.startswith("video-")]
    assert len(videos) == 8 and max(videos) < ids.index("residual-over-inplace") < ids.index("online-accuracy")
    compared = [one for claim in load_claims() if claim.id.startswith("video-") for one in claim.where["compare"]]
    assert {one["outcome"] for one in compared} == {"top1"}


@pytest.mark.parametrize(
    ("gap", "spread", "expected"),
    [
        (0.05, 0.2, "reproduced"),
        (-0.05, 0.2, "not reproduced"),
        (0.0, 0.2, "not reproduced"),
        (0.01, 9, "inconclusive"),
    ],
)
@pytest.mark.parametrize(("claim", "fraction"), [("video-placement-all", "1"), ("video-placement-quarter", "1/4")])
def test_placements(claim: str, fraction: str, gap: float, spread: float, expected: str) -> None:
    found = verdict(claim, *placements(fraction, gap, spread=spread))
    assert (found.subject, found.verdict, found.unit) == ("pairs", expected, "pp")
    assert found.measured == pytest.approx(100 * gap)
    other = verdict(claim, *placements("1/2", gap))
    assert (other.verdict, "learned from no videos" in other.why) == ("not measured", True)


def test_each_question_is_judged_apart() -> None:
    found = verdicts("video-placement-all", *placements("1", 0.05), *placements("1", -0.05, ARROW))
    assert {subject: one.verdict for subject, one in found.items()} == {
        "pairs": "reproduced",
        "arrow": "not reproduced",
    }
    assert [one.id for one in found.values()] == ["video-placement-all/pairs", "video-placement-all/arrow"]
    alone = verdict("video-placement-all", placements("1", 0.05)[0])
    assert alone.verdict == "not measured" and "copy_shift-inplace-1-bidirectional (pairs-timm" in alone.why


@pytest.mark.parametrize(
    ("level", "expected"), [(0.9, "reproduced"), (0.805, "not reproduced"), (0.6, "not reproduced")]
)
def test_a_shift_against_none(level: float, expected: str) -> None:
    found = verdict("video-gain", watching(QUARTER, around(level)), watching(BASELINE_VARIANT, around(0.8)))
    assert (found.verdict, found.measured) == (expected, pytest.approx(100 * (level - 0.8)))


SUCCESSORS = {"gsm": ("gate_shift", "1"), "tam": ("tam", "1"), "tea": ("tea", "1/4")}


@pytest.mark.parametrize(
    ("level", "spread", "expected"),
    [
        (0.9, 0.2, "reproduced"),
        (0.805, 1, "not reproduced"),
        (0.75, 0.2, "not reproduced"),
        (0.81, 9, "inconclusive"),
    ],
)
@pytest.mark.parametrize("name", SUCCESSORS)
def test_successors_of_the_shift_are_judged_on_the_question_of_order(
    name: str, level: float, spread: float, expected: str
) -> None:
    strategy, fraction = SUCCESSORS[name]
    module, plain = shift(fraction=fraction, strategy=strategy), watching(QUARTER, around(0.8))
    found = verdict(f"video-{name}", watching(module, around(level, spread)), plain)
    assert (found.subject, found.verdict) == ("pairs", expected)
    assert found.measured == pytest.approx(100 * (level - 0.8))
    arrow = [watching(one, around(value), ARROW) for one, value in ((module, 0.9), (QUARTER, 0.8))]
    other = verdict(f"video-{name}", *arrow, plain)
    assert (other.verdict, f"opposite actions with {name.upper()}" in other.why) == ("not measured", True)


def test_few_seeds_and_another_backbone() -> None:
    few = [watching(QUARTER, [0.9] * 4), watching(BASELINE_VARIANT, [0.5] * 4)]
    assert verdict("video-gain", *few).verdict == "inconclusive"
    mine = Condition(dataset="label", backbone="mine.py:net")
    own = [watching(QUARTER, around(0.9), mine), watching(BASELINE_VARIANT, around(0.8), mine)]
    assert (verdict("video-gain", *own).subject, verdict("video-gain", *own).verdict) == ("label", "reproduced")
    searched = [replace(arm, condition=replace(mine, lr_factor=0.5)) for arm in own]
    assert verdict("video-gain", *searched).verdict == "not measured"


@pytest.mark.parametrize(
    ("level", "spread", "expected"),
    [(0.795, 1.2, "reproduced"), (0.76, 1.2, "not reproduced"), (0.8, 9, "inconclusive")],
)
def test_a_causal_shift_may_differ_by_a_point_and_a_half(level: float, spread: float, expected: str) -> None:
    arms = [watching(CAUSAL, around(level, spread)), watching(QUARTER, around(0.8))]
    assert verdict("video-causal", *arms).verdict == expected


@pytest.mark.parametrize(
    ("values", "expected"), [([0.5] * 5, "reproduced"), ([0.5], "reproduced"), ([0.5, 0.5, 0.51], "not reproduced")]
)
def test_without_a_shift_the_arrow_of_time_is_exactly_chance(values: list[float], expected: str) -> None:
    arms = [watching(BASELINE_VARIANT, values, ARROW), watching(BASELINE_VARIANT, [0.9])]
    found = verdict("video-arrow-chance", *arms, arrows=frozenset({"arrow"}))
    assert (found.subject, found.verdict, found.unit) == ("arrow", expected, "%")
    assert found.measured == pytest.approx(100 * sum(values) / len(values))
    other = verdict("video-arrow-chance", *arms)
    assert (other.verdict, "forward or reversed" in other.why) == ("not measured", True)


def test_a_lost_seed_spoils_its_question_and_no_other() -> None:
    arms = [*placements("1", 0.05), *placements("1", 0.05, ARROW)]
    lost = {("video", (shift("inplace", "1"), ARROW)): "1 seed failed: it diverged"}
    found = verdicts("video-placement-all", *arms, partial_arms=lost)
    assert {subject: one.verdict for subject, one in found.items()} == {"pairs": "reproduced", "arrow": "invalid"}
