"""Each control: which arms it holds against which, and what it answers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bench.analysis.arms import arms, lost_seeds
from bench.analysis.comparisons import (
    ABOVE,
    BELOW,
    HOLDS_REFERENCE,
    NO_INTERVAL,
    Comparison,
    compare_controls,
    load_controls,
)
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant
from bench.store.records import TrainedRecord
from tests.analysis.synthetic import drawn, main_study
from tests.store.synthetic import USUAL, failed_training, shift

SEEDS = range(5)
BOTH_AT_HALF = {shift("residual", "1/2"): (0.9, 0.8), shift("inplace", "1/2"): (0.6, 0.8)}
BETWEEN = "residual minus in-place"
AGAINST_BASELINE = "against network without a shift"
OTHER_ARMS = ["copy_shift residual 1/4", "copy_shift residual 1", "copy_shift inplace 1/4", "copy_shift inplace 1"]


def controls(records: Sequence[TrainedRecord], name: str) -> list[Comparison]:
    found = compare_controls(arms(records, "accuracy"), lost_seeds(records, "accuracy"))
    return [comparison for comparison in found if comparison.control == name]


def study(condition: Condition, chances: dict[Variant, tuple[float, float]], classes: int = 4) -> list[TrainedRecord]:
    return [drawn(variant, *chance, seed, condition, classes) for seed in SEEDS for variant, chance in chances.items()]


def one(comparisons: Sequence[Comparison], **wanted: Any) -> Comparison:
    """The one of which these fields are as wanted."""
    (found,) = [c for c in comparisons if all(getattr(c, name) == value for name, value in wanted.items())]
    return found


def test_there_are_fourteen() -> None:
    ids = "one_frame mixture shuffled spatial_only temporal_only matched exchange volumetric longer schedule depth"
    assert [control.id for control in load_controls()] == [*ids.split(), "inner", "second_data", "replication"]


def test_what_was_not_trained_is_not_compared() -> None:
    found = compare_controls(arms(main_study(), "accuracy"))
    assert {comparison.control for comparison in found} <= {"mixture", "matched"}
    assert compare_controls([]) == []


def test_a_single_frame_is_held_against_chance_and_against_all_frames() -> None:
    records = main_study() + study(replace(USUAL, view="one_frame"), {BASELINE_VARIANT: (0.8, 0.25)})
    temporal, spatial = controls(records, "one_frame")
    assert (temporal.outcome, temporal.unit, temporal.reference) == ("temporal", "%", 25.0)
    assert (temporal.answer, temporal.seeds, temporal.explains) == (HOLDS_REFERENCE, 5, True)
    assert temporal.interval.low < 25.0 < temporal.interval.high
    assert (spatial.outcome, spatial.unit, spatial.reference, spatial.answer) == ("spatial", "pp", 0.0, BELOW)
    assert spatial.interval.mean == pytest.approx(-15, abs=5)


def test_on_a_mixture_the_baseline_is_not_capped() -> None:
    found = controls(main_study(), "mixture")
    assert sorted(comparison.subject for comparison in found) == sorted(OTHER_ARMS)
    means = {comparison.subject: comparison.interval.mean for comparison in found}
    assert one(found, subject="copy_shift residual 1/4").answer == ABOVE
    assert means["copy_shift inplace 1"] < means["copy_shift residual 1"]


def test_shuffled_frames() -> None:
    accuracies = {"shuffled_spatial_accuracy": 0.7, "shuffled_temporal_accuracy": 0.25}
    records = [drawn(shift(), 0.9, 0.9, seed, **accuracies) for seed in SEEDS]
    temporal, spatial = controls(records, "shuffled")
    assert (temporal.interval.mean, temporal.reference) == (pytest.approx(25.0), 25.0)
    assert temporal.answer == HOLDS_REFERENCE
    assert (spatial.answer, spatial.unit) == (BELOW, "pp")
    assert spatial.interval.mean == pytest.approx(-20, abs=5)


@pytest.mark.parametrize(("part", "answer"), [("spatial", BELOW), ("temporal", ABOVE)])
def test_one_loss_alone(part: str, answer: str) -> None:
    low, high = (0.5, 0.5), (0.8, 0.8)
    chances = {shift("residual", "1"): high, shift("inplace", "1"): low, BASELINE_VARIANT: (0.95, 0.25)}
    *against, between = controls(study(replace(USUAL, objective=part), chances), f"{part}_only")
    assert [(c.words, c.subject, c.answer) for c in against] == [
        (AGAINST_BASELINE, f"copy_shift {placement} 1", answer) for placement in ("residual", "inplace")
    ]
    assert (between.outcome, between.words, between.subject) == (part, BETWEEN, "copy_shift 1")
    assert (between.answer, between.interval.mean) == (ABOVE, pytest.approx(30, abs=6))


# --- at equal accuracy in time ----------------------------------------------------------------------------------------


def ending(variant: Variant, spatial: float, temporal: float, seed: int) -> TrainedRecord:
    """A training that ended with exactly these test accuracies."""
    return drawn(variant, 0.5, 0.5, seed, spatial_accuracy=spatial, temporal_accuracy=temporal)


def path(inplace: tuple[float, float], residual: Sequence[str] = ("1", "1/4")) -> list[TrainedRecord]:
    """The residual path goes (spatial, temporal) from (0.9, 0.5) at all to (0.7, 0.9) at 1/4; in-place 1/4 as given."""
    ends = {"1": (0.9, 0.5), "1/4": (0.7, 0.9)}
    points = {shift("residual", fraction): ends[fraction] for fraction in residual}
    points[shift("inplace", "1/4")] = inplace
    return [
        ending(variant, spatial + 0.001 * seed, temporal, seed)
        for seed in range(5)
        for variant, (spatial, temporal) in points.items()
    ]


def test_in_place_is_held_against_the_residual_path_where_both_are_equally_good_in_time() -> None:
    """At 0.6 in time the path is a quarter of its way along: 0.85 in space."""
    (found,) = controls(path((0.75, 0.6)), "matched")
    assert (found.subject, found.answer, found.seeds) == ("copy_shift inplace 1/4", BELOW, 5)
    assert found.interval.mean == pytest.approx(75 - 85)


@pytest.mark.parametrize("temporal", [0.4, 0.95])
def test_nothing_is_made_up_beyond_the_ends_of_the_path(temporal: float) -> None:
    assert controls(path((0.75, temporal)), "matched") == []


def test_a_path_needs_two_arms_and_every_seed() -> None:
    assert controls(path((0.75, 0.6), residual=["1"]), "matched") == []
    lacking = [r for r in path((0.75, 0.6)) if r.trial.seed == 0 or r.trial.variant != shift("residual", "1")]
    assert [found.seeds for found in controls(lacking, "matched")] == [1]


def test_a_mean_over_fractions_is_over_the_seeds_that_all_have() -> None:
    """At 1/2 the last seed lies beyond the path's end."""
    more = [ending(shift("inplace", "1/2"), 0.65, 0.6 if seed < 2 else 0.95, seed) for seed in range(3)]
    mean, quarter, half = controls([*path((0.75, 0.6)), *more], "matched")
    assert (mean.subject, mean.seeds, quarter.seeds, half.seeds) == ("copy_shift, mean over fractions", 2, 5, 2)
    assert mean.interval.mean == pytest.approx((-10.0 - 20.05) / 2)


