"""Verdicts are pure functions of claim and evidence: every rule on values made for it."""

import math
from dataclasses import replace

import pytest

from bench.analysis.arms import Arm
from bench.analysis.claims import Claim, Verdict, judge, load_claims
from bench.analysis.evidence import PICKERS, Evidence
from bench.analysis.overheads import Overhead, slopes
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Condition, Panel, Variant

PANEL = Panel("resnet50", "cpu", "eager", "fp32", "nchw", 2, 8, 224, 1)
USUAL, AGAIN = Condition(), Condition(cohort="replication")


def overhead(percents: list[float], strategy: str = "copy_shift", fraction: str = "1") -> Overhead:
    case = Case(Variant(strategy, parse_fraction(fraction), "residual", "bidirectional"), PANEL)
    every = {replicate: {0: math.log1p(percent / 100)} for replicate, percent in enumerate(percents)}
    return Overhead(case, every, left_out={}, cycles={}, seconds=0.3, faults=math.nan, mhz=math.nan)


def arm(
    placement: str, fraction: str, joint: list[float], strategy: str = "copy_shift", condition: Condition = USUAL
) -> Arm:
    variant = (
        Variant(strategy, parse_fraction(fraction), placement, "bidirectional")
        if strategy != "no_shift"
        else BASELINE_VARIANT
    )
    samples = {s: {"joint_accuracy": v, "spatial_accuracy": v, "temporal_accuracy": v} for s, v in enumerate(joint)}
    return Arm(variant, condition, samples)


def evidence(
    *overheads: Overhead, arms: tuple[Arm, ...] = (), suspect: str | None = None, failed: dict[Case, str] | None = None
) -> Evidence:
    exact = frozenset({"copy_shift", "buffer_shift"})
    return Evidence(overheads=overheads, arms=arms, failed_cases=failed or {}, exact=exact, suspect=suspect)


def verdict(claim_id: str, given: Evidence) -> Verdict:
    found = [v for v in judge(load_claims(), given) if v.claim == claim_id]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([13.0, 13.5, 14.0], "reproduced"),
        ([10.9, 11.0, 11.1], "reproduced"),
        ([5.0, 5.1, 5.2], "direction only"),
        ([25.0, 25.1, 25.2], "direction only"),
        ([0.1, 0.2, 0.3], "not reproduced"),
        ([-3.0, -3.1, -3.2], "not reproduced"),
        ([0.0, 5.0, 1.0], "inconclusive"),
    ],
)
def test_magnitude(values: list[float], expected: str) -> None:
    assert verdict("naive-cpu", evidence(overhead(values))).verdict == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 1.1, 1.2], "reproduced"), ([11.0, 11.1, 11.2], "not reproduced"), ([2.0, 3.5, 5.0], "inconclusive")],
)
def test_bound(values: list[float], expected: str) -> None:
    assert verdict("partial-cpu", evidence(overhead(values, fraction="1/8"))).verdict == expected


@pytest.mark.parametrize(
    ("residual", "expected"),
    [([0.90, 0.91, 0.92], "reproduced"), ([0.70, 0.71, 0.72], "not reproduced"), ([0.70, 0.95, 0.80], "inconclusive")],
)
def test_ordering(residual: list[float], expected: str) -> None:
    fractions = ("1/8", "1/4", "1/2", "1")
    arms = [arm("inplace", f, [0.80, 0.81, 0.82]) for f in fractions]
    arms += [arm("residual", f, [0.97, 0.98, 0.99]) for f in fractions if f != "1/4"]
    arms.append(arm("residual", "1/4", residual))
    found = verdict("residual-over-inplace", evidence(arms=tuple(arms)))
    assert found.verdict == expected
    assert "joint at 1/4" in found.why and "spatial at 1/8" in found.why


