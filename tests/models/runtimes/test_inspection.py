"""What runtimes execute is counted by kind, and the shift's own share of it is the difference to the baseline."""

import pytest
import torch

from bench.analysis.tables.graphs import graph_table
from bench.models import runtimes
from bench.models.runtimes.inspection import _calls, executed
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Panel, Variant
from bench.store.records import Record
from tests.models.runtimes.small import frames, network

INDUCTOR = """
cpp_fused_cat_0 = async_compile.cpp_pybinding(['float*'], '''
class Runner:
    def call(self, args):
        buf0 = torch.ops.mkldnn._convolution_pointwise.default(arg0_1, _frozen_param1)
        cpp_fused_cat_slice_0(buf0, buf1)
        cpp_fused_cat_slice_1(buf1, buf2)
        extern_kernels.addmm(arg1_1, buf2)
"""


def test_inductors_kernels_are_read_from_its_code() -> None:
    assert _calls(INDUCTOR) == [
        "torch.ops.mkldnn._convolution_pointwise.default",
        "cpp_fused_cat_slice",
        "cpp_fused_cat_slice",
        "extern_kernels.addmm",
    ]


@pytest.mark.parametrize(("runtime", "convolution"), [("onnxruntime", "Conv"), ("openvino", "Convolution")])
def test_a_released_shift_brings_transposes_that_nobody_wrote(runtime: str, convolution: str) -> None:
    if reason := runtimes.why_not(runtime, "cpu"):
        pytest.skip(reason)
    example = frames(1)
    with torch.inference_mode():
        plain, shifted = (executed(runtime, network(name), example, None) for name in (None, "copy_shift"))
    assert plain[convolution][0] == shifted[convolution][0] == 7
    assert "Transpose" not in plain and shifted["Transpose"][0] >= 8
    assert all(seconds is not None and seconds >= 0 for _, seconds in shifted.values())


@pytest.mark.parametrize("strategy", [None, "parted_shift"])
def test_inductor_is_given_frozen_weights(strategy: str | None) -> None:
    """Then no normalisation is left, and no weight is split while the network runs: all of it is in the weights."""
    if reason := runtimes.why_not("compile", "cpu"):
        pytest.skip(reason)
    kernels = executed("compile", network(strategy), frames(1), None)
    assert kernels and not [name for name in kernels if "batch_norm" in name or "zeros_like" in name], kernels


def record(variant: Variant, nodes: dict[str, list[object]]) -> Record:
    panel = Panel("resnet50", "cpu", "openvino", "fp32", "nchw", 2, 8, 224, 1)
    case = Case(variant, panel)
    return Record(
        id=f"static/{case.label}", kind="static", status="ok", case=case.to_json(), samples={"executed": nodes}
    )


def test_the_table_holds_what_the_shift_adds_and_takes_away() -> None:
    shift = Variant("copy_shift", parse_fraction("1/4"), "residual", "bidirectional")
    base = record(BASELINE_VARIANT, {"Convolution": [53, 0.2], "Pooling": [1, 0.01], "Fused": [2, None]})
    own = record(shift, {"Convolution": [53, 0.25], "Reorder": [16, 0.04], "Fused": [3, None]})
    table = graph_table([base, own]).set_index("kind")
    assert list(table["strategy"].unique()) == ["copy_shift"]
    assert dict(table["extra_nodes"]) == {"Convolution": 0, "Reorder": 16, "Fused": 1, "Pooling": -1}
    assert table.loc["Convolution", "extra_profiled_ms"] == pytest.approx(50)
    assert table.loc["Pooling", "extra_profiled_ms"] == pytest.approx(-10)
    assert table["extra_profiled_ms"].isna().to_dict()["Fused"]
    assert graph_table([own]).empty  # without the baseline's graph nothing can be said
