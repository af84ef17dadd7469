"""Differences on real video, by side of the split and by subject."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.spec.cases import BASELINE_VARIANT
from bench.store.journal import Run
from bench.store.samples import pack
from tests.scripts.sides import main
from tests.store.synthetic import VIDEO, shift, trained, video

EVEN, ODD = [f"{place}_s2.mp4" for place in range(4)], [f"{place}_s7.mp4" for place in range(4)]


def test_parts_of_the_test_clips(tmp_path: Path) -> None:
    """Without a shift nothing is right. With one, even seeds know half of subject 2, odd ones all of subject 7 but for
    one clip in seed 1."""
    records = []
    for seed in range(6):
        names = ODD if seed % 2 else EVEN
        right = np.array([True, True, seed % 2 == 1, seed in (3, 5)])
        for variant, bits in ((BASELINE_VARIANT, np.zeros(4, bool)), (shift("residual", "1/4"), right)):
            samples = video(correct=pack(bits), videos=names, top1_accuracy=float(bits.mean()), test_clips=4)
            records.append(trained(samples, variant, seed, VIDEO))
    with Run(tmp_path / "run") as run:
        run.write_header({"schema_version": 10})
        run.append(*records)
    rows = [{"file": name, "subject": name[3]} for name in (*EVEN, *ODD)]
    pd.DataFrame(rows).to_csv(tmp_path / "clips.csv", index=False)
    main([str(tmp_path / "run"), "--data", str(tmp_path / "clips.csv")])
    found = pd.read_csv(tmp_path / "run" / "sides.csv").set_index("part")
    assert set(found["comparison"]) == {"residual minus no shift"} and set(found["question"]) == {VIDEO.dataset}
    expected = {"all": (50 * 3 + 75 + 100 * 2) / 6, "even seeds": 50.0, "odd seeds": 275 / 3, "subject 2": 50.0}
    expected |= {"subject 7": 275 / 3, "both sides alike": (50 + 275 / 3) / 2, "without 7 and 8": 50.0}
    assert found["delta_pct"].to_dict() == pytest.approx(expected)
    alike = found.loc["both sides alike"]
    error = 0.5 * (np.var([75, 100, 100], ddof=1) / 3) ** 0.5  # even seeds do not vary
    assert alike.delta_ci_high_pct - alike.delta_pct == pytest.approx(2.776 * error, abs=0.01)
