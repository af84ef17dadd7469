"""A 1×1 convolution of shifted frames as products over views: against shifting and convolving."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bench.ops import native, products
from bench.ops.frames import moved_groups
from bench.ops.in_place import FrameByFrame
from bench.ops.products import ShiftedProduct, multiply, takes
from bench.spec.axes import DIRECTIONS, Direction
from tests.ops import needs_compiler

PRODUCTS = [multiply, pytest.param(native.multiply, marks=needs_compiler)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def reference(frames: Tensor, weight: Tensor, fold: int, direction: Direction, t: int) -> Tensor:
    shifted = frames.clone()
    FrameByFrame().shift(shifted.unflatten(0, (-1, t)), moved_groups(fold, direction))
    return torch.conv2d(shifted, weight[:, :, None, None])


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("at_once", [1, 1 << 30])  # one frame after the other, and whole clips
def test_it_is_the_convolution_of_shifted_frames(
    product: products.Product,
    layout: torch.memory_format,
    direction: Direction,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(products, "_SUM_BYTES", at_once)
    for t in (1, 2, 3, 8, 16):
        for n, c, size in ((1, 16, 5), (2, 12, 1)):
            frames = torch.randn(n * t, c, size, size, dtype=torch.double).contiguous(memory_format=layout)
            weight = torch.randn(7, c, dtype=torch.double)
            for fold in (0, 1, c // 2):
                got = product(frames, weight, moved_groups(fold, direction), t)
                assert torch.allclose(got, reference(frames, weight, fold, direction, t))
                assert size == 1 or got.is_contiguous(memory_format=layout)


@needs_compiler
def test_native_tiles_do_not_overlap() -> None:
    frames = torch.randn(4, 24, 90, 90)  # more positions than one tile has
    weight = torch.randn(64, 24)
    for layout in LAYOUTS:
        laid = frames.contiguous(memory_format=layout)
        got, want = (
            native.multiply(laid, weight, moved_groups(5, "bidirectional"), 2),
            reference(laid, weight, 5, "bidirectional", 2),
        )
        assert (got - want).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_gradients(layout: torch.memory_format, direction: Direction, bias: bool) -> None:
    layer = nn.Conv2d(6, 3, 1, bias=bias).double()
    module = ShiftedProduct(layer, moved_groups(2, direction), 3, multiply)
    frames = torch.randn(6, 6, 2, 2, dtype=torch.double).contiguous(memory_format=layout).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: module(x * 1.0), [frames, *layer.parameters()])


def test_one_frame_has_no_neighbours_and_gives_no_gradient_to_moved_weights() -> None:
    layer = nn.Conv2d(4, 2, 1, bias=False)
    ShiftedProduct(layer, moved_groups(1, "bidirectional"), 1, multiply)(torch.randn(3, 4, 2, 2)).sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight.grad[:, :2] == 0).all() and (layer.weight.grad[:, 2:] != 0).all()


@pytest.mark.parametrize(
    ("make", "fits"),
    [
        (lambda: nn.Conv2d(4, 4, 1), True),
        (lambda: nn.Conv2d(4, 4, 1, padding="same"), True),
        (lambda: nn.Conv2d(4, 4, 3), False),
        (lambda: nn.Conv2d(4, 4, 1, stride=2), False),
        (lambda: nn.Conv2d(4, 4, 1, groups=2), False),
        (lambda: nn.Conv2d(4, 4, 1, padding=1), False),
        (lambda: nn.Linear(4, 4), False),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)), False),
    ],
)
def test_only_plain_matrix_products_are_taken(make: Callable[[], nn.Module], fits: bool) -> None:
    assert takes(make()) is fits
