"""Where frames come from: a video file, a camera, an address or a generator; and what networks read.

A source gives frames as [C, H, W] tensors from 0 to 1, upright, with their own times. A file that cannot be read, holds
no frame, breaks off or changes its resolution raises VideoError with what was expected; frames before that are given.
What was done to a video that is not as it says is one of its ``notes``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from bench.data import open_dataset
from bench.data.decoding import VideoError, open_video, pictures
from bench.spec.axes import IMAGENET_NORMAL, Normal
from bench.spec.training import Data, Recipe

_USUAL_FPS = 30.0  # where a file does not say, and of generated frames
_RATES = (0.1, 1000.0)  # frames a second; beyond them a header holds ticks of a clock, or nonsense
_LONGEST_PAUSE = 10.0  # seconds between two frames; more is taken for a jump of the clock
_EVENTS_AT_ONCE = 8  # generated clips drawn together
_TICKS = 1_000_000  # of a container's duration in a second (av.time_base)
_SURE = 0.9  # of the duration that a container speaks of: rates are rounded
_GREY = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # ITU-R BT.601


@dataclass(frozen=True)
class Frame:
    """pixels [C, H, W], 0 to 1. begins: with it an event begins, and the stream anew; label: what it shows.

    at: seconds after the first frame, None: as the source's rate says; lasts: seconds until the next one.
    """

    pixels: Tensor
    begins: bool = False
    label: str = ""
    at: float | None = None
    lasts: float | None = None


@dataclass(frozen=True)
class Source:
    """Frames and the rate at which they arrive. live: nobody can wait with them, they come when they come. notes: what
    was found on the way, and what was done about it; they grow while frames are read."""

    name: str
    fps: float
    frames: Callable[[], Iterator[Frame]]
    live: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Once."""
        if text not in self.notes:
            self.notes.append(text)


def generated_digits() -> Source:
    """Digits that move on a ring, event after event without an end; each is 8 frames in one of four orders."""

    def frames() -> Iterator[Frame]:
        rng = np.random.default_rng(0)
        dataset = open_dataset("ring_digits", Recipe(), Data(), 0)
        while True:
            clips = dataset.judged(rng, _EVENTS_AT_ONCE, "test")
            for place in rng.permutation(len(clips)):
                label = f"digit {clips.spatial[place]}, order {clips.temporal[place] + 1}"
                for t, pixels in enumerate(clips.pixels[place]):
                    yield Frame(torch.from_numpy(pixels), begins=t == 0, label=label)

    return Source("generated digits", _USUAL_FPS, frames)


def video_at(text: str) -> Source:
    """A camera by its number, an address like ``rtsp://host/path``, or a file."""
    if text.isdigit():
        return _source(text, f"camera {text}", live=True)
    return _source(text, text, live=True) if "://" in text else video_file(Path(text))


def video_file(path: Path) -> Source:
    """A file's first video stream. Raises VideoError where it cannot be opened, ValueNotAllowed without PyAV."""
    return _source(path, path.name)


def _source(opened: Path | str, name: str, *, live: bool = False) -> Source:
    with open_video(opened) as (_, stream):
        rate = _rate(stream)
    source = Source(name, rate, lambda: iter(()), live)
    return replace(source, frames=lambda: _vanishing(opened, source) if live else _timed(opened, source))


def _rate(stream: Any) -> float:
    rate = float(stream.average_rate or 0)
    return rate if _RATES[0] <= rate <= _RATES[1] else _USUAL_FPS


def _vanishing(opened: Path | str, source: Source) -> Iterator[Frame]:
    """Frames of a camera or an address; one that vanishes has ended."""
    count = 0
    try:
        for frame in _decoded(opened, source):
            count += 1
            yield replace(frame, at=None)
    except VideoError as why:
        if not count:
            raise
        source.note(f"it ended after {count} frames: {why}")


def _timed(opened: Path | str, source: Source) -> Iterator[Frame]:
    """Frames of a file, each with the time until the next one."""
    before: Frame | None = None
    try:
        for frame in _decoded(opened, source):
            if before is not None:
                yield replace(before, lasts=(frame.at or 0.0) - (before.at or 0.0))
            before = frame
    except VideoError:
        if before is not None:  # the last one that can be shown
            yield before
        raise
    if before is not None:
        yield before


def _decoded(opened: Path | str, source: Source) -> Iterator[Frame]:
    """Frames as they come out of the decoder, upright, with times that only go forward."""
    count, size, at, offset, usual = 0, (0, 0), 0.0, 0.0, 1 / source.fps
    begun, reached = 0.0, 0.0  # of the file's own clock
    with open_video(opened) as (container, stream):
        promised, sound = stream.frames, len(container.streams) > len(container.streams.video)
        seconds = (container.duration or 0) / _TICKS
        for picture in pictures(opened, container, stream):
            size = size if count else (picture.width, picture.height)
            if (picture.width, picture.height) != size:
                raise VideoError(
                    f"{opened}: frame {count} is {picture.width}×{picture.height}, but the video began with "
                    f"{size[0]}×{size[1]}; a stream keeps its size"
                )
            told = at + usual if picture.time is None else picture.time + offset
            if count == 0:
                begun = picture.time or 0.0
                told, offset = 0.0, -begun
            elif not at < told <= at + _LONGEST_PAUSE:
                if not source.live:
                    source.note("its frame times jump: they are taken to go on at the usual rate from there")
                told, offset = at + usual, offset + at + usual - told
            at, reached = told, max(reached, (picture.time or 0.0) - begun)
            yield Frame(_pixels(picture, source), begins=count == 0, at=at)
            count += 1
    if count < promised:
        source.note(f"it ends after {count} frames, and its header speaks of {promised}: it was cut, or cut off")
    elif not promised and max(at, reached) + usual < _SURE * seconds and not source.live:
        why = "its sound lasts longer, or it is cut off" if sound else "it is cut off"
        source.note(f"it ends at {at + usual:.1f} s, and its header speaks of {seconds:.1f} s: {why}")


def _pixels(picture: Any, source: Source) -> Tensor:
    """[3, H, W], 0 to 1, as a player would show it."""
    turns = round(picture.rotation / 90) % 4  # counter-clockwise, by the display matrix
    if turns:
        source.note(f"turned upright, by {90 * turns}° counter-clockwise")
    if picture.interlaced_frame:
        source.note("interlaced: both fields of a frame are shown at once")
    if any(component.is_alpha for component in picture.format.components):
        source.note("its transparency is left out")
    array = np.rot90(picture.to_ndarray(format="rgb24"), turns)
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1).float() / 255


def prepare(pixels: Tensor, channels: int, size: int, normal: Normal = IMAGENET_NORMAL) -> Tensor:
    """[1 or 3, H, W] from 0 to 1 -> [1, channels, size, size]: the largest middle square, resized.

    channels: 1, grey as it is, for the digits; 3, normalised with the mean and deviation ``normal``.
    """
    if channels == 1 and len(pixels) == 3:
        pixels = (pixels * _GREY).sum(dim=0, keepdim=True)
    elif channels == 3:
        mean, deviation = (torch.tensor(each)[:, None, None] for each in normal)
        pixels = (pixels.expand(3, -1, -1) - mean) / deviation
    height, width = pixels.shape[1:]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = pixels[None, :, top : top + edge, left : left + edge]
    if edge == size:
        return square.contiguous()
    return interpolate(square, size=(size, size), mode="bilinear", antialias=edge > size, align_corners=False)
