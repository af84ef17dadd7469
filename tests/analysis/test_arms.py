"""Arms: grouped by variant and condition, paired by seed and by base clip."""

from dataclasses import replace

import numpy as np
import pytest

from bench.analysis import arms
from bench.spec.cases import BASELINE_VARIANT
from bench.stats.packed_booleans import pack, unpack
from tests.analysis.synthetic_arms import CLIPS, USUAL, failed, main_study, shift, trained

RESIDUAL = shift("residual", "1/4")
OTHER = replace(USUAL, objective="spatial")


def test_arms_of_different_conditions_are_different_arms() -> None:
    records = [trained(RESIDUAL, 0.9, 0.9, seed, condition) for seed in (3, 1) for condition in (USUAL, OTHER)]
    found = arms.arms([*records, failed(RESIDUAL, 2, "Diverged")])
    assert [arm.key for arm in found] == [(RESIDUAL, USUAL), (RESIDUAL, OTHER)]
    assert [list(arm.seeds) for arm in found] == [[1, 3], [1, 3]]
    assert arms.failed_arms([*records, failed(RESIDUAL, 2, "Diverged")]) == {(RESIDUAL, USUAL): "Diverged"}


def test_the_baseline_is_that_of_the_same_condition() -> None:
    records = [trained(v, 0.9, 0.9, 1, c) for v in (BASELINE_VARIANT, RESIDUAL) for c in (USUAL, OTHER)]
    found = arms.arms([*records, trained(RESIDUAL, 0.9, 0.9, 1, replace(USUAL, lr_factor=2.0))])
    bases = {arm.condition: arms.baseline_arm(arm, found) for arm in found if arm.variant == RESIDUAL}
    assert [base.condition if base else None for base in bases.values()] == [USUAL, OTHER, None]


def test_differences_are_paired_by_seed() -> None:
    own, other = (
        arms.arms([trained(variant, 0.9, 0.9, seed) for seed in seeds])[0]
        for variant, seeds in ((RESIDUAL, (1, 2, 3)), (BASELINE_VARIANT, (2, 3, 4)))
    )
    for part in arms.OUTCOMES:
        values = dict(zip(own.seeds, own.values(part), strict=True))
        others = dict(zip(other.seeds, other.values(part), strict=True))
        assert own.deltas(other, part) == pytest.approx([values[seed] - others[seed] for seed in (2, 3)])


def test_a_mixture_is_half_spatial_and_half_joint() -> None:
    arm = arms.arms([trained(RESIDUAL, 0.9, 0.8, 1)])[0]
    halves = [arm.values(part)[0] for part in ("spatial", "joint")]
    assert arm.values("mixture") == [pytest.approx(sum(halves) / 2)]
    base = arms.arms([trained(BASELINE_VARIANT, 1.5, 0.0, 1)])[0]
    assert (base.values("mixture"), base.chance_pct) == ([62.5], 25.0)


@pytest.mark.parametrize("part", arms.OUTCOMES)
def test_the_mean_over_base_clips_is_the_difference(part: str) -> None:
    own, base = (
        arms.arms([r for r in main_study() if r.case == v.case])[0] for v in (main_study()[1], main_study()[0])
    )
    clips = own.clip_deltas(base, part)
    assert [len(values) for values in clips] == [CLIPS] * 5
    assert [float(values.mean()) for values in clips] == pytest.approx(own.deltas(base, part))


def test_a_base_clip_is_one_clip_in_all_its_orders() -> None:
    """The first base clip right in three orders of four, the others wrong."""
    bits = np.zeros(4 * CLIPS, dtype=bool)
    bits[:3] = True
    more = {"spatial_correct": pack(bits), "temporal_correct": pack(np.ones_like(bits))}
    nothing = {"spatial_correct": pack(np.zeros_like(bits))}
    own, other = (arms.arms([trained(RESIDUAL, 0.9, 0.9, 1, **m)])[0] for m in (more, more | nothing))
    assert list(own.clip_deltas(other, "joint")[0][:2]) == [75.0, 0.0]


def test_arms_judged_on_unlike_clips_are_not_paired_by_clip() -> None:
    own = arms.arms([trained(RESIDUAL, 0.9, 0.9, 1)])[0]
    fewer = arms.arms([trained(BASELINE_VARIANT, 0.9, 0.9, 1, test_clips=40)])[0]
    assert own.clip_deltas(fewer, "joint") == []


@pytest.mark.parametrize("count", [1, 8, 13])
def test_bits_come_back(count: int) -> None:
    bits = np.random.default_rng(count).random(count) < 0.5
    assert (unpack(pack(bits), count) == bits).all()
