"""Every runtime that PyPI gives on a CPU computes what the model computes, with its threads, for its shape only."""

from pathlib import Path

import pytest
import torch

from bench.models import runtimes
from bench.models.runtimes import exactness
from bench.models.runtimes.exactness import Inexact, deviation, require_exact
from tests.models.runtimes.small import frames, network

PREPARED = [(runtime, name) for runtime in ("onnxruntime", "openvino") for name in ("copy_shift", "parted_shift")]
PREPARED.append(("compile", "parted_shift"))  # compiling takes longer than all the others together


def needs(runtime: str) -> None:
    if reason := runtimes.why_not(runtime, "cpu"):
        pytest.skip(reason)


@pytest.mark.filterwarnings("ignore")  # of the exporters and compilers, about their own insides
@pytest.mark.parametrize(("runtime", "strategy"), PREPARED)
def test_a_prepared_model_answers_as_eager_does(runtime: str, strategy: str) -> None:
    needs(runtime)
    model, example = network(strategy), frames(2)
    with torch.inference_mode():
        forward = runtimes.prepare(runtime, model, example)
        require_exact(forward, model, example, runtime)
        assert deviation(forward(example), model(example)) < 1e-4
        assert deviation(forward(example), network()(example)) > 1e-3  # without its shift it would be another one
        with pytest.raises(Exception, match=r"(?s)prepared for|compiled for|[Ii]nvalid dimensions"):
            forward(frames(3))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_an_export_is_kept_for_the_next_process(runtime: str, tmp_path: Path) -> None:
    needs(runtime)
    kept, example = tmp_path / "kept.onnx", frames(1)
    with torch.inference_mode():
        runtimes.prepare(runtime, network("frame_concat_shift"), example, export=kept)
        assert kept.stat().st_size > 10_000
        again = runtimes.prepare(runtime, network(), example, export=kept)  # reads what is there
        assert deviation(again(example), network("copy_shift")(example)) < 1e-4
        with pytest.raises(Inexact, match="deviates from eager"):
            require_exact(again, network(), example, runtime)


def test_openvino_takes_torchs_threads_and_the_examples_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("openvino")
    from bench.models.runtimes import openvino

    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    with torch.inference_mode():
        compiled = openvino.load(network(), frames(1), None)
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert "LATENCY" in str(compiled.get_property("PERFORMANCE_HINT"))


def test_onnx_runtime_takes_the_threads_that_it_is_told() -> None:
    needs("onnxruntime")
    from bench.models.runtimes import onnxruntime

    options = onnxruntime.options(3)
    assert options.intra_op_num_threads == 3
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_two_inputs_are_tried_and_the_example_is_left_as_it_was() -> None:
    model, example = network(), frames(1)
    kept, seen = example.clone(), []

    def right(given: torch.Tensor) -> torch.Tensor:
        seen.append(given.clone())
        example.copy_(given)  # as a captured graph does
        return model(given)

    with torch.inference_mode():
        require_exact(right, model, example, "fake")
        assert len(seen) == 2 and not torch.equal(seen[0], seen[1])
        assert torch.equal(example, kept)
        constant = model(seen[0])
        with pytest.raises(Inexact, match=r"in the runtime 'fake' the output deviates from eager by \d"):
            require_exact(lambda _: constant, model, example, "fake")
        with pytest.raises(Inexact, match="inf"):
            require_exact(lambda given: model(given)[:, :5], model, example, "fake")
        with pytest.raises(Inexact, match="nan"):
            require_exact(lambda given: model(given) * float("nan"), model, example, "fake")


def test_half_precision_is_allowed_its_own_rounding() -> None:
    assert exactness.tolerance(frames(1)) == 1e-4
    assert exactness.tolerance(frames(1).bfloat16()) == exactness.tolerance(frames(1).half()) == 3e-2


@pytest.mark.parametrize(
    ("runtime", "dtype", "words"),
    [
        ("onnxruntime", "bf16", "computes in fp32 only"),
        ("openvino", "fp16", "computes in fp32 or bf16 only"),
        ("openvino", "bf16", "would compute in fp32 instead"),
        ("eager", "bf16", "would emulate them"),
    ],
)
def test_a_wrong_precision_is_a_sentence(runtime: str, dtype: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(runtime)
    monkeypatch.setattr(runtimes, "cpu_bf16", lambda: False)
    assert words in (runtimes.why_not(runtime, "cpu", dtype) or "")


def test_a_missing_package_is_a_sentence_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None if name == "openvino" else object())
    assert runtimes.why_not("onnxruntime", "cpu") is None
    reason = runtimes.why_not("openvino", "cpu") or ""
    assert "needs openvino: pip install 'shiftbench[runtimes]'" in reason


def test_a_missing_compiler_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler is not here" in (runtimes.why_not("compile", "cpu") or "")
