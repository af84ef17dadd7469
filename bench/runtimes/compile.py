"""``torch.compile``: Inductor, with the weights frozen into the graph, as an inference service would run it.

Freezing lets Inductor fold normalisations into convolutions and lay weights out for its kernels once.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.runtimes import Forward

OPTIONS: dict[str, Any] = {"freezing": True}


def prepare(model: nn.Module, example: Tensor, cuda: Any, export: Path | None) -> Forward:
    """Compile ``model`` for the example's shape. Raises what Dynamo or Inductor raises."""
    # every case compiles the same code with other weights; past the limit Dynamo would go on in eager without a word
    with torch._dynamo.config.patch(recompile_limit=1_000, accumulated_recompile_limit=1_000_000):
        compiled: Forward = torch.compile(model, dynamic=False, options=OPTIONS)
        with torch.inference_mode():
            compiled(example)

    def forward(frames: Tensor) -> Tensor:
        if frames.shape != example.shape:
            raise ValueError(f"compiled for frames of {list(example.shape)}, given {list(frames.shape)}")
        return compiled(frames)

    return forward
