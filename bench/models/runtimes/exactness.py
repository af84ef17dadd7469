"""Does a prepared model compute what the model computes? Asked before anything is timed.

Two inputs that differ: a graph that was captured with one input's values in it as constants is right for that one only.
"""

import copy

import torch
from torch import Tensor, nn

from bench.models.runtimes import Forward

NETWORK_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""max |difference| / max |reference|: rounding, piled up over a whole network."""

_AS_COARSE = 1.5  # times as far from fp32 as eager's own bf16 is
_HALF = 3e-2  # fp16, and TF32, which has as many bits: no finer than what bf16 is allowed


class Inexact(ValueError):
    """The output of a runtime is not the model's; the message says by how much."""


def require_exact(forward: Forward, model: nn.Module, example: Tensor, runtime: str) -> None:
    """Raises Inexact where ``forward`` deviates from ``model`` on one of two random inputs like ``example``.

    ``example`` is overwritten meanwhile where a runtime reads its input there, and restored.
    """
    kept = example.clone(memory_format=torch.preserve_format)
    try:
        for seed in (1, 2):
            frames = torch.randn(example.shape, generator=torch.Generator().manual_seed(seed))
            _require(forward, model, torch.empty_like(example).copy_(frames), runtime)
    finally:
        example.copy_(kept)


def _require(forward: Forward, model: nn.Module, frames: Tensor, runtime: str) -> None:
    output, eager = forward(frames), model(frames)
    found, allowed, what = deviation(output, eager), tolerance(frames), "eager"
    if not found <= allowed and frames.dtype == torch.bfloat16 and not frames.is_cuda:
        # two roundings of one function may lie apart by the sum of both: each is held against the function itself
        exact = copy.deepcopy(model).float()(frames.float())
        found, allowed = deviation(output, exact), max(allowed, _AS_COARSE * deviation(eager, exact))
        what = "eager in fp32"
    if not found <= allowed:
        raise Inexact(
            f"in the runtime {runtime!r} the output deviates from {what} by {found:.2g} of its largest value "
            f"(allowed: {allowed:.2g})"
        )


def deviation(output: Tensor, reference: Tensor) -> float:
    """max |difference| / max |reference|; NaN where either is not finite, infinite for another shape."""
    if output.shape != reference.shape:
        return float("inf")
    difference = (output.float() - reference.float()).abs().max() / reference.float().abs().max()
    return float(difference)


def tolerance(example: Tensor) -> float:
    """What rounding may amount to over a whole network: by dtype, coarser where convolutions run in TF32."""
    if example.is_cuda and example.dtype == torch.float32 and torch.backends.cudnn.allow_tf32:
        return _HALF
    return NETWORK_TOLERANCE.get(example.dtype, _HALF)
