"""What is said of a control follows from its rows: above, below and null read differently, and a null is no proof."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from bench.report.control_words import control_sentences
from bench.report.controls import EXPLAINING, LASTING, arm_name, comparisons
from bench.report.gain import gain_sentences
from bench.report.lasting import lasting_sentences
from bench.report.method import accuracy_method
from bench.report.words import passages
from tests.report.synthetic import FakeTables
from tests.report.synthetic_accuracy import BASELINE_ACCURACY, accuracy_rows, arm, control, control_rows, old_rows

NAN = float("nan")
AGAINST = "against network without a shift"
PLACEMENT = "residual minus in-place"
CHANCE: dict[str, Any] = {"unit": "%", "reference": 25.0}
ONE_FRAME = ("one_frame", "temporal: one-frame network against chance", "no_shift")


def told(full: FakeTables, *rows: dict[str, Any]) -> str:
    tables = replace(full, controls=pd.DataFrame(rows))
    return "\n".join(control_sentences(tables) + lasting_sentences(tables))


def bought(full: FakeTables, rows: list[dict[str, Any]]) -> str:
    return "\n".join(gain_sentences(replace(full, accuracy=pd.DataFrame(rows))))


def test_every_control_is_answered_and_briefly(full: FakeTables) -> None:
    answers = {passage.question: passage.sentences for passage in passages(full)}
    for question in ("What does it buy?", "What do the controls show?", "Does it last?"):
        assert 0 < len(answers[question]) <= 12
        assert all(text[0].isupper() or text[0].isdigit() for text in answers[question])
        assert all(text.endswith(".") and "nan" not in text for text in answers[question])
    for name in [*EXPLAINING, *LASTING]:
        if name == "replication":  # told by verdict, from the claims
            continue
        rows = full.controls[full.controls["control"] == name]
        alone = replace(full, controls=rows)
        assert control_sentences(alone) + lasting_sentences(alone), name
        less = replace(full, controls=full.controls[full.controls["control"] != name])
        assert control_sentences(less) + lasting_sentences(less) != control_sentences(full) + lasting_sentences(full)


def test_an_older_run_has_no_such_passages(full: FakeTables) -> None:
    asked = [passage.question for passage in passages(replace(full, controls=pd.DataFrame()))]
    assert "What do the controls show?" not in asked
    assert "Does it last?" not in asked


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            control(*ONE_FRAME, 25.1, 0.5, **CHANCE),
            "25.1 % [24.6, 25.6], not told from chance (25 %); a difference of 0.70",
        ),
        (control(*ONE_FRAME, 31.0, 0.5, **CHANCE), "above chance (25 %): single frames tell something of the order"),
        (control(*ONE_FRAME, 20.0, 0.5, **CHANCE), "below chance (25 %): only a fault of the data"),
        (control(*ONE_FRAME, 25.0, 0.0, **CHANCE), "in exactly 25 %, which is chance"),
        (control(*ONE_FRAME, 31.0, NAN, **CHANCE), "31.0 % (no interval), which decides nothing"),
    ],
)
def test_a_level_is_held_against_chance(full: FakeTables, row: dict[str, Any], expected: str) -> None:
    assert expected in told(full, row)


@pytest.mark.parametrize(
    ("value", "half", "expected"),
    [
        (4.0, 1.0, "residual is ahead of in-place with 1/2 of the channels (+4.0 points [3.0, 5.0])."),
        (-4.0, 1.0, "in-place is ahead of residual with 1/2 of the channels (-4.0 points [-5.0, -3.0])."),
        (
            0.5,
            1.0,
            "neither is ahead with 1/2 of the channels (+0.5 points [-0.5, 1.5]); "
            "a difference of 1.4 points would have been found four times in five.",
        ),
        (4.0, NAN, "undecided with one seed: 1/2 of the channels (+4.0 points (no interval))."),
    ],
    ids=["above", "below", "null", "no interval"],
)
@pytest.mark.parametrize("name", ["spatial_only", "depth", "second_data"])
def test_a_difference_is_told_by_its_interval(
    full: FakeTables, name: str, value: float, half: float, expected: str
) -> None:
    assert expected in told(full, control(name, f"spatial: {PLACEMENT}", "copy_shift 1/2", value, half))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3.0, "in-place sees better what is there than residual (+3.0 points [1.8, 4.2])"),
        (-3.0, "in-place still sees less well what is there than residual (-3.0 points [-4.2, -1.8]): the placement"),
        (0.3, "in-place and residual are not told apart in space (+0.3 points [-0.9, 1.5]; a difference of"),
    ],
)
def test_equal_accuracy_in_time(full: FakeTables, value: float, expected: str) -> None:
    comparison = "spatial: in-place minus residual path at equal temporal accuracy"
    mean = control("matched", comparison, "copy_shift, mean over fractions", value)
    assert expected in told(full, mean, control("matched", comparison, "copy_shift inplace 1/8", -20.0))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5.0, "a gain for residual 1/2 (+5.0"),
        (-5.0, "a loss for residual 1/2"),
        (0.1, "no difference was found for residual 1/2"),
    ],
)
def test_longer_training(full: FakeTables, value: float, expected: str) -> None:
    row = control("longer", "joint: twice the epochs minus the recipe's epochs", "copy_shift residual 1/2", value)
    assert expected in told(full, row)


@pytest.mark.parametrize(
    ("value", "expected"), [(5.0, "still ahead of it:"), (-5.0, "still behind it:"), (0.1, "not told from it:")]
)
def test_longer_training_against_a_quarter(full: FakeTables, value: float, expected: str) -> None:
    words = "joint: twice the epochs minus 1/4 with the recipe's epochs"
    text = told(full, control("longer", words, "copy_shift residual 1/2", value))
    assert f"against 1/4 of the channels trained once, {expected} residual 1/2" in text
    assert "whether 1/4 gains as much by longer training was not tried" in text


def test_a_schedule_is_not_counted_as_another_one_where_it_is_the_recipes(full: FakeTables) -> None:
    rows = [
        control("schedule", f"joint: {PLACEMENT}", f"copy_shift 1/2, learning rate × {lr}, epochs × 1", value)
        for lr, value in ((1, 50.0), (2, 4.0))
    ]
    change = "joint: residual minus in-place, against the recipe's schedule"
    text = told(full, *rows, control("schedule", change, "copy_shift 1/2, learning rate × 2, epochs × 1", -46.0))
    assert "50.0" not in text
    assert "residual is ahead of in-place with learning rate × 2 / epochs × 1 (+4.0" in text
    assert (
        "the lead of residual over in-place, both right: smaller than in the recipe with learning rate" in text.lower()
    )


def test_many_comparisons_are_counted(full: FakeTables) -> None:
    rows = [
        control("mixture", f"mixture: {AGAINST}", f"copy_shift residual {s}", v)
        for s, v in (("1/8", 9.0), ("1/4", 8.0), ("1/2", 4.0), ("1", 0.4))
    ]
    text = told(full, *rows, control("mixture", f"mixture: {AGAINST}", "temporal_conv residual 1", 50.0))
    assert "a gain for 3 of 4, from residual 1/2 (+4.0 points [2.8, 5.2]) to residual 1/8 (+9.0" in text
    assert "no difference was found for residual all (+0.4" in text
    assert "50.0" not in text  # the learned exchange has a control of its own


def test_the_verdicts_stand_or_moved(full: FakeTables) -> None:
    def verdict(name: str, verdict: str, value: float, **more: Any) -> dict[str, Any]:
        measured = {"measured": value, "ci_low": value - 1, "ci_high": value + 1}
        return {"id": name, "unit": "points", "verdict": verdict, **measured, **more}

    again = {key: value for key, value in verdict("", "inconclusive", 0.2).items() if key not in ("id", "unit")}
    stands = verdict("a", "reproduced", 5.0, repeated={**again, "verdict": "reproduced"})
    moved = verdict("b", "not reproduced", -5.0, repeated=again)
    tables = replace(full, controls=pd.DataFrame(), claims=[stands, moved, verdict("c", "inconclusive", 0.0)])
    (text,) = lasting_sentences(tables)
    assert "a held both times (+5.0 points [4.0, 6.0], then +0.2 points [-0.8, 1.2])" in text
    assert "b moved: it did not hold, then it could not be decided (-5.0 points [-6.0, -4.0], then +0.2" in text
    assert text.endswith("not repeated in whole: c.")
    assert lasting_sentences(replace(tables, claims=[verdict("c", "inconclusive", 0.0)])) == []


def test_the_table_may_be_more_careful_than_the_interval() -> None:
    row = control("mixture", f"mixture: {AGAINST}", "copy_shift residual 1", 5.0)
    careful = comparisons(pd.DataFrame([row | {"answer": "holds zero"}]))
    assert [one.answer for one in careful] == ["holds zero"]
    careless = control("mixture", f"mixture: {AGAINST}", "copy_shift residual 1", 0.1) | {"answer": "above"}
    assert [one.answer for one in comparisons(pd.DataFrame([careless]))] == ["holds zero"]


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("copy_shift inplace 1", "in-place all"),
        ("copy_shift residual 1/4 unidirectional", "residual 1/4 unidirectional"),
        ("copy_shift 1/2, learning rate × 2, epochs × 1", "learning rate × 2 / epochs × 1"),
        ("copy_shift, mean over fractions", "mean over fractions"),
        ("temporal_conv residual 1", "temporal_conv residual all"),
        ("no_shift", "no_shift"),
    ],
)
def test_arms_are_named_in_words(subject: str, expected: str) -> None:
    assert arm_name(subject) == expected


def test_a_difference_needs_interval_and_adjusted_p(full: FakeTables) -> None:
    base = arm("residual", 0.0, BASELINE_ACCURACY, 10, "no_shift")
    lower = arm("residual", 0.25, (92.0, 90.0, 82.0), 10)
    assert "a loss, the price in space" in bought(full, [base, lower])
    undecided = bought(full, [base, lower | {"spatial_delta_p": 0.08}])
    assert "changes by -2.8 points [-4.4, -1.2], p = 0.080: not separated from zero; a difference of" in undecided
    old = {name: value for name, value in lower.items() if not name.endswith("_p")}
    assert "a loss, the price in space" in bought(full, [base, old])


def test_what_a_shift_buys_with_all_that_is_known(full: FakeTables) -> None:
    text = bought(full, accuracy_rows())
    assert "p < 0.001 against no shift (p adjusted by Holm over the arms)" in text
    assert "puts that gain at [61.3, 65.5] points; 18 % of its variance between seeds" in text
    assert "stays exactly at chance, 25 %" in text
    assert "a loss for all 8, from in-place 1/2 (-18.3" in text


def test_what_a_shift_buys_in_an_older_run(full: FakeTables) -> None:
    text = bought(full, old_rows())
    assert "+63.4 points [61.8, 65.0] against no shift." in text
    assert "Resampling" not in text
    assert "p <" not in text
    assert "a loss for all 8" in text


def test_a_baseline_that_knows_the_order_is_an_alarm(full: FakeTables) -> None:
    rows = accuracy_rows()
    rows[0] |= {"temporal_mean_pct": 31.0, "temporal_ci_low_pct": 30.0, "temporal_ci_high_pct": 32.0}
    assert "31.0 % [30.0, 32.0], which is not chance (25 %): single frames leak the order" in bought(full, rows)
    rows[0] |= {"temporal_mean_pct": 25.4, "temporal_ci_low_pct": 24.0, "temporal_ci_high_pct": 26.8}
    assert "stays at chance, 25.4 % [24.0, 26.8]" in bought(full, rows)


def test_equally_good_arms_and_lost_seeds_are_named(full: FakeTables) -> None:
    rows = accuracy_rows()
    near = {"joint_behind_pct": 0.4, "joint_behind_ci_low_pct": -0.2, "joint_behind_ci_high_pct": 1.0}
    rows = [row | {"joint_behind_ci_low_pct": 3.0} for row in rows]
    rows += [arm("residual", 0.1, (90.0, 95.0, 86.6))]
    rows += [arm("residual", share, (90.0, 95.0, 86.5)) | near for share in (0.15, 0.2, 0.22, 0.24)]
    rows[1] |= {"reason": "1 seed failed: the loss was nan at step 3"}
    text = bought(full, rows)
    assert "Not judged, because seeds failed and the others would flatter: copy_shift, residual, 1/8" in text
    assert "Best joint accuracy of 12 arms on ring_digits: copy_shift, residual, 1/10 of the channels" in text
    assert (
        "Not told from it, paired by seed and for all arms at once: residual 3/20 (0.4 points [-0.2, 1.0] behind)"
        in text
    )
    assert "and 1 more" not in text


def test_the_method_says_what_this_run_did(full: FakeTables) -> None:
    text = " ".join(accuracy_method(full))
    assert "training, validation and test (60 % / 15 % / 25 %)" in text
    assert "adjusted by Holm" in text
    assert "draws seeds and test clips together" in text
    assert "frames in a random order" in text
    older = replace(full, header={"settings": {"accuracy": {"recipe": {"train_share": 0.75}}}})
    text = " ".join(accuracy_method(replace(older, accuracy=pd.DataFrame(old_rows()))))
    assert "validation" not in text
    assert "Holm" not in text
    recipe = {"train_share": 0.6, "validation_share": 0.15, "judged_on": "validation"}
    chosen = replace(full, header={"settings": {"accuracy": {"recipe": recipe}}})
    assert "it is no test" in " ".join(accuracy_method(chosen))
    assert accuracy_method(replace(full, accuracy=pd.DataFrame())) == []


def test_rows_of_a_whole_run_are_all_read() -> None:
    found = comparisons(pd.DataFrame(control_rows()))
    assert len(found) == len(control_rows())
    assert [one.control for one in found] == sorted((one.control for one in found), key=[*EXPLAINING, *LASTING].index)
