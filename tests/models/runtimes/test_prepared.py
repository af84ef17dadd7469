"""Every runtime that PyPI gives on a CPU computes what the model computes, with its threads, for its shape only."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench import models
from bench.models import runtimes
from bench.models.runtimes import Inexact, Stream, deviation, require_exact, require_exact_stream
from bench.models.runtimes.compile import calls
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import QUANTISING, ValueNotAllowed
from tests.conftest import ROOT
from tests.models.runtimes.small import frames, network, online

DEPLOYED = ("onnxruntime", "openvino")
PREPARED = [(runtime, name) for runtime in DEPLOYED for name in ("copy_shift", "parted_shift")]
PREPARED.append(("compile", "parted_shift"))  # compiling takes longer than all the others together
EXAMPLE = frames(2)


def needs(runtime: str) -> None:
    if reason := runtimes.why_not(runtime, "cpu"):
        pytest.skip(reason)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str | None], Path]:
    """Where the export of the small network with a strategy is kept: exporting takes two seconds."""
    folder = tmp_path_factory.mktemp("exports")
    return lambda strategy: folder / f"{strategy}.onnx"


@pytest.mark.filterwarnings("ignore")  # of the exporters and compilers, about their own insides
@pytest.mark.parametrize(("runtime", "strategy"), PREPARED)
def test_a_prepared_model_answers_as_eager_does(
    runtime: str, strategy: str, kept: Callable[[str | None], Path]
) -> None:
    needs(runtime)
    model, plain = network(strategy), network()
    with torch.inference_mode():
        forward = runtimes.prepare(runtime, model, EXAMPLE, export=kept(strategy))
        require_exact(forward, model, EXAMPLE, runtime)
        assert deviation(forward(EXAMPLE), model(EXAMPLE)) < 1e-4
        with pytest.raises(Inexact, match="deviates from eager"):  # without its shift it would be another one
            require_exact(forward, plain, EXAMPLE, runtime)
        with pytest.raises(Exception, match=r"(?s)prepared for|compiled for|[Ii]nvalid dimensions"):
            forward(frames(3))


@pytest.mark.parametrize("strategy", ["concat_shift", "parted_shift"])
@pytest.mark.parametrize("runtime", DEPLOYED)
def test_a_prepared_stream_keeps_its_state_and_each_stream_begins_when_it_likes(
    runtime: str, strategy: str, tmp_path: Path
) -> None:
    needs(runtime)
    model, each = online(strategy), frames(3).unflatten(0, (-1, 2)).unbind()  # six frames of two streams
    with torch.inference_mode():
        stream = runtimes.prepare(runtime, model, each[0], export=tmp_path / "stream.onnx")
        assert isinstance(stream, Stream)
        require_exact_stream(stream, model, each, runtime)
        with pytest.raises(Inexact, match="deviates from eager"):
            require_exact_stream(stream, online(), each, runtime)
        stream.reset([0, 1])
        state = None
        for t, frame in enumerate(each):
            if state is not None and t == 3:
                stream.reset([1])
                state = state.reset([1])
            logits, state = model.step(frame, state)
            assert deviation(stream(frame), logits) < 1e-4
        with pytest.raises(ValueError, match=r"prepared for frames of \[2, 3, 16, 16\], given \[1, 3, 16, 16\]"):
            stream(each[0][:1])


@pytest.mark.parametrize("runtime", QUANTISING)
def test_eight_bits_are_learnt_from_clips_and_kept(
    runtime: str, kept: Callable[[str | None], Path], tmp_path: Path
) -> None:
    if reason := runtimes.why_not(runtime, "cpu", "int8"):
        pytest.skip(reason)
    model, clips, file = network("parted_shift"), [frames(2, seed) for seed in (1, 2)], tmp_path / "small.onnx"
    with torch.inference_mode():
        forward = runtimes.prepare(runtime, model, EXAMPLE, export=file, calibration=clips)
        assert 1e-4 < deviation(forward(EXAMPLE), model(EXAMPLE)) < 0.2
        before = sorted(path.stat().st_mtime_ns for path in tmp_path.iterdir())
        nodes = runtimes.executed(runtime, model, EXAMPLE, file, clips)
        assert len(before) >= 2 and before == sorted(path.stat().st_mtime_ns for path in tmp_path.iterdir())
        assert runtime != "onnxruntime" or nodes["QLinearConv"][0] >= 7
        with pytest.raises(ValueNotAllowed, match=r"calibrated with \[4, 3, 16, 16\]; .* reads \[8, 3, 16, 16\]"):
            runtimes.prepare(runtime, model, EXAMPLE, calibration=[frames(1)])
        with pytest.raises(ValueNotAllowed, match="not in int8; int8 is for onnxruntime and openvino"):
            runtimes.prepare("eager", model, EXAMPLE, calibration=clips)


def test_the_first_layer_keeps_all_eight_bits(tmp_path: Path) -> None:
    """NNCF's default would halve its weights, on any processor."""
    if reason := runtimes.why_not("openvino", "cpu", "int8"):
        pytest.skip(reason)
    import openvino

    with torch.inference_mode():
        runtimes.prepare("openvino", network(), EXAMPLE, export=tmp_path / "small.onnx", calibration=[frames(2)])
    nodes = openvino.Core().read_model(tmp_path / "small.nncf.xml").get_ordered_ops()
    eight = [node.data for node in nodes if node.get_element_type() == openvino.Type.i8]
    (first,) = [weights for weights in eight if weights.ndim == 4 and weights.shape[1] == 3]
    assert abs(first.astype(int)).max() == 127