# --- other networks, schedules, data, seeds ---------------------------------------------------------------------------


def test_a_learned_exchange_and_3d_networks_are_held_against_the_shift() -> None:
    records = main_study() + study(USUAL, {shift("residual", "1", strategy="temporal_conv"): (0.7, 0.85)})
    for backbone in ("digits_r3d", "digits_r2plus1d"):
        records += study(replace(USUAL, backbone=backbone), {BASELINE_VARIANT: (0.9, 0.9)})
    exchange = controls(records, "exchange")
    assert [(c.outcome, c.subject) for c in exchange] == [
        (part, "temporal_conv residual 1") for part in ("spatial", "temporal", "joint")
    ]
    assert (exchange[0].answer, exchange[0].interval.mean) == (BELOW, pytest.approx(-20, abs=5))
    volumetric = controls(records, "volumetric")
    assert [c.subject for c in volumetric] == ["digits_r3d"] * 3 + ["digits_r2plus1d"] * 3


def schedules() -> list[TrainedRecord]:
    records = study(USUAL, BOTH_AT_HALF)
    for lr, length in ((0.5, 1.0), (1.0, 2.0)):
        records += study(replace(USUAL, lr_factor=lr, length_factor=length), BOTH_AT_HALF)
    return records


def test_learning_rate_and_length() -> None:
    assert controls(study(USUAL, BOTH_AT_HALF), "schedule") == []  # one schedule is none to compare
    found = controls(schedules(), "schedule")
    plain, changes = found[:6], found[6:]
    subjects = [f"copy_shift 1/2, learning rate × {lr}, epochs × {length}" for lr, length in ((0.5, 1), (1, 1), (1, 2))]
    assert [(c.outcome, c.subject) for c in plain] == [(o, s) for o in ("joint", "spatial") for s in subjects]
    assert {(c.words, c.answer) for c in plain} == {(BETWEEN, ABOVE)}
    assert {c.words for c in changes} == {"residual minus in-place, against the recipe's schedule"}
    assert [(c.outcome, c.subject) for c in changes] == [(o, s) for o in ("joint", "spatial") for s in subjects[::2]]
    assert changes[0].interval.mean == pytest.approx(plain[0].interval.mean - plain[1].interval.mean)


