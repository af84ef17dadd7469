"""Video files, opened and decoded by PyAV (the extra ``video``); what is wrong with one is said in a line. No torch."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.spec.axes import ValueNotAllowed


class VideoError(ValueNotAllowed):
    """A video that cannot be read to its end; the message says where and why."""


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """A file's container and its first video stream. Cover art of a sound file is no video.

    Raises VideoError where it cannot be opened or holds none, ValueNotAllowed without PyAV.
    """
    try:
        import av
        from av.stream import Disposition
    except ImportError:
        raise ValueNotAllowed("a video file is read by PyAV: install the extra video, pip install av") from None
    if not path.is_file():
        raise VideoError(f"there is no video file {path}")
    try:
        with av.open(str(path)) as container:
            streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not streams:
                raise VideoError(f"{path} holds no video: it has {len(container.streams)} other streams")
            yield container, streams[0]
    except (av.FFmpegError, OSError) as error:
        raise VideoError(f"{path} cannot be read as a video: {words(error)}") from None


def pictures(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """All frames of a stream, as PyAV gives them. Raises VideoError where there is none, and after the last one that
    can be decoded where decoding breaks off."""
    import av

    count, fault = 0, ""
    try:
        for picture in container.decode(stream):
            yield picture
            count += 1
    except (av.FFmpegError, OSError) as error:
        fault = words(error)
        with suppress(av.FFmpegError):
            for picture in stream.decode(None):  # those that the decoder holds back until it has seen later ones
                yield picture
                count += 1
    if fault:
        raise VideoError(f"{path} cannot be decoded after frame {count}: {fault}")
    if count == 0:
        raise VideoError(f"{path} holds no frame")


def words(error: Exception) -> str:
    """What an error of the system or of FFmpeg says, without its number."""
    return str(getattr(error, "strerror", None) or error)
