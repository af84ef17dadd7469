"""The paper's 3 % is held against each runtime on its own."""

import math
from dataclasses import replace

import pytest

from bench.analysis.claims import judge, load_claims
from bench.analysis.evidence import Evidence
from bench.analysis.overheads import Overhead
from bench.spec.axes import parse_fraction
from bench.spec.cases import Case, Panel, Variant

PANEL = Panel("resnet50", "cpu", "eager", "fp32", "nchw", 2, 8, 224, 1)
CLAIMS = {
    "partial-cpu": PANEL,
    "partial-runtime-compile": replace(PANEL, runtime="compile"),
    "partial-runtime-onnxruntime": replace(PANEL, runtime="onnxruntime"),
    "partial-runtime-openvino": replace(PANEL, runtime="openvino"),
    "partial-runtime-openvino-bf16": replace(PANEL, runtime="openvino", dtype="bf16"),
}


def overhead(percents: list[float], panel: Panel) -> Overhead:
    case = Case(Variant("copy_shift", parse_fraction("1/8"), "residual", "bidirectional"), panel)
    every = {replicate: {0: math.log1p(percent / 100)} for replicate, percent in enumerate(percents)}
    return Overhead(case, every, left_out={}, cycles={}, seconds=0.3, faults=math.nan, mhz=math.nan)


@pytest.mark.parametrize("claim", CLAIMS)
def test_each_claim_looks_at_its_own_runtime(claim: str) -> None:
    """The one panel is within the bound and all others are far beyond it."""
    own = [overhead([1.0, 1.1, 0.9] if name == claim else [400, 401, 402], panel) for name, panel in CLAIMS.items()]
    verdicts = {v.claim: v for v in judge(load_claims(), Evidence(overheads=own)) if v.claim in CLAIMS}
    assert {name: v.verdict for name, v in verdicts.items()} == {
        name: "reproduced" if name == claim else "not reproduced" for name in CLAIMS
    }
    assert verdicts[claim].subject == "copy_shift residual"


def test_a_runtime_that_was_not_timed_is_not_measured() -> None:
    found = [v for v in judge(load_claims(), Evidence()) if v.claim == "partial-runtime-openvino-bf16"]
    assert [(v.verdict, v.why) for v in found] == [
        ("not measured", "this run has not timed the paper's network at 1/8 in OpenVINO with bf16")
    ]
