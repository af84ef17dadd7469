"""The networks of one panel, from which the calls that are counted and timed are made."""

import copy
import functools
import math
import random
import sys
import time
import zlib
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
from bench.models.runtimes import EXPORTED, Poisoned, require_exact, require_exact_stream
from bench.models.weights import seeded
from bench.plugins.side_effects import no_side_effects
from bench.spec.axes import EAGER
from bench.spec.panel import Panel
from bench.strategy import Strategy

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": torch.float32}
_CALIBRATION = 4  # random clips: for latency it matters that there are scales, not which
_BLOCKS, _BLOCK_BYTES = 64, (64, 1 << 20)  # of memory beside the networks: how many, and from how small to how large
_REPLAYED, _PIXELS = 10, 8 * 224**2  # a slot of a captured graph: so many replays of so many pixels; fewer of more
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # what takes as many bytes
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
        self._made = functools.partial(_shared, panel, self._to, seed, weights)
        self._network, self.frames = self._made()
        self._sums = list(map(_checksum, self._all))
        self._watched: set[tuple[object, ...]] = set()  # of which the first build has shown what it writes into
        self.calibration: list[Tensor] = []
        if panel.dtype == "int8":
            generator = torch.Generator().manual_seed(seed + 1)
            self.calibration = [torch.randn(self.frames.shape, generator=generator) for _ in range(_CALIBRATION)]

    @property
    def example(self) -> Tensor:
        """What a call of the network reads: the panel's clips, or the first frame of every stream."""
        return self.frames[: self.panel.streams] if self.panel.streams else self.frames

    @property
    def _weights(self) -> list[Tensor]:
        return [*self._network.parameters(), *self._network.buffers()]

    @property
    def _all(self) -> list[Tensor]:
        """What all cases share."""
        return [*self._weights, self.frames]

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

        prove: hold a runtime against eager; in eight bits, the file from which it quantised. That streams equal clips
        is conformance. reference: what computes the same function; the very kernels that are timed are held against it.
        Raises ValueError where the network reads frames of another size, the strategy wrote into what all cases share
        or the output is not finite, Inexact where a runtime or a kernel computes something else.
        """
        models.require_edge(self._network.trunk, self.panel.size)
        before, case = self._versions(), (type(strategy), repr(vars(strategy)), runtime)
        try:
            with no_side_effects(compiling=runtime != EAGER):
                insert = models.go_online if self.panel.streams else models.insert
                shared: dict[int, Any] = {id(tensor): tensor for tensor in self._weights}
                with seeded():  # an exported file holds for all processes
                    model = insert(strategy, copy.deepcopy(self._network, shared))
                model = model.to(*self._to).eval()
                call = self._call(model, runtime, export)
                for _ in range(runs):
                    start = time.monotonic()
                    if not healthy(call()):
                        raise ValueError("the output is not finite")
                    self.forward_seconds = min(self.forward_seconds, time.monotonic() - start)
        finally:
            # after a capture that failed nothing can be read from the device, and this process ends
            wrote = not isinstance(sys.exception(), Poisoned) and self._put_back(before, case)
        if wrote:
            raise ValueError("it wrote into the network's shared weights or input")
        if prove and runtime != EAGER:
            self._prove(model, runtime, call, export)
        if reference is not None and isinstance(model, models.Network):
            require_same_function(model, strategy, reference, self._network, self.frames)
        return model, call

    def _prove(self, model: nn.Module, runtime: str, call: Call, export: Path | None) -> None:
        if isinstance(call, Frames):
            if runtime in EXPORTED:  # a captured graph is made of the same operators
                steps = self.frames.split(self.panel.streams)
                require_exact_stream(call.frames[0].func, model, steps, runtime)  # type: ignore[attr-defined, arg-type]
            return
        whole = call.call if isinstance(call, Replays) else call
        assert isinstance(whole, functools.partial)
        forward = whole.func
        if self.calibration:
            forward = runtimes.prepare(runtime, model, self.frames, self.device.cuda, export)
        require_exact(forward, model, self.frames, runtime)

    def count(self, model: nn.Module, call: Call) -> dict[str, Any]:
        """Parameters, FLOPs, bytes moved and peak memory of one forward.

        Frame by frame: of one frame of every stream, with the bytes that a stream remembers and what the layers of
        blocks read.
        """
        online: dict[str, Any] = {}
        if isinstance(model, models.OnlineNetwork):
            _, state = model.step(self.example)
            online = {"state_bytes": state.bytes_per_stream, "inputs": models.inputs(self._network, self.example[:1])}
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
            steps = self.frames.split(self.panel.streams)
            keeps = model if runtime in EXPORTED else Player(model, in_place=runtime == "cudagraph")
            forward = runtimes.prepare(runtime, keeps, steps[0].clone(), self.device.cuda, export)
            return Frames([functools.partial(forward, frame) for frame in steps])
        learnt_from = self.calibration if runtime in EXPORTED else ()
        made = runtimes.prepare(runtime, model, self.frames, self.device.cuda, export, learnt_from)
        call = functools.partial(made, self.frames)
        if runtime != "cudagraph":
            return call
        return Replays(call, min(_REPLAYED, max(1, _REPLAYED * _PIXELS // (self.panel.images * self.panel.size**2))))

    def _versions(self) -> list[tuple[int, int]]:
        """Of the shared weights and the input: changes when anything wrote into them in the usual way or moved them."""
        return [(tensor._version, tensor.data_ptr()) for tensor in self._all]

    def _put_back(self, before: list[tuple[int, int]], case: tuple[object, ...]) -> bool:
        """Whether what all cases share was changed, in whatever way; then it is again as it was made.

        What is written past autograd (``weight.data``) shows in the values alone, which are looked at once a case.
        """
        usual, known = self._versions() != before, case in self._watched
        self._watched.add(case)
        if known and not usual:
            return False
        changed = [own for own, tensor in enumerate(self._all) if _checksum(tensor) != self._sums[own]]
        if changed:
            with torch.inference_mode(False):
                network, frames = self._made()
                anew = [*network.parameters(), *network.buffers(), frames]
                for own in changed:
                    self._all[own].data = anew[own].detach()
        return usual or bool(changed)


def _shared(panel: Panel, to: tuple[str, torch.dtype], seed: int, weights: str | None) -> tuple[models.Network, Tensor]:
    """What all cases of a panel share: the network without a strategy, and its input."""
    network = models.build(panel.backbone, panel.frames, weights).to(*to)
    models.lay_out(network, _FORMATS[panel.memory_format])
    generator = torch.Generator().manual_seed(seed)
    shape = (panel.images, models.channels_of(network.trunk), panel.size, panel.size)
    frames = torch.randn(shape, generator=generator)  # never zeros: they draw less power and run faster
    return network, frames.to(*to).contiguous(memory_format=_FORMATS[panel.memory_format])


def _checksum(tensor: Tensor) -> int:
    """Of the bits, in the order in which they lie in memory."""
    bits = tensor.detach().cpu().view(_BITS[tensor.element_size()])
    return zlib.crc32(bits.as_strided((bits.numel(),), (1,)).numpy().data)
