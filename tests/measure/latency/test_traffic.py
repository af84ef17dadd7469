"""Bytes counted by the dispatch mode against arithmetic; what copies, fresh pages and memory cost."""

import copy
import math
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.measure.latency.devices import cpu_clock
from bench.measure.latency.traffic import CopyCurve, count, page_seconds, resident_peak
from bench.ops import in_place, native
from bench.ops.frames import moved_groups
from bench.plugins.discovery import load_class, strategy_files
from bench.strategy import Site
from tests.ops import needs_compiler

MOVERS = {"native": native.Native, "frame by frame": in_place.FrameByFrame}

N = 2 * 8 * 64 * 14 * 14 * 4  # bytes of the clip below


@pytest.mark.parametrize(
    ("name", "fraction", "expected"),
    [
        *[("no_shift", 0.0, 0.0), ("copy_shift", 1 / 8, 3.0), ("copy_shift", 1.0, 3.0)],
        *[("concat_shift", 1 / 8, 2.5), ("concat_shift", 1 / 4, 3.0), ("concat_shift", 1.0, 6.0)],
    ],
)
def test_traffic_of_a_bare_shift_agrees_with_arithmetic(name: str, fraction: float, expected: float) -> None:
    strategy, clip = load_class(name, strategy_files())(fraction), torch.randn(2, 8, 64, 14, 14)
    with torch.inference_mode():
        assert count(lambda: strategy.shift(clip)).bytes_moved / N == pytest.approx(expected, rel=0.1, abs=1e-9)


@pytest.mark.parametrize(("placement", "expected"), [("inplace", 0.5), ("residual", 1.0)])
@pytest.mark.parametrize("name", [pytest.param("native", marks=needs_compiler), "frame by frame"])
def test_movers_touch_only_what_moves(name: str, placement: str, expected: float) -> None:
    """At 1/4: 2 · fraction · N, and the same again for the way back."""
    clip, mover, groups = torch.randn(2, 8, 64, 14, 14), MOVERS[name](), moved_groups(8, "bidirectional")

    def there_and_back() -> None:
        fallen = mover.shift(clip, groups)
        if placement == "residual":
            mover.restore(clip, groups, fallen)

    with torch.inference_mode():
        assert count(there_and_back).bytes_moved / N == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("name", ["view_matmul", "native_matmul"])
def test_products_over_views_copy_no_input(name: str) -> None:
    """What they add to a plain convolution's traffic is the sum, read and written again for the two groups."""
    block = nn.Sequential(OrderedDict(conv1=nn.Conv2d(64, 16, 1, bias=False)))
    frames = torch.randn(16, 64, 14, 14)
    wrapped = load_class(name, strategy_files())(0.25).wrap(copy.deepcopy(block), Site("conv1", "conv1"), 8)
    with torch.inference_mode():
        extra = count(lambda: wrapped(frames)).bytes_moved - count(lambda: block(frames)).bytes_moved
    assert -0.01 * N <= extra <= (0.01 * N if name == "native_matmul" and not native.why_not() else 1.05 * N)


def test_views_move_nothing_and_self_subtraction_reads_once() -> None:
    x = torch.randn(4, 4)
    assert count(lambda: x.t().reshape(2, 8)[:1]).bytes_moved == 2 * 64  # a transposed view is copied once
    assert count(lambda: x.view(2, 8)[:1]).bytes_moved == 0
    assert count(lambda: x - x).bytes_moved == 2 * 64


def test_operations_are_what_products_and_convolutions_take() -> None:
    conv, linear = nn.Conv2d(3, 8, 3), nn.Linear(8, 5)
    x = torch.randn(2, 3, 6, 6)
    with torch.inference_mode():
        flops = count(lambda: linear(conv(x).mean((2, 3)))).flops
    assert flops == 2 * (2 * 8 * 4 * 4) * (3 * 3 * 3) + 2 * 2 * 8 * 5


def test_peak_counts_what_is_alive_at_once() -> None:
    x = torch.randn(256)

    def chain() -> Tensor:
        y = x + 1
        for _ in range(4):
            y = y + 1
        return y

    assert count(chain).peak_live_bytes == 2 * 1024  # a link and its successor; x was there before


def test_a_copy_of_each_size_is_timed_and_a_fresh_page_too() -> None:
    seconds = CopyCurve("cpu", (1, 64)).measure(cpu_clock)
    assert set(seconds) == {1, 64} and min(seconds.values()) > 0
    assert math.isfinite(page_seconds()) and page_seconds() >= 0


def test_resident_peak_sees_a_buffer_that_is_gone_afterwards(tmp_path: Path) -> None:
    def hold() -> None:
        torch.ones(64 << 20, dtype=torch.uint8)

    assert resident_peak(hold, tmp_path) is None  # a system that does not tell
    peak, without = resident_peak(hold), resident_peak(lambda: None)
    if peak is None or without is None:
        pytest.skip("this system has no resident high-water mark")
    assert peak - without == pytest.approx(64 << 20, rel=0.1)
    assert resident_peak(hold) == pytest.approx(peak, rel=0.02)
