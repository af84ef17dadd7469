"""The comparison with other harnesses: what its page says, from made-up trials. The trials themselves are no test."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.stats.estimators import Interval
from tests.harnesses import compare, page, readings, summary, tools, truth, words
from tests.harnesses.cases import BASE, EFFECT, LAYERS, SAME, THREE, TWIN
from tests.harnesses.readings import Reading
from tests.harnesses.tools import OURS, PYPERF, TORCH, TURNS

TRUTHS = {SAME: 0.0, THREE: 2.9}
KNOWN = 0.01  # points


def trials(spread: dict[str, float], rounds: int = 12) -> list[dict[str, dict[str, Reading]]]:
    """Each tool is off by plus or minus its spread in turn; ours and pyperf's intervals reach 0.5 points."""
    made = []
    for number in range(rounds):
        tools_of_round = {}
        for tool, width in spread.items():
            off = width if number % 2 else -width
            reach = math.nan if tool in (TORCH, TURNS) else 0.5
            values = {effect: TRUTHS[effect] + off for effect in TRUTHS}
            tools_of_round[tool] = {e: Reading(value, value - reach, value + reach) for e, value in values.items()}
        made.append(tools_of_round)
    return made


def score(made: summary.Summary, tool: str, effect: str) -> summary.Score:
    return next(s for s in made.scores if (s.tool, s.effect) == (tool, effect))


def test_scores_are_what_they_are_called() -> None:
    made = summary.summarise(trials({TORCH: 4.0, PYPERF: 1.0, OURS: 0.2}), TRUTHS, KNOWN)
    torch, pyperf, ours = (score(made, tool, THREE) for tool in (TORCH, PYPERF, OURS))
    assert (torch.rmse, pyperf.rmse, ours.rmse) == pytest.approx((4.0, 1.0, 0.2))
    assert torch.bias == pytest.approx(0.0)
    assert torch.deviation == pytest.approx(4.0 * math.sqrt(12 / 11))
    assert (torch.wrong_signs, pyperf.wrong_signs, ours.wrong_signs) == (6, 0, 0)
    assert (torch.intervals, pyperf.covered, ours.covered) == (0, 0, 12)
    assert score(made, OURS, SAME).wrong_signs is None


def test_verdict_met() -> None:
    made = summary.summarise(trials({TORCH: 4.0, PYPERF: 1.0, OURS: 0.2}), TRUTHS, KNOWN)
    assert made.met is True
    assert words.verdict(made).startswith("**Met.**")
    assert "largest ratio is 0.20, against pyperf" in words.verdict(made)
    assert words.losses(made) == "Nowhere in this table."


def test_verdict_missed_says_by_how_much_and_where_it_was_met() -> None:
    made = summary.summarise(trials({TORCH: 4.0, PYPERF: 1.0, OURS: 0.8}), TRUTHS, KNOWN)
    assert made.met is False
    text = words.verdict(made)
    assert text.startswith("**Missed.**")
    assert "0.80 of pyperf's on A/A [0.80, 0.80]" in text
    assert "met against torch.utils.benchmark on A/A (0.20)" in text


def test_no_verdict_on_a_rehearsal_or_without_a_truth() -> None:
    good = {TORCH: 4.0, PYPERF: 1.0, OURS: 0.2}
    rehearsal = summary.summarise(trials(good, rounds=1), TRUTHS, KNOWN)
    vague = summary.summarise(trials(good), TRUTHS, 0.3)
    unknown = summary.summarise(trials(good), TRUTHS, math.nan)
    assert rehearsal.met is vague.met is unknown.met is None
    assert "12 trials of each tool were asked" in words.verdict(rehearsal)
    assert "the truth is not known" in words.verdict(vague)


def test_losses_are_told() -> None:
    made = summary.summarise(trials({TORCH: 0.1, PYPERF: 9.0, OURS: 0.8}), TRUTHS, KNOWN)
    text = words.losses(made)
    assert f"{TORCH} has the smaller root-mean-square error on A/A: 0.10 against 0.80" in text
    assert "held the truth of 3 % only 0 of 12" in text


def test_a_truth_that_is_not_known_well_is_a_warning() -> None:
    made = summary.summarise(trials({TORCH: 4.0, PYPERF: 1.0, OURS: 0.2}), TRUTHS, KNOWN)
    header = {"rounds": 12, "seconds": 60.0, "seed": 1, "machine": MACHINE, "command": "compare.py"}
    good = words.page(made, header, [], Interval(2.95, 2.94, 2.96, 4), "caption", "")
    poor = words.page(made, header, [], Interval(2.95, 2.7, 3.2, 4), "caption", "because")
    assert "measure again" not in good and "`why.md`" in good
    assert "measure again" in poor and "because" in poor


def test_the_truth_of_six_layers() -> None:
    """t = 1 + layers / 100: a third of the half stack's time is fixed, so r = 2/3 and six layers add 2 %."""
    block = {"seconds": [[2.0, 2.0], [3.0, 3.0]]}
    assert truth.extra_layers([[block, block], [block]]).mean == pytest.approx(2.0)
    free = {"seconds": [[1.0, 1.0], [2.0, 2.0]]}
    assert truth.extra_layers([[free], [free]]).mean == pytest.approx(3.0)


