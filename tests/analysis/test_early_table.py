"""Early recognition, arm by arm and frame by frame."""

from fractions import Fraction
from typing import Any

import pytest

from bench.analysis.arms import Arm
from bench.analysis.tables.early import early_table
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant

CAUSAL = Variant("copy_shift", Fraction(1, 8), "residual", "unidirectional")
OFFLINE = Variant("copy_shift", Fraction(1, 4), "residual", "bidirectional")


def samples(*joint: float) -> dict[str, Any]:
    return {"early": {part: list(joint) for part in ("spatial", "temporal", "joint")}}


def test_one_row_per_causal_arm_and_frame() -> None:
    arms = [
        Arm(BASELINE_VARIANT, Condition(), {1: samples(0.1, 0.2), 2: samples(0.1, 0.3)}),
        Arm(CAUSAL, Condition(), {1: samples(0.3, 0.8), 2: samples(0.2, 0.9), 3: {}}),
        Arm(OFFLINE, Condition(), {1: {}, 2: {}}),
    ]
    table = early_table(arms)
    assert list(table.strategy) == ["no_shift"] * 2 + ["copy_shift"] * 2 and list(table.frame) == [1, 2, 1, 2]
    end = table.iloc[-1]
    assert (end.seen_pct, end.seeds, end.joint_mean_pct) == (100, 2, pytest.approx(85))
    assert end.joint_delta_pct == pytest.approx(60) and end.joint_delta_ci_low_pct == pytest.approx(60)
    assert table.iloc[2].joint_mean_pct == pytest.approx(25) and table.iloc[2].seen_pct == 50
    assert (table.iloc[:2].joint_delta_pct == 0).all()


def test_older_runs_have_no_rows() -> None:
    assert early_table([Arm(CAUSAL, Condition(), {1: {}})]).empty
