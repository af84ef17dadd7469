"""OpenVINO on a CPU: the exported file, compiled for the latency of one request at a time.

bf16 is a matter of execution there: a network with fp32 weights and input is computed in bf16 where that is faster.
So a bf16 network is exported with its (already rounded) weights in fp32, and the runtime's precision is set to bf16.
"""

import copy
from pathlib import Path
from typing import Any

import openvino
import torch
from torch import Tensor, nn

from bench.models.runtimes import Executed, Forward, by_kind
from bench.models.runtimes.onnx_file import exported

_WARM_UPS = 3  # before the forward that is profiled: the first ones allocate


def load(model: nn.Module, example: Tensor, export: Path | None, **more: Any) -> openvino.CompiledModel:
    """Export and compile ``model`` for the example's shape, dtype and torch's number of threads.

    more: further properties. Raises RuntimeError with OpenVINO's own reason.
    """
    precise = model if example.dtype == torch.float32 else copy.deepcopy(model).float()
    data = exported(precise, example.float(), export)
    core = openvino.Core()
    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32" if example.dtype == torch.float32 else "bf16",
        **more,
    }
    return core.compile_model(core.read_model(data), "CPU", properties)


def load_file(file: str) -> Forward:
    """An exported file in fp32, for any number of clips."""
    network = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda frames: torch.from_numpy(network(frames.numpy())[0].copy())


def prepare(model: nn.Module, example: Tensor, cuda: Any, export: Path | None) -> Forward:
    """Compile ``model``; the callable returns its logits in fp32.

    Frames that are not ``example`` itself are copied into the request's input first. Raises ValueError for another
    shape than the example's.
    """
    request = load(model, example, export).create_infer_request()
    held, untouched = example.float().contiguous(), True
    request.set_input_tensor(openvino.Tensor(held.numpy(), shared_memory=True))

    def forward(frames: Tensor) -> Tensor:
        nonlocal untouched
        if frames.shape != held.shape:
            raise ValueError(f"prepared for frames of {list(held.shape)}, given {list(frames.shape)}")
        if frames is not example or not untouched:
            held.copy_(frames)
            untouched = frames is example
        request.infer()
        return torch.from_numpy(request.get_output_tensor().data.copy())

    return forward


def executed(model: nn.Module, example: Tensor, export: Path | None) -> Executed:
    """The nodes of the last of a few forwards."""
    request = load(model, example, export, PERF_COUNT=True).create_infer_request()
    for _ in range(_WARM_UPS):
        request.infer([example.float().numpy()])
    ran = [node for node in request.get_profiling_info() if node.status == node.Status.EXECUTED]
    return by_kind([(node.node_type, node.real_time.total_seconds()) for node in ran], 1)
