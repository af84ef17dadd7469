"""Videos, opened and decoded by PyAV (the extra ``video``): files, cameras, addresses. What is wrong with one is said
in a line. No torch."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.spec.axes import ValueNotAllowed

_LARGEST = 1 << 26  # pixels of a frame, 8192²: a header that lies must not take all memory
_PATIENCE = (15.0, 10.0)  # seconds: to open an address, and for its next bytes
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}:none")}  # FFmpeg's format, and a name


class VideoError(ValueNotAllowed):
    """A video that cannot be read to its end; the message says where and why."""


@contextmanager
def open_video(source: Path | str) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream. Cover art of a sound file is no video.

    source: a file; or, as a text, the number of a camera or an address like ``rtsp://host/path``.
    Raises VideoError where it cannot be opened or holds none, ValueNotAllowed without PyAV.
    """
    try:
        import av
        from av.stream import Disposition
    except ImportError:
        raise ValueNotAllowed("a video file is read by PyAV: install the extra video, pip install av") from None
    try:
        with av.open(**_where(source)) as container:
            streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
            if not streams:
                raise VideoError(f"{source} holds no video: it has {len(container.streams)} other streams")
            if streams[0].codec_context is None:
                raise VideoError(f"{source} holds video of a kind that cannot be decoded here")
            streams[0].codec_context.options = {"max_pixels": str(_LARGEST)}
            yield container, streams[0]
    except (av.FFmpegError, OSError, MemoryError) as error:
        raise VideoError(f"{source} cannot be read as a video: {words(error)}") from None


def _where(source: Path | str) -> dict[str, Any]:
    """What ``av.open`` is to be given."""
    if isinstance(source, Path):
        if not source.is_file():
            raise VideoError(f"there is no video file {source}")
        return {"file": f"file:{source}", "metadata_errors": "replace"}  # else a colon in the name ends a protocol
    if not source.isdigit():
        return {"file": source, "metadata_errors": "replace", "timeout": _PATIENCE}
    if sys.platform not in _CAMERAS:
        raise VideoError(f"camera {source} cannot be read on this system; give an address, or a file")
    form, name = _CAMERAS[sys.platform]
    if sys.platform == "linux" and not Path(name.format(source)).exists():
        there = sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*"))
        raise VideoError(f"there is no camera {source}; there are: {', '.join(there) or 'none'}")
    return {"file": name.format(source), "format": form, "timeout": _PATIENCE}


def pictures(source: Path | str, container: Any, stream: Any) -> Iterator[Any]:
    """All frames of a stream, as PyAV gives them. Raises VideoError where there is none, and after the last one that
    can be decoded where decoding breaks off."""
    import av

    count, fault = 0, ""
    try:
        for picture in container.decode(stream):
            yield picture
            count += 1
    except (av.FFmpegError, OSError, MemoryError) as error:
        fault = words(error)
        with suppress(av.FFmpegError):
            for picture in stream.decode(None):  # those that the decoder holds back until it has seen later ones
                yield picture
                count += 1
    if fault:
        raise VideoError(f"{source} cannot be decoded after frame {count}: {fault}")
    if count == 0:
        raise VideoError(f"{source} holds no frame")


def words(error: BaseException) -> str:
    """What an error of the system or of FFmpeg says, without its number."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
