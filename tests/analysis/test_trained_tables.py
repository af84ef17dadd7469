"""From records of trainings to the tables of arms, of learning curves, early recognition and detectors."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.analysis.arms import Arm, arms, baseline_arm, lost_seeds
from bench.analysis.tables.trained import accuracy_table, curve_table, detection_table, early_table, example_frames
from bench.spec.cases import BASELINE_VARIANT, Case, Condition, Variant
from bench.stats import estimators
from bench.stats.estimators import Shares
from bench.store.records import TrainedRecord
from bench.store.samples import MEASURES, OUTCOMES, PARTS
from tests.analysis.synthetic import AGAIN, drawn, main_study, of, overhead
from tests.store.synthetic import (
    DETECTOR,
    STREAM,
    USUAL,
    detection,
    failed_training,
    recognition,
    shift,
    trained,
)

EQUIVALENTS = {"copy_shift": ["buffer_shift"]}
ARM_COLUMNS = "strategy placement fraction direction dataset backbone objective view lr_factor length_factor cohort"


def accuracy(records: Sequence[TrainedRecord]) -> pd.DataFrame:
    return accuracy_table(records, arms(records, "accuracy"), EQUIVALENTS, lost_seeds(records, "accuracy"))


def row(records: Sequence[TrainedRecord], variant: Variant, condition: Condition = USUAL, status: str = "ok") -> Any:
    """The row of one arm."""
    wanted = {**vars(variant), **vars(condition), "fraction": float(variant.fraction), "status": status}
    table = accuracy(records)
    (found,) = table[(table[list(wanted)] == pd.Series(wanted)).all(axis=1)].itertuples()
    return found


def arm_of(records: Sequence[TrainedRecord], variant: Variant) -> Arm:
    return arms(of(records, variant), "accuracy")[0]


ALL, QUARTER, INPLACE = shift(fraction="1"), shift(), shift("inplace")


def test_columns_are_those_of_the_contract() -> None:
    ends = "mean_pct ci_low_pct ci_high_pct delta_pct delta_ci_low_pct delta_ci_high_pct delta_p delta_mde_pct"
    gap = [f"joint_gap_to_best_{end}" for end in ("pct", "ci_low_pct", "ci_high_pct", "mde_pct")]
    tail = "clip_share_pct joint_delta_boot_low_pct joint_delta_boot_high_pct shuffled_spatial_mean_pct"
    tail += " shuffled_temporal_mean_pct params flops train_seconds clips_per_second"
    tail += (
        " data_share_pct forward_share_pct backward_share_pct update_share_pct status reason note equivalents records"
    )
    parts = [f"{part}_{end}" for part in OUTCOMES for end in ends.split()]
    expected = [*ARM_COLUMNS.split(), "seeds", *parts, *gap, *tail.split()]
    assert list(accuracy(main_study()).columns) == list(accuracy([]).columns) == expected


def test_an_arm_against_its_baseline() -> None:
    records = main_study()
    own, base, found = arm_of(records, ALL), arm_of(records, BASELINE_VARIANT), row(records, ALL)
    delta = own.pct("spatial") - base.pct("spatial")
    assert (found.spatial_delta_pct, found.spatial_delta_ci_low_pct) == pytest.approx(
        (delta.interval().mean, delta.interval().low)
    )
    assert found.spatial_delta_mde_pct == pytest.approx(delta.mde(1 - 0.05 / 4))  # the strictest level of four arms
    assert found.joint_delta_boot_low_pct < found.joint_delta_pct < found.joint_delta_boot_high_pct
    assert 0 < found.clip_share_pct <= 100
    assert (found.seeds, found.data_share_pct, found.equivalents) == (5, pytest.approx(2.0), "buffer_shift")
    assert found.records == own.records and pd.isna(found.shuffled_spatial_mean_pct)
    none = row(records, BASELINE_VARIANT)
    assert (none.temporal_mean_pct, none.temporal_ci_low_pct, none.joint_delta_pct) == pytest.approx((25.0, 25.0, 0.0))
    assert pd.isna([none.joint_delta_p, none.clip_share_pct, none.joint_gap_to_best_pct]).all()


def test_p_values_are_corrected_over_the_arms_of_a_condition() -> None:
    other = replace(USUAL, objective="spatial")
    records = main_study() + [drawn(v, 0.9, 0.8, s, other) for s in range(5) for v in (BASELINE_VARIANT, ALL)]
    table, all_arms = accuracy(records), arms(records, "accuracy")
    for condition, count in ((USUAL, 4), (other, 1)):
        own = [arm for arm in all_arms if arm.condition == condition and arm.variant != BASELINE_VARIANT]
        base = baseline_arm(own[0], all_arms)
        assert base is not None
        p_values = [(arm.pct("spatial") - base.pct("spatial")).estimate().p() for arm in own]
        shown = table[(table.objective == condition.objective) & (table.strategy != "no_shift")].spatial_delta_p
        assert len(shown) == count
        assert list(shown) == pytest.approx(estimators.holm(p_values))


def test_the_gap_to_the_best_is_paired_and_holds_for_all_pairs_at_once() -> None:
    control = shift(fraction="1", strategy="temporal_conv")
    records = main_study() + [drawn(control, 0.99, 0.99, seed) for seed in range(5)]
    gap = arm_of(records, QUARTER).pct("joint") - arm_of(records, INPLACE).pct("joint")
    found, interval = row(records, INPLACE), gap.interval(1 - 0.05 / 6)  # pairs of four
    assert (found.joint_gap_to_best_pct, found.joint_gap_to_best_ci_high_pct) == pytest.approx(
        (interval.mean, interval.high)
    )
    assert pd.isna(row(records, QUARTER).joint_gap_to_best_pct)  # the best itself
    assert pd.isna(row(records, control).joint_gap_to_best_pct)  # a control is ranked with no other arm
    assert found.joint_delta_p == row(main_study(), INPLACE).joint_delta_p  # nor corrected for together with them


def test_shuffled_frames_and_where_the_training_time_went() -> None:
    seconds = {"forward_seconds": 9.0, "backward_seconds": 15.0, "update_seconds": 3.0}
    shuffled = {"shuffled_spatial_accuracy": 0.88, "shuffled_temporal_accuracy": 0.26}
    found = row([drawn(QUARTER, 0.9, 0.25, 1, **seconds, **shuffled)], QUARTER)
    assert (found.shuffled_spatial_mean_pct, found.shuffled_temporal_mean_pct) == pytest.approx((88.0, 26.0))
    assert (found.forward_share_pct, found.backward_share_pct, found.update_share_pct) == pytest.approx((30, 50, 10))
    assert pd.isna(row([drawn(QUARTER, 0.9, 0.25, 1)], QUARTER).forward_share_pct)


def test_without_a_baseline_there_is_no_difference() -> None:
    records = [drawn(QUARTER, 0.9, 0.8, seed, AGAIN) for seed in range(3)]
    found = row(records, QUARTER, AGAIN)
    assert found.joint_mean_pct > 0
    assert pd.isna([found.joint_delta_pct, found.joint_delta_p, found.clip_share_pct]).all()


def test_failed_seeds_are_counted_and_not_averaged_in_silently() -> None:
    lost = [failed_training(QUARTER, seed, f"it diverged at {seed}") for seed in (5, 6)]
    records = [*main_study(), *lost, failed_training(BASELINE_VARIANT, 1, "no memory", AGAIN)]
    found, failed = (row(records, QUARTER, status=status) for status in ("ok", "failed"))
    assert (found.seeds, found.reason) == (5, "2 seeds failed: it diverged at 5")
    assert (failed.seeds, failed.reason) == (0, "it diverged at 5")
    alone = row(records, BASELINE_VARIANT, AGAIN, "failed")
    assert (alone.reason, pd.isna(alone.joint_mean_pct)) == ("no memory", True)


def test_one_seed_has_no_interval() -> None:
    found = row(main_study([1]), QUARTER)
    without = "joint_ci_low_pct joint_delta_ci_low_pct joint_delta_p joint_delta_mde_pct clip_share_pct"
    assert found.note == "no interval with fewer than 5 seeds" and row(main_study(), QUARTER).note == ""
    assert found.joint_mean_pct > 0
    assert pd.isna([getattr(found, name) for name in (*without.split(), "joint_delta_boot_low_pct")]).all()


def test_learning_curves() -> None:
    temporal = [[0.25, second, 0.9] for second in (0.5, 0.6, 0.55, 0.5, 0.6)]
    seen = [2000, 4000, 6000]
    courses = [{"spatial": [0.9, 0.8, 0.85], "temporal": own, "joint": own} for own in temporal]
    records = [trained(recognition(curve=own, clips_seen=seen), ALL, seed) for seed, own in enumerate(courses)]
    records.append(trained(recognition(), BASELINE_VARIANT, 1))  # of an older version: no curve
    table = curve_table(arms(records, "accuracy"))
    ends = [f"{part}_{end}_pct" for part in PARTS for end in ("mean", "ci_low", "ci_high")]
    columns = [*ARM_COLUMNS.split(), "seeds", "epoch", "clips_seen", *ends]
    assert list(table.columns) == list(curve_table([]).columns) == columns
    assert list(zip(table.epoch, table.clips_seen, table.seeds, strict=True)) == [
        (1, 2000, 5),
        (2, 4000, 5),
        (3, 6000, 5),
    ]
    assert list(table.spatial_mean_pct) == pytest.approx([90.0, 80.0, 85.0])
    second = Shares(dict(enumerate([50.0, 60.0, 55.0, 50.0, 60.0]))).interval()
    assert table.temporal_ci_low_pct[1] == pytest.approx(second.low)


def after_frames(*joint: float) -> dict[str, Any]:
    return {"early": {part: list(joint) for part in PARTS}}


def test_early_recognition_has_one_row_per_causal_arm_and_frame() -> None:
    causal = shift(fraction="1/8", direction="unidirectional")
    known = {
        BASELINE_VARIANT: [after_frames(0.1, 0.2), after_frames(0.1, 0.3)],
        causal: [after_frames(0.3, 0.8), after_frames(0.2, 0.9), {}],
        QUARTER: [{}, {}],
    }
    records = [trained(recognition(**own), v, seed) for v, seeds in known.items() for seed, own in enumerate(seeds)]
    table = early_table(arms(records, "accuracy"))
    assert list(table.strategy) == ["no_shift"] * 2 + ["copy_shift"] * 2 and list(table.frame) == [1, 2, 1, 2]
    end = table.iloc[-1]
    assert (end.seen_pct, end.seeds, end.joint_mean_pct) == (100, 2, pytest.approx(85))
    assert end.joint_delta_pct == pytest.approx(60) and pd.isna(end.joint_delta_ci_low_pct)  # two seeds are too few
    assert table.iloc[2].joint_mean_pct == pytest.approx(25) and table.iloc[2].seen_pct == 50
    assert (table.iloc[:2].joint_delta_pct == 0).all()


# --- detectors --------------------------------------------------------------------------------------------------------

ONLINE = shift(fraction="1/8", direction="unidirectional")
FRAMES = replace(STREAM, backbone="digits_fcos", size=64)


def detectors() -> list[TrainedRecord]:
    """The online form gains 2 pp; objects of one speed are missing in its second seed."""
    levels = {BASELINE_VARIANT: 0.5, ONLINE: 0.52}
    return [
        trained(detection(map=level + 0.01 * seed, map_fast=None if seed and level > 0.5 else level), variant, seed)
        for variant, level in levels.items()
        for seed in range(5)
    ]


def test_detectors_with_what_they_cost() -> None:
    records = [*detectors(), failed_training(shift(), 0, "it diverged", DETECTOR, "detection")]
    buffer = replace(ONLINE, strategy="buffer_shift")
    timed = [overhead([9.0, 9.0], Case(ONLINE, other)) for other in (replace(FRAMES, streams=4), STREAM)]
    timed += [overhead([1.0, 2.0], Case(ONLINE, FRAMES)), overhead([0.5, 0.6], Case(buffer, FRAMES))]
    table = detection_table(records, arms(records, "detection"), timed, EQUIVALENTS, {})
    base, online, mechanism, failed = table.itertuples()
    assert list(table.form) == ["frame by frame", "online", "online", "offline"]
    assert (base.map_pct, base.seeds, pd.isna(base.map_delta_pct)) == (pytest.approx(52.0), 5, True)
    assert (online.map_delta_pct, online.map_delta_ci_low_pct) == pytest.approx((2.0, 2.0))
    assert (online.map_fast_pct, online.map_fast_delta_pct) == pytest.approx((52.0, 2.0))
    assert pd.isna(online.map_fast_delta_ci_low_pct)
    assert (online.overhead_pct, online.frame_ms, online.replicates) == pytest.approx((1.5, 75.0, 2))
    assert (online.equivalents, online.records) == ("buffer_shift", arms(records, "detection")[1].records)
    assert (mechanism.strategy, mechanism.overhead_pct, mechanism.seeds) == ("buffer_shift", pytest.approx(0.55), 0)
    assert pd.isna(mechanism.map_pct)
    assert (failed.status, failed.reason) == ("failed", "it diverged")


def test_frames_to_look_at() -> None:
    examples = {"truth": [1], "found": [2]}
    kept = trained(detection(examples=examples), ONLINE, 7)
    (found,) = example_frames([*detectors(), kept, trained(detection(examples={"truth": []}), ONLINE, 8)])
    assert found == {"form": "online", "strategy": "copy_shift", "fraction": 0.125, "seed": 7, "examples": examples}


def test_gains_by_speed_hold_for_the_three_speeds_at_once() -> None:
    gains = (0.01, 0.02, 0.03, 0.02, 0.01)
    records = [
        trained(detection(**dict.fromkeys(MEASURES, 0.5 + gain)), variant, seed)
        for variant, own in ((BASELINE_VARIANT, (0.0,) * 5), (ONLINE, gains))
        for seed, gain in enumerate(own)
    ]
    online = detection_table(records, arms(records, "detection"), [], {}, {}).iloc[1]
    delta = arms(records, "detection")[1].pct("map") - arms(records, "detection")[0].pct("map")
    assert online.map_delta_ci_low_pct == pytest.approx(delta.interval().low)
    for speed in ("slow", "medium", "fast"):
        assert online[f"map_{speed}_delta_ci_low_pct"] == pytest.approx(delta.interval(1 - 0.05 / 3).low)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=7))
@settings(max_examples=25)
def test_no_interval_of_a_table_leaves_0_to_100(levels: list[float]) -> None:
    """Of accuracies and average precisions; differences stay within what is possible."""
    parts = [f"{part}_accuracy" for part in PARTS]
    records = [trained(recognition(**dict.fromkeys(parts, level)), ALL, seed) for seed, level in enumerate(levels)]
    records += [trained(recognition(), BASELINE_VARIANT, seed) for seed in range(len(levels))]
    found = [trained(detection(**dict.fromkeys(MEASURES, level)), ONLINE, seed) for seed, level in enumerate(levels)]
    tables = accuracy(records), detection_table(found, arms(found, "detection"), [], {}, lost_seeds(found, "detection"))
    for table, names in zip(tables, (OUTCOMES, MEASURES), strict=True):
        for name in names:
            ends = table[[f"{name}_ci_low_pct", f"{name}_ci_high_pct"]]
            assert ends.notna().all(axis=None) and ends.ge(0).all(axis=None) and ends.le(100).all(axis=None)
    assert tables[0].filter(like="_delta_ci_").abs().le(100).all(axis=None)