def test_readings_of_each_tool() -> None:
    torch = readings.of_torch({BASE: [1.0, 1.0, 9.0], TWIN: [1.0, 1.0, 1.0], EFFECT: [1.03, 0.5, 1.03]})
    assert torch[SAME].value == pytest.approx(0.0) and not torch[SAME].has_interval
    assert torch[THREE].value == pytest.approx(3.0)
    runs = [[1.0, 1.02], [0.99, 1.01]]
    pyperf = readings.of_pyperf({BASE: runs, TWIN: runs, EFFECT: [[1.03 * v for v in values] for values in runs]})
    assert pyperf[THREE].value == pytest.approx(3.0)
    assert pyperf[THREE].low < 3.0 < pyperf[THREE].high
    ours = readings.of_shiftbench([[superblock(process) for _ in range(5)] for process in range(3)])
    assert ours[SAME].value == pytest.approx(0.0)
    assert ours[THREE].value == pytest.approx(3.0, abs=0.02)
    assert ours[THREE].has_interval


def superblock(process: int) -> dict[str, Any]:
    """The base, its twin and 3 % more; each process at a speed of its own and a little off."""
    base = 0.01 * (1 + process)
    return {
        "seconds": [[base, base], [base, base], [base * 1.03, base * (1.03 + 1e-4 * process)]],
        "wall": 0.1,
        "readings": {"foreign": 0.0, "steal": 0.0, "major_faults": 0, "pressure_memory": 0.0},
    }


def test_pyperf_fills_its_time_and_no_more() -> None:
    plan = tools.plan_pyperf(60.0, start_up=4.0, slot=0.012)
    assert (plan.processes, plan.loops) == (3, 16)  # 8 loops are shorter than its 0.1 s
    values = plan.values + 1  # and the warm-up
    taken = len(LAYERS) * plan.processes * (4.0 + values * plan.loops * 0.012)
    assert 57.0 < taken <= 60.0
    assert tools.plan_pyperf(60.0, start_up=6.0, slot=0.012).processes == 2
    assert tools.plan_pyperf(5.0, start_up=6.0, slot=0.5) == tools.PyperfPlan(1, 1, 1)


def test_every_round_holds_every_tool_once_and_the_seed_decides() -> None:
    order = compare.order(7, 12)
    for number in range(12):
        assert sorted(tool for n, tool in order if n == number) == sorted(tools.TOOLS)
    assert order == compare.order(7, 12) != compare.order(8, 12)


MACHINE = {
    "cpu": "made up",
    "cores": 2,
    "memory_gb": 1.0,
    "os": "none",
    "python": "3",
    "versions": {"pyperf": "2"},
    "commit": None,
}


def test_the_page_is_written_from_raw_results(tmp_path: Path) -> None:
    """A torn last line is cut off; a round without all tools does not count."""
    rng = np.random.default_rng(1)
    fixed = [[{"seconds": [[0.5, 0.5], [1.0, 1.0]]}], [{"seconds": [[0.51, 0.5], [1.0, 1.0]]}]]
    rows: list[dict[str, Any]] = [
        {"kind": "header", "machine": MACHINE, "id": "x", "seconds": 60.0, "rounds": 3, "seed": 1, "command": "c"},
        {"kind": "fixed", "processes": fixed},
    ]
    for place, (number, tool) in enumerate(compare.order(1, 3)):
        values = {case: list(rng.normal(layers / 200, 0.01, 6)) for case, layers in LAYERS.items()}
        samples: Any = {
            **{TORCH: values, TURNS: values},
            PYPERF: {case: [v[:3], v[3:]] for case, v in values.items()},
            OURS: [[superblock(process)] * 4 for process in range(3)],
        }[tool]
        plan = {"plan": {"processes": 2, "values": 3, "loops": 1}} if tool == PYPERF else {}
        system = {"wall": 59.0, "steal": 0.1, "load": 1.0}
        rows.append(
            {"kind": "trial", "round": number, "place": place, "tool": tool, **system, **plan, "samples": samples}
        )
    path = tmp_path / "raw.jsonl"
    path.write_text("\n".join(map(json.dumps, rows[:-1])) + "\n" + json.dumps(rows[-1])[:40])
    raw = compare.Raw(path)
    assert len(raw.trials()) == 11
    made = page.write(tmp_path)
    assert {s.trials for s in made.scores} == {2}
    assert json.loads((tmp_path / "summary.json").read_text())["truth_half_width"] == pytest.approx(made.known_within)
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 1 + 2 * 11
    assert (tmp_path / "estimates.svg").stat().st_size > 0 and (tmp_path / "estimates.png").stat().st_size > 0
    text = (tmp_path / "README.md").read_text()
    assert words.verdict(made) in text
    raw.append(rows[-1])
    assert compare.Raw(path).rows == rows


def test_results_from_before_a_tool_was_added_still_make_a_page() -> None:
    """Published ones lack the Timer in turns."""
    read = {
        (number, tool): own
        for number, trial in enumerate(trials({TORCH: 4.0, PYPERF: 1.0, OURS: 0.2}))
        for tool, own in trial.items()
    }
    made = summary.summarise(page.complete_rounds(read), TRUTHS, KNOWN)
    assert (made.trials, {ratio.other for ratio in made.ratios}) == (12, {TORCH, PYPERF})


def test_timers_in_turns_give_every_case_as_many_blocks() -> None:
    """The real process, without time to spare: one block of each."""
    raw = tools.torch(0.0, in_turns=True)
    assert list(raw) == list(LAYERS)
    assert {len(seconds) for seconds in raw.values()} == {1}
    assert all(0 < value < 10 for seconds in raw.values() for value in seconds)
