"""A fresh process that builds the cases of one panel and counts (``static``) or times (``timed``) them.

Events: ``enter`` (before the code of a case runs for the first time), ``static``, ``skipped`` and ``failed`` (a case
and why), ``ready`` (all cases are built and warm), ``superblock`` (its slots and what disturbed it).
"""

import copy
import mmap
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import backbones, runtimes, workers
from bench.discovery import load_class
from bench.environment import Disturbance
from bench.latency import traffic
from bench.latency.clocks import clock_for
from bench.latency.sampling import CaseFailed, no_collection, run_superblock
from bench.strategy import Strategy
from bench.sweep import Case, Panel

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FORMATS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
_WARM_UPS = {
    "static": 2,
    "timed": 1,
}  # the static pass proves each case twice; a replicate only has to touch its memory

Call = Callable[[], Any]


class Bench:
    """The network of one panel and its input, from which each case's model is made.

    All cases share the weights of one network: what differs between two cases is the shift alone, not where its
    weights happen to lie.
    """

    def __init__(self, panel: Panel, files: list[Path], seed: int) -> None:
        self.panel, self.files = panel, files
        torch.set_num_threads(panel.threads)
        torch.backends.cudnn.benchmark = False
        self.network = backbones.build(panel.backbone, panel.frames).to(panel.device, _DTYPES[panel.dtype])
        self.network.to(memory_format=_FORMATS[panel.memory_format])
        generator = torch.Generator().manual_seed(seed)
        shape = (panel.batch * panel.frames, 3, panel.size, panel.size)
        frames = torch.randn(shape, generator=generator)  # never zeros: they draw less power and run faster
        self.frames = frames.to(panel.device, _DTYPES[panel.dtype]).contiguous(
            memory_format=_FORMATS[panel.memory_format]
        )

    def strategy(self, case: Case) -> Strategy:
        """The case's strategy, set to its place on the axes. Raises LoadError."""
        variant = case.variant
        cls = load_class(variant.strategy, self.files)
        return cls(float(variant.fraction), variant.placement, variant.direction)  # type: ignore[arg-type]

    def model(self, strategy: Strategy) -> nn.Module:
        """The panel's network with ``strategy`` inserted."""
        weights = [*self.network.parameters(), *self.network.buffers()]
        shared: dict[int, Any] = {id(tensor): tensor for tensor in weights}
        network = copy.deepcopy(self.network, shared)
        return backbones.insert(strategy, network).to(self.panel.device, _DTYPES[self.panel.dtype]).eval()

    def call(self, model: nn.Module) -> Call:
        """The model in the panel's runtime, bound to the panel's input."""
        forward = runtimes.prepare(self.panel.runtime, model, self.frames)
        return lambda: forward(self.frames)

    def versions(self) -> int:
        """Changes when anything wrote into the shared weights or the input."""
        tensors = [*self.network.parameters(), *self.network.buffers(), self.frames]
        return sum(tensor._version for tensor in tensors)


def healthy(output: Tensor) -> bool:
    """All logits are finite."""
    return bool(torch.isfinite(output).all())


def _build(bench: Bench, strategy: Strategy, mode: str) -> tuple[nn.Module, Call]:
    """A case, built and warm. Raises ValueError where it wrote into what all cases share, or is not finite."""
    before = bench.versions()
    model = bench.model(strategy)
    call = bench.call(model)
    for _ in range(_WARM_UPS[mode]):
        if not healthy(call()):
            raise ValueError("the output is not finite")
    if bench.versions() != before:
        raise ValueError("it wrote into the network's shared weights or input")
    return model, call


def _answer(job: dict[str, Any], emit: workers.Emit) -> None:
    """Build every case; a case that fails costs itself."""
    panel = Panel(**job["panel"])
    bench = Bench(panel, [Path(file) for file in job["files"]], job["seed"])
    calls: dict[int, Call] = {}
    with torch.inference_mode():
        for index, data in job["cases"]:
            emit({"event": "enter", "case": index})
            try:
                strategy = bench.strategy(Case.from_json(data))
                if reason := strategy.skip(panel.backbone, panel.frames):
                    emit({"event": "skipped", "case": index, "reason": reason})
                    continue
                model, calls[index] = _build(bench, strategy, job["mode"])
                if job["mode"] == "static":
                    samples = traffic.count(calls.pop(index)).to_json()
                    samples["params"] = sum(parameter.numel() for parameter in model.parameters())
                    emit({"event": "static", "case": index, "samples": samples})
            except Exception as error:  # a stranger's code: whatever it raises is the reason
                calls.pop(index, None)
                emit({"event": "failed", "case": index, "reason": workers.one_line(error)})
        if job["mode"] == "timed":
            emit({"event": "ready"})
            _time(panel, calls, job, emit)


def _time(panel: Panel, calls: dict[int, Call], job: dict[str, Any], emit: workers.Emit) -> None:
    """Superblocks until the share of the budget is used up; at least one."""
    clock, rng = clock_for(panel.device), random.Random(job["seed"])
    copy_call = traffic.copy_bandwidth(panel.device)
    deadline = job["deadline"]  # on the system-wide monotonic clock, shared with the parent
    slowest = 0.0
    with Path(job["slot_file"]).open("r+b") as file, mmap.mmap(file.fileno(), 8) as slot, no_collection():

        def enter(index: int) -> None:
            slot[:8] = struct.pack("q", index)

        while True:
            start, before = time.monotonic(), Disturbance.now()
            try:
                slots = run_superblock(calls, clock, rng, enter=enter, healthy=healthy)
            except CaseFailed as failure:
                emit({"event": "failed", "case": failure.index, "reason": failure.reason})
                del calls[failure.index]
                continue
            enter(-1)
            copies = [clock.measure(copy_call)[0] for _ in range(2)]
            wall = time.monotonic() - start
            emit(
                {
                    "event": "superblock",
                    "slots": [[s.case, s.position, s.seconds] for s in slots],
                    "wall": wall,
                    "disturbance": Disturbance.now().since(before),
                    "copy_seconds": copies,
                }
            )
            slowest = max(slowest, wall)
            if time.monotonic() + slowest > deadline:
                return


if __name__ == "__main__":
    workers.serve(_answer)
