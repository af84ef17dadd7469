"""Arms: grouped by variant and condition, paired by seed and by base clip."""

from dataclasses import replace

import numpy as np
import pytest

from bench.analysis.arms import Arm, arms, baseline_arm, form_of, lost_seeds, unfinished
from bench.spec.cases import BASELINE_VARIANT
from bench.store.samples import MEASURES, OUTCOMES, pack
from tests.analysis.synthetic import CLIPS, drawn, main_study, of
from tests.store.synthetic import DETECTOR, USUAL, detection, failed_training, shift, timed, trained

RESIDUAL = shift("residual", "1/4")
OTHER = replace(USUAL, objective="spatial")


def one(**samples: object) -> Arm:
    return arms([drawn(RESIDUAL, 0.9, 0.9, 1, **samples)], "accuracy")[0]


def test_arms_of_different_conditions_are_different_arms() -> None:
    records = [drawn(RESIDUAL, 0.9, 0.9, seed, condition) for seed in (3, 1) for condition in (USUAL, OTHER)]
    found = arms([timed(), *records, failed_training(RESIDUAL, 2, "it diverged")], "accuracy")
    assert [arm.key for arm in found] == [(RESIDUAL, USUAL), (RESIDUAL, OTHER)]
    assert [list(arm.seeds) for arm in found] == [[1, 3], [1, 3]]
    assert f"{found[0].records}/seed3" == records[0].id
    assert arms(records, "detection") == []


def test_lost_seeds_are_counted_and_the_first_reason_is_kept() -> None:
    lost = [failed_training(RESIDUAL, 2, "it diverged"), failed_training(RESIDUAL, 3, "no memory")]
    lost.append(failed_training(RESIDUAL, 2, "it hung", OTHER))
    assert lost_seeds([*main_study(), *lost], "accuracy") == {
        (RESIDUAL, USUAL): "2 seeds failed: it diverged",
        (RESIDUAL, OTHER): "1 seed failed: it hung",
    }
    assert lost_seeds(lost, "detection") == {}


def test_an_arm_with_seeds_to_come_is_not_whole() -> None:
    records = main_study()
    found = arms(records, "accuracy")
    seeds = sorted(found[0].seeds)
    planned = [f"{arm.records}/seed{seed}".removeprefix("accuracy/") for arm in found for seed in seeds]
    header = {"sweep": {"trainings": {"accuracy": {"trials": planned}}}}
    assert unfinished(header, found) == {}
    planned.append(f"{found[1].records}/seed99".removeprefix("accuracy/"))
    assert unfinished(header, found) == {found[1].key: f"{len(seeds)} of {len(seeds) + 1} seeds are trained"}
    assert unfinished({}, found) == {}


def test_the_baseline_is_that_of_the_same_condition() -> None:
    records = [drawn(v, 0.9, 0.9, 1, c) for v in (BASELINE_VARIANT, RESIDUAL) for c in (USUAL, OTHER)]
    found = arms([*records, drawn(RESIDUAL, 0.9, 0.9, 1, replace(USUAL, lr_factor=2.0))], "accuracy")
    bases = [baseline_arm(arm, found) for arm in found if arm.variant == RESIDUAL]
    assert [base and base.condition for base in bases] == [USUAL, OTHER, None]


def test_a_mixture_is_half_spatial_and_half_joint() -> None:
    arm = arms(main_study([1]), "accuracy")[1]
    halves = [arm.pct(part).values[0] for part in ("spatial", "joint")]
    assert arm.pct("mixture").values == [pytest.approx(sum(halves) / 2)]
    base = arms([drawn(BASELINE_VARIANT, 1.5, 0.0, 1)], "accuracy")[0]
    assert (base.pct("mixture").values, base.chance_pct) == ([62.5], 25.0)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_the_mean_over_base_clips_is_the_difference(outcome: str) -> None:
    own, base = (arms(of(main_study(), variant), "accuracy")[0] for variant in (RESIDUAL, BASELINE_VARIANT))
    clips = own.clip_deltas(base, outcome)
    assert [len(values) for values in clips] == [CLIPS] * 5
    assert [float(values.mean()) for values in clips] == pytest.approx((own.pct(outcome) - base.pct(outcome)).values)


def test_a_base_clip_is_one_clip_in_all_its_orders() -> None:
    """The first base clip right in three orders of four, the others wrong."""
    right, all_right = np.zeros(4 * CLIPS, dtype=bool), pack(np.ones(4 * CLIPS, dtype=bool))
    wrong = pack(right)
    right[:3] = True
    own = one(spatial_correct=pack(right), temporal_correct=all_right)
    other = one(spatial_correct=wrong, temporal_correct=all_right)
    assert list(own.clip_deltas(other, "joint")[0][:2]) == [75.0, 0.0]
    assert own.clip_deltas(one(test_clips=40), "joint") == []  # judged on unlike numbers of clips


def test_detectors_come_in_the_order_of_their_forms() -> None:
    variants = [shift(), shift(direction="unidirectional"), BASELINE_VARIANT]
    found = arms([trained(detection(map=0.6, map_fast=None), variant, 4) for variant in variants], "detection")
    assert [form_of(arm.variant) for arm in found] == ["frame by frame", "online", "offline"]
    assert {arm.condition for arm in found} == {DETECTOR}
    assert [len(found[0].pct(measure)) for measure in MEASURES] == [1, 1, 1, 0]
    assert found[0].pct("map").by_unit == {4: 60.0}
    assert found[0].recognition == {}
