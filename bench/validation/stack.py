"""Effects built in exactly: N identical layers, one after the other on one input.

A stack of 220 layers costs 10 % more than one of 200 only where every layer takes the same time. So all layers of all
stacks of a process are the same multiplication of the same shapes with the same weights, and write in turn into the
same two buffers: nothing is allocated, and weights and activations stay in the cache whatever the depth. The weights
are orthogonal, so values neither vanish nor explode, and no layer runs slower on denormal numbers.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from bench.validation.design import BASE_LAYERS, EFFECT_LAYERS, HALF_LAYERS

__all__ = ["BASE_LAYERS", "EFFECT_LAYERS", "HALF_LAYERS", "stack"]

_ROWS, _COLUMNS = 256, 128  # one layer takes about 50 µs on two cores: 200 of them about as long as a small network
_SEED = 20


@cache
def _shared() -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """What all stacks of this process share: input [R, C], weights [C, C], two buffers [R, C]."""
    generator = torch.Generator().manual_seed(_SEED)
    weights, _ = torch.linalg.qr(torch.randn(_COLUMNS, _COLUMNS, generator=generator))
    features = torch.randn(_ROWS, _COLUMNS, generator=generator)
    return features, weights.contiguous(), (torch.empty_like(features), torch.empty_like(features))


def stack(layers: int) -> Callable[[], Tensor]:
    """A forward through ``layers`` identical layers, at least one. The next stack overwrites its result [R, C]."""
    features, weights, buffers = _shared()

    def forward() -> Tensor:
        with torch.inference_mode():
            current = features
            for layer in range(layers):
                current = torch.mm(current, weights, out=buffers[layer % 2])
            return current

    return forward
