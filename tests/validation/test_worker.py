"""Stacks of known depth: the same function whatever the buffers, and numbers that stay in bounds."""

import pytest
import torch

from bench.validation.experiment import Design
from bench.validation.worker import burning, stack


def test_a_stack_applies_its_layer_so_many_times() -> None:
    one, two = stack(1)().clone(), stack(2)().clone()
    weights = torch.linalg.lstsq(one, two).solution
    for layers in (1, 2, 7):
        expected = one @ torch.linalg.matrix_power(weights, layers - 1)
        assert torch.allclose(stack(layers)(), expected, atol=1e-3)
    assert torch.equal(burning(stack(3), 1e-4)(), stack(3)())


def test_values_neither_vanish_nor_explode_however_deep_and_stacks_share_their_memory() -> None:
    norms = [float(stack(layers)().norm()) for layers in (1, Design().base, *Design().effects)]
    assert norms == pytest.approx([norms[0]] * len(norms), rel=1e-3)
    assert stack(201)().data_ptr() == stack(1)().data_ptr() != stack(200)().data_ptr()
