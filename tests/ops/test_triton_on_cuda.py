"""What only a CUDA device can show: tuned tile sizes, half precision at full size, capture in a graph, Inductor."""

import copy

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torchvision.models.resnet import Bottleneck

from bench import models
from bench.measure.latency.proof import require_same_function
from bench.models import runtimes
from bench.ops.triton_operators import shift_conv, triton_shift
from bench.plugins.conformance import conformance, variants_of
from bench.strategy import Site, Strategy
from strategies.copy_shift import CopyShift
from strategies.placed_shift import PlacedShift
from strategies.triton_conv import TritonConv
from strategies.triton_shift import TritonShift

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    pytest.mark.filterwarnings("ignore:TRITON_DEFAULT_FP_FUSION"),
    pytest.mark.filterwarnings("ignore:Please use the new API settings to control TF32"),
]

LAYOUTS = (torch.contiguous_format, torch.channels_last)
ROUNDING = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 8e-3}
SHAPES = ((256, 128, 56), (1024, 256, 14), (2048, 512, 7))  # conv1 of ResNet-50: channels in, channels out, pixels
STRATEGIES = (TritonShift, TritonConv)


@pytest.fixture(autouse=True)
def _exact_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def frames_of(c: int, size: int, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    generator = torch.Generator().manual_seed(c)
    frames = torch.randn(16, c, size, size, generator=generator)
    return frames.to("cuda", dtype).contiguous(memory_format=layout)


def close(got: Tensor, want: Tensor, tolerance: float) -> None:
    assert (got.double() - want.double()).abs().max() <= tolerance * want.double().abs().max()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize(("inner", "outer", "size"), SHAPES)
def test_tuned_products_and_their_gradients_are_exact(
    inner: int, outer: int, size: int, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    frames = frames_of(inner, size, dtype, layout).requires_grad_()
    weight = (torch.randn(outer, inner, 1, 1, device="cuda") / inner**0.5).to(dtype).requires_grad_()
    fold = inner // 8
    out = shift_conv(frames, weight, None, 8, fold, fold)
    exact = [tensor.detach().double().requires_grad_() for tensor in (frames, weight)]
    want = conv2d(triton_shift(exact[0], 8, fold, fold), exact[1])
    close(out, want, ROUNDING[dtype])
    arriving = torch.randn_like(out)
    out.backward(arriving)
    want.backward(arriving.double())
    close(frames.grad, exact[0].grad, ROUNDING[dtype])
    close(weight.grad, exact[1].grad, ROUNDING[dtype])


@pytest.mark.parametrize("cls", [*STRATEGIES, PlacedShift])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_whole_networks_replayed_from_a_graph_are_those_of_copy_shift(
    cls: type[Strategy], dtype: torch.dtype, layout: torch.memory_format
) -> None:
    base = models.build("resnet50", 8).to("cuda", dtype)
    models.lay_out(base, layout)
    frames = frames_of(3, 224, dtype, layout)
    with torch.inference_mode():
        model = models.insert(cls(), copy.deepcopy(base))
        require_same_function(model, cls(), CopyShift(), base, frames)
        replay = runtimes.prepare("cudagraph", model, frames, torch.cuda)
        runtimes.require_exact(replay, model, frames, "cudagraph")


@pytest.mark.parametrize("cls", STRATEGIES)
def test_inductor_compiles_them(cls: type[Strategy]) -> None:
    torch.manual_seed(0)
    block = cls().wrap(Bottleneck(256, 64), Site("conv1", "conv1"), 8).to("cuda").eval()
    frames = frames_of(256, 28, torch.float32, torch.contiguous_format)
    with torch.inference_mode():
        close(torch.compile(block, fullgraph=True)(frames), block(frames), 1e-5)


@pytest.mark.parametrize("cls", [*STRATEGIES, PlacedShift])
def test_they_conform_on_the_device(cls: type[Strategy]) -> None:
    for variant in variants_of(cls)[::4]:
        broken = [v for v in conformance(cls, variant, CopyShift, "cuda") if v.ok is False]
        assert not broken, f"{variant.label}: {broken}"