@pytest.mark.parametrize("name", ["parted_shift[edges=pad]", "frame_concat_shift[edges=pad]"])
def test_openvino_runs_all_convolutions_on_bytes(name: str) -> None:
    """Those whose weights are too large for the exporter to compute, too, and those of what moves."""
    if reason := runtimes.why_not("openvino", "cpu", "int8"):
        pytest.skip(reason)
    from bench.models.runtimes.openvino import load

    strategy = load_class(name, strategy_files())
    model, clip = models.insert(strategy(0.25), models.build("resnet18", 2)).eval(), torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        compiled = load(model, clip, None, [clip])
    nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
    kinds = [str(info["primitiveType"].astype(str)) for info in nodes if info["layerType"].astype(str) == "Convolution"]
    assert len(kinds) >= 20 and all(kind.endswith("I8") for kind in kinds), kinds


def test_convolutions_that_openvino_leaves_in_fp32_are_told(tmp_path: Path) -> None:
    if reason := runtimes.why_not("openvino", "cpu", "int8"):
        pytest.skip(reason)
    clip = frames(1)
    with torch.inference_mode():
        plain, shifted = (
            runtimes.executed("openvino", network(name), clip, tmp_path / f"{name}.onnx", [clip])
            for name in (None, "parted_shift")
        )
    assert "Convolution in fp32" not in plain
    assert shifted["Convolution in fp32"][0] == 4, "those of what moves, two in each block"


@pytest.mark.parametrize("runtime", DEPLOYED)
def test_an_export_is_kept_for_the_next_process(runtime: str, kept: Callable[[str | None], Path]) -> None:
    needs(runtime)
    file, shifted = kept("copy_shift"), network("copy_shift")
    with torch.inference_mode():
        runtimes.prepare(runtime, shifted, EXAMPLE, export=file)
        assert file.stat().st_size > 10_000
        again = runtimes.prepare(runtime, network(), EXAMPLE, export=file)  # reads what is there
        assert deviation(again(EXAMPLE), shifted(EXAMPLE)) < 1e-4


@pytest.mark.parametrize(("runtime", "convolution"), [("onnxruntime", "Conv"), ("openvino", "Convolution")])
def test_a_released_shift_brings_transposes_that_nobody_wrote(
    runtime: str, convolution: str, kept: Callable[[str | None], Path]
) -> None:
    needs(runtime)
    with torch.inference_mode():
        plain, shifted = (
            runtimes.executed(runtime, network(name), EXAMPLE, kept(name)) for name in (None, "copy_shift")
        )
    assert plain[convolution][0] == shifted[convolution][0] == 7
    assert "Transpose" not in plain and shifted["Transpose"][0] >= 8
    assert all(seconds is not None and seconds >= 0 for _, seconds in shifted.values())


