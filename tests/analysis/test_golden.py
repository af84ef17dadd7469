"""What is made of the published runs is what was made of them when they were published."""

import pytest

from tests.golden.comparison import differences, golden_runs

LARGE = {"amd-zen5-2-cores-detection", "amd-zen5-2-cores-online", "amd-zen5-2-cores-runtimes"}  # each takes seconds


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in LARGE else []) for name in golden_runs()]
)
def test_a_published_run_gives_the_same_numbers(name: str) -> None:
    cells, found = differences(name)
    assert cells > 500
    assert found == []
