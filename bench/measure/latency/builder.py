"""The networks of one panel, from which the calls that are counted and timed are made."""

import contextlib
import copy
import functools
import math
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench import models
from bench.measure.latency import traffic
from bench.measure.latency.devices import Call, Device
from bench.measure.latency.proof import require_same_function
from bench.measure.latency.timing import Frames, Replays, healthy
from bench.models import runtimes
from bench.models.runtimes import require_exact
from bench.plugins.side_effects import no_side_effects
from bench.spec.axes import EAGER
from bench.spec.panel import Panel
from bench.strategy import Strategy

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_BLOCKS, _BLOCK_BYTES = 64, (64, 1 << 20)  # of memory beside the networks: how many, and from how small to how large
_REPLAYED, _PIXELS = 10, 8 * 224**2  # a slot of a captured graph: so many replays of so many pixels; fewer of more
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
    weights happen to lie. weights: as ``models.build`` takes them. forward_seconds: of the fastest forward that was run
    while building, which is untimed.
    """

    def __init__(self, panel: Panel, device: Device, seed: int, weights: str | None = None) -> None:
        self.panel, self.device = panel, device
        self.forward_seconds = math.inf
        self._blocks: list[Tensor] = []
        self._to = (device.torch_device, _DTYPES[panel.dtype])
        torch.set_num_threads(panel.threads)
        self.backend = device.freeze()
        self._network = models.build(panel.backbone, panel.frames, weights).to(*self._to)
        models.lay_out(self._network, _FORMATS[panel.memory_format])
        generator = torch.Generator().manual_seed(seed)
        shape = (panel.images, models.channels_of(self._network.trunk), panel.size, panel.size)
        frames = torch.randn(shape, generator=generator)  # never zeros: they draw less power and run faster
        self.frames = frames.to(*self._to).contiguous(memory_format=_FORMATS[panel.memory_format])

    @property
    def _weights(self) -> list[Tensor]:
        return [*self._network.parameters(), *self._network.buffers()]

    def relocate(self, rng: random.Random) -> None:
        """Move weights and input, values unchanged, to other places in memory, between blocks of random sizes.

        What is built from then on lies differently. Networks that were built before should be gone by now: they would
        keep the old weights alive.
        """
        self._blocks.clear()
        low, high = map(math.log, _BLOCK_BYTES)
        sizes = [int(math.exp(rng.uniform(low, high))) for _ in range(_BLOCKS)]
        blocks = [torch.empty(size, dtype=torch.uint8, device=self.device.torch_device) for size in sizes]
        self._blocks = rng.sample(blocks, _BLOCKS // 2)  # the others leave holes
        del blocks
        with torch.inference_mode(False):  # tensors of inference do not tell who wrote into them
            self._network = copy.deepcopy(self._network)
            self.frames = self.frames.clone()

    def build(
        self,
        strategy: Strategy,
        runtime: str,
        export: Path | None,
        *,
        runs: int,
        prove: bool,
        reference: Strategy | None = None,
    ) -> tuple[nn.Module, Call]:
        """The panel's network with ``strategy``, and a call of it on the panel's input, which has run ``runs`` times.

        prove: hold a runtime against eager. Streams run in eager and as captured graphs of the same operators; that
        they equal clips is conformance. reference: what computes the same function; the very kernels that are timed are
        held against it. Raises ValueError where the strategy wrote into what all cases share or the
        output is not finite, Inexact where a runtime or a kernel computes something else.
        """
        before = self._versions()
        # compilers keep processes of their own; in eager nothing runs but the network and the strategy
        with no_side_effects() if runtime == EAGER else contextlib.nullcontext():
            insert = models.go_online if self.panel.streams else models.insert
            shared: dict[int, Any] = {id(tensor): tensor for tensor in self._weights}
            model = insert(strategy, copy.deepcopy(self._network, shared)).to(*self._to).eval()
            call = self._call(model, runtime, export)
            for _ in range(runs):
                start = time.monotonic()
                if not healthy(call()):
                    raise ValueError("the output is not finite")
                self.forward_seconds = min(self.forward_seconds, time.monotonic() - start)
        if self._versions() != before:
            raise ValueError("it wrote into the network's shared weights or input")
        whole = call.call if isinstance(call, Replays) else call
        if prove and runtime != EAGER and isinstance(whole, functools.partial):
            require_exact(whole.func, model, self.frames, runtime)
        if reference is not None and isinstance(model, models.Network):
            require_same_function(model, strategy, reference, self._network, self.frames)
        return model, call

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
            "resident_high_water_bytes": traffic.resident_peak(call) if self.device.name == "cpu" else None,
            "peak_allocated_bytes": self.device.peak_memory(call),
            **online,
        }

    def _call(self, model: nn.Module, runtime: str, export: Path | None) -> Call:
        if isinstance(model, models.OnlineNetwork):
            player, steps = Player(model, in_place=runtime == "cudagraph"), self.frames.split(self.panel.streams)
            forward = runtimes.prepare(runtime, player, steps[0].clone(), self.device.cuda, export)
            return Frames([functools.partial(forward, frame) for frame in steps])
        call = functools.partial(runtimes.prepare(runtime, model, self.frames, self.device.cuda, export), self.frames)
        if runtime != "cudagraph":
            return call
        return Replays(call, min(_REPLAYED, max(1, _REPLAYED * _PIXELS // (self.panel.images * self.panel.size**2))))

    def _versions(self) -> int:
        """Changes when anything wrote into the shared weights or the input."""
        return sum(tensor._version for tensor in (*self._weights, self.frames))
