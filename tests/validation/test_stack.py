"""Stacks of known depth: the same function whatever the buffers, and numbers that stay in bounds."""

import pytest
import torch

from bench.validation.stack import BASE_LAYERS, EFFECT_LAYERS, stack
from bench.validation.worker import burning


@pytest.mark.parametrize("layers", [1, 2, 7])
def test_a_stack_applies_its_layer_so_many_times(layers: int) -> None:
    one, two = stack(1)().clone(), stack(2)().clone()
    weights = torch.linalg.lstsq(one, two).solution
    expected = one
    for _ in range(layers - 1):
        expected = expected @ weights
    assert torch.allclose(stack(layers)(), expected, atol=1e-3)


def test_values_neither_vanish_nor_explode_however_deep() -> None:
    norms = [float(stack(layers)().norm()) for layers in (1, BASE_LAYERS, *EFFECT_LAYERS)]
    assert norms == pytest.approx([norms[0]] * len(norms), rel=1e-3)


def test_stacks_share_their_memory() -> None:
    assert stack(201)().data_ptr() == stack(1)().data_ptr() != stack(200)().data_ptr()


def test_burning_changes_no_result() -> None:
    assert torch.equal(burning(stack(3), 1e-4)(), stack(3)())
