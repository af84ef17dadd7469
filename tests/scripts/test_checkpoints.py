"""Checkpoints of one arm, evaluated one by one -> what a runtime or a dtype changes over all of them."""

from pathlib import Path

import pandas as pd
import pytest

from tests.scripts.checkpoints import main

FIRST = {"strategy": "copy_shift", "placement": "residual", "fraction": 0.25, "clips": 96, "status": "ok"}


def test_each_case_is_held_against_the_first_one_of_its_checkpoint(tmp_path: Path) -> None:
    deltas = [0.0, -1.0, 1.0, -2.0, 0.0]
    folders = []
    for number, delta in enumerate(deltas):
        eager = FIRST | {
            "runtime": "eager",
            "dtype": "fp32",
            "top1_pct": 80.0 + number,
            "unlike_eager": 0,
            "deviation": 0,
        }
        int8 = eager | {"runtime": "openvino", "dtype": "int8", "top1_pct": 80.0 + number + delta, "delta_pct": delta}
        failed = int8 | {"runtime": "onnxruntime", "status": "failed"}
        folder = tmp_path / str(number)
        (folder / "evaluation").mkdir(parents=True)
        pd.DataFrame([eager, int8, failed]).to_csv(folder / "evaluation" / "accuracy.csv", index=False)
        folders.append(str(folder))
    main([*folders, "--out", str(tmp_path / "out")])
    eager, int8 = pd.read_csv(tmp_path / "out" / "tables" / "checkpoints.csv").itertuples()
    assert (eager.delta_pct, eager.delta_ci_low_pct, eager.top1_pct, eager.checkpoints) == (0.0, 0.0, 82.0, 5)
    assert int8.delta_pct == pytest.approx(-0.4)
    deviation = pd.Series(deltas).std() / 5**0.5
    assert int8.delta_ci_high_pct == pytest.approx(-0.4 + 2.776 * deviation, abs=1e-3)  # Student's t, 4 degrees
    assert len(pd.read_csv(tmp_path / "out" / "tables" / "evaluations.csv")) == 15
