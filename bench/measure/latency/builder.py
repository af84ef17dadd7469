"""The networks of one panel, from which the calls that are counted and timed are made."""

import copy
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import models
from bench.measure.latency import memory, traffic
from bench.measure.latency.devices import Call, Device
from bench.measure.latency.superblocks import Frames
from bench.models import runtimes
from bench.models.runtimes.exactness import require_exact
from bench.plugins.discovery import load_class
from bench.spec.axes import EAGER
from bench.spec.cases import Case
from bench.spec.panel import Panel
from bench.strategy import Strategy

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FORMATS = {"nchw": torch.contiguous_format, "channels_last": torch.channels_last}


class Player(nn.Module):
    """A network frame by frame that keeps its own state, so that a runtime sees one input and one output.

    in_place: the state stays where it is in memory and is overwritten, as a captured graph needs it.
    """

    def __init__(self, network: models.OnlineNetwork, *, in_place: bool) -> None:
        super().__init__()
        self.network, self._in_place = network, in_place
        self._state: models.State | None = None

    def forward(self, frame: Tensor) -> Tensor:
        """The present frame of every stream [S, 3, H, W] -> its logits [S, classes]."""
        logits, state = self.network.step(frame, self._state)
        if self._state is None or not self._in_place:
            self._state = state
        else:
            for kept, new in zip(self._state.pasts, state.pasts, strict=True):
                kept.copy_(new)
        return logits


class PanelBuilder:
    """Makes each case's model and call. A call runs a clip, or consecutive frames of streams (``Frames``).

    All cases share the weights of one network: what differs between two cases is the shift alone, not where its
    weights happen to lie.
    """

    def __init__(self, panel: Panel, device: Device, files: Sequence[Path], seed: int) -> None:
        self.panel, self.device, self._files = panel, device, files
        self._to = (device.torch_device, _DTYPES[panel.dtype])
        torch.set_num_threads(panel.threads)
        self.backend = device.freeze()
        self._network = models.build(panel.backbone, panel.frames).to(*self._to)
        models.lay_out(self._network, _FORMATS[panel.memory_format])
        generator = torch.Generator().manual_seed(seed)
        shape = (panel.images, models.channels_of(self._network.trunk), panel.size, panel.size)
        frames = torch.randn(shape, generator=generator)  # never zeros: they draw less power and run faster
        self.frames = frames.to(*self._to).contiguous(memory_format=_FORMATS[panel.memory_format])

    def strategy(self, case: Case) -> Strategy:
        """The case's strategy, set to its place on the axes. Raises LoadError."""
        variant = case.variant
        cls = load_class(variant.strategy, self._files)
        return cls(float(variant.fraction), variant.placement, variant.direction)  # type: ignore[arg-type]

    def model(self, strategy: Strategy) -> nn.Module:
        """The panel's network with ``strategy`` inserted."""
        weights = [*self._network.parameters(), *self._network.buffers()]
        shared: dict[int, Any] = {id(tensor): tensor for tensor in weights}
        insert = models.go_online if self.panel.streams else models.insert
        return insert(strategy, copy.deepcopy(self._network, shared)).to(*self._to).eval()

    def call(self, model: nn.Module, runtime: str, export: Path | None) -> Call:
        """The model in a runtime, bound to the panel's input."""
        if isinstance(model, models.OnlineNetwork):
            player, steps = Player(model, in_place=runtime == "cudagraph"), self.frames.split(self.panel.streams)
            forward = runtimes.prepare(runtime, player, steps[0].clone(), self.device.cuda, export)
            return Frames([functools.partial(forward, frame) for frame in steps])
        return functools.partial(runtimes.prepare(runtime, model, self.frames, self.device.cuda, export), self.frames)

    def require_exact(self, model: nn.Module, call: Call, runtime: str) -> None:
        """Raises Inexact where the runtime does not compute what the model does.

        Streams run in eager and as captured graphs of the same operators; that they equal clips is conformance.
        """
        if runtime != EAGER and isinstance(call, functools.partial):
            require_exact(call.func, model, self.frames, runtime)

    def count(self, model: nn.Module, call: Call) -> dict[str, Any]:
        """Parameters, FLOPs, bytes moved and peak memory of one forward.

        Frame by frame: of one frame of every stream, with the bytes that a stream remembers and what the layers of
        blocks read.
        """
        online: dict[str, Any] = {}
        if isinstance(model, models.OnlineNetwork):
            frame = self.frames[: self.panel.streams]
            _, state = model.step(frame)
            online = {"state_bytes": state.bytes_per_stream, "inputs": models.inputs(self._network, frame[:1])}
        if isinstance(call, Frames):
            call = call.frames[0]
        return {
            **vars(traffic.count(call)),
            "params": sum(parameter.numel() for parameter in model.parameters()),
            "resident_high_water_bytes": memory.resident_peak(call) if self.device.name == "cpu" else None,
            "peak_allocated_bytes": self.device.peak_memory(call),
            **online,
        }

    def versions(self) -> int:
        """Changes when anything wrote into the shared weights or the input."""
        tensors = [*self._network.parameters(), *self._network.buffers(), self.frames]
        return sum(tensor._version for tensor in tensors)
