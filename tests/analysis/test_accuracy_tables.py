"""The accuracy table and the learning curves, from records to columns."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from bench.analysis.arms import arms
from bench.analysis.tables.accuracy import accuracy_table
from bench.analysis.tables.curves import curve_table
from bench.spec.cases import BASELINE_VARIANT
from bench.stats import estimators
from bench.store.records import Record
from tests.analysis.synthetic_arms import USUAL, curve, failed, main_study, shift, trained

PARTS = ("spatial", "temporal", "joint", "mixture")


def table(records: list[Record]) -> pd.DataFrame:
    return accuracy_table(records, arms(records), {"copy_shift": ["buffer_shift"]})


def test_columns_are_those_of_the_contract() -> None:
    head = "strategy placement fraction direction dataset backbone objective view lr_factor length_factor cohort seeds"
    ends = "mean_pct ci_low_pct ci_high_pct delta_pct delta_ci_low_pct delta_ci_high_pct delta_p delta_detectable_pct"
    behind = [f"joint_behind_{end}" for end in ("pct", "ci_low_pct", "ci_high_pct", "detectable_pct")]
    tail = "clip_share_pct joint_delta_boot_low_pct joint_delta_boot_high_pct shuffled_spatial_mean_pct"
    tail += " shuffled_temporal_mean_pct params flops train_seconds clips_per_second"
    tail += " data_share_pct forward_share_pct backward_share_pct update_share_pct status reason"
    parts = [f"{part}_{end}" for part in PARTS for end in ends.split()]
    expected = [*head.split(), *parts, *behind, *tail.split(), "also_holds_for", "records"]
    assert list(table(main_study()).columns) == expected
    assert list(table([]).columns) == expected


def test_an_arm_against_its_baseline() -> None:
    records = main_study()
    found = {(row.placement, row.fraction): row for row in table(records).itertuples()}
    own, base = (
        arms([r for r in records if r.case["fraction"] == f and r.case["placement"] == "residual"])[0] for f in "10"
    )
    row = found["residual", 1.0]
    delta = estimators.t_interval(own.deltas(base, "spatial"))
    assert (row.spatial_delta_pct, row.spatial_delta_ci_low_pct) == pytest.approx((delta.mean, delta.low))
    assert row.spatial_delta_detectable_pct == pytest.approx(
        estimators.smallest_detectable(own.deltas(base, "spatial"), 1 - 0.05 / 4)  # the strictest level of four arms
    )
    assert row.joint_delta_boot_low_pct < row.joint_delta_pct < row.joint_delta_boot_high_pct
    assert 0 < row.clip_share_pct <= 100
    assert (row.seeds, row.data_share_pct, row.also_holds_for) == (5, pytest.approx(2.0), "buffer_shift")
    assert math.isnan(row.shuffled_spatial_mean_pct)
    none = found["residual", 0.0]
    assert (none.temporal_mean_pct, none.temporal_ci_low_pct, none.joint_delta_pct) == (25.0, 25.0, 0.0)
    assert math.isnan(none.joint_delta_p) and math.isnan(none.clip_share_pct)


def test_p_values_are_those_of_a_condition_together() -> None:
    other = replace(USUAL, objective="spatial")
    alone = [trained(v, 0.9, 0.8, s, other) for s in range(5) for v in (BASELINE_VARIANT, shift("residual", "1"))]
    records = main_study() + alone
    found = table(records)
    trained_arms = {arm.key: arm for arm in arms(records)}
    for condition, count in ((USUAL, 4), (other, 1)):
        base = trained_arms[BASELINE_VARIANT, condition]
        own = [arm for key, arm in trained_arms.items() if key[1] == condition and key[0] != BASELINE_VARIANT]
        expected = estimators.holm([estimators.paired_p(arm.deltas(base, "spatial")) for arm in own])
        shown = found[(found.objective == condition.objective) & (found.strategy != "no_shift")].spatial_delta_p
        assert len(shown) == count
        assert list(shown) == pytest.approx(expected)


def test_how_far_behind_the_best_is_paired_and_holds_for_all_arms_at_once() -> None:
    records = main_study() + [
        trained(shift("residual", "1", strategy="temporal_conv"), 0.99, 0.99, seed) for seed in range(5)
    ]
    found = table(records).set_index(["strategy", "placement", "fraction"])
    best, other = (
        arms([r for r in records if r.case["strategy"] == "copy_shift" and r.case["placement"] == p])[0]
        for p in ("residual", "inplace")
    )
    assert pd.isna(found.joint_behind_pct["copy_shift", "residual", 0.25])  # the best itself
    assert pd.isna(found.joint_behind_pct["temporal_conv", "residual", 1.0])  # a control, in no contest with the arms
    interval = estimators.t_interval(best.deltas(other, "joint"), 1 - 0.05 / 3)
    row = found.loc["copy_shift", "inplace", 0.25]
    assert (row.joint_behind_pct, row.joint_behind_ci_high_pct) == pytest.approx((interval.mean, interval.high))


def test_the_profile_of_a_training() -> None:
    seconds = {"forward_seconds": 9.0, "backward_seconds": 15.0, "update_seconds": 3.0}
    row = table([trained(BASELINE_VARIANT, 0.9, 0.25, 1, **seconds)]).iloc[0]
    assert (row.forward_share_pct, row.backward_share_pct, row.update_share_pct) == pytest.approx((30, 50, 10))
    assert pd.isna(table([trained(BASELINE_VARIANT, 0.9, 0.25, 1)]).forward_share_pct[0])


def test_without_a_baseline_there_is_no_difference() -> None:
    row = table([trained(shift("residual", "1/2"), 0.9, 0.8, s, replace(USUAL, lr_factor=2.0)) for s in range(3)]).iloc[
        0
    ]
    assert row.joint_mean_pct > 0
    assert pd.isna(row[["joint_delta_pct", "joint_delta_p", "clip_share_pct", "joint_delta_boot_low_pct"]]).all()


def test_a_failed_seed_is_told_and_not_averaged_in_silently() -> None:
    arm = shift("residual", "1/4")
    records = [*main_study(), failed(arm, 5, "Diverged: nan"), failed(arm, 6, "Diverged: inf")]
    rows = table(records)
    rows = rows[(rows.placement == "residual") & (rows.fraction == 0.25)].set_index("status")
    assert dict(rows.seeds) == {"ok": 5, "failed": 0}
    assert dict(rows.reason) == {"ok": "2 seeds failed: Diverged: nan", "failed": "Diverged: nan"}


def test_a_failed_arm_is_a_row() -> None:
    condition = replace(USUAL, backbone="digits_r3d")
    rows = table([*main_study(), failed(BASELINE_VARIANT, 1, "out of memory", condition)])
    lost = rows[rows.status == "failed"].iloc[0]
    assert (lost.backbone, lost.seeds, lost.reason) == ("digits_r3d", 0, "out of memory")
    assert pd.isna(lost.joint_mean_pct)


def test_one_seed_has_no_interval() -> None:
    rows = table(main_study(seeds=[1]))
    assert rows.joint_mean_pct.notna().all()
    others = rows[rows.strategy != "no_shift"]
    assert (
        others[["joint_ci_low_pct", "joint_delta_ci_low_pct", "joint_delta_p", "joint_delta_detectable_pct"]]
        .isna()
        .all()
        .all()
    )
    assert others[["clip_share_pct", "joint_delta_boot_low_pct"]].isna().all().all()


def test_shuffled_frames_stand_beside_the_ordered_ones() -> None:
    more = {"shuffled_spatial_accuracy": 0.88, "shuffled_temporal_accuracy": 0.26}
    row = table([trained(shift("residual", "1/4"), 0.9, 0.9, seed, **more) for seed in (1, 2)]).iloc[0]
    assert (row.shuffled_spatial_mean_pct, row.shuffled_temporal_mean_pct) == pytest.approx((88.0, 26.0))


def test_learning_curves() -> None:
    arm = shift("inplace", "1/2")
    courses = [curve([0.9, 0.8, 0.85], [0.25, 0.5, 0.9]), curve([0.92, 0.82, 0.87], [0.25, 0.6, 0.9])]
    records = [trained(arm, 0.9, 0.9, seed, **course) for seed, course in enumerate(courses)]
    records.append(trained(BASELINE_VARIANT, 0.9, 0.9, 1))  # of an older version: no curve
    rows = curve_table(arms(records))
    head = "strategy placement fraction direction dataset backbone objective view lr_factor length_factor cohort seeds"
    parts = [f"{part}_{end}_pct" for part in PARTS[:3] for end in ("mean", "ci_low", "ci_high")]
    assert list(rows.columns) == [*head.split(), "epoch", "clips_seen", *parts]
    assert list(curve_table([]).columns) == list(rows.columns)
    assert list(zip(rows.epoch, rows.clips_seen, rows.seeds, strict=True)) == [(1, 2000, 2), (2, 4000, 2), (3, 6000, 2)]
    assert list(rows.spatial_mean_pct) == pytest.approx([91.0, 81.0, 86.0])
    assert rows.temporal_ci_low_pct[1] == pytest.approx(estimators.t_interval([50.0, 60.0]).low)
