"""Which runtimes exist where; how a CUDA graph is captured and replayed, on a fake ``torch.cuda``."""

from typing import get_args

import pytest
import torch
from torch import nn

from bench.models import runtimes
from bench.spec.axes import ONLY_ON, RUNTIMES, Device, ValueNotAllowed
from tests.measure.latency.simulated_gpu import FakeCuda


def small_network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    network(torch.zeros(1, 3, 6, 6))
    return network.eval()


def frames(seed: int) -> torch.Tensor:
    return torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def test_every_runtime_that_can_be_named_says_where_it_exists() -> None:
    assert set(ONLY_ON) <= set(RUNTIMES)
    assert set(ONLY_ON.values()) <= set(get_args(Device))
    for name in RUNTIMES:
        refused = [device for device in get_args(Device) if "exists on" in (runtimes.why_not(name, device) or "")]
        assert len(refused) == (1 if name in ONLY_ON else 0)


@pytest.mark.parametrize(
    ("runtime", "device", "dtype", "words"),
    [
        ("eager", "cuda", "fp32", None),
        ("cudagraph", "cuda", "fp32", None),
        ("cudagraph", "cpu", "fp32", "exists on cuda only"),
        ("cudgraph", "cuda", "fp32", "runtimes: eager, compile"),
        ("onnxruntime", "cpu", "bf16", "computes in fp32 or int8 only"),
        ("openvino", "cpu", "fp16", "computes in fp32 or bf16 or int8 only"),
        ("openvino", "cpu", "bf16", "would compute in fp32 instead"),
        ("openvino", "cpu", "int8", None),
        ("eager", "cpu", "bf16", "would emulate them"),
    ],
)
def test_why_a_runtime_cannot_be_had_is_a_sentence(
    runtime: str, device: str, dtype: str, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "cpu_bf16", lambda: False)
    monkeypatch.setattr(runtimes, "find_spec", lambda name: object())
    reason = runtimes.why_not(runtime, device, dtype)
    assert reason is None if words is None else words in (reason or "")


def test_what_is_not_installed_is_a_sentence_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None if name == "openvino" else object())
    assert runtimes.why_not("onnxruntime", "cpu") is None
    assert "needs openvino: pip install 'shiftbench[runtimes]'" in (runtimes.why_not("openvino", "cpu") or "")
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no-such-compiler is not here" in (runtimes.why_not("compile", "cpu") or "")


@pytest.mark.parametrize("runtime", ["cudagraph", "nonsense"])
def test_a_runtime_that_is_not_there_is_refused_in_words(runtime: str) -> None:
    with pytest.raises(ValueNotAllowed, match=runtime):
        runtimes.prepare(runtime, small_network(), frames(0))


def test_eager_is_the_model_itself() -> None:
    model = small_network()
    assert runtimes.prepare("eager", model, frames(0)) is model


def test_a_graph_is_warmed_up_aside_captured_once_and_replayed() -> None:
    cuda, model = FakeCuda(), small_network()
    model.register_forward_hook(lambda *_: cuda.told.append("forward"))
    with torch.inference_mode():
        example = frames(0)
        forward = runtimes.prepare("cudagraph", model, example, cuda)
        aside = ["side waits for default", "on side", *["forward"] * 3, "on default", "default waits for side"]
        assert cuda.told == [*aside, "capture", "forward", "captured"]
        cuda.told.clear()
        forward(example)
        forward(example)
    assert cuda.told == ["replay", "replay"]  # the model's own code does not run any more


def test_a_graph_answers_for_the_frames_that_it_is_given() -> None:
    model, example = small_network(), frames(0)
    with torch.inference_mode():
        forward = runtimes.prepare("cudagraph", model, example, FakeCuda())
        expected = {seed: model(frames(seed)) for seed in (0, 1, 2, 3)}
        answers = {0: forward(example).clone(), 1: forward(frames(1)).clone(), 2: forward(frames(2)).clone()}
        first = forward(example)
        example.copy_(frames(3))  # no copy inside a slot: what stands in the input at replay is what is used
        assert forward(example) is first and torch.equal(first, expected[3])
    assert not torch.equal(expected[0], expected[1])
    for seed, answer in answers.items():
        assert torch.equal(answer, expected[seed])
