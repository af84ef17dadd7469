"""The answer says what the results say: with intervals, without overclaiming, and nothing where a control failed."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from bench.analysis.run import Analysis
from bench.report.answers import MechanismCost
from bench.report.numbers import between
from bench.report.selection import arms, main_condition, online_settings, runtime_panels
from bench.report.summary import screen
from tests.report.conftest import said
from tests.report.synthetic import (
    HOSTILE,
    NAN,
    NO_SHIFT,
    PANEL,
    accuracy_rows,
    arm,
    case,
    control,
    empty_run,
    form,
    frame_case,
    latency_rows,
    quality,
    timed_form,
    timed_run,
    verdict,
)

BASELINES = (case("no_shift", "residual", 0.0, 0.0), case("no_shift", "residual", 0.0, 0.1, 0.05, aa=True))


def test_a_full_run_is_answered(full: Analysis) -> None:
    text = said(full)
    for expected in (
        "Take buffer_shift, residual, 1/8 of the channels : +1.1 % [0.5, 1.7] latency for 87.1 % [85.8, 88.4]",
        "372 ms without a shift",
        "With 1/4 of the channels, buffer_shift (+1.4 % [0.8, 2.0]) is the cheapest exact mechanism, separated from "
        "concat_shift by 9.4 pp [8.9, 9.9]",
        "copy_shift, residual +11.0 [10.4, 11.6] +11.3 [10.7, 11.9] +11.4 [10.8, 12.0]",
        "+11.4 [10.8, 12.0] +0.3 [−0.5, 1.1] (mde 1.2 pp) costs, same",
        "+8.0 [7.2, 8.8] costs, grows",
        "+2.4 [−0.6, 5.4] (mde 1.2 pp) costs ",
        "Best joint accuracy of 4 arms on ring_digits: copy_shift, residual, 1/8 of the channels, 87.1 % [85.8, 88.4], "
        "+63.4 pp [62.1, 64.7] against no shift, p &lt; 0.001 (Holm)",
        "What a single frame shows (spatial accuracy) changes by −4.1 pp [−5.4, −2.8]: a loss",
        "a frame takes 41.0 ms without a shift (one in a hundred 61.5 ms or more)",
        "buffer_shift residual 1/8 adds +1.1 %",
        "Deadlines missed at 20 frames a second",
        "Frame by frame, mAP is 66.0 % [64.9, 67.1]. Online, copy_shift with 1/8 of the channels: +2.1 pp [1.2, 3.0]",
        "takes longer by +1.6 % [1.0, 2.2] with buffer_shift, +4.4 % [3.8, 5.0] with copy_shift in digits_fcos",
        "Control certified: two identical networks differ by at most 0.40 pp.",
        "A/A control certified: two identical networks differ by +0.1 pp [−0.2, 0.4].",
        "Each of 12 cases rests on 8 fresh processes.",
        "Intervals are ± 0.6 pp, 12 of them wider than the 0.5 pp asked for",
        "7 of 80 superblocks (9 %) were disturbed (foreign CPU in 5, steal in 3); 7 left out",
        "1 failed and 1 skipped",
        "1 reproduced, 1 not reproduced, 1 direction only, 1 inconclusive, 1 invalid, 1 not measured",
    ):
        assert expected in text
    assert not re.search(r"\bnan\b", text)


def deployed(full: Analysis, half: float = 0.5) -> Analysis:
    """Eager, ONNX Runtime and OpenVINO, the last in bf16 too; one panel differs in something else."""
    rows = latency_rows() + latency_rows(6.0, runtime="onnxruntime") + latency_rows(4.0, runtime="openvino")
    rows += latency_rows(4.0, runtime="openvino", dtype="bf16") + latency_rows(threads=1)
    return timed_run(full, rows, half)


def test_a_formulation_is_named_for_each_runtime(full: Analysis) -> None:
    run = deployed(full)
    assert [(p.runtime, p.dtype, p.threads) for p in runtime_panels(run)] == [
        ("eager", "fp32", 2),
        ("onnxruntime", "fp32", 2),
        ("openvino", "fp32", 2),
        ("openvino", "bf16", 2),
    ]
    assert "onnxruntime fp32, 1/4 372 ms buffer_shift +8.4 [7.8, 9.0] +67.8 [67.2, 68.4]" in said(run)
    assert "A/A control certified in 5 of 5 settings: two identical networks differ by up to 0.40 pp" in said(run)
    assert "concat_shift and copy_shift (mde 105.0 pp)" in said(deployed(full, half=70.0))
    assert not runtime_panels(full)


def test_ties_are_not_called_cheapest(full: Analysis) -> None:
    rows = [*BASELINES, case("buffer_shift", "residual", 0.25, 1.4)]
    rows += [case("concat_shift", "residual", 0.25, 1.9), case("copy_shift", "residual", 0.25, 9.0)]
    text = said(timed_run(full, rows, half=0.6))
    assert "no exact mechanism is separated as the cheapest: buffer_shift (+1.4 % [0.8, 2.0]), concat_shift" in text
    assert "are tied (mde 0.90 pp)" in text
    paired = said(timed_run(full, rows, half=0.2))  # what all share widens each interval, not their differences
    assert "separated from concat_shift by 0.5 pp [0.3, 0.7]" in paired


@pytest.mark.parametrize(("half", "tied"), [(0.2, False), (0.6, True)])
def test_the_choice_names_those_tied(full: Analysis, half: float, tied: bool) -> None:
    rows = [*BASELINES, case("buffer_shift", "residual", 0.125, 1.4)]
    rows.append(case("concat_shift", "residual", 0.125, 1.9))
    assert ("Not shown to be slower: concat_shift." in said(timed_run(full, rows, half))) == tied


def test_a_cheaper_arm_and_an_untimed_one_are_named(full: Analysis) -> None:
    rows = [*BASELINES, case("copy_shift", "residual", 0.125, 9.0)]
    rows.append(case("buffer_shift", "inplace", 0.125, 1.0))
    close = [arm("residual", 0.0, NO_SHIFT, strategy="no_shift"), arm("residual", 0.125, (90.7, 95.5, 87.1))]
    close += [arm("inplace", 0.125, (90.0, 95.0, 86.0)), arm("residual", 0.25, (90.0, 95.0, 88.0))]
    text = said(replace(timed_run(full, rows), accuracy=pd.DataFrame(close)))
    assert "Cheaper, and not separated from it in accuracy: buffer_shift, inplace, 1/8 of the channels, +1.0 %" in text
    assert "The best arm of all, copy_shift, residual, 1/4 of the channels (88.0 % [86.7, 89.3]), was not timed" in text


def controlled(low: float, high: float, **panel: object) -> list[dict[str, object]]:
    """A panel whose twin has this interval."""
    ends = {"overhead_pct": (low + high) / 2, "overhead_ci_low_pct": low, "overhead_ci_high_pct": high}
    return [row | (ends if row["aa"] else {}) for row in latency_rows(**panel)]


def test_a_control_that_is_off_withholds_what_rests_on_the_clock(full: Analysis) -> None:
    text = said(timed_run(full, controlled(0.9, 1.5)))
    assert "Control off: two identical networks differ by +1.2 pp [0.9, 1.5]. Latencies are withheld" in text
    assert "Latencies measured with it are in the tables only." in text
    for headline in ("Take ", "cheapest exact", "Which one is cheapest", "growth [pp]"):
        assert headline not in text
    assert "87.1 % [85.8, 88.4]" in text


def test_a_panel_whose_control_is_off_is_withheld_alone(full: Analysis) -> None:
    text = said(timed_run(full, controlled(-0.2, 0.4) + controlled(0.9, 1.5, runtime="openvino")))
    assert "Control certified" in text and "Take buffer_shift" in text and "openvino, fp32" not in text
    assert "A/A control off in 1 of 2 settings: two identical networks differ by +1.2 pp [0.9, 1.5]" in text


def test_no_effect_below_the_controls_bound_is_spoken_of(full: Analysis) -> None:
    rows = controlled(-4.0, 9.9)
    text = said(timed_run(full, rows))
    assert "Control undecided: two identical networks differ by up to 9.9 pp." in text
    assert "Nothing is recommended on these latencies, see the first line." in text
    assert "no exact mechanism is separated as the cheapest" in text  # by 9.4 pp, less than the bound
    assert "+1.4 [0.8, 2.0] +3.2 [2.6, 3.8] +2.4 [−0.6, 5.4] (mde 1.2 pp) open" in text
    assert "+11.4 [10.8, 12.0] +0.3 [−0.5, 1.1] (mde 1.2 pp) costs, same" in text


def test_a_price_that_is_open_is_not_recommended(full: Analysis) -> None:
    rows = [
        row if row["aa"] else row | {"overhead_ci_low_pct": -12.0, "overhead_ci_high_pct": 34.0}
        for row in latency_rows()
    ]
    text = said(timed_run(full, rows))
    assert "No recommendation: buffer_shift, residual, 1/8 of the channels has the highest accuracy" in text
    assert "+1 % [−12, 34] latency, which decides nothing. More time (--budget) would." in text


def test_a_failed_online_control_withholds_frame_times(full: Analysis) -> None:
    text = said(replace(full, online_suspect="two identical baselines differ by +3.00 %"))
    assert "Withheld: two identical baselines differ by +3.00 %. Frame times are in the table only." in text
    assert "What it costs is withheld: two identical baselines" in text
    assert "a frame takes" not in text and "takes longer by" not in text
    assert "Control off: two identical baselines differ" in text


def test_one_seed_and_one_process_decide_nothing(full: Analysis) -> None:
    unknown = dict.fromkeys(("overhead_ci_low_pct", "overhead_ci_high_pct", "half_width_pct", "mde_pct"), NAN)
    half = timed_run(full, [row | unknown for row in latency_rows()], half=NAN)
    run = replace(half, accuracy=pd.DataFrame(accuracy_rows(seeds=1)), slopes=full.slopes.iloc[:0])
    text = said(run)
    for expected in (
        "Control undecided: too few processes to judge it.",
        "Nothing is recommended on these latencies",
        "87.1 % (1 seed: no interval), +63.4 pp (1 seed: no interval)",
        "costs least; without intervals that decides nothing",
        "Too few processes for intervals: read the latencies as a first impression",
        "1 seed: fewer than five give no interval",
        "+11.0 (no interval) +11.3 (no interval) +11.4 (no interval) no interval",
    ):
        assert expected in text
    assert "Take " not in text and not re.search(r"\bnan\b", text)


def test_half_a_run_says_which_half(full: Analysis) -> None:
    assert "Accuracy was not measured, so this run says only what is cheap" in said(
        replace(full, accuracy=full.accuracy.iloc[:0])
    )
    assert "No recommendation: latency was not measured" in said(timed_run(full, []))
    assert "Nothing was measured to its end" in said(empty_run(full.folder))
    other = timed_run(full, [*BASELINES, case("two_back", "residual", 0.25, 0.1)])
    assert "No recommendation: no trained arm was also timed" in said(other)
    assert "exact mechanism" not in said(other)  # another function is none


def test_no_gain_means_no_shift(full: Analysis) -> None:
    rows = [arm("residual", 0.0, NO_SHIFT, strategy="no_shift"), arm("residual", 0.25, NO_SHIFT)]
    run = replace(full, accuracy=pd.DataFrame(rows))
    text = said(run)
    assert "there is nothing to buy" in text
    assert "0.0 pp [−1.3, 1.3] against no shift, p = 0.40 (Holm): not separated from it (mde 1.8 pp)" in text
    assert "changes by 0.0 pp [−1.3, 1.3]: not separated from zero (mde 1.8 pp)" in text


def test_an_interval_alone_is_not_enough_after_holm(full: Analysis) -> None:
    rows = [arm("residual", 0.0, NO_SHIFT, strategy="no_shift"), arm("residual", 0.25, (92.0, 60.0, 30.0))]
    assert "(spatial accuracy) changes by −2.8 pp [−4.1, −1.5]: not separated" in said(
        replace(full, accuracy=pd.DataFrame(rows))
    )


def test_equally_good_arms_and_lost_seeds_are_named(full: Analysis) -> None:
    gap = {"joint_gap_to_best_pct": 0.4, "joint_gap_to_best_ci_low_pct": -0.2, "joint_gap_to_best_ci_high_pct": 1.0}
    rows = [row | {"joint_gap_to_best_ci_low_pct": 3.0} for row in accuracy_rows()]
    rows[1] |= {"reason": "1 seed failed: the loss was nan at step 3"}
    rows += [arm("residual", 0.1, (90.0, 95.0, 86.6)), arm("residual", 0.15, (90.0, 95.0, 86.5)) | gap]
    text = said(replace(full, accuracy=pd.DataFrame(rows)))
    assert "or are yet to be trained, and the others may flatter: copy_shift, residual, 1/8" in text
    assert "Best joint accuracy of 5 arms on ring_digits: copy_shift, residual, 1/10 of the channels" in text
    assert "all arms at once: copy_shift, residual, 3/20 of the channels (0.4 pp [−0.2, 1.0] below)." in text


@pytest.mark.parametrize(("level", "leaks"), [((31.0, 30.0, 32.0), True), ((25.4, 24.0, 26.8), False)])
def test_a_baseline_that_knows_the_order_is_an_alarm(full: Analysis, level: tuple[float, ...], leaks: bool) -> None:
    rows = accuracy_rows()
    names = ("temporal_mean_pct", "temporal_ci_low_pct", "temporal_ci_high_pct")
    rows[0] |= dict(zip(names, level, strict=True))
    told = "is right about the order in 31.0 % [30.0, 32.0], which is not chance"
    assert (told in said(replace(full, accuracy=pd.DataFrame(rows)))) == leaks


def test_headlines_speak_of_the_main_condition(full: Analysis) -> None:
    assert len(arms(full.accuracy)) == 4  # neither the learned exchange nor other conditions, which are all better
    elsewhere = [row | {"backbone": "resnet50"} for row in accuracy_rows()[:5]]
    assert len(main_condition(pd.DataFrame(elsewhere))) == 5
    assert len(main_condition(pd.DataFrame([*elsewhere, *accuracy_rows()]))) == 6
    assert main_condition(pd.DataFrame([row | {"objective": "spatial"} for row in elsewhere])).empty


def test_what_disturbed_the_measurement(full: Analysis) -> None:
    noisy = quality(panel=replace(PANEL, dtype="bf16"), disturbed_pct=31.25, excluded=16, reasons={"steal": 25})
    text = said(replace(full, quality=[quality(), noisy]))
    assert "32 of 160 superblocks (20 %) were disturbed (steal in 28, foreign CPU in 5); 23 left out" in text
    assert "In 1 setting more than may be left out: there the noise is part of the intervals" in text
    quiet = said(replace(full, quality=[quality(disturbed_pct=0.0, excluded=0, reasons={})]))
    assert "None of 80 superblocks were disturbed; none left out" in quiet


def test_flags_are_explained(full: Analysis) -> None:
    flags = "disturbed;estimates_differ;autocorrelated;trend;throttled;few_replicates;prediction_off;something_new"
    rows = [row | ({"flags": flags} if row["strategy"] == "copy_shift" else {}) for row in latency_rows()]
    text = said(timed_run(full, rows))
    assert "autocorrelated in 3 of 12 cases: neighbouring values resemble each other" in text
    assert "throttled in 3 of 12 cases: the GPU lowered its clock" in text
    assert "few_replicates in 3 of 12 cases: too few processes" in text
    assert "something_new in 3 of 12 cases." in text


def test_every_control_is_told_with_its_question(full: Analysis) -> None:
    text = said(full)
    assert "Does a single frame tell the order of all?" in text
    assert "temporal: one-frame network against chance no_shift 25.1 % [24.6, 25.6]" in text
    assert "+4.0 pp (no interval)" in said(replace(full, comparisons=[control("depth", "joint: a", "b", 4.0, NAN)]))
    assert "Controls: is there" not in said(replace(full, comparisons=[]))


def test_several_networks_frame_by_frame(full: Analysis) -> None:
    rows = [
        frame_case(strategy, overhead, backbone=backbone, streams=streams)
        for backbone, streams in (("resnet50", 1), ("resnet50", 2), ("mobilenet_v2", 1), ("mobilenet_v2", 2))
        for strategy, overhead in (("no_shift", 0.0), ("buffer_shift", 1.1))
    ]
    text = said(replace(full, online=pd.DataFrame(rows)))
    assert "resnet50, 1 stream : a frame takes 41.0 ms" in text and "resnet50, 2 streams :" in text
    assert "1 further setting in the table" in text
    failed = frame_case(HOSTILE, NAN, status="failed", reason="it hung")
    only = pd.DataFrame([*rows[:2], failed])
    assert "it hung" in said(replace(full, online=only))
    assert [where for where, _ in online_settings(only)] == ["resnet50"]


def test_another_function_is_no_cheaper_way_for_a_detector(full: Analysis) -> None:
    others = [timed_form("inner_shift", -9.0), timed_form("buffer_shift", -8.0, placement="inplace")]
    told = "takes longer by +1.6 % [1.0, 2.2] with buffer_shift, +4.4 %"
    assert told in said(replace(full, detection=pd.concat([full.detection, pd.DataFrame(others)])))


def test_a_form_that_lost_a_seed_is_not_told(full: Analysis) -> None:
    lost = full.detection.copy()
    lost.loc[lost["form"] == "online", "reason"] = "1 seed failed: it diverged"
    text = said(replace(full, detection=lost)).split("The paper’s findings")[0]
    assert "Online, copy_shift" not in text and "Offline, copy_shift" in text
    null = pd.DataFrame([form("frame by frame", "no_shift", 0.0), form("online", "copy_shift", 0.1, map_delta_pct=0.1)])
    null["map_delta_ci_low_pct"] = -0.8
    assert "+0.1 pp [−0.8, 3.0] (mde 1.3 pp)" in said(replace(full, detection=null))


@pytest.mark.parametrize("section", ["accuracy", "detection"])
def test_what_was_judged_on_validation_clips_is_no_test(full: Analysis, section: str) -> None:
    settings = {section: {"recipe": {"judged_on": "validation"}}}
    told = "this is no test of a finding"
    run = replace(full, header={**full.header, "settings": settings})
    assert told in said(run) and told not in said(full)
    assert "Judged on validation clips, to choose a recipe: no test of a finding." in screen(run, run.folder)


@pytest.mark.parametrize(
    ("slope", "trend"),
    [((8.0, 7.0, 9.0), "grows"), ((-5.5, -7.8, -3.2), "falls"), ((3.4, -2.0, 8.8), "open"), ((0.3, -0.5, 1.1), "open")],
)
def test_a_trend_is_named_only_where_it_is_shown(slope: tuple[float, float, float], trend: str) -> None:
    assert MechanismCost("s", "residual", "bidirectional", (), between(*slope), 1.0, 0.1).trend == trend
    assert MechanismCost("s", "residual", "bidirectional", (), between(slope[0]), NAN, 0.1).trend == "open"
    assert MechanismCost("s", "residual", "bidirectional", (), between(*slope), 1.0, 9.0, same=True).trend == "same"


def test_what_is_counted_has_no_unit(full: Analysis) -> None:
    counted = verdict("zero-cost", "reproduced", measured=0.0, ci_low=None, ci_high=None, unit="")
    assert "reproduced 0 <= 3 %" in said(replace(full, claims=[counted])).replace("&lt;", "<")


@pytest.mark.parametrize(
    ("overhead", "bound", "verdict"),
    [
        ((4.0, 3.0, 5.0), 0.5, "costs"),
        ((4.0, 3.0, 5.0), 4.5, "open"),
        ((4.0, 3.0, 5.0), 3.5, "open"),  # the estimate lies beyond the bound, its interval does not
        ((-0.2, -0.6, 0.2), 0.9, "open"),  # 0.2 + 0.9 is beyond the margin
        ((-2.0, -3.0, -1.0), 0.5, "saves"),
        ((0.2, -0.4, 0.8), 0.5, "free"),
        ((0.2, -0.4, 0.8), 1.5, "open"),
        ((0.9, -0.4, 2.2), 0.5, "open"),
        ((4.0, NAN, NAN), 0.5, "no interval"),
    ],
)
def test_a_cost_is_named_only_where_it_is_shown(
    overhead: tuple[float, float, float], bound: float, verdict: str
) -> None:
    found = (between(*overhead), None)
    assert MechanismCost("s", "residual", "bidirectional", found, between(NAN), NAN, bound).verdict == verdict
