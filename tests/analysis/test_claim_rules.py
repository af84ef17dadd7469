"""Verdicts are pure functions of claim and values: every rule."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.aa_control import AAControl
from bench.analysis.claims import Claim, Verdict, corrected, judge_finding
from bench.analysis.evidence import Finding
from bench.stats.estimators import Estimate, Processes
from tests.store.synthetic import PANEL

RULES = {
    "magnitude": Claim.model_construct(kind="magnitude", claimed=13.7, tolerance=4.0, smallest=0.5),
    "bound": Claim.model_construct(kind="bound", claimed=3.0, tolerance=0.5),
    "ordering": Claim.model_construct(kind="ordering", smallest=1.0),
    "equivalence": Claim.model_construct(kind="equivalence", tolerance=1.5),
    "exact": Claim.model_construct(kind="exact", claimed=0.0),
}


NAMED = {"id": "one", "finding": "", "source": "", "paper": ""}


def over_processes(values: Sequence[float]) -> Estimate:
    return Processes(dict(enumerate(values))).estimate()


def judged(kind: str, *samples: Sequence[float], **finding: Any) -> Verdict:
    claim = RULES[kind].model_copy(update={"id": kind, "finding": "", "source": "", "paper": ""})
    named = {f"comparison {n}": over_processes(values) for n, values in enumerate(samples)}
    return judge_finding(claim, Finding("", named, **finding))


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("magnitude", [13.0, 13.5, 14.0], "reproduced"),
        ("magnitude", [10.9, 11.0, 11.1], "reproduced"),
        ("magnitude", [5.0, 5.1, 5.2], "direction only"),
        ("magnitude", [25.0, 25.1, 25.2], "direction only"),
        ("magnitude", [0.1, 0.2, 0.3], "not reproduced"),
        ("magnitude", [-3.0, -3.1, -3.2], "not reproduced"),
        ("magnitude", [0.0, 5.0, 1.0], "inconclusive"),
        ("bound", [1.0, 1.1, 1.2], "reproduced"),
        ("bound", [11.0, 11.1, 11.2], "not reproduced"),
        ("bound", [2.0, 3.5, 5.0], "inconclusive"),
        ("ordering", [1.9, 2.0, 2.1], "reproduced"),
        ("ordering", [0.9, 1.0, 1.2], "inconclusive"),  # on both sides of the smallest effect, all of it above zero,
        ("ordering", [-9.0, -9.1, -9.2], "not reproduced"),
        ("ordering", [0.4, 0.5, 0.6], "not reproduced"),  # entirely short of the smallest effect
        ("ordering", [-9.0, 9.0, 3.0], "inconclusive"),
        ("equivalence", [0.0, 0.1, -0.1], "reproduced"),
        ("equivalence", [9.0, 9.1, 9.2], "not reproduced"),
        ("equivalence", [-9.0, -9.1, -9.2], "not reproduced"),
        ("equivalence", [-9.0, 9.0, 0.0], "inconclusive"),
        ("exact", [0.0], "reproduced"),
        ("exact", [1.0], "not reproduced"),
    ],
)
def test_every_rule(kind: str, values: list[float], expected: str) -> None:
    found = judged(kind, values)
    assert found.verdict == expected
    assert ("four times in five" in found.why) == (kind != "exact")
    undecided = "processes or seeds" in found.why or "nothing can be decided" in found.why
    assert undecided == (expected == "inconclusive")


def test_one_value_is_inconclusive() -> None:
    for kind in ("magnitude", "bound", "ordering", "equivalence"):
        found = judged(kind, [13.7])
        assert (found.verdict, found.measured, found.ci_low) == ("inconclusive", 13.7, None)
        assert "at least two processes or 5 seeds are needed" in found.why


def test_several_comparisons_hold_at_once_and_the_one_that_decided_is_shown() -> None:
    alone, both = judged("ordering", [4.0, 5.0, 6.0]), judged("ordering", [4.0, 5.0, 6.0], [14.0, 15.0, 16.0])
    assert alone.ci_low is not None and both.ci_low is not None and both.ci_low < alone.ci_low
    assert (both.measured, "comparison 1 +15.0" in both.why) == (5.0, True)
    clear, wide = [-5.0, -5.1, -5.2], [-80.0, 5.0, 9.0]
    found = judged("ordering", [9.0, 9.1, 9.2], clear, wide)
    assert (found.verdict, found.measured) == ("not reproduced", pytest.approx(-5.1))
    assert "(comparison 1) would be told from 1 " in found.why


def test_what_is_missing_or_invalid_is_not_judged() -> None:
    for reason, expected in (("missing", "not measured"), ("invalid", "invalid")):
        found = judged("ordering", [9.0, 9.1], **{reason: "so it is"})
        assert (found.verdict, found.why, found.measured) == (expected, "so it is", None)


@pytest.mark.parametrize(
    ("again", "expected", "said"),
    [
        ([46.0, 46.1, 46.2], "reproduced", "the same verdict, +46.1 [+45.9, +46.3]."),
        ([-14.0, -14.1, -14.2], "not reproduced", "not reproduced, -14.1 [-14.3, -13.9]."),
        ([-9.0, 60.0, 4.0], "inconclusive", "inconclusive, +18.3 "),
    ],
)
def test_other_seeds_are_judged_by_the_same_rule(again: list[float], expected: str, said: str) -> None:
    found = judged("ordering", [8.0, 8.1], repeated=Finding("", {"joint": over_processes(again)}))
    assert found.verdict == "reproduced"
    assert f"Repeated with other seeds: {said}" in found.why
    assert found.repeated is not None and found.repeated["verdict"] == expected
    lost = judged("ordering", [8.0, 8.1], repeated=Finding(invalid="a seed was lost"))
    assert "Repeated with other seeds: invalid, a seed was lost." in lost.why


# --- the control, and many verdicts at once ---------------------------------------------------------------------------


def control(mean: float, error: float) -> AAControl:
    return AAControl(PANEL, Estimate(mean, error, 7, 8))


def undecided(bound: float) -> AAControl:
    return control(0.0, bound / 2.3646)  # t(7) at 95 %


def estimate(mean: float, high: float) -> Estimate:
    """With an interval up to ``high``."""
    return Estimate(mean, (high - mean) / 2.1448, 14, 15)


@pytest.mark.parametrize(
    ("limit", "found", "twin", "expected"),
    [
        (3.5, estimate(0.5, 1.3), undecided(0.75), "reproduced"),
        (4.3, estimate(3.6, 4.2), undecided(0.4), "reproduced"),  # certified: nothing is widened
        (4.3, estimate(3.6, 4.2), undecided(0.89), "inconclusive"),
        (3.5, estimate(4.6, 5.2), undecided(3.0), "inconclusive"),
        (3.5, estimate(9.0, 9.5), undecided(3.0), "not reproduced"),
        (3.5, estimate(0.4, 0.5), AAControl(PANEL, Estimate(math.nan, count=0)), "inconclusive"),  # there is none
        (3.5, estimate(9.0, 9.5), control(3.0, 0.5), "invalid"),  # off
    ],
)
def test_a_verdict_holds_with_its_interval_widened_by_the_controls_bound(
    limit: float, found: Estimate, twin: AAControl, expected: str
) -> None:
    claim = RULES["bound"].model_copy(update={**NAMED, "claimed": limit, "tolerance": 0.0})
    judged_so = judge_finding(claim, Finding("", {"overhead": found}, control=twin))
    assert judged_so.verdict == expected
    if expected == "inconclusive":
        assert judged_so.why.startswith("The A/A control is undecided: ") and judged_so.p == 1.0
    if expected == "invalid":
        assert judged_so.why.startswith("two identical baselines differ by +3.00 [")


def test_where_the_baseline_cancels_its_control_does_not_count() -> None:
    claim = RULES["equivalence"].model_copy(update={**NAMED, "tolerance": 1.0})
    slope, twin = {"slope": estimate(-0.3, 0.2)}, undecided(9.0)
    assert judge_finding(claim, Finding("", slope, control=twin, baseline_cancels=True)).verdict == "reproduced"
    outside = judge_finding(claim, Finding("", {"slope": estimate(2.0, 2.1)}, control=twin))
    assert outside.verdict == "inconclusive"  # from -7 to 11


def test_the_power_of_an_undecided_verdict_is_about_the_limit_it_tests() -> None:
    claim = RULES["bound"].model_copy(update={**NAMED, "claimed": 3.5, "tolerance": 0.0})
    near = judge_finding(claim, Finding("", {"overhead": Estimate(3.5, 0.4, 14, 15)}))
    assert "told from 3.5 " in near.why and "nothing can be decided" in near.why
    apart = judge_finding(claim, Finding("", {"overhead": Estimate(2.9, 0.4, 14, 15)}))
    assert "Values below 2.3 or above 4.7 " in apart.why  # (2.145 + 0.868) × 0.4 on either side
    assert "it takes 55 processes" in apart.why


@given(st.sampled_from(["magnitude", "bound", "ordering", "equivalence"]), st.lists(st.floats(-30, 30), min_size=3))
def test_a_verdict_is_reached_at_its_p(kind: str, values: list[float]) -> None:
    found = judged(kind, values)
    assert found.p is not None and 0 <= found.p <= 1
    assert (found.verdict == "inconclusive") == (found.p > 0.05)


def test_holm_is_over_all_verdicts_that_were_tested() -> None:
    near, clear = judged("bound", [1.0, 2.2, 1.5]), judged("bound", [1.0, 1.0001, 1.0002])
    assert 0.02 < (near.p or 0) < 0.05
    untested = [judged("exact", [0.0]), judged("bound", [], missing="so it is")]
    alone, *others = corrected([near, *untested])
    assert (alone.p_holm, alone.verdict_holm) == (near.p, "reproduced")
    assert [(one.p_holm, one.verdict_holm) for one in others] == [(None, "reproduced"), (None, "not measured")]
    both = corrected([near, clear, near])
    assert [one.verdict_holm for one in both] == ["inconclusive", "reproduced", "inconclusive"]
    assert {one.verdict for one in both} == {"reproduced"}


def test_where_the_size_falls_to_holm_the_direction_is_left() -> None:
    sized = judged("magnitude", [12.5, 13.5, 14.5])
    assert sized.verdict == "reproduced" and (sized.p or 0) > 0.01 and (sized.direction_p or 1) < 0.01
    assert corrected([sized])[0].verdict_holm == "reproduced"
    assert corrected([sized] * 5)[0].verdict_holm == "direction only"
    assert corrected([sized] * 60)[0].verdict_holm == "inconclusive"


def test_all_fractions_lie_within_the_margin_or_the_verdict_falls() -> None:
    """Each by itself at 95 %, as all must hold; that one does not is tested among all."""
    claim = RULES["equivalence"].model_copy(update={**NAMED, "tolerance": 1.0})
    near, far = estimate(0.4, 0.9), estimate(1.2, 1.4)
    assert judge_finding(claim, Finding("", {"1/4": near, "1/2": near, "1": near})).verdict == "reproduced"
    found = judge_finding(claim, Finding("", {"1/4": near, "1": estimate(1.4, 1.5)}))
    assert (found.verdict, found.measured) == ("not reproduced", 1.4)
    assert judge_finding(claim, Finding("", {"1/4": near, "1": estimate(0.9, 1.2)})).verdict == "inconclusive"
    alone, among = (dict.fromkeys(names, far) for names in ("a", "abcdefgh"))
    assert judge_finding(claim, Finding("", alone)).p * 8 == pytest.approx(judge_finding(claim, Finding("", among)).p)
