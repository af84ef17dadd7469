"""On a machine made of arithmetic the validation must say what is true, and find what is wrong."""

import json
import math
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bench.validation import files
from bench.validation.design import Design
from bench.validation.experiment import Measured
from bench.validation.figure import draw
from bench.validation.findings import Share, Validation, built_in_pct, findings, grouped, to_json
from bench.validation.words import checks, words
from tests.validation.synthetic import BUSY, QUIET, Machine, measured, process

DESIGN = Design(pairs=3)
GROUPS = 9


@pytest.fixture(scope="module")
def good() -> Validation:
    return findings(measured(Machine(), DESIGN, GROUPS, busy=3))


def failed(validation: Validation) -> set[str]:
    return {check.name for check in checks(validation) if not check.passed}


@pytest.mark.parametrize("fixed", [0.0, 0.0005, 0.01])
def test_the_fixed_part_is_taken_out(fixed: float) -> None:
    machine = Machine(fixed=fixed)
    times = dict(zip((call.name for call in DESIGN.calls), machine.seconds(DESIGN, 0.0), strict=True))
    for layers in DESIGN.effects:
        truth = built_in_pct(DESIGN, layers, times["half"] / times["base"])
        assert truth == pytest.approx(machine.truth_pct(DESIGN, layers))
        assert truth == pytest.approx(100 * (times[f"{layers} layers"] / times["base"] - 1))


def test_without_noise_everything_is_exact() -> None:
    machine = Machine(noise_sd=0.0, process_sd=0.0)
    validation = findings(measured(machine, DESIGN, groups=1))
    for effect in validation.effects:
        assert effect.bias.mean == pytest.approx(0, abs=1e-6)
        assert effect.estimate.mean == pytest.approx(effect.truth_pct, abs=1e-6)
    assert validation.fixed_seconds == pytest.approx(machine.fixed)
    assert validation.base_seconds == pytest.approx(machine.fixed + 200 * machine.layer)
    assert [effect.nominal_pct for effect in validation.effects] == pytest.approx([0.5, 1, 3, 10, 3])


def test_a_good_machine_passes(good: Validation) -> None:
    assert not failed(good)
    truths = {f"{layers} layers": Machine().truth_pct(DESIGN, layers) for layers in DESIGN.effects}
    for effect in good.effects:
        assert abs(effect.bias.mean) < 0.2
        assert effect.truth_pct == pytest.approx(truths.get(effect.name, 100 * 0.0003 / 0.0105), abs=0.05)
    assert good.processes == GROUPS * DESIGN.group_sizes[0]
    assert (good.aa_held.total, good.flagged.count) == (GROUPS * 3, 0)
    assert good.detectable_all_pct < good.detectable_pct < 1
    text = "\n".join(words(good))
    assert "202 layers) was found as positive" in text
    assert "206 layers) was recovered within 0.5 points" in text
    assert "FAILED" not in text and "checks passed" in text


def test_intervals_cover_as_often_as_they_say() -> None:
    """80 experiments; their effects share a base, so misses come together."""
    validation = findings(measured(Machine(), DESIGN, groups=80, seed=5000))
    assert not validation.aa_held.too_few_for(0.95) and validation.aa_held.count < validation.aa_held.total
    for effect in validation.effects:
        assert not effect.covered.too_few_for(0.95), effect.name
        assert abs(effect.bias.mean) <= 0.1


def test_a_wrong_effect_is_found_out() -> None:
    validation = findings(measured(Machine(extra=0.01), DESIGN, GROUPS))
    assert {"206 layers recovered", "burn recovered", "bias", "coverage"} <= failed(validation)
    said = words(validation)
    assert any(line.startswith("FAILED") and "was missed by more than 0.5 points" in line for line in said)
    assert "checks failed" in said[-1] and "Do not trust" in said[-1]


def test_twins_that_differ_are_found_out() -> None:
    validation = findings(measured(Machine(twin_extra=0.02), DESIGN, GROUPS))
    assert failed(validation) == {"A/A"}
    assert validation.aa_bias.low > 1.5


def test_a_noisy_machine_says_how_little_it_can_tell() -> None:
    validation = findings(measured(Machine(noise_sd=0.2, process_sd=0.05), DESIGN, GROUPS, readings=BUSY))
    assert validation.detectable_pct > 3
    assert "202 layers positive" in failed(validation)
    text = "\n".join(words(validation))
    assert "could not be told from zero" in text
    assert "the machine was not quiet" in text and "Close what else is running" in text


def test_alarms_that_stay_silent_beside_a_busy_process_are_found_out(good: Validation) -> None:
    assert good.busy is not None and good.busy.flagged.count == good.busy.flagged.total == 3 * 8
    silent = findings(measured(Machine(), DESIGN, GROUPS, busy=3, busy_readings=QUIET))
    assert "alarms" in failed(silent)
    assert "alarms are not proven" in "\n".join(words(findings(measured(Machine(), DESIGN, GROUPS))))


def test_disturbed_superblocks_are_left_out_as_in_a_run() -> None:
    """One superblock in eight says that it was disturbed, and is wrong by a factor."""
    clean = measured(Machine(), DESIGN, groups=1)
    spoilt = replace(clean, processes=[])
    for own in clean.processes:
        slots = [[case, at, seconds * (3 if case == 0 else 1)] for case, at, seconds in own.blocks[0]["slots"]]
        first = {**own.blocks[0], "slots": slots, "disturbance": BUSY}
        spoilt.processes.append(replace(own, blocks=(first, *own.blocks[1:])))
    without = [replace(own, blocks=own.blocks[1:]) for own in clean.processes]
    expected = findings(replace(clean, processes=without))
    for effect, same in zip(findings(spoilt).effects, expected.effects, strict=True):
        assert effect.estimate.mean == pytest.approx(same.estimate.mean)


def test_groups_are_consecutive_and_what_is_left_over_joins_none() -> None:
    processes = [process(Machine(), DESIGN, i, i) for i in range(9)]
    assert [[p.number for p in group] for group in grouped(processes, 4, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [len(group) for group in grouped(processes, 10, 5)] == [9]
    assert grouped(processes[:4], 7, 5) == []
    with pytest.raises(ValueError, match="no experiment"):
        findings(Measured(DESIGN, 2, processes=processes[:4]))


def test_fifty_four_of_sixty_are_enough() -> None:
    assert not Share.of(54, 60).too_few_for(0.95)
    assert Share.of(53, 60).too_few_for(0.95)
    assert not Share.of(6, 7).too_few_for(0.95)
    assert math.isnan(Share.of(0, 0).low) and not Share.of(0, 0).too_few_for(0.95)


def test_table_and_figure_show_every_effect_and_pair(good: Validation) -> None:
    table = files.table(good)
    assert table["kind"].value_counts().to_dict() == {"aa": GROUPS * 3, "effect": 5, "busy": 1}
    assert (table["ci_low_pct"] <= table["estimate_pct"]).all() and (
        table["estimate_pct"] <= table["ci_high_pct"]
    ).all()
    figure = draw(good)
    assert figure.png.startswith(b"\x89PNG") and ElementTree.fromstring(figure.svg).tag.endswith("svg")
    assert figure == draw(good)


def test_what_json_does_not_know_becomes_none() -> None:
    plain = to_json({"a": math.nan, "b": (Share.of(0, 0),), 1.0: math.inf})
    assert json.loads(json.dumps(plain, allow_nan=False))["b"][0]["low"] is None
