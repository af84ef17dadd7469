"""Many streams in one network: each begins, pauses and ends when it likes, and none disturbs another."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.models.online import OnlineNetwork, State, StreamError, joined


@dataclass(frozen=True)
class Running:
    """The average of a stream's logits so far [classes]: its prediction, as the consensus is in clip mode."""

    total: Tensor
    frames: int

    @property
    def mean(self) -> Tensor:
        """[classes]."""
        return self.total / self.frames


@dataclass(frozen=True)
class Stepped:
    """What came of one frame of every stream that had one.

    logits: of the frame [classes], by stream. refused: why a frame was not taken; its stream stays as it was.
    """

    logits: dict[str, Tensor]
    refused: dict[str, str]


class Streams:
    """The streams of one network by name. All frames of a step run as one batch."""

    def __init__(self, network: OnlineNetwork) -> None:
        self._network = network
        self._states: dict[str, State] = {}
        self._running: dict[str, Running] = {}

    @property
    def names(self) -> list[str]:
        """The streams that have begun and not ended."""
        return list(self._states)

    @property
    def bytes_per_stream(self) -> int:
        """What one stream remembers; 0 before the first frame."""
        return next((state.bytes_per_stream for state in self._states.values()), 0)

    def step(self, frames: Mapping[str, Tensor]) -> Stepped:
        """frames: the present frame [C, H, W] of some streams; a new name begins a stream.

        A frame that does not fit its stream is refused, with what was expected; the others go on.
        """
        refused: dict[str, str] = {}
        groups: dict[tuple[int, ...], list[str]] = {}
        for name, frame in frames.items():
            try:
                self._network.require(frame[None], self._states.get(name))
            except StreamError as why:
                refused[name] = str(why)
            else:
                groups.setdefault(tuple(frame.shape), []).append(name)
        logits: dict[str, Tensor] = {}
        for names in groups.values():
            logits |= self._together(names, torch.stack([frames[name] for name in names]))
        for name, own in logits.items():
            known = self._running.get(name, Running(torch.zeros_like(own), 0))
            self._running[name] = Running(known.total + own, known.frames + 1)
        return Stepped(logits, refused)

    def prediction(self, name: str) -> Running:
        """The average of a stream's logits since it began. Raises StreamError for a stream that has not."""
        self._require(name)
        return self._running[name]

    def reset(self, name: str) -> None:
        """Begin a stream anew; also how it ends. Raises StreamError for a stream that has not begun."""
        self._require(name)
        del self._states[name], self._running[name]

    def _require(self, name: str) -> None:
        if name not in self._states:
            raise StreamError(f"there is no stream {name!r}; there are: {', '.join(self._states) or 'none'}")

    def _together(self, names: list[str], frames: Tensor) -> dict[str, Tensor]:
        """One batch of frames of one size; those that begin start from zeros."""
        known = next((self._states[name] for name in names if name in self._states), None)
        state = None
        if known is not None:
            blank = known.fresh(1)
            state = joined([self._states.get(name, blank) for name in names])
        logits, after = self._network.step(frames, state)
        self._states |= {name: after.of([place]) for place, name in enumerate(names)}
        return dict(zip(names, logits, strict=True))
