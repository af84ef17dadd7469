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

from bench.axes import ValueNotAllowed

_USUAL_FPS = 30.0  # where a file does not say


class VideoError(ValueNotAllowed):
    """A video that cannot be played to its end; the message says where and why."""


@dataclass(frozen=True)
class Frame:
    """pixels [C, H, W], 0 to 1. begins: the first one of an event, at which a stream begins anew; label: what it shows."""

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
        raise ValueNotAllowed(
            "playing a video file needs PyAV: install the extra video (uv sync --extra video)"
        ) from None
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
            promised = stream.frames  # 0 where the container does not say
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
        raise VideoError(f"{path} ends after {count} of {promised} frames: it is truncated")


def _pixels(picture: Any) -> Tensor:
    array = torch.from_numpy(picture.to_ndarray(format="rgb24"))
    return array.permute(2, 0, 1).float() / 255


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
