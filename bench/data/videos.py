"""Where frames come from: a video file or a generator; and what networks read.

A source gives frames as [C, H, W] tensors from 0 to 1 at its own rate. A file that cannot be read, holds no frame, ends
before it should or changes its resolution raises VideoError with what was expected; frames before that are given.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
_EVENTS_AT_ONCE = 8  # generated clips drawn together
_TICKS = 1_000_000  # of a container's duration in a second (av.time_base)
_SURE = 0.95  # of the frames that a duration stands for: rates are rounded, and sound may last longer
_GREY = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # ITU-R BT.601


@dataclass(frozen=True)
class Frame:
    """pixels [C, H, W], 0 to 1. begins: with it an event begins, and the stream anew; label: what it shows."""

    pixels: Tensor
    begins: bool = False
    label: str = ""


@dataclass(frozen=True)
class Source:
    """Frames and the rate at which they arrive."""

    name: str
    fps: float
    frames: Callable[[], Iterator[Frame]]


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


def video_file(path: Path) -> Source:
    """A file's first video stream. Raises VideoError where it cannot be opened, ValueNotAllowed without PyAV."""
    with open_video(path) as (_, stream):
        rate = stream.average_rate
    return Source(path.name, float(rate or _USUAL_FPS), lambda: _decoded(path))


def _decoded(path: Path) -> Iterator[Frame]:
    count, size = 0, (0, 0)
    with open_video(path) as (container, stream):
        promised = _promised(container, stream)
        for picture in pictures(path, container, stream):
            size = size if count else (picture.width, picture.height)
            if (picture.width, picture.height) != size:
                raise VideoError(
                    f"{path}: frame {count} is {picture.width}×{picture.height}, but the video began with "
                    f"{size[0]}×{size[1]}; a stream keeps its size"
                )
            pixels = torch.from_numpy(picture.to_ndarray(format="rgb24")).permute(2, 0, 1)
            yield Frame(pixels.float() / 255, begins=count == 0)
            count += 1
    if count < promised:
        raise VideoError(f"{path} ends after {count} frames and promised at least {promised}: it is truncated")


def _promised(container: Any, stream: Any) -> int:
    """The least number of frames that the file's header speaks of; no more than 0 where it says nothing."""
    if stream.frames:
        return int(stream.frames)
    seconds = (container.duration or 0) / _TICKS  # not exact, as containers round it
    return int(seconds * float(stream.average_rate or _USUAL_FPS) * _SURE) - 1


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