def test_what_decided_an_ordering_is_what_is_shown() -> None:
    """At 1/4 clearly on the other side; at 1/2 a wider interval that reaches lower and decides nothing."""
    fractions = ("1/8", "1/4", "1/2", "1")
    arms = [arm("inplace", f, [0.80, 0.81, 0.82]) for f in fractions]
    arms += [arm("residual", f, [0.97, 0.98, 0.99]) for f in ("1/8", "1")]
    arms += [arm("residual", "1/4", [0.75, 0.76, 0.77]), arm("residual", "1/2", [0.10, 0.95, 0.99])]
    found = verdict("residual-over-inplace", evidence(arms=tuple(arms)))
    assert (found.verdict, found.measured) == ("not reproduced", pytest.approx(-5.0))


def test_an_ordering_at_every_fraction_needs_every_fraction() -> None:
    arms = (arm("residual", "1/4", [0.9, 0.9, 0.91]), arm("inplace", "1/4", [0.80, 0.81, 0.82]))
    found = verdict("residual-over-inplace", evidence(arms=arms))
    assert found.verdict == "not measured"
    assert "copy_shift-residual-1/8-bidirectional" in found.why


def test_a_failed_seed_makes_a_verdict_invalid() -> None:
    arms = (arm("residual", "1", [0.9, 0.9, 0.91]), arm("", "0", [0.80, 0.81, 0.82], strategy="no_shift"))
    lost = {arms[0].key: "Diverged: the training loss was nan"}
    found = verdict("residual-all-over-2d", Evidence(arms=arms, failed_arms=lost))
    assert (found.verdict, "Diverged" in found.why) == ("invalid", True)


def test_the_papers_findings_are_judged_on_its_own_function() -> None:
    other = overhead([13.0, 13.5, 14.0], "two_back")
    assert verdict("naive-cpu", evidence(other)).verdict == "not measured"


def test_below_the_baseline_turns_the_sign() -> None:
    arms = (arm("inplace", "1", [0.80, 0.81, 0.82]), arm("", "0", [0.90, 0.92, 0.91], strategy="no_shift"))
    found = verdict("naive-inplace-below-2d", evidence(arms=arms))
    assert found.verdict == "reproduced"
    assert found.measured == pytest.approx(10.0)


def test_an_inconclusive_verdict_says_what_it_would_take() -> None:
    why = verdict("naive-cpu", evidence(overhead([0.0, 5.0, 1.0]))).why
    assert "would have been found four times in five" in why
    assert "processes or seeds" in why


def test_one_process_is_inconclusive() -> None:
    assert verdict("naive-cpu", evidence(overhead([13.7]))).verdict == "inconclusive"


def test_a_failed_control_or_case_is_invalid() -> None:
    assert verdict("naive-cpu", evidence(overhead([13.0, 13.5, 14.0]), suspect="A/A")).verdict == "invalid"
    case = overhead([1.0]).case
    found = verdict("naive-cpu", evidence(failed={case: "conformance: leaks"}))
    assert (found.verdict, found.why) == ("invalid", "the case failed: conformance: leaks")


def test_nothing_measured_is_not_measured() -> None:
    found = judge(load_claims(), evidence())
    assert {v.verdict for v in found} == {"not measured"}
    assert len(found) == len(load_claims())


def test_mechanisms_are_judged_apart() -> None:
    found = judge(load_claims(), evidence(overhead([13.0, 13.5, 14.0]), overhead([0.1, 0.2, 0.3], "buffer_shift")))
    naive = {v.subject: v.verdict for v in found if v.claim == "naive-cpu"}
    assert naive == {"copy_shift residual": "reproduced", "buffer_shift residual": "not reproduced"}


@pytest.mark.parametrize(("farthest", "drawn"), [("1/4", 0), ("1/2", 1), ("1", 1)])
def test_a_slope_is_not_stretched_over_what_was_not_measured(farthest: str, drawn: int) -> None:
    measured = [overhead([1.0, 1.1, 1.2], fraction="1/8"), overhead([2.0, 2.1, 2.2], fraction=farthest)]
    assert len(slopes(measured)) == drawn


def test_zero_cost_is_exact() -> None:
    base, case = Case(BASELINE_VARIANT, PANEL), overhead([1.0]).case
    for extra, expected in ((0, "reproduced"), (1, "not reproduced")):
        statics = {base: {"params": 100, "flops": 1000}, case: {"params": 100 + extra, "flops": 1000}}
        given = Evidence(statics=statics)
        assert verdict("zero-cost", given).verdict == expected


