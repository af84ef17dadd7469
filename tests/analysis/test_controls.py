"""Each control: which arms it holds against which, and what it answers."""

from dataclasses import replace

import pandas as pd
import pytest

from bench.analysis.arms import arms, failed_arms
from bench.analysis.tables.controls import CONTROLS, control_table
from bench.analysis.tables.matched import inplace_minus_residual, over_all
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant
from bench.store.records import Record
from tests.analysis.synthetic_arms import USUAL, failed, main_study, shift, trained

SEEDS = range(5)


def controls(records: list[Record], name: str) -> pd.DataFrame:
    found = control_table(arms(records), failed_arms(records))
    return found[found.control == name].reset_index(drop=True)


def study(condition: Condition, chances: dict[Variant, tuple[float, float]], classes: int = 4) -> list[Record]:
    return [
        trained(variant, *chance, seed, condition, classes) for seed in SEEDS for variant, chance in chances.items()
    ]


BOTH_AT_HALF = {shift("residual", "1/2"): (0.9, 0.8), shift("inplace", "1/2"): (0.6, 0.8)}


def test_columns_are_those_of_the_contract() -> None:
    expected = "control comparison subject measured ci_low ci_high unit detectable seeds reference answer"
    assert list(control_table([]).columns) == expected.split()
    assert list(control_table(arms(main_study())).columns) == expected.split()
    ids = "one_frame mixture shuffled spatial_only temporal_only matched exchange volumetric longer schedule depth"
    assert list(CONTROLS) == [*ids.split(), "inner", "second_data", "replication"]


def test_what_was_not_trained_has_no_rows() -> None:
    assert set(control_table(arms(main_study())).control) <= {"mixture", "matched"}
    assert control_table([]).empty


def test_a_single_frame_is_held_against_chance_and_against_all_frames() -> None:
    records = main_study() + study(replace(USUAL, view="one_frame"), {BASELINE_VARIANT: (0.8, 0.25)})
    temporal, spatial = controls(records, "one_frame").itertuples()
    assert (temporal.unit, temporal.reference, temporal.answer, temporal.seeds) == ("%", 25.0, "holds zero", 5)
    assert temporal.ci_low < 25.0 < temporal.ci_high
    assert (spatial.unit, spatial.reference, spatial.answer) == ("points", 0.0, "below")
    assert spatial.measured == pytest.approx(-15, abs=5)


def test_on_a_mixture_the_baseline_is_not_capped() -> None:
    rows = controls(main_study(), "mixture").set_index("subject")
    assert list(rows.index) == [f"copy_shift {p} {f}" for p in ("residual", "inplace") for f in ("1/4", "1")]
    assert rows.answer["copy_shift residual 1/4"] == "above"
    assert rows.measured["copy_shift inplace 1"] < rows.measured["copy_shift residual 1"]


def test_shuffled_frames() -> None:
    more = [{"shuffled_spatial_accuracy": 0.7, "shuffled_temporal_accuracy": 0.25 + 0.001 * s} for s in (-1, 0, 1)]
    records = [trained(shift("residual", "1/4"), 0.9, 0.9, seed, **told) for seed, told in enumerate(more)]
    temporal, spatial = controls(records, "shuffled").itertuples()
    assert (temporal.measured, temporal.reference, temporal.answer) == (pytest.approx(25.0), 25.0, "holds zero")
    assert (spatial.answer, spatial.unit) == ("below", "points")
    assert spatial.measured == pytest.approx(-20, abs=5)


@pytest.mark.parametrize("part", ["spatial", "temporal"])
def test_one_loss_alone(part: str) -> None:
    low, high = (0.5, 0.8)
    chances = {shift("residual", "1"): (high, high), shift("inplace", "1"): (low, low), BASELINE_VARIANT: (0.95, 0.25)}
    rows = controls(study(replace(USUAL, objective=part), chances), f"{part}_only")
    against, between = rows.iloc[:2], rows.iloc[2]
    assert list(against.subject) == ["copy_shift residual 1", "copy_shift inplace 1"]
    assert list(against.answer) == ["below" if part == "spatial" else "above"] * 2
    assert (between.comparison, between.subject) == (f"{part}: residual minus in-place", "copy_shift 1")
    assert (between.answer, between.measured) == ("above", pytest.approx(30, abs=6))