def test_inductor_is_given_frozen_weights() -> None:
    """Then no normalisation is left, and no weight is split while the network runs: all of it is in the weights."""
    needs("compile")
    kernels = runtimes.executed("compile", network("parted_shift"), EXAMPLE, None)
    assert kernels and not [name for name in kernels if "batch_norm" in name or "zeros_like" in name], kernels


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
    assert calls(INDUCTOR) == [
        "torch.ops.mkldnn._convolution_pointwise.default",
        "cpp_fused_cat_slice",
        "cpp_fused_cat_slice",
        "extern_kernels.addmm",
    ]


def test_openvino_takes_torchs_threads_and_the_examples_precision(
    monkeypatch: pytest.MonkeyPatch, kept: Callable[[str | None], Path]
) -> None:
    needs("openvino")
    from bench.models.runtimes import openvino

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    with torch.inference_mode():
        compiled = openvino.load(network(), EXAMPLE, kept(None))
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert "LATENCY" in str(compiled.get_property("PERFORMANCE_HINT"))


def test_onnx_runtime_takes_the_threads_that_it_is_given() -> None:
    needs("onnxruntime")
    from bench.models.runtimes import onnxruntime

    options = onnxruntime.options(3)
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_two_inputs_are_tried_and_the_example_is_left_as_it_was() -> None:
    model, example = network(), frames(1)
    before, seen = example.clone(), []

    def right(given: torch.Tensor) -> torch.Tensor:
        seen.append(given.clone())
        example.copy_(given)  # as a captured graph does
        return model(given)

    with torch.inference_mode():
        require_exact(right, model, example, "fake")
        assert len(seen) == 2 and not torch.equal(seen[0], seen[1])
        assert torch.equal(example, before)
        constant = model(seen[0])
        for wrong, message in (
            (lambda _: constant, r"in the runtime 'fake' the output deviates from eager by \d"),
            (lambda given: model(given)[:, :5], "inf"),
            (lambda given: model(given) * float("nan"), "nan"),
        ):
            with pytest.raises(Inexact, match=message):
                require_exact(wrong, model, example, "fake")


def test_a_replay_is_held_to_a_rounding_where_a_compiler_has_more() -> None:
    """It launches eager's own kernels; what a network is allowed in 16 bits would let a missing shift pass."""
    model, example = network().half(), frames(1).half()
    with torch.inference_mode():
        for runtime in ("compile", "cudagraph"):
            require_exact(model, model, example, runtime)
        require_exact(lambda given: model(given) * 1.01, model, example, "compile")
        with pytest.raises(Inexact, match=r"'cudagraph' the output deviates from eager by .* \(allowed: 0.001\)"):
            require_exact(lambda given: model(given) * 1.01, model, example, "cudagraph")


def test_half_precision_is_allowed_its_own_rounding() -> None:
    assert runtimes.tolerance(frames(1)) == 1e-4
    assert runtimes.tolerance(frames(1).bfloat16()) == runtimes.tolerance(frames(1).half()) == 3e-2


TWO_THAT_GO = """
import os, signal
import torch
from bench.models.runtimes import openvino
held = [openvino.prepare(torch.nn.Conv2d(3, 4, 1), torch.randn(1, 3, 8, 8), None, None) for _ in range(2)]
while held:
    held.pop(0)
signal.signal(signal.SIGCONT, lambda *_: print("told"))
os.kill(os.getpid(), signal.SIGCONT)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="its processes are stopped by Linux's signals")
def test_a_signal_is_handled_after_networks_of_openvino_are_gone() -> None:
    """Their plug-ins leave a signal stack behind that is no longer there: whatever handled a signal then died of it."""
    done = subprocess.run([sys.executable, "-c", TWO_THAT_GO], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr
