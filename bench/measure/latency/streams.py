"""Slots of networks that run frame by frame.

The online section is a kind of panel of this room, not a room of its own: it shares superblocks, twin, processes,
stopping and estimates with the latency of clips, and differs in what a slot is. One frame takes tens of milliseconds at
the most, so a slot is several consecutive frames; each is timed by itself, for percentiles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from bench.measure.latency.clocks import Clock
from bench.models import OnlineNetwork, State


@dataclass(frozen=True)
class Play:
    """Consecutive frames, as calls in their order; called, it runs all of them and returns the last logits."""

    frames: Sequence[Callable[[], Tensor]]

    def __call__(self) -> Tensor:
        """All frames."""
        *_, logits = (frame() for frame in self.frames)
        return logits


@dataclass(frozen=True)
class Played:
    """What a slot gave: the last frame's logits, and the seconds of each frame."""

    logits: Tensor
    seconds: tuple[float, ...]


class FrameClock:
    """Times a ``Play`` frame by frame on another clock; a slot takes what its frames take."""

    name = "frame by frame"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def measure(self, call: Callable[[], Any]) -> tuple[float, Any]:
        """(seconds of all frames, Played)."""
        assert isinstance(call, Play)
        timed = [self._clock.measure(frame) for frame in call.frames]
        seconds = tuple(own for own, _ in timed)
        return sum(seconds), Played(timed[-1][1], seconds)


class Player(nn.Module):
    """A network frame by frame that keeps its own state, so that a runtime sees one input and one output.

    in_place: the state stays where it is in memory and is overwritten, as a captured graph needs it.
    """

    def __init__(self, network: nn.Module, *, in_place: bool) -> None:
        super().__init__()
        assert isinstance(network, OnlineNetwork)
        self.network, self._in_place = network, in_place
        self._state: State | None = None

    def forward(self, frame: Tensor) -> Tensor:
        """The present frame of every stream [S, 3, H, W] -> its logits [S, classes]."""
        logits, state = self.network.step(frame, self._state)
        if self._state is None or not self._in_place:
            self._state = state
        else:
            for kept, new in zip(self._state.pasts, state.pasts, strict=True):
                kept.copy_(new)
        return logits