def ending(variant: Variant, spatial: float, temporal: float, seed: int) -> Record:
    """A training that ended with exactly these test accuracies."""
    return trained(variant, 0.5, 0.5, seed, spatial_accuracy=spatial, temporal_accuracy=temporal)


def path(inplace: tuple[float, float], seeds: range = range(3)) -> list[Record]:
    """The residual path goes (spatial, temporal) from (0.9, 0.5) at all to (0.7, 0.9) at 1/4; in-place 1/4 as given."""
    ends = {
        shift("residual", "1"): (0.9, 0.5),
        shift("residual", "1/4"): (0.7, 0.9),
        shift("inplace", "1/4"): inplace,
    }
    return [
        ending(variant, spatial + 0.001 * seed, temporal, seed)
        for seed in seeds
        for variant, (spatial, temporal) in ends.items()
    ]


def test_in_place_is_held_against_the_residual_path_where_both_are_equally_good_in_time() -> None:
    """At 0.6 in time the path is a quarter of its way along: 0.85 in space."""
    (row,) = controls(path((0.75, 0.6)), "matched").itertuples()
    assert (row.subject, row.answer, row.seeds) == ("copy_shift inplace 1/4", "below", 3)
    assert row.measured == pytest.approx(75 - 85)


@pytest.mark.parametrize("temporal", [0.4, 0.95])
def test_nothing_is_made_up_beyond_the_ends_of_the_path(temporal: float) -> None:
    assert controls(path((0.75, temporal)), "matched").empty


def test_a_path_needs_two_arms_and_every_seed() -> None:
    records = path((0.75, 0.6))
    all_of_them = {arm.variant: arm for arm in arms(records)}
    inplace = all_of_them[shift("inplace", "1/4")]
    residual = [all_of_them[shift("residual", fraction)] for fraction in ("1/4", "1")]
    assert sorted(inplace_minus_residual(inplace, residual)) == [0, 1, 2]
    assert inplace_minus_residual(inplace, residual[:1]) == {}
    lacking = [residual[0], replace(residual[1], seeds={0: residual[1].seeds[0]})]
    assert sorted(inplace_minus_residual(inplace, lacking)) == [0]


def test_a_mean_is_over_the_seeds_that_all_have() -> None:
    assert over_all([{1: 2.0, 2: 4.0}, {2: 8.0, 3: 1.0}]) == {2: 6.0}
    assert over_all([]) == {}


def test_a_learned_exchange_and_3d_networks_are_held_against_the_shift() -> None:
    records = main_study() + study(USUAL, {shift("residual", "1", strategy="temporal_conv"): (0.7, 0.85)})
    for backbone in ("digits_r3d", "digits_r2plus1d"):
        records += study(replace(USUAL, backbone=backbone), {BASELINE_VARIANT: (0.9, 0.9)})
    for name, subjects in (
        ("exchange", ["temporal_conv residual 1"]),
        ("volumetric", ["digits_r3d", "digits_r2plus1d"]),
    ):
        rows = controls(records, name)
        assert list(rows.subject.unique()) == subjects
        assert len(rows) == 3 * len(subjects)
    spatial = controls(records, "exchange").iloc[0]
    assert (spatial.answer, spatial.measured) == ("below", pytest.approx(-20, abs=5))