def test_tolerances_are_the_declared_ones() -> None:
    """They were fixed before any run; a change must be made here too, on purpose."""
    declared = {c.id: (c.kind, c.claimed, c.tolerance, c.smallest) for c in load_claims()}
    assert declared["naive-cpu"] == ("magnitude", 13.7, 4.0, 0.5)
    assert declared["naive-gpu"] == ("magnitude", 12.4, 4.0, 0.5)
    assert declared["partial-cpu"] == ("bound", 3.0, 0.5, 0.0)
    assert declared["trend-devices"] == ("ordering", 0.0, 0.0, 0.5)
    assert declared["online-accuracy"] == ("equivalence", 0.0, 1.5, 0.0)
    orderings = ("residual-over-inplace", "residual-all-over-2d", "naive-inplace-below-2d", "peak-quarter")
    assert {declared[name] for name in orderings} == {("ordering", 0.0, 0.0, 1.0)}
    assert declared["3d-cost"] == ("ordering", 0.0, 0.0, 10.0)
    assert declared["3d-accuracy"] == ("bound", 0.0, 1.0, 0.0)
    assert declared["replace-accuracy"] == ("ordering", 0.0, 0.0, 1.0)
    assert declared["replace-cost"] == ("ordering", 0.0, 0.0, 0.5)
    runtimes = ("compile", "onnxruntime", "openvino", "openvino-bf16")
    assert {declared[f"partial-runtime-{name}"] for name in runtimes} == {declared["partial-cpu"]}
    assert len(declared) == 22


def test_every_metric_is_a_picker_or_says_what_is_missing() -> None:
    claims: list[Claim] = load_claims()
    assert [c.id for c in claims if c.metric not in PICKERS and not c.missing] == []


def full_and_none(condition: Condition, full: list[float]) -> tuple[Arm, Arm]:
    """Residual shift of all channels, and the baseline at 24 to 26 %."""
    return arm("residual", "1", full, condition=condition), arm("", "0", [0.24, 0.25, 0.26], "no_shift", condition)


def test_accuracies_are_judged_under_the_usual_condition_alone() -> None:
    unusual = [replace(USUAL, **change) for change in ({"lr_factor": 0.5}, {"dataset": "opening_digits"})]
    others = [a for condition in (*unusual, AGAIN) for a in full_and_none(condition, [0.8, 0.81, 0.82])]
    assert verdict("residual-all-over-2d", evidence(arms=tuple(others))).verdict == "not measured"
    usual = full_and_none(USUAL, [0.1, 0.11, 0.12])
    found = verdict("residual-all-over-2d", evidence(arms=(*others, *usual)))
    assert (found.verdict, found.measured) == ("not reproduced", pytest.approx(-14.0))


def test_a_failure_under_another_condition_spoils_nothing() -> None:
    arms = full_and_none(USUAL, [0.8, 0.81, 0.82])
    lost = {(arms[0].variant, replace(USUAL, lr_factor=2.0)): "Diverged"}
    assert verdict("residual-all-over-2d", Evidence(arms=arms, failed_arms=lost)).verdict == "reproduced"


@pytest.mark.parametrize(
    ("again", "said"),
    [
        ([0.7, 0.71, 0.72], "Repeated with other seeds: the same verdict, +46.0 [+46.0, +46.0]."),
        ([0.1, 0.11, 0.12], "Repeated with other seeds: not reproduced, -14.0 [-14.0, -14.0]."),
        ([0.1, 0.9, 0.3], "Repeated with other seeds: inconclusive, +18.3 "),
    ],
)
def test_other_seeds_are_judged_by_the_same_rule(again: list[float], said: str) -> None:
    arms = (*full_and_none(USUAL, [0.8, 0.81, 0.82]), *full_and_none(AGAIN, again))
    found = verdict("residual-all-over-2d", evidence(arms=arms))
    assert (found.verdict, found.measured) == ("reproduced", pytest.approx(56.0))
    assert said in found.why


