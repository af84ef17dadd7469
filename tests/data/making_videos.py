"""Small real videos as users have them: of several codecs, turned, short, torn, and files that are no videos at all."""

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition
from PIL import Image

from bench.data.video_clips import Decoding

WIDTH, HEIGHT, FRAMES = 64, 48, 24

Paint = Callable[[int, int, int], np.ndarray]
"""Number of the frame, height and width -> the frame [H, W, 3]."""


def bar(t: int, height: int, width: int, way: int = 1) -> np.ndarray:
    """Red, upright; it moves two pixels a frame, from the left (way 1) or from the right (-1)."""
    picture = np.zeros((height, width, 3), np.uint8)
    left = 2 * t if way > 0 else width - 8 - 2 * t
    picture[:, max(left, 0) : max(left, 0) + 8, 0] = 255
    return picture


def grey(t: int, height: int, width: int) -> np.ndarray:
    """Flat; ten levels brighter with each frame, so that a frame tells its number."""
    return np.full((height, width, 3), 10 * t, np.uint8)


def snow(t: int, height: int, width: int) -> np.ndarray:
    """As bright as ``grey`` on average, and large when encoded."""
    noise = np.random.default_rng(t).integers(-40, 41, (height, width, 1))
    return (40 + grey(t // 2, height, width) + noise).astype(np.uint8)


def upper_half(_: int, height: int, width: int) -> np.ndarray:
    """White above, black below."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2] = 255
    return picture


def write(
    path: Path,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    frames: int = FRAMES,
    codec: str = "mpeg4",
    paint: Paint = bar,
    degrees: int = 0,
    times: Sequence[int] | None = None,
    pixels: str = "yuv420p",
) -> Path:
    """A video; mp4 with its index at the front, so that a torn file can still be opened. degrees: counter-clockwise, by
    which a player must turn it. times: of each frame, in ms; None: 25 frames a second. pixels: FFmpeg's format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        if degrees:
            stream.set_display_rotation(degrees)
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        container.start_encoding()
        for t in range(frames):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(paint(t, size[1], size[0])), format="rgb24")
            if times:
                picture.pts, picture.time_base = times[t], Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def uneven(path: Path, paint: Paint = bar) -> Path:
    """At a variable frame rate: pauses of 10 to 330 ms between frames."""
    return write(path, paint=paint, times=[t * 10 + 40 * (t // 3) ** 2 for t in range(FRAMES)])


def lying(path: Path, promised: int = 100, paint: Paint = bar) -> Path:
    """An AVI whose header counts ``promised`` frames."""
    data = bytearray(write(path, paint=paint).read_bytes())
    length = data.index(b"strh") + 40  # dwLength of the stream's header
    data[length : length + 4] = promised.to_bytes(4, "little")
    path.write_bytes(data)
    return path


def cut(path: Path) -> Path:
    """From its fifth frame on, without being encoded again: the frames before lie in the file; nobody shows them."""
    whole = write(path.with_name(f"whole-{path.name}"), codec="h264")
    with av.open(str(whole)) as before, av.open(str(path), "w") as after:
        stream = after.add_stream_from_template(before.streams.video[0])
        for packet in before.demux(before.streams.video[0]):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - 5 * 512, packet.dts - 5 * 512
                packet.stream = stream
                after.mux(packet)
    return path


def with_sound(path: Path, seconds: float = 4.0) -> Path:
    """A second of pictures, and more of silence."""
    with av.open(str(path), "w") as container:
        stream, silent = container.add_stream("mpeg4", rate=25), container.add_stream("pcm_s16le", rate=8000)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        silence = av.AudioFrame.from_ndarray(np.zeros((1, int(8000 * seconds)), "i2"), format="s16", layout="mono")
        silence.sample_rate, silence.time_base = 8000, Fraction(1, 8000)
        container.mux(silent.encode(silence))
        for t in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(bar(t, HEIGHT, WIDTH), format="rgb24")))
        container.mux(stream.encode())
        container.mux(silent.encode())
    return path


def torn(path: Path) -> Path:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


def two_sizes(folder: Path) -> Path:
    parts = [write(folder / f"{w}.ts", (w, w), codec="mpeg2video").read_bytes() for w in (48, 64)]
    (folder / "both.ts").write_bytes(b"".join(parts))
    return folder / "both.ts"


def text(folder: Path) -> Path:
    (folder / "letter.mp4").write_text("Dear reader, " * 50)
    return folder / "letter.mp4"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def sound(path: Path, cover: bool = False) -> Path:
    """Silence; with a picture of its cover, as music has it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac" if cover else "pcm_s16le", rate=8000)
        if cover:
            art = container.add_stream("mjpeg", rate=1)
            art.width, art.height, art.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
            art.disposition = Disposition.attached_pic
            container.mux(art.encode(av.VideoFrame.from_ndarray(bar(0, HEIGHT, WIDTH), format="rgb24")))
            container.mux(art.encode())
        layout, kind = ("mono", "fltp") if cover else ("mono", "s16")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "f4" if cover else "i2"), format=kind, layout=layout)
        silence.sample_rate, silence.time_base = 8000, Fraction(1, 8000)
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    return path


def frame_folder(folder: Path, frames: int = FRAMES, pattern: str = "img_{:05d}.jpg", paint: Paint = bar) -> Path:
    """Frames as images, numbered from 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for t in range(frames):
        Image.fromarray(paint(t, HEIGHT, WIDTH)).save(folder / pattern.format(t + 1))
    return folder


def folder_of_videos(folder: Path, each: int = 20) -> Path:
    """Two classes that only the order of frames tells apart, ``each`` videos in both: h264 and mpeg4, one turned, one
    whose header lies, one of 3 frames, one at a variable rate, one broken, one a folder of frames."""
    for name, way in (("coming", 1), ("going", -1)):
        paint = partial(bar, way=way)
        for number in range(each - 3):
            codec = "h264" if number % 2 else "mpeg4"
            write(folder / name / f"{number}.mp4", frames=FRAMES - number % 5, codec=codec, paint=paint)
    coming, going = folder / "coming", folder / "going"
    write(coming / "turned.mp4", size=(HEIGHT, WIDTH), degrees=90, paint=lambda t, h, w: np.rot90(bar(t, w, h), -1))
    lying(coming / "lying.avi")
    write(coming / "short.mp4", frames=3)
    uneven(going / "uneven.mp4", partial(bar, way=-1))
    text(going)
    frame_folder(going / "frames", paint=partial(bar, way=-1))
    return folder


def dies_at_killers(decoding: Decoding) -> int:
    """Work for a process, which ends with it where the video is called killer."""
    if decoding.video.path.name == "killer":
        os._exit(7)
    return 1
