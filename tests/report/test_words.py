"""The answer says what the tables say: with intervals, without overclaiming, and nothing where a control failed."""

from dataclasses import replace

import pandas as pd
import pytest

from bench.report.cost import slope_sentence
from bench.report.numbers import Estimate, duration_text, fixed, fraction_text
from bench.report.words import VERDICTS, answer, finding_sentences, passages
from tests.report.synthetic import BASELINE_ACCURACY, FakeTables, accuracy_rows, arm, case, latency_rows

NAN = float("nan")


def said(tables: FakeTables) -> str:
    return "\n".join(answer(tables))


def slope(value: float, low: float, high: float) -> str:
    row = {"strategy": "copy_shift", "placement": "residual", "direction": "bidirectional"}
    return slope_sentence(row | {"slope_pct": value, "slope_ci_low_pct": low, "slope_ci_high_pct": high})


def test_a_full_run_is_answered(full: FakeTables) -> None:
    text = said(full)
    assert "the network without a shift takes 372 ms" in text
    assert "(copy_shift, residual) costs +11.4 % [11.0, 11.8] with all channels" in text
    assert "buffer_shift (+1.4 % [0.9, 1.9]) is the fastest exact mechanism" in text
    assert "copy_shift, residual, 1/8 of the channels reaches 87.1 % [85.8, 88.4], +63.4 points [61.8, 65.0]" in text
    assert "changes by -4.1 points [-5.7, -2.5]: a loss" in text
    assert "Take buffer_shift, residual, 1/8 of the channels: +1.1 % [0.5, 1.7] latency" in text
    assert "two identical networks differ by +0.1 % [-0.3, 0.4]" in text
    assert "reached the target of 0.5" in text
    assert "1 failed and 1 skipped" in text
    assert "nan" not in text


def test_every_verdict_is_counted_and_named(full: FakeTables) -> None:
    text = said(full)
    for claim in full.claims:
        assert f"{VERDICTS[claim['verdict']]}: {claim['id']}." in text


def test_a_finding_with_several_subjects_is_named_once() -> None:
    claims = [
        {"id": f"naive-cpu/{subject}", "claim": "naive-cpu", "subject": subject, "verdict": "reproduced"}
        for subject in ("copy_shift", "concat_shift")
    ]
    assert finding_sentences(claims) == ["2 of 2 held: naive-cpu (copy_shift, concat_shift)."]


def test_ties_are_not_called_fastest(full: FakeTables) -> None:
    rows = [case("no_shift", "residual", 0.0, 0.0), case("buffer_shift", "residual", 0.25, 1.4, 0.6)]
    rows.append(case("concat_shift", "residual", 0.25, 1.9, 0.6))
    text = said(replace(full, latency=pd.DataFrame(rows)))
    assert "fastest exact mechanism" not in text
    assert "buffer_shift (+1.4 % [0.8, 2.0]) and concat_shift (+1.9 % [1.3, 2.5]) are tied" in text


def test_the_fastest_is_named_where_there_is_a_comparison(full: FakeTables) -> None:
    rows = [case("concat_shift", "residual", 0.25, 2.5), case("buffer_shift", "residual", 0.125, 1.0)]
    rows += [case("no_shift", "residual", 0.0, 0.0), case("copy_shift", "residual", 0.125, 9.0)]
    text = said(replace(full, latency=pd.DataFrame(rows)))
    assert "With 1/8 of the channels in residual placement buffer_shift (+1.0 % [0.4, 1.6]) is the fastest" in text


def test_a_plug_in_with_another_function_is_not_exact(full: FakeTables) -> None:
    rows = [*latency_rows(), case("two_back", "residual", 0.25, 0.1, 0.1)]
    text = said(replace(full, latency=pd.DataFrame(rows)))
    assert "two_back" not in text.split("reached the target")[0]


def test_a_suspect_run_withholds_what_rests_on_the_clock(full: FakeTables) -> None:
    told = {p.question: p.sentences for p in passages(replace(full, suspect="The control is off by 1.2 points."))}
    text = "\n".join(sentence for sentences in told.values() for sentence in sentences)
    assert told["What does the shift cost here?"][0].startswith("Withheld: The control is off by 1.2 points.")
    assert "+11.4 %" not in text
    assert "slope" not in text
    assert "Take " not in text
    assert "87.1 %" in text


