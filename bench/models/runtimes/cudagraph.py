"""A CUDA graph: all kernels of a forward pass captured once, then launched together.

Eager latency at batch 1 is often the time that the host needs to launch kernels, and a shift then costs as many
launches as it has operators. Replay has no launches to pay for: it shows what the shift costs the device itself.

A graph holds addresses, not tensors: it reads where ``example`` lay at capture and writes where its output lay.
Memory that the graph needs for itself is set aside at capture, so a replay allocates nothing; traffic and peak memory
are counted in eager mode, where they can be seen. All graphs of a process share that memory, one replayed after the
other: so none has addresses, or a part of the cache, that the others lack. After "CUDA graphs" in PyTorch's notes on
CUDA semantics.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bench.models.runtimes import Forward, Poisoned

_WARM_UPS = 3  # as PyTorch's notes do: libraries choose algorithms and allocate workspaces in their first passes


def prepare(model: nn.Module, example: Tensor, cuda: Any, export: Path | None) -> Forward:
    """Capture ``model(example)``. The callable replays it and returns the graph's own output, [N*T, classes].

    Frames that are not ``example`` itself are copied into it first, and the output is overwritten by the next replay:
    clone it to keep it. Raises Poisoned where the model does what cannot be captured (a copy to the host, say).
    """
    output: Tensor
    replay, output = captured(lambda: model(example), cuda)

    def forward(frames: Tensor) -> Tensor:
        if frames is not example:
            example.copy_(frames)
        replay()
        return output

    return forward


def captured(work: Callable[[], Any], cuda: Any) -> tuple[Callable[[], None], Any]:
    """(a call that replays ``work``, what ``work`` returned while it was captured). Raises Poisoned."""
    side = cuda.Stream()  # capture is not allowed on the default stream, and what warms up there must not be seen here
    side.wait_stream(cuda.current_stream())
    with cuda.stream(side):
        for _ in range(_WARM_UPS):
            work()
    cuda.current_stream().wait_stream(side)
    graph = cuda.CUDAGraph()
    try:
        with cuda.graph(graph, pool=_pool(cuda)):
            output = work()
    except Exception as error:
        raise Poisoned(f"it cannot be captured: {type(error).__name__}: {' '.join(str(error).split())}") from error
    return graph.replay, output


@functools.cache
def _pool(cuda: Any) -> Any:
    """The memory of all graphs of this process."""
    return cuda.graph_pool_handle()
