"""Video files as a user meets them: whole, empty, torn, and of two sizes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bench.data.decoding import VideoError
from bench.data.videos import Frame, prepare, video_file
from tests.data.making_videos import FRAMES, HEIGHT, WIDTH, empty, sound, text, torn, two_sizes, write


def test_a_whole_video(tmp_path: Path) -> None:
    source = video_file(write(tmp_path / "whole.mp4"))
    frames = list(source.frames())
    assert source.fps == 25.0 and len(frames) == FRAMES == len(list(source.frames()))
    assert frames[0].pixels.shape == (3, HEIGHT, WIDTH) and [frame.begins for frame in frames[:2]] == [True, False]
    red = torch.stack([frame.pixels[0].mean(dim=0) for frame in frames])
    assert (red.argmax(dim=1) - 2 * torch.arange(FRAMES)).float().abs().max() <= 10, "the bar moves"
    assert red.min() >= 0 and red.max() <= 1


BROKEN: dict[str, tuple[Callable[[Path], Path], str, bool]] = {
    "missing": (lambda folder: folder / "nowhere.mp4", "there is no video file .*nowhere.mp4", False),
    "empty": (empty, "cannot be read as a video", False),
    "text": (text, "cannot be read as a video: Invalid data", False),
    "sound only": (lambda folder: sound(folder / "sound.wav"), "holds no video", False),
    "sound with a cover": (lambda folder: sound(folder / "song.mp4", cover=True), "holds no video", False),
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
