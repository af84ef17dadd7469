"""The suite's claims on what was trained: networks and detectors."""

from dataclasses import replace

import pytest

from bench.analysis.arms import Arm
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant
from tests.analysis.judging import verdict, verdicts
from tests.analysis.synthetic import AGAIN, arm, detector
from tests.store.synthetic import DETECTOR, USUAL, shift

LOW, MIDDLE, HIGH = ([mean + off for off in (-0.01, -0.005, 0.0, 0.005, 0.01)] for mean in (0.81, 0.91, 0.96))
WIDE = [0.6, 0.9, 0.8, 0.7, 0.95]


# --- trained networks -------------------------------------------------------------------------------------------------

FRACTIONS = ("1/8", "1/4", "1/2", "1")


def both_placements(quarter: list[float] = HIGH) -> list[Arm]:
    """In-place is low everywhere, residual high; at 1/4 it is as given."""
    own = dict.fromkeys(FRACTIONS, HIGH) | {"1/4": quarter}
    arms = [arm(shift("inplace", fraction), LOW) for fraction in FRACTIONS]
    return arms + [arm(shift("residual", fraction), values) for fraction, values in own.items()]


@pytest.mark.parametrize(
    ("quarter", "expected"),
    [(MIDDLE, "reproduced"), ([value - 0.1 for value in LOW], "not reproduced"), (WIDE, "inconclusive")],
)
def test_residual_must_win_at_every_fraction_in_both_outcomes(quarter: list[float], expected: str) -> None:
    found = verdict("residual-over-inplace", *both_placements(quarter))
    assert found.verdict == expected
    assert "joint at 1/4" in found.why and "spatial at 1/8" in found.why
    lacking = verdict("residual-over-inplace", *both_placements()[1:])
    assert (lacking.verdict, "copy_shift-inplace-1/8-bidirectional" in lacking.why) == ("not measured", True)


@pytest.mark.parametrize(
    ("quarter", "expected"),
    [(HIGH, "not reproduced"), ([value + 0.03 for value in HIGH], "reproduced"), (WIDE, "inconclusive")],
)
def test_the_peak_at_a_quarter(quarter: list[float], expected: str) -> None:
    found = verdict("peak-quarter", *both_placements(quarter))
    assert (found.verdict, "over 1/2" in found.why) == (expected, True)


def full_and_none(full: list[float], condition: Condition = USUAL) -> list[Arm]:
    """Residual shift of all channels, and the baseline at 24 to 26 %."""
    return [
        arm(shift(fraction="1"), full, condition),
        arm(BASELINE_VARIANT, [0.25 + off for off in (-0.01, 0.0, 0.01, 0.005, -0.005)], condition),
    ]


def test_below_the_baseline_turns_the_sign() -> None:
    arms = [arm(shift("inplace", "1"), LOW), arm(BASELINE_VARIANT, [0.90, 0.92, 0.91, 0.905, 0.915])]
    found = verdict("naive-inplace-below-2d", *arms)
    assert (found.verdict, found.measured) == ("reproduced", pytest.approx(10.0))
    assert "The same difference by what is asked, in pp: joint +10.0 [" in found.why


def test_accuracies_are_judged_under_the_usual_condition_alone() -> None:
    unusual = [replace(USUAL, **change) for change in ({"lr_factor": 0.5}, {"dataset": "opening_digits"})]
    others = [one for condition in (*unusual, AGAIN) for one in full_and_none(HIGH, condition)]
    assert verdict("residual-all-over-2d", *others).verdict == "not measured"
    found = verdict("residual-all-over-2d", *others, *full_and_none([value - 0.7 for value in LOW]))
    assert (found.verdict, found.measured) == ("not reproduced", pytest.approx(-14.0))


@pytest.mark.parametrize(("condition", "expected"), [(USUAL, "invalid"), (replace(USUAL, lr_factor=2.0), "reproduced")])
def test_a_lost_seed_spoils_its_arm_and_no_other(condition: Condition, expected: str) -> None:
    lost = {("accuracy", (shift(fraction="1"), condition)): "1 seed failed: it diverged"}
    found = verdict("residual-all-over-2d", *full_and_none(HIGH), partial_arms=lost)
    assert (found.verdict, "it diverged" in found.why) == (expected, expected == "invalid")


def test_a_repetition_is_judged_where_it_is_whole() -> None:
    usual, again = full_and_none(HIGH), full_and_none(MIDDLE, AGAIN)
    found = verdict("residual-all-over-2d", *usual, *again)
    assert found.repeated is not None and found.repeated["measured"] == pytest.approx(66.0)
    assert verdict("residual-all-over-2d", *usual, again[0]).repeated is None
    lost = verdict("residual-all-over-2d", *usual, *again, partial_arms={("accuracy", again[0].key): "it diverged"})
    assert "Repeated with other seeds: invalid, the arm copy_shift-residual-1-bidirectional" in lost.why


def test_arms_without_a_seed_in_common_cannot_be_paired() -> None:
    full, none = full_and_none(HIGH)
    apart = replace(none, seeds={seed + 100: samples for seed, samples in none.seeds.items()})
    found = verdict("residual-all-over-2d", full, apart)
    assert (found.verdict, "different seeds" in found.why) == ("not measured", True)


