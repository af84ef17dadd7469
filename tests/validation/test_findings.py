"""On a machine made of arithmetic the validation must say what is true, and find what is wrong."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from bench.validation.experiment import Design, Measured
from bench.validation.findings import Share, Validation, built_in_pct, checks, findings
from bench.validation.results import draw, lines
from tests.validation.synthetic import BUSY, QUIET, Machine, measured, process

DESIGN = Design(pairs=3)
GROUPS = 9


@pytest.fixture(scope="module")
def good() -> Validation:
    return findings(measured(Machine(), DESIGN, GROUPS, busy=3))


def failed(validation: Validation) -> set[str]:
    return {name for name, passed in checks(validation).items() if not passed}


def text(validation: Validation) -> str:
    return "\n".join(lines(validation))


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
    for effect in validation.rows("effect"):
        assert effect.bias_points == pytest.approx(0, abs=1e-6)
        assert effect.estimate_pct == pytest.approx(effect.truth_pct, abs=1e-6)
    assert validation.fixed_seconds == pytest.approx(machine.fixed)
    assert validation.base_seconds == pytest.approx(machine.fixed + 200 * machine.layer)
    assert [effect.nominal_pct for effect in validation.rows("effect")] == pytest.approx([0.5, 1, 3, 10, 3])


def test_a_good_machine_passes(good: Validation) -> None:
    assert not failed(good)
    truths = {f"{layers} layers": Machine().truth_pct(DESIGN, layers) for layers in DESIGN.effects}
    for effect in good.rows("effect"):
        assert abs(effect.bias_points) < 0.3
        assert effect.truth_pct == pytest.approx(truths.get(effect.name, 100 * 0.0003 / 0.0105), abs=0.05)
    assert good.processes == GROUPS * DESIGN.group_size
    assert (good.aa_held.total, good.flagged.count) == (GROUPS * 3, 0)
    assert good.detectable_all_pct < good.detectable_pct < 1
    assert "202 layers) was found as positive" in text(good) and "FAILED" not in text(good)
    assert "206 layers) was recovered within 0.5 pp" in text(good) and "checks passed" in text(good)
    assert all(lines(good))


def test_intervals_cover_as_often_as_they_say() -> None:
    """80 experiments; their effects share a base, so misses come together."""
    validation = findings(measured(Machine(), DESIGN, groups=80, seed=5000))
    assert not validation.aa_held.too_few_for(0.95) and validation.aa_held.count < validation.aa_held.total
    for effect in validation.rows("effect"):
        assert not Share(effect.groups_covered, effect.groups).too_few_for(0.95), effect.name
        assert abs(effect.bias_points) <= 0.1


def test_a_wrong_effect_is_found_out() -> None:
    validation = findings(measured(Machine(extra=0.01), DESIGN, GROUPS))
    assert {"206 layers recovered", "burn recovered", "bias", "coverage"} <= failed(validation)
    found = lines(validation)
    assert any(line.startswith("FAILED") and "was missed by more than 0.5 pp" in line for line in found)
    assert "checks failed" in found[-1] and "Do not trust" in found[-1]
    assert any("alarms are not proven" in line for line in found)  # no process ran beside a busy one


def test_twins_that_differ_are_found_out() -> None:
    validation = findings(measured(Machine(twin_extra=0.02), DESIGN, GROUPS))
    assert failed(validation) == {"A/A"}
    assert validation.aa_bias.low > 1.5


def test_a_noisy_machine_says_how_little_it_can_tell() -> None:
    validation = findings(measured(Machine(noise_sd=0.2, process_sd=0.05), DESIGN, GROUPS, readings=BUSY))
    assert validation.detectable_pct > 3
    assert "202 layers positive" in failed(validation)
    for words in ("could not be told from zero", "the machine was not quiet", "Close what else is running"):
        assert words in text(validation)


def test_alarms_that_stay_silent_beside_a_busy_process_are_found_out(good: Validation) -> None:
    assert good.flagged_busy == Share(3 * 8, 3 * 8)
    assert "alarms" in failed(findings(measured(Machine(), DESIGN, GROUPS, busy=3, busy_readings=QUIET)))


def test_disturbed_superblocks_are_left_out_as_in_a_run() -> None:
    """One superblock in eight says that it was disturbed, and is wrong by a factor."""
    clean = measured(Machine(), DESIGN, groups=1)
    spoilt = replace(clean, processes=[])
    for own in clean.processes:
        slots = [[case, at, seconds * (3 if case == 0 else 1)] for case, at, seconds in own.blocks[0]["slots"]]
        first = {**own.blocks[0], "slots": slots, "disturbance": BUSY}
        spoilt.processes.append(replace(own, blocks=(first, *own.blocks[1:])))
    without = replace(clean, processes=[replace(own, blocks=own.blocks[1:]) for own in clean.processes])
    estimates = findings(spoilt).table["estimate_pct"], findings(without).table["estimate_pct"]
    assert list(estimates[0]) == pytest.approx(list(estimates[1]))


def test_groups_are_consecutive_and_what_is_left_over_joins_none() -> None:
    processes = [process(Machine(), DESIGN, i, i) for i in range(9)]
    design = replace(DESIGN, group_size=4)
    every, eight, last = (
        findings(Measured(design, 2, processes=own)).table.query("kind == 'aa'").reset_index(drop=True)
        for own in (processes, processes[:8], processes[4:8])
    )
    assert every.equals(eight) and list(every["group"]) == [0, 0, 0, 1, 1, 1]
    assert list(every["estimate_pct"])[3:] == list(last["estimate_pct"])
    with pytest.raises(ValueError, match="no experiment"):
        findings(Measured(DESIGN, 2, processes=processes[:4]))


def test_fifty_four_of_sixty_are_enough() -> None:
    assert Share(53, 60).too_few_for(0.95)
    assert not any(Share(*counts).too_few_for(0.95) for counts in ((54, 60), (6, 7), (0, 0)))


def test_table_and_figure_show_every_effect_and_pair(good: Validation) -> None:
    kinds = {"aa": GROUPS * 3, "effect": 5, "group": 5 * GROUPS, "busy": 1}
    assert good.table["kind"].value_counts().to_dict() == kinds
    assert good.table["estimate_pct"].between(good.table["ci_low_pct"], good.table["ci_high_pct"]).all()
    figure = draw(good)
    assert figure.png.startswith(b"\x89PNG") and ElementTree.fromstring(figure.svg).tag.endswith("svg")
    assert figure == draw(good)
