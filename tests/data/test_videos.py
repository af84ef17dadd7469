"""Video files as a user meets them: whole, empty, torn, and of two sizes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import torch

from bench.data.decoding import VideoError
from bench.data.videos import Frame, prepare, video_at, video_file
from tests.data.making_videos import (
    FRAMES,
    HEIGHT,
    WIDTH,
    cut,
    empty,
    lying,
    sound,
    text,
    torn,
    two_sizes,
    upper_half,
    with_sound,
    write,
)


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


# What is not as it says: played to its end, and told


def jumping(folder: Path) -> Path:
    """Recorded in two parts, each of which begins its clock anew."""
    parts = [write(folder / f"{part}.ts", codec="mpeg2video").read_bytes() for part in (1, 2)]
    (folder / "both.ts").write_bytes(b"".join(parts))
    return folder / "both.ts"


def slowing(path: Path) -> Path:
    """From 60 frames a second to one."""
    return write(path, frames=8, times=[0, 17, 33, 50, 67, 83, 1083, 2083])


def pausing(path: Path) -> Path:
    """An hour between two frames."""
    return write(path, frames=4, times=[0, 40, 3_600_000, 3_600_040])


ODD: dict[str, tuple[Callable[[Path], Path], int, str]] = {
    "cut without being encoded again": (lambda folder: cut(folder / "cut.mp4"), 0, ""),
    "a header that counts more": (lambda folder: lying(folder / "lying.avi"), FRAMES, "header speaks of 100"),
    "sound for longer": (lambda folder: with_sound(folder / "sound.mkv"), FRAMES, "its sound lasts longer"),
    "torn": (lambda folder: torn(write(folder / "torn.mkv")), 0, "cut off"),
    "no count of frames": (lambda folder: write(folder / "v.webm", codec="vp8"), FRAMES, ""),
    "turned": (lambda folder: write(folder / "turned.mp4", paint=upper_half, degrees=90), FRAMES, "upright, by 90°"),
    "ten bits": (lambda folder: write(folder / "v.mkv", codec="ffv1", pixels="yuv420p10le"), FRAMES, ""),
    "grey": (lambda folder: write(folder / "v.mkv", codec="ffv1", pixels="gray"), FRAMES, ""),
    "see-through": (lambda folder: write(folder / "v.mkv", codec="ffv1", pixels="yuva420p"), FRAMES, "transparency"),
    "odd sizes": (lambda folder: write(folder / "v.mkv", (37, 23), codec="ffv1", pixels="yuv444p"), FRAMES, ""),
    "from 60 a second to one": (lambda folder: slowing(folder / "slow.mkv"), 8, ""),
    "a clock that jumps back": (jumping, 2 * FRAMES, "frame times jump"),
    "an hour without a frame": (lambda folder: pausing(folder / "pause.mkv"), 4, "frame times jump"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_not_as_it_says_is_played_to_its_end_by_its_times_and_told(name: str, tmp_path: Path) -> None:
    make, count, note = ODD[name]
    source = video_file(make(tmp_path))
    frames = list(source.frames())
    assert frames and (not count or len(frames) == count)
    assert note in "; ".join(source.notes) and (note or not count or not source.notes), source.notes
    times = [frame.at for frame in frames]
    assert times[0] == 0.0 and all(own is not None for own in times)
    steps = np.diff(np.array(times, float))
    assert (steps > 0).all() and steps.max(initial=0.0) <= 10
    assert [frame.lasts for frame in frames[:-1]] == pytest.approx(steps.tolist())


def test_a_turned_video_is_shown_upright(tmp_path: Path) -> None:
    """By 90 degrees counter-clockwise, what is above in the file belongs on the left."""
    for degrees, bright in ((90, np.s_[:, :, :20]), (-90, np.s_[:, :, 28:]), (180, np.s_[:, 28:])):
        path = write(tmp_path / f"{degrees}.mp4", codec="h264", paint=upper_half, degrees=degrees)
        pixels = next(iter(video_file(path).frames())).pixels
        assert pixels[bright].min() > 0.8 and pixels.mean() < 0.6, degrees


def test_a_file_may_be_called_as_an_address_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a:b #1 50%d ü.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(list(video_file(Path("a:b #1 50%d ü.mp4")).frames())) == FRAMES


def test_frames_keep_their_own_times(tmp_path: Path) -> None:
    frames = list(video_file(slowing(tmp_path / "slow.mkv")).frames())
    assert [round(1000 * (frame.at or 0.0)) for frame in frames] == [0, 17, 33, 50, 67, 83, 1083, 2083]


@contextmanager
def served(data: bytes, whole: int) -> Iterator[str]:
    """An address that gives ``data`` and promises ``whole`` bytes: then it is gone."""

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(whole))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/live.ts"
        finally:
            server.shutdown()


def test_an_address_is_played_as_it_comes_and_ends_in_order_when_it_vanishes(tmp_path: Path) -> None:
    data = write(tmp_path / "live.ts", codec="mpeg2video").read_bytes()
    with served(data, len(data)) as address:
        source = video_at(address)
        frames = list(source.frames())
    assert source.live and len(frames) == FRAMES and all(frame.at is None for frame in frames)
    with served(data[: len(data) * 2 // 3], len(data)) as address:
        source = video_at(address)
        frames = list(source.frames())
    assert 0 < len(frames) < FRAMES


@pytest.mark.parametrize(
    ("where", "message"),
    [("77", "there is no camera 77; there are: "), ("rtsp://127.0.0.1:1/x", "rtsp://127.0.0.1:1/x cannot be read")],
)
def test_what_is_not_there_is_one_line(where: str, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        video_at(where)