def test_a_repetition_that_failed_or_is_not_whole() -> None:
    usual, again = full_and_none(USUAL, [0.8, 0.81, 0.82]), full_and_none(AGAIN, [0.8, 0.81, 0.82])
    lost = verdict("residual-all-over-2d", Evidence(arms=(*usual, *again), failed_arms={again[0].key: "Diverged"}))
    assert "Repeated with other seeds: invalid, the arm copy_shift-residual-1-bidirectional" in lost.why
    half = verdict("residual-all-over-2d", evidence(arms=(*usual, again[0])))
    assert (half.verdict, "Repeated" in half.why) == ("reproduced", False)


def test_every_verdict_says_what_it_could_have_found() -> None:
    """A null most of all: whoever reads "not reproduced" wants to know whether the run could have seen it."""
    for values in ([0.1, 0.11, 0.13], [0.5, 0.51, 0.6], [0.1, 0.9, 0.3]):
        found = verdict("residual-all-over-2d", evidence(arms=full_and_none(USUAL, values)))
        assert "points would have been found four times in five" in found.why
    pair = arm("residual", "1/4", [0.90, 0.91, 0.92]), arm("residual", "1/8", [0.9, 0.91, 0.921])
    causal = replace(pair[1], variant=replace(pair[1].variant, direction="unidirectional"))
    found = verdict("online-accuracy", evidence(arms=(pair[0], causal)))
    assert (found.verdict, "would have been found" in found.why) == ("reproduced", True)


def test_of_several_comparisons_the_one_that_decided_is_named() -> None:
    arms = [arm(p, f, [0.9, 0.91, 0.92]) for f in ("1/8", "1/2", "1") for p in ("residual", "inplace")]
    arms += [arm("residual", "1/4", [0.5, 0.51, 0.53]), arm("inplace", "1/4", [0.9, 0.91, 0.92])]
    found = verdict("residual-over-inplace", evidence(arms=tuple(arms)))
    assert "points (joint at 1/4) would have been found" in found.why


@pytest.mark.parametrize(
    ("network", "expected"),
    [([0.80, 0.81, 0.82], "reproduced"), ([0.95, 0.96, 0.97], "not reproduced"), ([0.6, 0.9, 0.8], "inconclusive")],
)
def test_3d_networks_may_be_better_by_a_point_at_most(network: list[float], expected: str) -> None:
    shift = arm("residual", "1/4", [0.80, 0.81, 0.82])
    r3d = arm("", "0", network, "no_shift", replace(USUAL, backbone="digits_r3d"))
    found = {v.subject: v for v in judge(load_claims(), evidence(arms=(shift, r3d))) if v.claim == "3d-accuracy"}
    assert found["digits_r3d"].verdict == expected
    assert (" 1 point." in found["digits_r3d"].why, found["digits_r3d"].unit) == (True, "points")
    other = found["digits_r2plus1d"]
    assert (other.verdict, "has not trained no_shift" in other.why) == ("not measured", True)
    assert "digits_r2plus1d" in other.why


def test_the_shift_against_a_convolution_in_its_place() -> None:
    shift = arm("residual", "1/4", [0.80, 0.81, 0.82])
    found = verdict(
        "replace-accuracy", evidence(arms=(shift, arm("residual", "1", [0.7, 0.71, 0.73], "temporal_conv")))
    )
    assert (found.verdict, found.measured) == ("reproduced", pytest.approx(9.67, abs=0.01))
    assert verdict("replace-accuracy", evidence(arms=(shift,))).verdict == "not measured"


def test_one_seed_has_verdicts_without_intervals() -> None:
    arms = (arm("residual", "1/4", [0.8]), arm("", "0", [0.9], "no_shift", replace(USUAL, backbone="digits_r3d")))
    arms += (*full_and_none(USUAL, [0.9]), *full_and_none(AGAIN, [0.9]))
    for name in ("residual-all-over-2d", "3d-accuracy"):
        found = next(v for v in judge(load_claims(), evidence(arms=arms)) if v.claim == name)
        assert (found.verdict, found.ci_low) == ("inconclusive", None)
        assert "at least two processes or seeds are needed" in found.why