def test_length_and_learning_rate() -> None:
    records = study(USUAL, BOTH_AT_HALF)
    assert controls(records, "schedule").empty
    for lr, length in ((0.5, 1.0), (1.0, 2.0)):
        records += study(replace(USUAL, lr_factor=lr, length_factor=length), BOTH_AT_HALF)
    rows = controls(records, "schedule")
    plain = rows[~rows.comparison.str.contains("against")]
    assert list(plain.subject[:3]) == [
        "copy_shift 1/2, learning rate × 0.5, epochs × 1",
        "copy_shift 1/2, learning rate × 1, epochs × 1",
        "copy_shift 1/2, learning rate × 1, epochs × 2",
    ]
    assert list(plain.comparison.unique()) == [f"{part}: residual minus in-place" for part in ("joint", "spatial")]
    assert set(plain.answer) == {"above"}
    changes = rows[rows.comparison.str.contains("against the recipe's schedule")]
    assert len(changes) == 4
    by = plain.set_index(["comparison", "subject"]).measured
    first = changes.iloc[0]
    words = "joint: residual minus in-place"
    assert first.measured == pytest.approx(
        by[words, "copy_shift 1/2, learning rate × 0.5, epochs × 1"]
        - by[words, "copy_shift 1/2, learning rate × 1, epochs × 1"]
    )
    longer = controls(records, "longer")
    assert list(longer.subject.unique()) == ["copy_shift residual 1/2", "copy_shift inplace 1/2"]
    assert longer.measured.abs().max() < 10
    assert not longer.comparison.str.contains("1/4").any()
    records += study(USUAL, {shift("residual", "1/4"): (0.95, 0.95)})
    (quarter,) = controls(records, "longer").query("comparison.str.contains('joint: .* 1/4')").itertuples()
    assert (quarter.subject, quarter.answer) == ("copy_shift residual 1/2", "below")


def test_the_narrow_place_has_a_control_of_its_own() -> None:
    condition = replace(USUAL, backbone="digits_bottleneck")
    both = {name: shift("residual", "1/2", strategy=name) for name in ("copy_shift", "inner_shift")}
    chances = {BASELINE_VARIANT: (0.95, 0.25), both["copy_shift"]: (0.9, 0.9), both["inner_shift"]: (0.6, 0.9)}
    records = study(condition, chances)
    rows = controls(records, "inner")
    assert list(rows.subject.unique()) == ["inner_shift residual 1/2"]
    spatial = rows[rows.comparison == "spatial: at the narrow part minus at the usual place"].iloc[0]
    assert (spatial.answer, spatial.measured) == ("below", pytest.approx(-30, abs=6))
    assert "inner_shift residual 1/2" not in set(controls(records, "depth").subject)


@pytest.mark.parametrize(
    ("name", "condition"),
    [("depth", {"backbone": "digits_bottleneck"}), ("second_data", {"dataset": "opening_digits"})],
)
def test_another_network_and_another_task(name: str, condition: dict[str, str]) -> None:
    chances = {BASELINE_VARIANT: (0.95, 0.5), **BOTH_AT_HALF}
    rows = controls(study(replace(USUAL, **condition), chances, classes=2), name)
    if name == "second_data":
        chance = rows.iloc[0]
        assert (chance.measured, chance.reference, chance.answer) == (50.0, 50.0, "holds zero")
        rows = rows.iloc[1:]
    assert list(rows.answer[rows.comparison == "spatial: residual minus in-place"]) == ["above"]
    below = rows[rows.comparison == "spatial: against network without a shift"].set_index("subject")
    assert below.measured["copy_shift inplace 1/2"] == pytest.approx(-35, abs=6)
    assert len(rows) == 2 + 4


def test_a_repetition_stands_beside_the_main_study() -> None:
    rows = controls(main_study() + main_study(range(20, 26), cohort="replication"), "replication")
    assert len(rows) == 10
    assert list(rows.subject) == ["main seeds", "other seeds"] * 5
    assert list(rows.seeds) == [5, 6] * 5
    assert list(rows.comparison[::2]) == list(rows.comparison[1::2])
    assert rows.comparison[0] == "joint: copy_shift residual 1 minus no_shift"
    assert rows.answer[rows.comparison == "spatial: no_shift minus copy_shift inplace 1"].eq("above").all()
    assert controls(main_study(range(20, 26), cohort="replication"), "replication").empty


def test_an_arm_with_a_failed_seed_stands_in_no_comparison() -> None:
    rows = controls([*main_study(), failed(shift("residual", "1"), 9, "Diverged")], "mixture")
    assert "copy_shift residual 1" not in set(rows.subject)
    assert len(rows) == 3
    assert controls([*main_study(), failed(BASELINE_VARIANT, 9, "Diverged")], "mixture").empty


def test_one_seed_gives_no_interval() -> None:
    rows = controls(main_study(seeds=[1]), "mixture")
    assert set(rows.answer) == {"no interval"}
    assert rows.measured.notna().all() and rows[["ci_low", "ci_high", "detectable"]].isna().all().all()
