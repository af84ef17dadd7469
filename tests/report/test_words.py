"""The answer says what the tables say: with intervals, without overclaiming, and nothing where a control failed."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from bench.report.cost import slope_sentence
from bench.report.movement import reason
from bench.report.numbers import Estimate, duration_text, fixed, fraction_text
from bench.report.words import VERDICTS, answer, finding_sentences, passages
from bench.spec.cases import Panel
from tests.report.synthetic import FakeTables
from tests.report.synthetic_accuracy import BASELINE_ACCURACY, accuracy_rows, arm
from tests.report.synthetic_latency import PANEL, case, contest_rows, latency_rows, on_gpu, quality_row, swept_rows

NAN = float("nan")


def said(tables: FakeTables) -> str:
    return "\n".join(answer(tables))


def timed(tables: FakeTables, rows: list[dict[str, Any]], half: float = 0.5) -> FakeTables:
    """The run with other latency rows and the contests that follow from them; ``half``: width of the margins."""
    return replace(tables, latency=pd.DataFrame(rows), contests=pd.DataFrame(contest_rows(rows, half)))


def slope(value: float, low: float, high: float) -> str:
    row = {"strategy": "copy_shift", "placement": "residual", "direction": "bidirectional"}
    return slope_sentence(row | {"slope_pct": value, "slope_ci_low_pct": low, "slope_ci_high_pct": high})


def test_what_was_not_measured_is_said_last(full: FakeTables) -> None:
    asked = [passage.question for passage in passages(replace(full, latency=pd.DataFrame(), contests=pd.DataFrame()))]
    assert asked[-1] == "What does the shift cost here?" != asked[0]
    assert passages(full)[0].question == "What does the shift cost here?"


def test_a_full_run_is_answered(full: FakeTables) -> None:
    text = said(full)
    assert "the network without a shift takes 372 ms" in text
    assert "(copy_shift, residual) costs +11.4 % [11.0, 11.8] with all channels" in text
    assert (
        "buffer_shift (+1.4 % [0.9, 1.9]) is the fastest exact mechanism, ahead of the runner-up concat_shift by"
        in text
    )
    assert "by 9.4 points [8.9, 9.9] (simultaneous)" in text
    assert "copy_shift, residual, 1/8 of the channels reaches 87.1 % [85.8, 88.4], +63.4 points [61.8, 65.0]" in text
    assert "changes by -4.1 points [-5.7, -2.5], p < 0.001: a loss" in text
    assert "Take buffer_shift, residual, 1/8 of the channels: +1.1 % [0.5, 1.7] latency" in text
    assert "two identical networks differ by +0.1 % [-0.3, 0.4]: no difference is found where there is none" in text
    assert "an effect of 0.49 points would have been found four times in five" in text
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
    rows += [case("concat_shift", "residual", 0.25, 1.9, 0.6), case("copy_shift", "residual", 0.25, 9.0, 0.6)]
    text = said(timed(full, rows, half=0.6))
    assert "fastest exact mechanism" not in text
    assert "buffer_shift (+1.4 % [0.8, 2.0]) and concat_shift (+1.9 % [1.3, 2.5]) are tied" in text
    assert "a margin of 0.90 points would have been found four times in five" in text


def test_a_paired_margin_decides_though_intervals_overlap(full: FakeTables) -> None:
    """Process effects that all mechanisms share widen each interval, not their difference."""
    rows = [case("no_shift", "residual", 0.0, 0.0), case("buffer_shift", "residual", 0.25, 1.4, 0.6)]
    rows.append(case("concat_shift", "residual", 0.25, 1.9, 0.6))
    text = said(timed(full, rows, half=0.2))
    assert "ahead of the runner-up concat_shift by 0.5 points [0.3, 0.7] (simultaneous)" in text


@pytest.mark.parametrize(("half", "expected"), [(0.2, False), (0.6, True)])
def test_the_choice_names_those_tied(full: FakeTables, half: float, expected: bool) -> None:
    rows = [case("no_shift", "residual", 0.0, 0.0), case("buffer_shift", "residual", 0.125, 1.4, 0.6)]
    rows.append(case("concat_shift", "residual", 0.125, 1.9, 0.6))
    assert ("Equally fast as far as this run can tell: concat_shift." in said(timed(full, rows, half))) == expected


def test_the_fastest_is_named_where_there_is_a_comparison(full: FakeTables) -> None:
    rows = [case("concat_shift", "residual", 0.25, 2.5), case("buffer_shift", "residual", 0.125, 1.0)]
    rows += [case("no_shift", "residual", 0.0, 0.0), case("copy_shift", "residual", 0.125, 9.0)]
    text = said(timed(full, rows))
    assert "With 1/8 of the channels in residual placement buffer_shift (+1.0 % [0.4, 1.6]) is the fastest" in text


def test_nothing_is_fastest_without_a_comparison(full: FakeTables) -> None:
    assert "without a paired comparison none can be called the fastest" in said(replace(full, contests=pd.DataFrame()))
    alone = [case("no_shift", "residual", 0.0, 0.0), case("buffer_shift", "residual", 0.25, 1.0)]
    assert "buffer_shift (+1.0 % [0.4, 1.6]) is the only exact mechanism" in said(timed(full, alone))


def test_a_plug_in_with_another_function_is_not_exact(full: FakeTables) -> None:
    rows = [*latency_rows(), case("two_back", "residual", 0.25, 0.1, 0.1)]
    text = said(replace(full, latency=pd.DataFrame(rows)))
    assert "two_back" not in text.split("Is the cost the moving of bytes?")[0]


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
    contests = full.contests.assign(behind_ci_low_pct=NAN, behind_ci_high_pct=NAN, detectable_pct=NAN)
    half = replace(full, latency=latency, contests=contests, slopes=pd.DataFrame())
    text = said(replace(half, accuracy=pd.DataFrame(accuracy_rows(1))))
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
    text = said(timed(full, latency_rows() + latency_rows(device="cuda")))
    assert "A/A control (cuda)" in text
    assert text.count("fastest exact mechanism") == 2


def test_many_clean_controls_are_told_together(full: FakeTables) -> None:
    text = said(timed(full, swept_rows() + latency_rows(threads=4)))
    assert "in 9 of 9 settings two identical networks are not told apart" in text
    off = [row | ({"overhead_ci_low_pct": 0.04} if row["aa"] else {}) for row in latency_rows(threads=4)]
    text = said(timed(full, swept_rows() + off))
    assert "in 8 of 9 settings two identical networks are not told apart" in text
    assert "4 threads): two identical networks differ by +0.1 % [0.0, 0.4]; that is not zero" in text


def test_what_disturbed_the_measurement(full: FakeTables) -> None:
    rows = [quality_row(), quality_row(dtype="bf16", disturbed_pct=31.25, excluded=16, reasons="steal in 25")]
    text = said(replace(full, quality=pd.DataFrame(rows)))
    assert "32 of 160 superblocks (20 %) were disturbed (steal in 28, foreign CPU in 5); 23 left out" in text
    assert "that may take 20 % at most" in text
    assert "More were disturbed than may be left out in 1 setting of 2" in text
    assert "25 s in all were spent waiting for a quiet machine" in text
    assert "0.31 points from process to process, 1.24 points from superblock to superblock" in text
    assert "Settings in force, cpu: oneDNN on." in text
    quiet = said(replace(full, quality=pd.DataFrame([quality_row(disturbed_pct=0.0, excluded=0, reasons="")])))
    assert "none of 80 superblocks was disturbed; none left out" in quiet


def test_settings_and_sensors_of_a_gpu(full: FakeTables) -> None:
    backend = "device_name NVIDIA H200, cudnn 91002, cudnn_benchmark False, cudnn_tf32 True, matmul_tf32 False"
    sensors = "sm_mhz 1755, power_w 310.4, temperature_c 61, throttle_reasons 0, throttled 0"
    row = quality_row(device="cuda", threads=1, backend=backend, sensors=sensors)
    text = said(replace(full, quality=pd.DataFrame([quality_row(), row, row | {"dtype": "bf16"}])))
    settings = "cuDNN autotuning frozen, TF32 on in convolutions, TF32 off in matrix products"
    assert f"Settings in force, cuda: {settings}." in text
    assert "Sensors (median), cuda: clock 1755 MHz, power 310 W, temperature 61 °C." in text
    assert text.count("Settings in force") == 2


def test_flags_are_put_into_words(full: FakeTables) -> None:
    flags = "disturbed;estimates_differ;autocorrelated;trend;throttled;something_new"
    rows = [row | ({"flags": flags} if row["strategy"] == "copy_shift" else {}) for row in latency_rows()]
    text = said(timed(full, rows))
    assert (
        "Leaving them out changes 4 of 16 cases, by 0.1 points at the most: copy_shift, residual, 1/8 +11.0 %" in text
    )
    assert "with nothing left out +11.1 % [10.4, 11.8]" in text
    assert "In 4 of 16 cases neighbouring values (superblocks of a process, or whole processes) resemble" in text
    assert "the intervals may be too narrow" in text
    assert "the GPU lowered its clock" in text
    assert "Further flags: something_new (4 cases)." in text
    suspect = said(replace(timed(full, rows), suspect="The control is off by 1.2 points."))
    assert "by 0.1 points at the most; both are in the table." in suspect
    assert "+11.0 %" not in suspect


def test_every_mismatch_is_explained(full: FakeTables) -> None:
    rows = [row | ({"overhead_pct": 25.0} if row["strategy"] == "concat_shift" else {}) for row in latency_rows()]
    for row in rows:
        if row["strategy"] == "concat_shift":
            row |= {"flags": "prediction_off", "overhead_ci_low_pct": 24.0, "overhead_ci_high_pct": 26.0}
    text = said(timed(full, rows))
    assert "In 11 of 16 cases the measured overhead agrees" in text
    assert "concat_shift, residual, 1/8 of the channels costs +25.0 % [24.0, 26.0] where its bytes" in text
    assert "explain 5.2 % (2.8 and 2.4): not in the model" in text
    assert "So for 3 more cases of this mechanism." in text
    assert "buffer_shift, inplace, all channels costs +1.8 % [1.3, 2.3]" in text
    assert "For copy_shift the larger part of the prediction is not the bytes but the page faults" in text
    assert (
        "21.0 GB/s at 1 MiB and 9.9 GB/s at 512 MiB (read and written, cpu); a page of fresh memory costs 0.26 µs"
        in text
    )


@pytest.mark.parametrize(
    ("change", "row", "expected"),
    [
        ({"runtime": "openvino"}, {}, "what openvino makes of the network"),
        ({}, {"flags": "prediction_off;loses_channels_last"}, "another memory format"),
        ({"device": "cuda"}, {}, "starting small kernels"),
        ({"device": "cuda", "runtime": "cudagraph"}, {}, "too short to fill the device"),
        ({}, {"overhead_pct": 1.0}, "in a cache"),
        ({}, {}, "not in the model"),
    ],
)
def test_reasons_for_a_mismatch(change: dict[str, Any], row: dict[str, Any], expected: str) -> None:
    off = case("copy_shift", "residual", 0.25, 40.0, flags="prediction_off") | row
    assert expected in reason(Panel(**{**PANEL, **change}), off)


def test_swept_axes_are_told(full: FakeTables) -> None:
    text = said(timed(full, swept_rows() + on_gpu(latency_rows())))
    assert "Number format, fp32 to bf16: the network without a shift gets 3.1x faster (372 ms to 119 ms)." in text
    assert "copy_shift, residual, 1/4: the relative cost rises from +11.3 % [10.6, 12.0] to +27.1 % [" in text
    assert "in time, 42.1 ms and 32.3 ms, so the network's own work shrinks by more than the shift's." in text
    assert "takes 372 ms with eager, 205 ms with onnxruntime and 209 ms with openvino" in text
    assert "does not change as far as this run can tell" in text
    assert "Device, cpu to cuda: the network without a shift gets 61x faster" in text
    assert "What changes the cost?" not in said(full)


def test_an_old_run_is_answered_without_what_it_did_not_record(full: FakeTables) -> None:
    """Runs from before interference, page faults and contests were recorded: columns absent or empty."""
    old = ["predicted_traffic_pct", "predicted_faults_pct", "excluded", "disturbed_pct", "overhead_all_pct", "sm_mhz"]
    tables = replace(full, contests=pd.DataFrame(), quality=pd.DataFrame(), bandwidth=pd.DataFrame())
    absent = replace(tables, latency=full.latency.drop(columns=old))
    empty = replace(
        tables,
        latency=full.latency.assign(**dict.fromkeys(old, NAN)),
        quality=full.quality.assign(**{name: NAN for name in full.quality if name not in PANEL}),
    )
    for text in (said(absent), said(empty)):
        assert "nan" not in text
        assert "Interference" not in text
        assert "In 15 of 16 cases the measured overhead agrees" in text
        assert "with what bytes alone predict within a factor of 2" in text
        assert "The machine's noise: single superblocks of the control scatter by" in text


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


def test_a_run_without_a_gpu_says_that_its_figures_are_still_to_come(full: FakeTables) -> None:
    assert "GPU figures are still to come" in said(full)
    assert "GPU figures are still to come" not in said(timed(full, latency_rows(device="cuda")))
