"""A fresh process that builds the cases of one panel and counts (``static``) or times (``timed``) them.

Events: ``enter`` (before the code of a case runs for the first time), ``static``, ``skipped`` and ``failed`` (a case
and why), ``ready`` (all cases are built and warm), ``superblock`` (its slots and what disturbed it), ``device_lost``.
"""

import contextlib
import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench import models
from bench.measure.latency import devices, memory, timing, traffic
from bench.measure.latency.clocks import Clock
from bench.measure.latency.devices import Device
from bench.measure.latency.streams import FrameClock, Play, Player
from bench.measure.latency.timing import Call, Order, healthy
from bench.models import runtimes
from bench.models.runtimes.exactness import require_exact
from bench.models.runtimes.inspection import INSPECTED, executed
from bench.plugins.discovery import load_class
from bench.plugins.side_effects import LeftRunning, untouched
from bench.spec.axes import EAGER
from bench.spec.cases import Case, Panel, StreamPanel, panel_from_json
from bench.strategy import CannotStream, Strategy
from bench.system import workers

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FORMATS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}
_PROOFS = 2  # forwards before a case is counted: the second sees what the first may have left behind


class Bench:
    """The network of one panel and its input, from which each case's model is made.

    All cases share the weights of one network: what differs between two cases is the shift alone, not where its
    weights happen to lie.
    """

    def __init__(self, panel: Panel, device: Device, files: list[Path], seed: int) -> None:
        self.panel, self.files, self.device, self._where = panel, files, device, device.torch_device
        torch.set_num_threads(panel.threads)
        self.backend = device.freeze()
        self.network = models.build(panel.backbone, panel.frames).to(self._where, _DTYPES[panel.dtype])
        models.lay_out(self.network, _FORMATS[panel.memory_format])
        generator = torch.Generator().manual_seed(seed)
        shape = (panel.images, models.channels_of(self.network.trunk), panel.size, panel.size)
        frames = torch.randn(shape, generator=generator)  # never zeros: they draw less power and run faster
        self.frames = frames.to(self._where, _DTYPES[panel.dtype]).contiguous(
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
        network = self._put(strategy, copy.deepcopy(self.network, shared))
        return network.to(self._where, _DTYPES[self.panel.dtype]).eval()

    def _put(self, strategy: Strategy, network: models.Network) -> nn.Module:
        return models.insert(strategy, network)

    def call(self, model: nn.Module, runtime: str, export: Path | None) -> Call:
        """The model in a runtime, bound to the panel's input."""
        return functools.partial(runtimes.prepare(runtime, model, self.frames, self.device.cuda, export), self.frames)

    def require_exact(self, model: nn.Module, call: Call, runtime: str) -> None:
        """Raises Inexact where the runtime does not compute what the model does."""
        if runtime != EAGER:
            assert isinstance(call, functools.partial)
            require_exact(call.func, model, self.frames, runtime)

    def clock(self) -> Clock:
        """The clock that times a slot."""
        return self.device.clock()

    def count(self, model: nn.Module, call: Call) -> dict[str, Any]:
        """Parameters, FLOPs, bytes moved and peak memory of one forward."""
        samples = traffic.count(call).to_json()
        samples["params"] = sum(parameter.numel() for parameter in model.parameters())
        samples["resident_high_water_bytes"] = memory.resident_peak(call) if self.device.name == "cpu" else None
        samples["peak_allocated_bytes"] = self.device.peak_memory(call)
        return samples

    def versions(self) -> int:
        """Changes when anything wrote into the shared weights or the input."""
        tensors = [*self.network.parameters(), *self.network.buffers(), self.frames]
        return sum(tensor._version for tensor in tensors)


def _why_skipped(strategy: Strategy, panel: Panel) -> str | None:
    """A sentence that says why this strategy is not measured in this panel; None: it is."""
    if panel.device not in strategy.devices:
        return f"{strategy.name} is made for {' and '.join(strategy.devices)}, not for {panel.device}"
    return strategy.skip(panel.backbone, panel.frames)


def _build(
    bench: Bench, strategy: Strategy, runtime: str, proofs: int, export: Path | None = None, *, prove: bool = True
) -> tuple[nn.Module, Call]:
    """A case, built and proven. Raises ValueError where it wrote into what all cases share, or is not finite, or where
    the runtime does not compute what the model does; prove: whether the latter is asked."""
    before = bench.versions()
    # compilers keep processes of their own; in eager nothing runs but the network and the strategy
    with untouched() if runtime == EAGER else contextlib.nullcontext():
        model = bench.model(strategy)
        call = bench.call(model, runtime, export)
        for _ in range(proofs):
            if not healthy(call()):
                raise ValueError("the output is not finite")
    if bench.versions() != before:
        raise ValueError("it wrote into the network's shared weights or input")
    if prove:
        bench.require_exact(model, call, runtime)
    return model, call


class StreamBench(Bench):
    """The same for networks that run frame by frame: a slot is so many frames, each timed, and the state goes on."""

    def _put(self, strategy: Strategy, network: models.Network) -> nn.Module:
        return models.go_online(strategy, network)

    def call(self, model: nn.Module, runtime: str, export: Path | None) -> Play:
        """The model in a runtime, with a state of its own, bound to the panel's frames."""
        frames = self.frames.split(self.frames.shape[0] // self.panel.frames)
        player = Player(model, in_place=runtime == "cudagraph")
        forward = runtimes.prepare(runtime, player, frames[0].clone(), self.device.cuda, export)
        return Play([functools.partial(forward, frame) for frame in frames])

    def require_exact(self, model: nn.Module, call: Call, runtime: str) -> None:
        """Streams run in eager and as captured graphs of the same operators; their equality to clips is conformance."""

    def clock(self) -> Clock:
        """The clock that times a slot frame by frame."""
        return FrameClock(self.device.clock())

    def count(self, model: nn.Module, call: Call) -> dict[str, Any]:
        """Of one frame of every stream; also the bytes that a stream remembers, and what the layers of blocks read."""
        assert isinstance(model, models.OnlineNetwork) and isinstance(call, Play)
        frame = self.frames[: self.frames.shape[0] // self.panel.frames]
        _, state = model.step(frame)
        remembered = {"state_bytes": state.bytes_per_stream, "inputs": models.inputs(self.network, frame[:1])}
        return super().count(model, call.frames[0]) | remembered


def _bench(panel: Panel, device: Device, files: list[Path], seed: int) -> Bench:
    kind = StreamBench if isinstance(panel, StreamPanel) else Bench
    return kind(panel, device, files, seed)


def _export_path(folder: str | None, case: Case) -> Path | None:
    """Where a case's export is kept: the same file for all runtimes of one dtype, and for the baseline's twin."""
    panel = case.panel
    name = f"{panel.backbone}-{panel.frames}x{panel.size}-b{panel.batch}-{panel.dtype}-{case.variant.label}"
    return None if folder is None else Path(folder) / f"{name.replace('/', 'of')}.onnx"


def answer(job: dict[str, Any], emit: workers.Emit, device_for: Callable[[str], Device] = devices.device_for) -> None:
    """Do what the job says (``static``, ``timed``, or tell whether the device is ``present``) while it is there."""
    panel = panel_from_json(job["panel"])
    device = device_for(panel.device)
    if job["mode"] == "present":
        emit({"event": "present", "present": device.present()})
        return
    try:
        _work(job, emit, panel, device)
    except RuntimeError as error:
        if device.present():
            raise
        emit({"event": "device_lost", "reason": workers.one_line(error)})


def _work(job: dict[str, Any], emit: workers.Emit, panel: Panel, device: Device) -> None:
    """Build every case; a case that fails costs itself."""
    bench = _bench(panel, device, [Path(file) for file in job["files"]], job["seed"])
    timed = job["mode"] == "timed"
    # what is counted is the network, operator by operator; a captured graph would show none of them
    runtime, proofs = (panel.runtime, 1) if timed else ("eager", _PROOFS)
    calls: dict[int, Call] = {}
    with torch.inference_mode():
        for index, data in job["cases"]:
            emit({"event": "enter", "case": index})
            try:
                strategy = bench.strategy(Case.from_json(data))
                if reason := _why_skipped(strategy, panel):
                    emit({"event": "skipped", "case": index, "reason": reason})
                    continue
                export = _export_path(job.get("exports"), Case.from_json(data))
                model, call = _build(bench, strategy, runtime, proofs, export, prove=job.get("prove", True))
                if timed:
                    calls[index] = call
                else:
                    samples = bench.count(model, call) | {"fallbacks": strategy.fallbacks}
                    if panel.runtime in INSPECTED:
                        samples["executed"] = executed(panel.runtime, model, bench.frames, export)
                    emit({"event": "static", "case": index, "samples": samples})
            except CannotStream as reason:
                emit({"event": "skipped", "case": index, "reason": str(reason)})
            except LeftRunning:  # it cannot be stopped: this process ends, and the others are measured without it
                raise
            except Exception as error:  # a stranger's code: whatever it raises is the reason
                if not device.present():
                    raise RuntimeError(workers.one_line(error)) from error
                emit({"event": "failed", "case": index, "reason": workers.one_line(error)})
        if timed:
            warm_up = device.warm_up(list(calls.values()))
            emit({"event": "ready", "backend": bench.backend, "warm_up_seconds": warm_up})
            timing.measure(calls, emit, Order.from_json(job["order"]), device, bench.clock())


if __name__ == "__main__":
    workers.serve(functools.partial(answer, device_for=devices.device_for))
