"""``torch.compile``: Inductor, with the weights frozen into the graph, as an inference service would run it.

Freezing lets Inductor fold normalisations into convolutions and lay weights out for its kernels once. It is a setting
of the whole process: given to ``torch.compile`` as an option it comes too late for Dynamo, and nothing is frozen.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.runtimes import Executed, Forward

_REASON = 200  # characters of what Dynamo says, which may fill a page


@contextmanager
def _frozen() -> Iterator[None]:
    """What is compiled inside has its weights frozen, however many networks of the same code were compiled before.

    Past Dynamo's usual limit of recompilations it would go on in eager without a word.
    """
    limits: dict[str, Any] = {"recompile_limit": 1_000, "accumulated_recompile_limit": 1_000_000}
    with torch._inductor.config.patch(freezing=True), torch._dynamo.config.patch(limits), torch.inference_mode():
        yield


def prepare(model: nn.Module, example: Tensor, cuda: Any, export: Path | None) -> Forward:
    """Compile ``model`` for the example's shape. Raises what Dynamo or Inductor raises.

    The callable raises ValueError for another shape.
    """
    with _frozen():
        compiled: Forward = torch.compile(model, dynamic=False)
        compiled(example)
    with torch.inference_mode(False):
        other = example.clone(memory_format=torch.preserve_format)

    def forward(frames: Tensor) -> Tensor:
        if frames.shape != example.shape:
            raise ValueError(f"compiled for frames of {list(example.shape)}, given {list(frames.shape)}")
        if frames.is_inference() != example.is_inference():  # another kind of tensor, for Dynamo: it would compile anew
            frames = other.copy_(frames)
        return compiled(frames)

    return forward


def executed(model: nn.Module, example: Tensor, export: Path | None) -> Executed:
    """The kernels that Inductor's code calls; their times are not known."""
    from torch._inductor.utils import run_and_get_code

    with _frozen():
        _, sources = run_and_get_code(torch.compile(model, dynamic=False), example)
    return {kind: (count, None) for kind, count in Counter(calls("\n".join(sources))).items()}


def graph_breaks(model: nn.Module, example: Tensor) -> list[str]:
    """How often Dynamo left a part of ``model`` to Python, and the first reason, in a sentence; [] where nowhere."""
    found = torch._dynamo.explain(model)(example)
    if not found.graph_break_count:
        return []
    first = str(found.break_reasons[0].reason).strip().splitlines()[0] if found.break_reasons else "no reason is told"
    return [f"torch.compile broke the graph {found.graph_break_count} times: {first[:_REASON]}"]


_KERNEL = r"cpp_fused_\w+?|extern_kernels\.\w+|torch\.ops\.[\w.]+|triton_\w+?"
_CALL = re.compile(rf"^ +(?:\w+ = )?({_KERNEL})(?:_\d+)?(?:\.run)?\(", re.MULTILINE)


def calls(source: str) -> list[str]:
    """The kernels that Inductor's code calls, in order; fused ones by the names of what was fused, without numbers."""
    return _CALL.findall(source)
