"""Where frames come from: a video file, decoded by PyAV (the extra ``video``), or a generator.

A source gives frames as [C, H, W] tensors from 0 to 1 at its own rate. A file that cannot be read, holds no frame, ends
before it should or changes its resolution raises VideoError with what was expected; frames before that are given.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.spec.axes import ValueNotAllowed

_USUAL_FPS = 30.0  # where a file does not say
_TICKS = 1_000_000  # of a container's duration in a second (av.time_base)
_SURE = 0.95  # of the frames that a duration stands for: rates are rounded, and sound may last longer


class VideoError(ValueNotAllowed):
    """A video that cannot be played to its end; the message says where and why."""


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


def video_file(path: Path) -> Source:
    """A file's first video stream. Raises VideoError where it cannot be opened, ValueNotAllowed without PyAV."""
    try:
        import av
    except ImportError:
        raise ValueNotAllowed("playing a video file needs PyAV: install the extra video, pip install av") from None
    if not path.is_file():
        raise VideoError(f"there is no video file {path}")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path} holds no video: it has {len(container.streams)} other streams")
            rate = container.streams.video[0].average_rate
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be read as a video: {_words(error)}") from None
    return Source(path.name, float(rate or _USUAL_FPS), lambda: _decoded(path))


def _decoded(path: Path) -> Iterator[Frame]:
    import av

    count, size = 0, (0, 0)
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            promised = _promised(container, stream)
            for picture in container.decode(stream):
                size = size if count else (picture.width, picture.height)
                if (picture.width, picture.height) != size:
                    raise VideoError(
                        f"{path}: frame {count} is {picture.width}×{picture.height}, but the video began with "
                        f"{size[0]}×{size[1]}; a stream keeps its size"
                    )
                yield Frame(_pixels(picture), begins=count == 0)
                count += 1
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be decoded after frame {count}: {_words(error)}") from None
    if count == 0:
        raise VideoError(f"{path} holds no frame")
    if count < promised:
        raise VideoError(f"{path} ends after {count} frames and promised at least {promised}: it is truncated")


def _promised(container: Any, stream: Any) -> int:
    """The least number of frames that the file's header speaks of; 0 where it says nothing.

    A number of frames is exact; a duration is not, as containers round it.
    """
    if stream.frames:
        return int(stream.frames)
    seconds = (container.duration or 0) / _TICKS
    return int(seconds * float(stream.average_rate or _USUAL_FPS) * _SURE) - 1


def _pixels(picture: Any) -> Tensor:
    array = torch.from_numpy(picture.to_ndarray(format="rgb24"))
    return array.permute(2, 0, 1).float() / 255


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