def test_twice_the_training() -> None:
    found = controls(schedules(), "longer")
    assert list(dict.fromkeys(c.subject for c in found)) == ["copy_shift residual 1/2", "copy_shift inplace 1/2"]
    assert max(abs(c.interval.mean) for c in found) < 10
    assert {c.words for c in found} == {"twice the epochs minus the recipe's epochs"}
    quarter = study(USUAL, {shift("residual", "1/4"): (0.95, 0.95)})
    words = "twice the epochs minus 1/4 with the recipe's epochs"
    found = controls(schedules() + quarter, "longer")
    assert one(found, words=words, outcome="joint").subject == "copy_shift residual 1/2"
    assert one(found, words=words, outcome="joint").answer == BELOW


def test_the_narrow_place_has_a_control_of_its_own() -> None:
    usual, narrow = (shift("residual", "1/2", strategy=name) for name in ("copy_shift", "inner_shift"))
    chances = {BASELINE_VARIANT: (0.95, 0.25), usual: (0.9, 0.9), narrow: (0.6, 0.9)}
    records = study(replace(USUAL, backbone="digits_bottleneck"), chances)
    found = controls(records, "inner")
    assert {c.subject for c in found} == {"inner_shift residual 1/2"}
    spatial = one(found, outcome="spatial", words="at the narrow part minus at the usual place")
    assert (spatial.answer, spatial.interval.mean) == (BELOW, pytest.approx(-30, abs=6))
    assert "inner_shift residual 1/2" not in {c.subject for c in controls(records, "depth")}


@pytest.mark.parametrize(
    ("name", "condition"),
    [("depth", {"backbone": "digits_bottleneck"}), ("second_data", {"dataset": "opening_digits"})],
)
def test_another_network_and_another_task(name: str, condition: dict[str, str]) -> None:
    chances = {BASELINE_VARIANT: (0.95, 0.5), **BOTH_AT_HALF}
    found = controls(study(replace(USUAL, **condition), chances, classes=2), name)  # type: ignore[arg-type]
    if name == "second_data":
        chance = found.pop(0)
        assert (chance.interval.mean, chance.reference, chance.answer) == (50.0, 50.0, HOLDS_REFERENCE)
    assert one(found, outcome="spatial", words=BETWEEN).answer == ABOVE
    below = one(found, outcome="spatial", words=AGAINST_BASELINE, subject="copy_shift inplace 1/2")
    assert below.interval.mean == pytest.approx(-35, abs=6)
    assert len(found) == 2 + 4
    assert not any(c.explains for c in found)


def test_a_repetition_stands_beside_the_main_study() -> None:
    repetition = main_study(range(20, 26), cohort="replication")
    found = controls(main_study() + repetition, "replication")
    assert [(c.subject, c.seeds) for c in found] == [("main seeds", 5), ("other seeds", 6)] * 5
    assert [c.words for c in found[::2]] == [c.words for c in found[1::2]]
    assert (found[0].outcome, found[0].words) == ("joint", "copy_shift residual 1 minus no_shift")
    below = [c.answer for c in found if c.words == "no_shift minus copy_shift inplace 1"]
    assert below == [ABOVE, ABOVE]
    assert controls(repetition, "replication") == []


def test_an_arm_with_a_failed_seed_stands_in_no_comparison() -> None:
    found = controls([*main_study(), failed_training(shift("residual", "1"), 9, "it diverged")], "mixture")
    assert sorted(c.subject for c in found) == sorted(set(OTHER_ARMS) - {"copy_shift residual 1"})
    assert controls([*main_study(), failed_training(BASELINE_VARIANT, 9, "it diverged")], "mixture") == []


def test_one_seed_gives_no_interval() -> None:
    found = controls(main_study([1]), "mixture")
    assert {c.answer for c in found} == {NO_INTERVAL}
    assert all(c.interval.mean == c.interval.mean and c.mde != c.mde for c in found)
