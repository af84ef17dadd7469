"""The suite's claims: which values of a run each of them is judged by."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench import models
from bench.analysis.aa_control import AAControls
from bench.analysis.claims import judge, load_claims
from bench.analysis.evidence import Evidence
from bench.analysis.overheads import NEGLIGIBLE_PP, free, slopes
from bench.spec.cases import BASELINE_VARIANT, Case
from tests.analysis.judging import twins, verdict, verdicts
from tests.analysis.synthetic import overhead
from tests.store.synthetic import BASE, PANEL, STREAM, counted, shift

LOW, MIDDLE, HIGH = ([mean + off for off in (-0.01, -0.005, 0.0, 0.005, 0.01)] for mean in (0.81, 0.91, 0.96))
WIDE = [0.6, 0.9, 0.8, 0.7, 0.95]


# --- the suite's claims -----------------------------------------------------------------------------------------------


def test_tolerances_are_the_declared_ones() -> None:
    """They were fixed before any run; a change must be made here too, on purpose."""
    accuracy, bound = ("ordering", 0.0, 0.0, 1.0), ("bound", 3.0, 0.5, 0.0)
    runtimes = ("compile", "onnxruntime", "openvino", "openvino-bf16")
    orderings = ("residual-over-inplace", "residual-all-over-2d", "naive-inplace-below-2d", "peak-quarter")
    videos = ("video-gain", "video-placement-all", "video-placement-quarter")
    successors = [name for module in ("gsm", "tam", "tea") for name in (f"video-{module}", f"{module}-accuracy")]
    assert {c.id: (c.kind, c.claimed, c.tolerance, c.smallest) for c in load_claims()} == {
        **{"naive-cpu": ("magnitude", 13.7, 4.0, 0.5), "naive-gpu": ("magnitude", 12.4, 4.0, 0.5)},
        **dict.fromkeys(("free", "free-to-move"), ("bound", 0.0, 1.0, 0.0)),
        **{"same-at-every-fraction": ("equivalence", 0.0, 1.0, 0.0)},
        **{"partial-cpu": bound, **{f"partial-runtime-{name}": bound for name in runtimes}},
        **{"trend-devices": ("ordering", 0.0, 0.0, 0.5), **dict.fromkeys(orderings, accuracy)},
        **{"online-accuracy": ("equivalence", 0.0, 1.5, 0.0), "online-latency": ("bound", 2.1, 2.2, 0.0)},
        **{"zero-cost": ("exact", 0.0, 0.0, 0.0), "cache-size": ("exact", 0.9, 0.0, 0.0)},
        **{"3d-cost": ("ordering", 0.0, 0.0, 10.0), "3d-accuracy": ("bound", 0.0, 1.0, 0.0)},
        **{"replace-accuracy": accuracy, "replace-cost": ("ordering", 0.0, 0.0, 0.5)},
        **{"detection-gain": accuracy, "detection-fast": accuracy},
        **{"video-causal": ("equivalence", 0.0, 1.5, 0.0), "video-arrow-chance": ("exact", 50.0, 0.0, 0.0)},
        **dict.fromkeys((*videos, *successors), accuracy),
    }


def test_of_an_empty_run_nothing_is_measured() -> None:
    found = judge(load_claims(), Evidence())
    assert {one.verdict for one in found} == {"not measured"}
    assert len({one.claim for one in found}) == len(load_claims())
    openvino = next(one for one in found if one.claim == "partial-runtime-openvino-bf16")
    assert openvino.why == "this run has not timed the paper's network at 1/8 in OpenVINO with bf16"


ALL, EIGHTH, QUARTER = (Case(shift(fraction=fraction), PANEL) for fraction in ("1", "1/8", "1/4"))
NAIVE = [13.0, 13.5, 14.0]


def with_strategy(case: Case, name: str) -> Case:
    return replace(case, variant=replace(case.variant, strategy=name))


def test_each_mechanism_that_computes_the_papers_function_is_judged_apart() -> None:
    values = {"copy_shift": NAIVE, "buffer_shift": [0.1, 0.2, 0.3], "two_back": NAIVE}
    measured = [overhead(own, with_strategy(ALL, name)) for name, own in values.items()]
    found = {subject: one.verdict for subject, one in verdicts("naive-cpu", *measured).items()}
    assert found == {"copy_shift residual": "reproduced", "buffer_shift residual": "not reproduced"}
    assert verdict("naive-cpu", measured[2]).verdict == "not measured"


def test_panels_are_judged_apart_and_named_by_what_differs() -> None:
    other = replace(ALL, panel=replace(PANEL, threads=1))
    found = verdicts("naive-cpu", overhead(NAIVE, ALL), overhead(NAIVE, other), overhead(NAIVE, replace(ALL, aa=True)))
    assert list(found) == ["copy_shift residual (threads 2)", "copy_shift residual (threads 1)"]
    elsewhere = replace(ALL, panel=replace(PANEL, allocator="retained"))
    assert verdict("naive-cpu", overhead(NAIVE, elsewhere)).verdict == "reproduced"


def test_a_failed_control_or_case_is_invalid() -> None:
    assert verdict("naive-cpu", overhead(NAIVE, ALL), controls=twins(3.0, PANEL)).verdict == "invalid"
    apart = AAControls({**twins(3.0, STREAM).by_panel, **twins(0.0, PANEL).by_panel})
    assert verdict("partial-cpu", overhead([1.0, 1.1], EIGHTH), controls=apart).verdict == "reproduced"
    found = verdict("naive-cpu", overhead(NAIVE, ALL), failed_cases={ALL: "it leaks"})
    assert (found.subject, found.verdict, found.why) == ("copy_shift residual", "invalid", "the case failed: it leaks")


RUNTIMES = {
    "partial-cpu": PANEL,
    "partial-runtime-compile": replace(PANEL, runtime="compile"),
    "partial-runtime-onnxruntime": replace(PANEL, runtime="onnxruntime"),
    "partial-runtime-openvino": replace(PANEL, runtime="openvino"),
    "partial-runtime-openvino-bf16": replace(PANEL, runtime="openvino", dtype="bf16"),
}


@pytest.mark.parametrize("claim", RUNTIMES)
def test_each_claim_looks_at_its_own_runtime(claim: str) -> None:
    """The one panel is within the bound and all others are far beyond it."""
    near, far = [1.0, 1.1, 0.9], [400.0, 401.0, 402.0]
    measured = [overhead(near if n == claim else far, Case(EIGHTH.variant, p)) for n, p in RUNTIMES.items()]
    assert {name: verdict(name, *measured).verdict for name in RUNTIMES} == {
        name: "reproduced" if name == claim else "not reproduced" for name in RUNTIMES
    }


def test_the_trend_is_the_rise_from_an_eighth_to_all() -> None:
    unidirectional = [
        replace(case, variant=replace(case.variant, direction="unidirectional")) for case in (EIGHTH, ALL)
    ]
    pairs = [(EIGHTH, ALL), tuple(unidirectional)]
    measured = [overhead(v, c) for pair in pairs for v, c in zip(([1.0, 2.0], [8.0, 9.1]), pair, strict=True)]
    found = verdicts("trend-devices", *measured)
    assert list(found) == ["copy_shift residual", "copy_shift residual unidirectional"]
    assert found["copy_shift residual"].measured == pytest.approx(7.05)
    off = twins(3.0, PANEL)
    assert {one.verdict for one in verdicts("trend-devices", *measured, controls=off).values()} == {"invalid"}


def test_the_same_at_every_fraction_is_shown_and_not_assumed() -> None:
    """Of the released code alone, and only where the rise is known well."""
    flat, wide = [10.0, 10.1, 10.2], [4.0, 10.0, 16.0]
    other = (
        overhead([1.0] * 3, with_strategy(EIGHTH, "buffer_shift")),
        overhead([9.0] * 3, with_strategy(ALL, "buffer_shift")),
    )
    measured = overhead(flat, EIGHTH), overhead([value + 0.1 for value in flat], ALL)
    found = verdict("same-at-every-fraction", *measured, *other)
    assert (found.subject, found.verdict) == ("copy_shift residual", "reproduced")
    assert verdict("same-at-every-fraction", measured[0], overhead(wide, ALL)).verdict == "inconclusive"
    rising = overhead([value + 5 for value in flat], ALL)
    assert verdict("same-at-every-fraction", measured[0], rising).verdict == "not reproduced"
    bent = overhead([value + 5 for value in flat], QUARTER)  # 1/8 and all are alike: a line would be flat
    found = verdict("same-at-every-fraction", *measured, bent)
    assert (found.verdict, found.measured) == ("not reproduced", pytest.approx(5.0))
    assert "1/4 against 1/8 +5.0" in found.why


@pytest.mark.parametrize("claim", ["trend-devices", "same-at-every-fraction"])
def test_a_line_of_which_a_case_failed_is_invalid(claim: str) -> None:
    """Also where what is left of it would still be a line."""
    half = Case(shift(fraction="1/2"), PANEL)
    measured = [overhead([mean, mean + 0.1], case) for mean, case in ((1.0, EIGHTH), (4.0, half), (8.0, ALL))]
    for left in (measured, measured[:2], measured[:1]):
        failed = {ALL: "it leaks"}
        found = verdict(claim, *left, failed_cases=failed, slopes=slopes(left, failed))
        assert (found.subject, found.verdict, "it leaks" in found.why) == ("copy_shift residual", "invalid", True)
    assert verdict(claim, measured[0], failed_cases={QUARTER: "it leaks"}).verdict == "not measured"


def test_free_and_the_same_are_one_rule_in_findings_and_reports() -> None:
    margins = {claim.id: claim.claimed + claim.tolerance for claim in load_claims()}
    assert margins["free"] == margins["same-at-every-fraction"] == NEGLIGIBLE_PP
    for centre in np.linspace(-2, 2, 41):
        near, far = overhead([centre - 0.1, centre, centre + 0.1], QUARTER), overhead([0.0, 0.1, 0.2], EIGHTH)
        (line,) = slopes([far, overhead([centre - 0.1, centre, centre + 0.1], ALL)])
        judged = (
            verdict("free", near).verdict,
            verdict("same-at-every-fraction", far, overhead(near.pct.values, ALL)).verdict,
        )
        assert (judged[0] == "reproduced", judged[1] == "reproduced") == (free([near.interval()]), line.same)


def test_free_is_a_margin_and_no_null_result() -> None:
    wide, close, dear = [-6.0, -2.7, 0.5], [0.3, 0.4, 0.5], [3.0, 3.1, 3.2]
    for values, expected in ((wide, "inconclusive"), (close, "reproduced"), (dear, "not reproduced")):
        assert verdict("free", overhead(values, QUARTER)).verdict == expected


I3D = Case(BASELINE_VARIANT, replace(PANEL, backbone="i3d_resnet50"))


@pytest.mark.parametrize(
    ("percents", "expected"),
    [([200.0, 201.0, 202.0], "reproduced"), ([0.0, 1.0, 2.0], "not reproduced"), ([-30.0, 200.0, 3.0], "inconclusive")],
)
def test_a_3d_network_against_the_shift_in_the_same_set_up(percents: list[float], expected: str) -> None:
    statics = {I3D: counted(flops=220_000_000_000), QUARTER: counted(flops=66_000_000_000)}
    found = verdict("3d-cost", overhead(percents, I3D), overhead([0.0, 1.0, 2.0], QUARTER), statics=statics)
    assert (found.subject, found.verdict) == ("i3d_resnet50", expected)
    if expected == "reproduced":
        logs = [sum(math.log1p(percent / 100) for percent in own) / 3 for own in (percents, [0.0, 1.0, 2.0])]
        assert found.measured == pytest.approx(100 * math.expm1(logs[0] - logs[1]))
    assert "8 frames of 224², batch 1: 220.0 against 66.0 GFLOPs, 3.33 times as many" in found.why


def test_a_ratio_needs_both_cases() -> None:
    i3d, quarter = overhead([200.0, 201.0], I3D), overhead([0.0, 1.0], QUARTER)
    elsewhere = replace(quarter, case=replace(QUARTER, panel=replace(PANEL, threads=1)))
    alone = verdict("3d-cost", i3d, elsewhere)
    assert (alone.verdict, QUARTER.label in alone.why) == ("not measured", True)
    lost = verdict("3d-cost", quarter, failed_cases={I3D: "no room"})
    assert (lost.verdict, "no room" in lost.why) == ("invalid", True)
    assert verdict("3d-cost", i3d, quarter, controls=twins(3.0, PANEL, I3D.panel)).verdict == "invalid"


def test_the_cost_of_a_convolution_in_place_of_the_shift() -> None:
    convolution = overhead([50.0, 51.0, 52.0], with_strategy(ALL, "temporal_conv"))
    found = verdict("replace-cost", convolution, overhead([0.0] * 3, QUARTER))
    assert (found.subject, found.verdict, found.measured) == ("temporal_conv", "reproduced", pytest.approx(51.0))
    assert "leaks" in verdict("replace-cost", convolution, failed_cases={QUARTER: "it leaks"}).why
    assert verdict("replace-cost", overhead([0.0] * 3, QUARTER)).verdict == "not measured"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [({}, "reproduced"), ({"params": 101}, "not reproduced"), ({"flops": 999}, "not reproduced")],
)
def test_zero_cost_is_exact(counts: dict[str, int], expected: str) -> None:
    statics = {
        BASE: counted(),
        ALL: counted(),
        QUARTER: counted(**counts),
        with_strategy(ALL, "two_back"): counted(params=9),
    }
    found = verdicts("zero-cost", statics=statics)
    assert {subject: one.verdict for subject, one in found.items()} == {"copy_shift": expected}


# --- frame by frame ---------------------------------------------------------------------------------------------------

CAUSAL = shift(fraction="1/8", direction="unidirectional", strategy="buffer_shift")
FRAME = Case(CAUSAL, STREAM)
INPUTS = {  # of ResNet-50's bottleneck blocks at 224²: [channels, height, width]
    "conv1": [[64, 56, 56], *[[256, 56, 56]] * 3, *[[512, 28, 28]] * 4, *[[1024, 14, 14]] * 6, *[[2048, 7, 7]] * 2],
    "conv2": [
        *([[64, 56, 56]] * 3),
        *([128, 56, 56], *([[128, 28, 28]] * 3)),
        *([256, 28, 28], *([[256, 14, 14]] * 5)),
        *([512, 14, 14], *([[512, 7, 7]] * 2)),
    ],
}


@pytest.mark.parametrize(
    ("percents", "expected"),
    [([1.0, 1.1], "reproduced"), ([8.0, 8.1], "not reproduced"), ([4.0, 4.6], "inconclusive")],
)
def test_the_papers_latency_per_frame(percents: list[float], expected: str) -> None:
    found = verdict("online-latency", overhead(percents, FRAME))
    assert (found.id, found.verdict) == ("online-latency/buffer_shift residual", expected)
    assert verdict("online-latency", failed_cases={FRAME: "it hung"}).why == "the case failed: it hung"
    assert verdict("online-latency", overhead(percents, FRAME), controls=twins(3.0, STREAM)).verdict == "invalid"


def test_the_papers_cache_fits_the_narrow_site() -> None:
    held = 4 * sum(channels // 8 * height * width for channels, height, width in INPUTS["conv1"])
    statics = {Case(BASELINE_VARIANT, STREAM): counted(inputs=INPUTS, state_bytes=0)}
    statics[FRAME] = counted(inputs=INPUTS, state_bytes=held)
    found = verdicts("cache-size", statics=statics)
    assert (found["conv1"].verdict, found["conv1"].measured) == ("not reproduced", 2.7)
    assert "2,809,856 bytes, 2.81 MB or 2.68 MiB, held in this run by buffer_shift residual" in found["conv1"].why
    assert (found["conv2"].verdict, found["conv2"].measured) == ("reproduced", 0.9)
    assert "953,344 bytes, 0.95 MB or 0.91 MiB, derived" in found["conv2"].why
    assert INPUTS.items() <= models.inputs(models.build("resnet50", 1), torch.zeros(1, 3, 224, 224)).items()