VOLUMETRIC = replace(PANEL, backbone="i3d_resnet50")


def timed(seconds: list[float], case: Case) -> Overhead:
    """One superblock per process."""
    own = {replicate: {0: math.log(value)} for replicate, value in enumerate(seconds)}
    return Overhead(case, own, left_out={}, cycles={}, seconds=0.3, faults=math.nan, mhz=math.nan, own=own)


SHIFT = Case(Variant("copy_shift", parse_fraction("1/4"), "residual", "bidirectional"), PANEL)
CONVOLUTION = Case(Variant("temporal_conv", parse_fraction("1"), "residual", "bidirectional"), PANEL)
I3D = Case(BASELINE_VARIANT, VOLUMETRIC)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [([0.9, 0.91, 0.92], "reproduced"), ([0.3, 0.31, 0.32], "not reproduced"), ([0.2, 0.9, 0.4], "inconclusive")],
)
def test_a_3d_network_against_the_shift_in_the_same_set_up(seconds: list[float], expected: str) -> None:
    statics = {I3D: {"params": 1, "flops": 220e9}, SHIFT: {"params": 1, "flops": 66e9}}
    given = Evidence(overheads=[timed(seconds, I3D), timed([0.30, 0.31, 0.32], SHIFT)], statics=statics)
    found = verdict("3d-cost", given)
    assert (found.subject, found.verdict) == ("i3d_resnet50", expected)
    if expected == "reproduced":
        assert found.measured == pytest.approx(100 * ((3 + 0.91 / 0.31 + 0.92 / 0.32) / 3 - 1))
    assert "8 frames of 224², batch 1: 220.0 against 66.0 GFLOPs, 3.33 times as many" in found.why


def test_a_3d_network_without_its_partner() -> None:
    elsewhere = replace(SHIFT, panel=replace(PANEL, threads=1))
    i3d, shift = timed([0.9, 0.91, 0.92], I3D), timed([0.30, 0.31, 0.32], elsewhere)
    alone = verdict("3d-cost", Evidence(overheads=[i3d, shift]))
    assert (alone.verdict, SHIFT.label in alone.why) == ("not measured", True)
    lost = verdict("3d-cost", Evidence(overheads=[timed([0.3, 0.31], SHIFT)], failed_cases={I3D: "no room"}))
    assert (lost.verdict, "no room" in lost.why) == ("invalid", True)
    tilted = Evidence(overheads=[i3d, timed([0.3, 0.31, 0.32], SHIFT)], suspect="A/A")
    assert (verdict("3d-cost", tilted).verdict, verdict("3d-cost", Evidence()).verdict) == ("invalid", "not measured")


def test_the_cost_of_a_convolution_in_place_of_the_shift() -> None:
    given = [timed([1.5, 1.51, 1.52], CONVOLUTION), timed([1.0, 1.0, 1.0], SHIFT)]
    found = verdict("replace-cost", Evidence(overheads=given))
    assert (found.subject, found.verdict, found.measured) == ("temporal_conv", "reproduced", pytest.approx(51.0))
    lost = verdict("replace-cost", Evidence(overheads=given[:1], failed_cases={SHIFT: "leaks"}))
    assert (lost.verdict, "leaks" in lost.why) == ("invalid", True)
    assert verdict("replace-cost", Evidence(overheads=given[1:])).verdict == "not measured"


def test_several_panels_are_judged_apart() -> None:
    one_thread = [replace(case, panel=replace(case.panel, threads=1)) for case in (I3D, SHIFT)]
    overheads = [timed([0.9, 0.91, 0.92], case) for case in (I3D, one_thread[0])]
    overheads += [timed([0.3, 0.31, 0.32], case) for case in (SHIFT, one_thread[1])]
    found = [v for v in judge(load_claims(), Evidence(overheads=overheads)) if v.claim == "3d-cost"]
    assert [v.subject for v in found] == ["i3d_resnet50 (threads 2)", "i3d_resnet50 (threads 1)"]
    assert {v.verdict for v in found} == {"reproduced"}
