"""Micro-benchmarks of the bare shift, one operation at a time, with pytest-benchmark. Not part of the test run::

    uv run pytest tests/micro/bench_shift_operations.py

They show what the operation alone takes. They say nothing about a network: there its cost is hidden or multiplied by
caches and layouts, and small differences need the paired method of ``run_bench.py run``.
"""

from typing import Any

import pytest
import torch

from bench.discovery import load_class, strategy_files

FILES = strategy_files()
CLIP = (1, 8, 256, 56, 56)  # what conv1 of ResNet-50's second block reads: 25.7 MB in fp32


@pytest.mark.parametrize("fraction", [1 / 8, 1.0], ids=["1of8", "all"])
@pytest.mark.parametrize("name", ["copy_shift", "concat_shift"])
def test_bare_shift(benchmark: Any, name: str, fraction: float) -> None:
    strategy, clip = load_class(name, FILES)(fraction), torch.randn(CLIP)
    with torch.inference_mode():
        benchmark(strategy.shift, clip)


@pytest.mark.parametrize("fraction", [1 / 8, 1.0], ids=["1of8", "all"])
def test_buffer_there_and_back(benchmark: Any, fraction: float) -> None:
    strategy: Any = load_class("buffer_shift", FILES)(fraction)
    clip = torch.randn(CLIP)

    def there_and_back() -> None:
        strategy.move_back(clip, strategy.move(clip))

    with torch.inference_mode():
        benchmark(there_and_back)