def test_the_causal_shift_may_differ_by_a_point_and_a_half() -> None:
    causal = arm(shift(fraction="1/8", direction="unidirectional"), MIDDLE)
    found = verdict("online-accuracy", causal, arm(shift(), [value + 0.005 for value in MIDDLE]))
    assert (found.verdict, found.measured) == ("reproduced", pytest.approx(-0.5))


@pytest.mark.parametrize(
    ("network", "expected"), [(LOW, "reproduced"), (HIGH, "not reproduced"), (WIDE, "inconclusive")]
)
def test_3d_networks_may_be_better_by_a_point_at_most(network: list[float], expected: str) -> None:
    r3d = arm(BASELINE_VARIANT, network, replace(USUAL, backbone="digits_r3d"))
    found = verdicts("3d-accuracy", arm(shift(), LOW), r3d)
    assert (found["digits_r3d"].verdict, found["digits_r3d"].unit) == (expected, "pp")
    other = found["digits_r2plus1d"]
    assert (other.verdict, "has not trained no_shift" in other.why) == ("not measured", True)


def test_the_shift_against_a_convolution_in_its_place() -> None:
    convolution = arm(shift(fraction="1", strategy="temporal_conv"), [0.7, 0.71, 0.73, 0.72, 0.69])
    found = verdict("replace-accuracy", arm(shift(), LOW), convolution)
    assert (found.verdict, found.measured) == ("reproduced", pytest.approx(10.0))
    assert verdict("replace-accuracy", arm(shift(), LOW)).verdict == "not measured"


@pytest.mark.parametrize("name", ["gsm", "tam", "tea"])
@pytest.mark.parametrize(("level", "expected"), [(HIGH, "reproduced"), (LOW, "not reproduced"), (WIDE, "inconclusive")])
def test_successors_of_the_shift_are_judged_in_each_network(name: str, level: list[float], expected: str) -> None:
    strategy, fraction = {"gsm": ("gate_shift", "1"), "tam": ("tam", "1"), "tea": ("tea", "1/4")}[name]
    module, narrow = shift(fraction=fraction, strategy=strategy), replace(USUAL, backbone="digits_bottleneck")
    plain = [arm(shift(), LOW), arm(shift(), LOW, narrow)]
    found = verdicts(f"{name}-accuracy", *plain, arm(module, level, narrow))
    assert found["digits_bottleneck"].verdict == expected
    assert found["digits_resnet"].verdict == "not measured"
    assert f"has not trained {strategy}-residual" in found["digits_resnet"].why


# --- detectors --------------------------------------------------------------------------------------------------------

ONLINE = shift(fraction="1/8", direction="unidirectional")
JITTER = (-0.2, 0.1, 0.0, 0.2, -0.1)  # of the seeds, in pp
FRAME_BY_FRAME = detector(BASELINE_VARIANT, [dict.fromkeys(("map", "map_slow", "map_medium", "map_fast"), 0.5)] * 5)


def gaining(
    slow: float,
    medium: float,
    fast: float,
    variant: Variant = ONLINE,
    condition: Condition = DETECTOR,
    spread: float = 1,
) -> Arm:
    """A detector with these gains, in pp, over the one frame by frame."""
    seeds = []
    for jitter in JITTER:
        gains = [gain + spread * jitter * (1 + place) for place, gain in enumerate((slow, medium, fast))]
        levels = [0.5 + gain / 100 for gain in gains]
        seeds.append(dict(zip(("map_slow", "map_medium", "map_fast"), levels, strict=True)) | {"map": sum(levels) / 3})
    return detector(variant, seeds, condition)


@pytest.mark.parametrize(
    ("claim", "gains", "expected"),
    [
        ("detection-fast", (0.0, 2.0, 5.0), "reproduced"),
        ("detection-fast", (5.0, 2.0, 0.0), "not reproduced"),
        ("detection-fast", (-5.0, -4.0, -1.0), "not reproduced"),  # the least loss is no gain
        ("detection-fast", (2.0, 2.0, 2.0), "not reproduced"),  # no more than for others, to less than a point
        ("detection-gain", (1.5, 1.5, 1.5), "reproduced"),
        ("detection-gain", (-1.5, -1.5, -1.5), "not reproduced"),
        ("detection-gain", (0.0, 0.0, 0.0), "not reproduced"),
    ],
)
def test_what_an_online_detector_gains(claim: str, gains: tuple[float, float, float], expected: str) -> None:
    found = verdict(claim, FRAME_BY_FRAME, gaining(*gains))
    assert found.verdict == expected
    if claim == "detection-gain":
        assert found.measured == pytest.approx(gains[0])
    assert verdict(claim, FRAME_BY_FRAME, gaining(0, 1, 2, spread=20)).verdict == "inconclusive"


def test_offline_forms_candidates_of_a_recipe_and_lost_seeds_are_not_judged() -> None:
    offline, candidate = replace(ONLINE, direction="bidirectional"), replace(DETECTOR, lr_factor=2.0)
    others = [gaining(3, 3, 3, offline), gaining(3, 3, 3, condition=candidate)]
    assert verdict("detection-gain", FRAME_BY_FRAME, *others).verdict == "not measured"
    for key, expected in (((ONLINE, DETECTOR), "invalid"), ((offline, DETECTOR), "reproduced")):
        lost = {("detection", key): "1 seed failed: it diverged"}
        assert verdict("detection-gain", FRAME_BY_FRAME, gaining(3, 3, 3), partial_arms=lost).verdict == expected
