"""From records of networks that learned from real videos to the tables of arms, learning curves and classes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.arms import Arm, arms, lost_seeds
from bench.analysis.claims import load_claims
from bench.analysis.tables.video import MARGIN_PP, class_table, video_curve_table, video_table
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant
from bench.stats import estimators
from bench.store.records import TrainedRecord
from tests.analysis.synthetic import ARROW, GESTURES, VIDEOS, of, video_study, watched
from tests.store.synthetic import VIDEO, failed_training, shift, trained, video

QUARTER, INPLACE, CAUSAL = shift(), shift("inplace"), shift("residual", "1/8", "unidirectional")
AXES = ["strategy", "placement", "fraction", "direction", "question", "backbone", "lr_factor", "length_factor", "seeds"]


def table(records: Sequence[TrainedRecord]) -> pd.DataFrame:
    return video_table(records, arms(records, "video"), {"copy_shift": ["buffer_shift"]}, lost_seeds(records, "video"))


def row(frame: pd.DataFrame, variant: Variant, question: str = "pairs", status: str = "ok") -> Any:
    """The row of one arm."""
    wanted = {**vars(variant), "fraction": float(variant.fraction), "question": question, "status": status}
    (found,) = frame[(frame[list(wanted)] == pd.Series(wanted)).all(axis=1)].itertuples()
    return found


def arm_of(records: Sequence[TrainedRecord], variant: Variant, condition: Condition = VIDEO) -> Arm:
    (found,) = [arm for arm in arms(of(records, variant), "video") if arm.condition == condition]
    return found


def test_columns_are_those_of_the_contract() -> None:
    delta = ["delta_pct", "delta_ci_low_pct", "delta_ci_high_pct", "delta_p", "delta_mde_pct"]
    ends = ["mean_pct", "ci_low_pct", "ci_high_pct"]
    tail = "top5_mean_pct shuffled_mean_pct one_frame_mean_pct chance_pct test_clips train_clips left_out params flops"
    tail += " train_seconds clips_per_second data_share_pct weights flips status reason note equivalents records"
    top1, placement = [f"top1_{end}" for end in (*ends, *delta)], [f"placement_{end}" for end in delta]
    assert list(table(video_study()).columns) == list(table([]).columns) == [*AXES, *top1, *placement, *tail.split()]
    curves = [*AXES, "epoch", "clips_seen", *(f"top1_{end}" for end in ("mean_pct", "ci_low_pct", "ci_high_pct"))]
    assert (
        list(video_curve_table(arms(video_study(), "video")).columns) == list(video_curve_table([]).columns) == curves
    )
    classes = [*AXES, "class", "clips", *(f"top1_{end}" for end in ends), "confused_with", "confused_pct"]
    assert list(class_table([]).columns) == classes


def test_an_arm_against_no_shift_and_against_the_other_placement() -> None:
    records = video_study()
    frame, own = table(records), arm_of(records, QUARTER)
    found, against_none = row(frame, QUARTER), own.pct("top1") - arm_of(records, BASELINE_VARIANT).pct("top1")
    gap = own.pct("top1") - arm_of(records, INPLACE).pct("top1")
    assert found.top1_mean_pct == pytest.approx(own.pct("top1").interval().mean)
    assert found.top1_delta_ci_low_pct == pytest.approx(against_none.interval().low)
    assert found.top1_delta_mde_pct == pytest.approx(against_none.mde(1 - 0.05 / 5))  # the strictest of five arms
    assert (found.placement_delta_pct, found.placement_delta_ci_high_pct) == pytest.approx(
        (gap.interval().mean, gap.interval().high)
    )
    assert found.placement_delta_mde_pct == pytest.approx(gap.mde(1 - 0.05 / 2))  # two fractions in both placements
    assert (found.seeds, found.chance_pct, found.test_clips, found.equivalents) == (6, 100 / 3, VIDEOS, "buffer_shift")
    assert (found.weights, found.flips, found.left_out) == ("imagenet", False, 0)
    assert (found.shuffled_mean_pct, found.one_frame_mean_pct) == pytest.approx((50.0, 40.0))
    assert pd.isna(
        [found.top5_mean_pct, row(frame, INPLACE).placement_delta_pct, row(frame, CAUSAL).placement_delta_pct]
    ).all()
    assert row(frame, BASELINE_VARIANT).top1_delta_pct == 0 and pd.isna(row(frame, BASELINE_VARIANT).top1_delta_p)


@pytest.mark.parametrize("condition", [VIDEO, ARROW])
def test_p_values_are_corrected_within_a_question(condition: Condition) -> None:
    records = video_study()
    frame, base = table(records), arm_of(records, BASELINE_VARIANT, condition).pct("top1")
    own = [one for one in arms(records, "video") if one.condition == condition and one.variant != BASELINE_VARIANT]
    shown = frame[(frame.question == condition.dataset) & (frame.strategy != "no_shift")]
    expected = estimators.holm([(one.pct("top1") - base).estimate().p() for one in own])
    assert list(shown.top1_delta_p) == pytest.approx(expected)
    assert shown.placement_delta_p.notna().sum() == 2


def test_without_a_shift_the_arrow_of_time_is_a_coin_toss() -> None:
    found = row(table(video_study()), BASELINE_VARIANT, "arrow")
    assert (found.top1_mean_pct, found.top1_ci_low_pct, found.top1_ci_high_pct) == pytest.approx((50.0, 50.0, 50.0))


def test_lost_seeds_few_seeds_and_unreadable_videos_are_said() -> None:
    lost = [failed_training(QUARTER, seed, "it diverged", VIDEO, "video") for seed in (7, 8)]
    frame = table([*video_study(), *lost])
    assert (row(frame, QUARTER).reason, row(frame, QUARTER).seeds) == ("2 seeds failed: it diverged", 6)
    failed = row(frame, QUARTER, status="failed")
    assert (failed.seeds, failed.reason, pd.isna(failed.top1_mean_pct)) == (0, "it diverged", True)
    few = row(table(video_study(range(3))), QUARTER)
    assert few.note == "no interval with fewer than 5 seeds" and few.top1_mean_pct > 0
    assert pd.isna([few.top1_ci_low_pct, few.top1_delta_ci_low_pct, few.top1_delta_p, few.placement_delta_p]).all()
    broken = row(table([watched(QUARTER, 0.9, 1, left_out={"a.mp4": "no frames", "b.mp4": "truncated"})]), QUARTER)
    assert (broken.left_out, pd.isna(broken.top1_delta_pct)) == (2, True)


def test_candidates_of_a_recipe_are_rows_of_their_own() -> None:
    gentle = replace(VIDEO, lr_factor=0.5)
    frame = table(video_study([1], [VIDEO, gentle]))
    assert len(frame) == 12 and set(frame.lr_factor) == {0.5, 1.0} and set(frame.question) == {"pairs"}


def test_top_5_and_seeds_that_are_judged_on_unlike_numbers_of_clips() -> None:
    """Where the halves change places, a seed has other test clips than its neighbour."""
    records = [
        trained(
            video(top1_accuracy=0.5, top5_accuracy=0.75 + seed / 4, test_clips=clips, train_clips=clips), QUARTER, seed
        )
        for seed, clips in enumerate((90, 102))
    ]
    found = row(table(records), QUARTER)
    assert (found.top5_mean_pct, found.test_clips, found.train_clips) == (87.5, 96, 96)


def test_learning_curves_have_a_row_for_each_epoch() -> None:
    frame = video_curve_table(arms(video_study(), "video"))
    own = frame[(frame.question == "arrow") & (frame.placement == "inplace") & (frame.fraction == 1)]
    assert list(own.epoch) == [1, 2, 3] and list(own.clips_seen) == [48, 96, 144]
    assert list(own.top1_mean_pct) == pytest.approx([55.0, 83.0, 85.0])


def test_each_class_with_what_it_is_taken_for() -> None:
    records = video_study()
    frame = class_table(arms(records, "video"))
    assert len(frame) == 12 * len(GESTURES) and set(frame["class"]) == set(GESTURES)
    own = frame[(frame.question == "pairs") & (frame.strategy == "no_shift")].set_index("class")
    answers = [
        record.samples.confusion["right"] for record in of(records, BASELINE_VARIANT) if record.trial.condition == VIDEO
    ]
    assert own.top1_mean_pct["right"] == pytest.approx(100 * sum(one["right"] for one in answers) / (6 * 16))
    assert (own.confused_with["right"], own.clips["right"]) == ("left", 6 * 16)
    assert own.confused_pct["right"] == pytest.approx(100 - own.top1_mean_pct["right"])


def test_a_class_that_a_seed_lacks_is_no_part_of_its_mean() -> None:
    empty = {"left": {"left": 3, "right": 1}, "right": {}}
    records = [
        trained(video(confusion=own), QUARTER, seed)
        for seed, own in enumerate([empty, {**empty, "right": {"right": 2}}])
    ]
    frame = class_table(arms(records, "video")).set_index("class")
    assert (frame.seeds["left"], frame.seeds["right"], frame.clips["right"]) == (2, 1, 2)
    assert frame.top1_mean_pct["right"] == 100 and pd.isna(frame.confused_with["right"])
    assert class_table(arms(records[:1], "video")).set_index("class").index.tolist() == ["left"]


def test_alike_means_within_the_margin_of_the_findings() -> None:
    smallest = {claim.smallest for claim in load_claims() if claim.id.startswith("video-placement")}
    assert smallest == {MARGIN_PP}


@given(st.lists(st.floats(0, 1), min_size=5, max_size=7))
@settings(max_examples=25)
def test_no_interval_leaves_0_to_100(levels: list[float]) -> None:
    """Of accuracies, curves and classes; differences stay within what is possible."""
    shares = [{"left": {"left": round(8 * level), "right": 8 - round(8 * level)}, "right": {}} for level in levels]
    records = [
        trained(video(top1_accuracy=level, curve={"top1": [level, 1 - level]}, confusion=own), variant, seed)
        for variant in (QUARTER, INPLACE)
        for seed, (level, own) in enumerate(zip(levels, shares, strict=True))
    ]
    records += [trained(video(top1_accuracy=1.0), BASELINE_VARIANT, seed) for seed in range(len(levels))]
    own = arms(records, "video")
    for frame in (table(records), video_curve_table(own), class_table(own)):
        ends = frame[["top1_ci_low_pct", "top1_ci_high_pct"]]
        assert ends.notna().all(axis=None) and ends.ge(0).all(axis=None) and ends.le(100).all(axis=None)
    deltas = table(records).filter(like="_delta_ci_")
    assert deltas.abs().fillna(0).le(100).all(axis=None) and deltas.notna().any(axis=None)
