"""What a runtime made of a network: the nodes that it executes, by kind, and where it tells the time of each.

A shift that is written as slices and concatenations may bring reorders and transposes with it that nobody wrote; the
difference to the network without a shift says which. OpenVINO and ONNX Runtime are asked in a run of their own with
their profilers on, so the times explain but are no measurement; Inductor's kernels are counted in the code that it
wrote.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.models.runtimes.onnx_file import INPUT, exported

Executed = dict[str, tuple[int, float | None]]
"""{kind: (how many nodes of it run in a forward, their seconds in all or None where not told)}."""

_RUNS = 3  # the first ones allocate; the last one, or the mean of all, is what is told


def executed(runtime: str, model: nn.Module, example: Tensor, export: Path | None) -> Executed:
    """The nodes of one forward, by kind. Raises what the runtime raises where it cannot run ``model``."""
    return INSPECTED[runtime](model, example, export)


def _onnxruntime(model: nn.Module, example: Tensor, export: Path | None) -> Executed:
    from bench.models.runtimes import onnxruntime

    options = onnxruntime.options(torch.get_num_threads())
    options.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = f"{folder}/profile"
        session = onnxruntime.session(exported(model, example, export), options)
        for _ in range(_RUNS):
            session.run(None, {INPUT: example.numpy()})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    return _summed([(event["args"]["op_name"], event["dur"] / 1e6) for event in ran], _RUNS)


def _openvino(model: nn.Module, example: Tensor, export: Path | None) -> Executed:
    from bench.models.runtimes import openvino

    request = openvino.load(model, example, export, {"PERF_COUNT": True}).create_infer_request()
    for _ in range(_RUNS):
        request.infer([example.float().numpy()])
    ran = [node for node in request.get_profiling_info() if node.status == node.Status.EXECUTED]
    return _summed([(node.node_type, node.real_time.total_seconds()) for node in ran], 1)


def _compile(model: nn.Module, example: Tensor, export: Path | None) -> Executed:
    from torch._inductor.utils import run_and_get_code

    from bench.models.runtimes.compile import frozen

    with frozen():
        _, sources = run_and_get_code(torch.compile(model, dynamic=False), example)
    return {kind: (count, None) for kind, count in Counter(_calls("\n".join(sources))).items()}


_KERNEL = r"cpp_fused_\w+?|extern_kernels\.\w+|torch\.ops\.[\w.]+|triton_\w+?"
_CALL = re.compile(rf"^ +(?:\w+ = )?({_KERNEL})(?:_\d+)?(?:\.run)?\(")


def _calls(source: str) -> list[str]:
    """The kernels that Inductor's code calls, in order; fused ones by the names of what was fused, without numbers."""
    return [match[1] for line in source.splitlines() if (match := _CALL.match(line))]


INSPECTED: dict[str, Callable[[nn.Module, Tensor, Path | None], Executed]] = {
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
    "compile": _compile,
}
"""The runtimes that tell what they execute."""


def _summed(nodes: list[tuple[str, float]], runs: int) -> Executed:
    """(kind, seconds) of every node in ``runs`` forwards -> one forward, by kind."""
    kinds = Counter(kind for kind, _ in nodes)
    return {
        kind: (count // runs, sum(seconds for own, seconds in nodes if own == kind) / runs)
        for kind, count in kinds.items()
    }
