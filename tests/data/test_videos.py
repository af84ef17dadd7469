"""Video files as a user meets them: whole, empty, torn, and of two sizes. Made here by PyAV."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from bench.data.videos import Frame, VideoError, prepare, video_file

WIDTH, HEIGHT, FRAMES = 64, 48, 24


def write(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), frames: int = FRAMES, codec: str = "mpeg4") -> Path:
    """A moving bar; mp4 with its index at the front, so that a torn file can still be opened."""
    options = {"movflags": "+faststart"} if path.suffix == ".mp4" else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        container.start_encoding()
        for t in range(frames):
            picture = np.zeros((size[1], size[0], 3), np.uint8)
            picture[:, 2 * t : 2 * t + 8, 0] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_whole_video(tmp_path: Path) -> None:
    source = video_file(write(tmp_path / "whole.mp4"))
    frames = list(source.frames())
    assert source.fps == 25.0 and len(frames) == FRAMES == len(list(source.frames()))
    assert frames[0].pixels.shape == (3, HEIGHT, WIDTH) and [frame.begins for frame in frames[:2]] == [True, False]
    red = torch.stack([frame.pixels[0].mean(dim=0) for frame in frames])
    assert (red.argmax(dim=1) - 2 * torch.arange(FRAMES)).float().abs().max() <= 10, "the bar moves"
    assert red.min() >= 0 and red.max() <= 1


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


def sound(folder: Path) -> Path:
    with av.open(str(folder / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        silence.sample_rate, silence.time_base = 8000, Fraction(1, 8000)
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    return folder / "sound.wav"


BROKEN: dict[str, tuple[Callable[[Path], Path], str, bool]] = {
    "missing": (lambda folder: folder / "nowhere.mp4", "there is no video file .*nowhere.mp4", False),
    "empty": (empty, "cannot be read as a video", False),
    "text": (text, "cannot be read as a video: Invalid data", False),
    "sound only": (sound, "holds no video", False),
    "no frame": (lambda folder: write(folder / "none.mkv", frames=0), "(holds no frame|cannot be)", False),
    "truncated mp4": (lambda folder: torn(write(folder / "torn.mp4")), "truncated|cannot be decoded", True),
    "truncated mkv": (lambda folder: torn(write(folder / "torn.mkv")), "truncated|cannot be decoded", True),
    "two sizes": (two_sizes, "is 64×64, but the video began with 48×48", True),
}


def play(path: Path, seen: list[Frame]) -> None:
    """Keep every frame in ``seen``, whatever happens after it."""
    for frame in video_file(path).frames():
        seen.append(frame)


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_video_says_where_and_why(name: str, tmp_path: Path) -> None:
    make, message, begins = BROKEN[name]
    path, seen = make(tmp_path), list[Frame]()
    with pytest.raises(VideoError, match=message):
        play(path, seen)
    assert bool(seen) is begins, "what can be played is played"


def test_preparation_takes_the_middle_square() -> None:
    pixels = torch.zeros(3, 40, 80)
    pixels[:, :, 20:60] = 1
    grey = prepare(pixels, 1, 32)
    assert grey.shape == (1, 1, 32, 32) and torch.allclose(grey, torch.ones(()))
    colours = prepare(pixels, 3, 64)
    assert colours.shape == (1, 3, 64, 64)
    assert torch.allclose(
        colours.amax(dim=(0, 2, 3)), (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    )
    digit = torch.rand(1, 32, 32)
    assert torch.equal(prepare(digit, 1, 32)[0], digit)