def test_one_seed_and_one_replicate_have_no_intervals(full: FakeTables) -> None:
    latency = full.latency.assign(
        overhead_ci_low_pct=NAN, overhead_ci_high_pct=NAN, half_width_pct=NAN, detectable_pct=NAN
    )
    text = said(replace(full, latency=latency, accuracy=pd.DataFrame(accuracy_rows(1)), slopes=pd.DataFrame()))
    assert "87.1 % (one seed: no interval)" in text
    assert "+11.4 % (one replicate: no interval)" in text
    assert "none can be called the fastest" in text
    assert "No recommendation" in text
    assert "Take " not in text
    assert "nan" not in text


def test_half_a_run_says_which_half(full: FakeTables) -> None:
    assert "Accuracy was not measured here" in said(replace(full, accuracy=pd.DataFrame()))
    text = said(replace(full, latency=pd.DataFrame(), slopes=pd.DataFrame(), superblocks=pd.DataFrame()))
    assert "this run has no latency cases" in text
    assert "Latency was not measured here" in text
    assert said(FakeTables(full.folder)).count("Not measured") == 2


def test_no_gain_means_no_shift(full: FakeTables) -> None:
    rows = [arm("residual", 0.0, BASELINE_ACCURACY, 5, "no_shift"), arm("residual", 0.25, BASELINE_ACCURACY)]
    assert "there is nothing to buy" in said(replace(full, accuracy=pd.DataFrame(rows)))


def test_several_panels_are_told_apart(full: FakeTables) -> None:
    text = said(replace(full, latency=pd.DataFrame(latency_rows() + latency_rows(device="cuda"))))
    assert "A/A control (cuda)" in text
    assert text.count("fastest exact mechanism") == 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.3, -0.5, 1.1), "copy_shift (residual) costs the same at every fraction: slope +0.3 points [-0.5, 1.1]."),
        ((3.7, 2.9, 4.5), "copy_shift (residual) grows by 3.7 points [2.9, 4.5] from no channels to all."),
        ((-3.7, -4.5, -2.9), "copy_shift (residual) falls by 3.7 points [2.9, 4.5] from no channels to all."),
        ((0.3, -5.0, 5.6), "no trend with the fraction was found"),
        ((0.3, NAN, NAN), "slope +0.3 points (one replicate: no interval)"),
    ],
)
def test_slopes(values: tuple[float, float, float], expected: str) -> None:
    assert expected in slope(*values)


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(11.23, 10.62, 11.84), "+11.2 % [10.6, 11.8]"),
        (Estimate(0.031, 0.012, 0.05), "+0.03 % [0.01, 0.05]"),
        (Estimate(176.3, 150.2, 202.4), "+176 % [150, 202]"),
        (Estimate(-0.01, -0.5, 0.48), "0.0 % [-0.5, 0.5]"),
        (Estimate(1.0), "+1.0 % (no interval)"),
    ],
)
def test_estimates_are_rounded_as_finely_as_they_are_known(estimate: Estimate, expected: str) -> None:
    assert estimate.text() == expected


def test_nothing_is_separated_without_an_interval() -> None:
    assert Estimate(1.0).overlaps(Estimate(9.0, 8.9, 9.1))
    assert Estimate(1.0).holds_zero
    assert not Estimate(1.0, 0.9, 1.1).overlaps(Estimate(9.0, 8.9, 9.1))


@pytest.mark.parametrize(
    ("value", "expected"), [(0.0, "0"), (0.125, "1/8"), (1 / 3, "1/3"), (1.0, "all"), (0.123, "12.3 %"), (NAN, "n/a")]
)
def test_fractions(value: float, expected: str) -> None:
    assert fraction_text(value) == expected


def test_small_formats() -> None:
    assert [duration_text(s) for s in (4.25, 45, 580, 3900)] == ["4.25 s", "45 s", "9 min 40 s", "1 h 5 min"]
    assert fixed(NAN) == "n/a"
