"""Micro-benchmarks, one operation at a time, with pytest-benchmark. Not part of the test run::

    uv run pytest -n 0 tests/micro/bench_shift_operations.py

They show what an operation alone takes: the bare shift, there and back, a training step of one layer. They say nothing
about a network: there its cost is hidden or multiplied by caches and layouts, and small differences need the paired
method of ``run_bench.py run``.
"""

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import nn

from bench.ops import in_place, native
from bench.ops.frames import moved_groups
from bench.plugins.discovery import load_class, strategy_files
from bench.strategy import Site
from tests.ops import needs_compiler

FILES = strategy_files()
CLIP = (1, 8, 256, 56, 56)  # what conv1 of ResNet-50's second block reads: 25.7 MB in fp32


@pytest.mark.parametrize("fraction", [1 / 8, 1.0], ids=["1of8", "all"])
@pytest.mark.parametrize("name", ["copy_shift", "concat_shift"])
def test_bare_shift(benchmark: Any, name: str, fraction: float) -> None:
    strategy, clip = load_class(name, FILES)(fraction), torch.randn(CLIP)
    with torch.inference_mode():
        benchmark(strategy.shift, clip)


@pytest.mark.parametrize("fraction", [1 / 8, 1.0], ids=["1of8", "all"])
@pytest.mark.parametrize("mover", [in_place.FrameByFrame, pytest.param(native.Native, marks=needs_compiler)])
def test_there_and_back(benchmark: Any, mover: Any, fraction: float) -> None:
    moves, clip = mover(), torch.randn(CLIP)
    groups = moved_groups(int(CLIP[2] * fraction / 2), "bidirectional")

    def there_and_back() -> None:
        moves.restore(clip, groups, moves.shift(clip, groups))

    with torch.inference_mode():
        benchmark(there_and_back)


@pytest.mark.parametrize("size", [1, 3], ids=["1x1", "3x3"])
@pytest.mark.parametrize("name", ["no_shift", "copy_shift", "buffer_shift", "native_shift", "view_matmul"])
def test_training_step_of_one_layer(benchmark: Any, name: str, size: int) -> None:
    """Forward and backward of a shift at 1/4 and the convolution that reads it."""
    block = nn.Sequential(OrderedDict(conv1=nn.Conv2d(256, 64, size, padding=size // 2, bias=False)))
    strategy = load_class(name, FILES)(0.0 if name == "no_shift" else 0.25)
    wrapped = strategy.wrap(block, Site("conv1", "conv1"), CLIP[1])
    frames = torch.randn(CLIP[1:], requires_grad=True)

    def step() -> None:
        wrapped(frames * 1.0).sum().backward()

    benchmark(step)
