"""Accuracies, paired differences and disagreements of predictions that are given or drawn."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.analysis.predictions import Judged, Prediction, accuracy_table, disagreements, paired, wilson, write
from bench.spec.cases import BASELINE_VARIANT, Case
from tests.store.synthetic import PANEL, shift

CLASSES = tuple("abcdefg")


def judged(count: int = 40) -> Judged:
    labels = np.arange(count) % len(CLASSES)
    return Judged(tuple(f"{number}.mp4" for number in range(count)), labels, CLASSES)


def answers(case: Case, given: np.ndarray, margin: float = 1.0) -> Prediction:
    """Logits whose largest, by ``margin``, is that of the class given [N]."""
    logits = np.zeros((len(given), len(CLASSES)), np.float32)
    logits[np.arange(len(given)), given] = margin
    return Prediction(case, logits)


def test_the_interval_of_an_accuracy_is_wilson_s() -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion", 1998, Table I, method 3: 81 of 263."""
    assert wilson(81, 263).low == pytest.approx(25.53, abs=0.01)
    assert wilson(81, 263).high == pytest.approx(36.62, abs=0.01)


@pytest.mark.parametrize(("easy", "first", "second"), [(0.6, 0.1, 0.1), (0.9, 0.05, 0.02), (0.0, 0.8, 0.6)])
def test_paired_intervals_hold_the_true_difference(easy: float, first: float, second: float) -> None:
    """easy: clips that both get right; of the others each gets its own share right."""
    rng, truth, held = np.random.default_rng(0), 100 * (1 - easy) * (first - second), 0
    for _ in range(1000):
        shared, own, other = (rng.random(60) < share for share in (easy, first, second))
        found = paired(shared | own, shared | other)
        held += found.low <= truth <= found.high
    assert 0.93 <= held / 1000 <= 1.0


def test_a_paired_difference_turns_its_sign_and_knows_how_little_it_knows() -> None:
    right = np.arange(50) % 5 > 0
    better = right | (np.arange(50) < 11)
    there, back, same = paired(better, right), paired(right, better), paired(right, right)
    assert (there.mean, there.low, there.high) == pytest.approx((-back.mean, -back.high, -back.low))
    assert there.mean == pytest.approx(6.0)
    assert same.mean == 0 and same.low < 0 < same.high
    many = np.tile(right, 100)
    assert paired(many, many).high < same.high / 5


def test_a_row_is_compared_with_the_first_and_with_eager() -> None:
    clips = judged()
    wrong = (clips.labels + 1) % len(CLASSES)
    copy, none = Case(shift(), PANEL), Case(BASELINE_VARIANT, PANEL)
    half = np.where(np.arange(40) < 20, clips.labels, wrong)
    found = [
        answers(copy, clips.labels),
        Prediction(Case(shift(strategy="buffer_shift"), PANEL), status="failed", reason="it raised"),
        answers(none, half),
    ]
    table = accuracy_table(found, clips, []).set_index("strategy")
    assert table["top1_pct"].tolist()[::2] == [100.0, 50.0] and table["top5_pct"].tolist()[0] == 100.0
    assert table["delta_pct"].isna().tolist() == [True, True, False]
    assert table.loc["no_shift", ["delta_pct", "gained", "lost"]].tolist() == [-50.0, 0, 20]
    assert table.loc["buffer_shift", ["status", "reason"]].tolist() == ["failed", "it raised"]
    assert table["unlike_eager"].tolist()[::2] == [0, 0]  # in eager fp32 each is what it is held against


@pytest.mark.parametrize(("margin", "fault"), [(1e-5, False), (0.5, True)])
def test_only_rounding_may_part_strategies_of_one_function(margin: float, fault: bool) -> None:
    clips = judged()
    copy, other = answers(Case(shift(), PANEL), clips.labels), Case(shift(strategy="buffer_shift"), PANEL)
    copy.logits[0] = 0.0
    copy.logits[0, :2] = 0.9, 0.9 - margin
    logits = copy.logits.copy()
    logits[0, :2] = 0.9 - margin, 0.9
    roots = {"copy_shift": "copy_shift", "buffer_shift": "copy_shift"}
    (found,) = disagreements([Prediction(other, logits), copy], clips, roots, tolerance=1e-4)
    assert (found.case, found.unlike) == (other, 1)
    assert (found.fault is not None) == fault
    if found.fault:
        assert "1 of 40 clips" in found.fault and "0.mp4: 0.5 between" in found.fault and "\n" not in found.fault


def test_tables_stand_beside_what_each_case_costs(tmp_path: Path) -> None:
    clips, copy = judged(), Case(shift(), PANEL)
    costs = {"records": copy.key, "latency_ms": 9.0, "overhead_pct": 3.0}
    latency = pd.DataFrame([costs | {"overhead_ci_low_pct": 2.0, "overhead_ci_high_pct": 4.0, "aa": False}])
    found = [answers(copy, clips.labels)]
    table = write(tmp_path, found, clips, [], {"torn.mp4": "it is torn"}, latency)
    assert table["overhead_pct"].tolist() == [3.0]
    assert write(tmp_path, found, clips, [], {}, None)["overhead_pct"].map(math.isnan).all()
    read = {path.stem: len(pd.read_csv(path)) for path in (tmp_path / "evaluation").glob("*.csv")}
    assert read == {"accuracy": 1, "classes": len(CLASSES), "predictions": 40, "unreadable": 0}
