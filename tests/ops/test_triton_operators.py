"""The operators on a CPU without the interpreter: exact in plain torch, and known to all who look at operators."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.library import opcheck
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from bench.measure.latency.traffic import count
from bench.ops import triton_operators
from bench.ops.triton_operators import (
    shift_conv,
    triton_conv,
    triton_conv_weight_gradient,
    triton_shift,
)
from strategies.copy_shift import CopyShift
from tests.conftest import ROOT

MOVES = (4, 3, 3)  # clips of 4 frames; fraction 3/8 of 16 channels, bidirectional
COPY = CopyShift(3 / 8)


def random(*shape: int, channels_last: bool = False, dtype: torch.dtype = torch.float32) -> Tensor:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)
    return tensor.to(memory_format=torch.channels_last) if channels_last else tensor


def by_copying(frames: Tensor) -> Tensor:
    return COPY.shift(frames.unflatten(0, (-1, 4))).flatten(0, 1)


FRAMES, WEIGHT, BIAS = random(8, 16, 5, 6), random(12, 16, 1, 1), random(12)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_without_a_kernel_the_operators_are_exact(dtype: torch.dtype, channels_last: bool) -> None:
    frames = random(8, 16, 5, 6, channels_last=channels_last, dtype=dtype)
    weight, bias = WEIGHT.to(dtype), BIAS.to(dtype)
    assert not triton_operators.takes(frames)
    assert torch.equal(triton_shift(frames, *MOVES), by_copying(frames))
    got, want = shift_conv(frames, weight, bias, *MOVES), conv2d(by_copying(frames), weight, bias)
    rounding = 1e-2 if dtype == torch.bfloat16 else 1e-5
    assert (got - want).abs().max() <= rounding * want.abs().max()
    ended = triton_conv(frames, weight, BIAS, *MOVES, False, BIAS.exp(), "relu6")
    scaled = (conv2d(by_copying(frames), weight) * BIAS.exp()[:, None, None] + BIAS[:, None, None]).clamp(0, 6)
    assert ended.dtype == dtype and (ended - scaled).abs().max() <= rounding * scaled.abs().max()
    assert got.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_no_frames_give_no_frames() -> None:
    assert triton_shift(FRAMES[:0], *MOVES).shape == FRAMES[:0].shape
    assert shift_conv(FRAMES[:0], WEIGHT, BIAS, *MOVES).shape == (0, 12, 5, 6)


def test_gradients_without_a_kernel() -> None:
    """Numerically, in double precision: first derivatives of both operators, for every input."""
    frames, weight = random(4, 5, 1, 2, dtype=torch.float64), random(3, 5, 1, 1, dtype=torch.float64)
    bias = random(3, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (frames, weight, bias)]
    torch.autograd.gradcheck(lambda *tensors: triton_conv(*tensors, 2, 2, 1), inputs)
    torch.autograd.gradcheck(lambda x: triton_shift(x, 2, 2, 1), inputs[:1])
    torch.autograd.gradgradcheck(lambda x: triton_shift(x, 2, 2, 1).square(), inputs[:1])


OUTPUT = random(8, 12, 5, 6)
OPERATORS = {
    "triton_shift": (triton_shift, (FRAMES, *MOVES)),
    "triton_shift, trained": (triton_shift, (FRAMES.clone().requires_grad_(), *MOVES, True)),
    "triton_conv": (triton_conv, (FRAMES.clone().requires_grad_(), WEIGHT.clone().requires_grad_(), BIAS, *MOVES)),
    "triton_conv, channels_last": (triton_conv, (random(8, 16, 5, 6, channels_last=True), WEIGHT, None, *MOVES)),
    "triton_conv, gaps": (triton_conv, (random(8, 16, 5, 12)[..., ::2], WEIGHT, BIAS, *MOVES)),
    "triton_conv, back": (triton_conv, (OUTPUT, WEIGHT.transpose(0, 1), None, *MOVES, True)),
    "triton_conv, ended": (triton_conv, (FRAMES, WEIGHT, BIAS, *MOVES, False, BIAS.exp(), "relu6")),
    "triton_conv_weight_gradient": (triton_conv_weight_gradient, (FRAMES, OUTPUT, *MOVES)),
}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_keep_the_rules_of_the_dispatcher(name: str) -> None:
    """Schema, fake kernel (shapes, strides, dtypes), autograd registration, tracing with dynamic shapes."""
    operator, arguments = OPERATORS[name]
    outcomes = opcheck(operator, arguments)
    assert outcomes and set(outcomes.values()) == {"SUCCESS"}


def test_what_ends_for_inference_has_no_gradient() -> None:
    out = triton_conv(FRAMES, WEIGHT.clone().requires_grad_(), BIAS, *MOVES, False, BIAS.exp(), "relu")
    with pytest.raises(NotImplementedError, match="nor with a scale or an activation"):
        out.sum().backward()


def test_frames_that_are_no_whole_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="7 frames are not a whole number of clips of 4"):
        triton_shift(FRAMES[:7], *MOVES)
    with pytest.raises(ValueError, match="7 frames are not a whole number of clips of 4"):
        shift_conv(FRAMES[:7], WEIGHT, None, *MOVES)


def both(frames: Tensor, weight: Tensor) -> Tensor:
    return shift_conv(triton_shift(frames, *MOVES), weight, BIAS, *MOVES).relu()


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compile_traces_through_without_a_break(backend: str) -> None:
    compiled = torch.compile(both, backend=backend, fullgraph=True)  # fullgraph: a break raises
    gradients = []
    for function in (both, compiled):
        inputs = [FRAMES.clone().requires_grad_(), WEIGHT.clone().requires_grad_()]
        function(*inputs).square().sum().backward()
        gradients.append([tensor.grad for tensor in inputs])
    for got, want in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(got, want)


def test_autocasting_reaches_the_fused_convolution() -> None:
    weight = WEIGHT.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        assert conv2d(FRAMES, weight).dtype == torch.bfloat16
        out = shift_conv(FRAMES, weight, BIAS, *MOVES)
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert weight.grad is not None and weight.grad.dtype == torch.float32


def flops(function: Any, *inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        function(*inputs).sum().backward()
    return int(counter.get_total_flops())


def test_the_flop_counter_sees_a_convolution_and_its_gradients() -> None:
    inputs = [FRAMES.clone().requires_grad_(), WEIGHT.clone().requires_grad_()]
    fused = flops(lambda x, w: shift_conv(x, w, None, *MOVES), *inputs)
    assert fused == flops(conv2d, *inputs) == 3 * 2 * FRAMES.numel() * 12


def test_traffic_counts_what_the_operators_move() -> None:
    """The shift: read once and written once. Fused into the convolution: nothing on top of it, and nothing held."""
    size = FRAMES.numel() * FRAMES.element_size()
    with torch.inference_mode():
        assert count(lambda: triton_shift(FRAMES, *MOVES)).bytes_moved == 2 * size
        fused = count(lambda: shift_conv(FRAMES, WEIGHT, BIAS, *MOVES))
        plain = count(lambda: conv2d(FRAMES, WEIGHT, BIAS))
        apart = count(lambda: conv2d(triton_shift(FRAMES, *MOVES), WEIGHT, BIAS))
    assert fused == plain
    assert apart.bytes_moved == plain.bytes_moved + 2 * size
    assert apart.peak_live_bytes == plain.peak_live_bytes + size


WITHOUT_TRITON = """
import sys
sys.modules["triton"] = None  # as on macOS and Windows: importing it raises ImportError
import torch
from bench.ops.triton_operators import shift_conv, takes
from strategies.triton_conv import TritonConv
from strategies.triton_shift import TritonShift
clip = torch.randn(1, 3, 8, 2, 2)
assert not torch.equal(TritonShift().shift(clip), clip)
assert shift_conv(clip[0], torch.randn(4, 8, 1, 1), None, 3, 1, 1).shape == (3, 4, 2, 2)
assert not takes(clip)
print({TritonShift().skip("resnet50", 8), TritonConv().skip("resnet50", 8)})
"""


def test_without_triton_everything_is_there_and_says_why_it_is_skipped() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "{'Triton is not installed; PyTorch for Linux brings it'}"
