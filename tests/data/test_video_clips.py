"""Clips of real files: which frames they show, what is done with files as users have them, and what the cache keeps."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bench.data.decoding import VideoError
from bench.data.video_clips import ClipReader, Decoding, outcomes, sampled
from bench.data.video_lists import Video, read_video_set
from bench.spec.axes import ValueNotAllowed
from bench.spec.videos import Videos
from tests.conftest import ROOT
from tests.data.making_videos import (
    FRAMES,
    dies_at_killers,
    empty,
    folder_of_videos,
    frame_folder,
    grey,
    lying,
    snow,
    sound,
    text,
    torn,
    uneven,
    upper_half,
    write,
)

KEPT, EDGE = 8, 36
SMALL = Videos(frames=4, kept=KEPT, size=32, margin=EDGE - 32)


def reader(tmp_path: Path, workers: int = 0, **how: object) -> ClipReader:
    """Its cache lies in tmp_path/cache."""
    return ClipReader(SMALL.model_copy(update={"cache": str(tmp_path / "cache"), **how}), workers)


def of(path: Path, frames: int | None = None) -> Video:
    return Video(path, 0, frames, "")


def cached(tmp_path: Path) -> set[Path]:
    return set((tmp_path / "cache").iterdir())


WHOLE: dict[str, Callable[[Path], Path]] = {
    "h264": lambda folder: write(folder / "v.mp4", codec="h264", paint=grey),
    "mpeg4": lambda folder: write(folder / "v.mp4", paint=grey),
    "mkv, which counts no frames": lambda folder: write(folder / "v.mkv", paint=grey),
    "a header with more frames": lambda folder: lying(folder / "v.avi", 100, grey),
    "a header with fewer frames": lambda folder: lying(folder / "v.avi", 5, grey),
    "variable rate": lambda folder: uneven(folder / "v.mp4", grey),
    "images": lambda folder: frame_folder(folder / "v", paint=grey),
    "images of other names": lambda folder: frame_folder(folder / "v", pattern="{}.png", paint=grey),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_frames_are_evenly_spaced_over_those_that_there_are(name: str, tmp_path: Path) -> None:
    video = of(WHOLE[name](tmp_path))
    whole = reader(tmp_path, frames=KEPT)
    assert whole.prepare([video]) == {}
    clips = whole.clips([video], None)
    assert clips.shape == (1, KEPT, 32, 32, 3) and clips.dtype == np.uint8
    assert np.abs(clips[0].mean(axis=(1, 2, 3)) / 10 - np.arange(1, FRAMES, 3)).max() < 0.5
    assert clips[0].std(axis=(1, 2, 3)).max() < 3


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_torn_video_counts_as_far_as_it_goes(suffix: str, tmp_path: Path) -> None:
    video = of(torn(write(tmp_path / f"v.{suffix}", codec="h264", paint=snow)))
    torn_off = reader(tmp_path, frames=KEPT)
    assert torn_off.prepare([video]) == {}
    levels = torn_off.clips([video], None)[0].mean(axis=(1, 2, 3)) / 5 - 8
    steps = np.diff(levels)
    assert levels[0] < 2 and 11 < levels[-1] < FRAMES - 4 and steps.min() > 0 and np.ptp(steps) < 2, levels


def test_headers_do_lie(tmp_path: Path) -> None:
    import av

    with av.open(str(lying(tmp_path / "v.avi", 100))) as container:
        assert container.streams.video[0].frames == 100


def test_a_turned_video_stands_upright(tmp_path: Path) -> None:
    """By 90 degrees counter-clockwise, what is above in the file belongs on the left."""
    for degrees, bright in ((90, np.s_[:, :14]), (-90, np.s_[:, 18:]), (180, np.s_[18:])):
        video = of(write(tmp_path / f"{degrees}.mp4", codec="h264", paint=upper_half, degrees=degrees))
        picture = reader(tmp_path).clips([video], None)[0, 0].mean(axis=-1)
        assert picture[bright].min() > 200 and picture.mean() < 140, degrees


@pytest.mark.parametrize("suffix", ["mp4", "frames"])
def test_a_short_video_repeats_its_frames(suffix: str, tmp_path: Path) -> None:
    make = frame_folder if suffix == "frames" else write
    short = of(make(tmp_path / f"short.{suffix}", frames=3, paint=lambda t, h, w: grey(8 * t, h, w)))
    for sampling in ("segments", "dense"):
        clip = reader(tmp_path, frames=8, sampling=sampling).clips([short], None)[0]
        assert (clip.mean(axis=(1, 2, 3)) / 80).round().astype(int).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_a_folder_counts_as_many_frames_as_its_list_says(tmp_path: Path) -> None:
    video = of(frame_folder(tmp_path / "v", paint=grey), frames=4)
    levels = reader(tmp_path).clips([video], None)[0].mean(axis=(1, 2, 3)) / 10
    assert levels.round().astype(int).tolist() == [0, 1, 2, 3]


BROKEN: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nowhere.mp4", "there is no video file"),
    "text": (text, "cannot be read as a video: Invalid data"),
    "empty": (empty, "cannot be read as a video"),
    "sound": (lambda folder: sound(folder / "a.wav"), "holds no video"),
    "sound with a cover": (lambda folder: sound(folder / "a.mp4", cover=True), "holds no video"),
    "no frame": (lambda folder: write(folder / "none.mkv", frames=0), "holds no frame|cannot be"),
    "no images": (lambda folder: text(folder).parent, "holds no frame"),
    "a torn image": (lambda folder: torn(frame_folder(folder / "v", 2) / "img_00002.jpg").parent, "2.jpg cannot be"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_video_costs_itself(name: str, tmp_path: Path) -> None:
    make, message = BROKEN[name]
    good = of(write(tmp_path / "good" / "good.mp4"))
    (tmp_path / "bad").mkdir()
    bad = of(make(tmp_path / "bad"))
    both = reader(tmp_path)
    left_out = both.prepare([bad, good])
    assert list(left_out) == [bad.path] and "\n" not in left_out[bad.path]
    with pytest.raises(VideoError, match=message):
        both.clips([bad], None)
    assert both.clips([good], None).any()


def test_segments() -> None:
    rng = np.random.default_rng(0)
    assert sampled(16, np.full(4, 0.5), "segments").tolist() == [2, 6, 10, 14]
    drawn = np.array([sampled(16, rng.random(4), "segments") for _ in range(200)])
    assert (drawn // 4 == np.arange(4)).all() and len(np.unique(drawn)) == 16
    assert sampled(16, np.full(4, np.nextafter(1, 0)), "segments").max() == 15
    views = {tuple(sampled(16, np.full(4, (view + 0.5) / 4), "segments")) for view in range(4)}
    assert views == {(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)}


def test_dense_frames() -> None:
    rng = np.random.default_rng(0)
    assert sampled(16, np.full(4, 0.5), "dense").tolist() == [6, 7, 8, 9]
    drawn = np.array([sampled(16, rng.random(4), "dense") for _ in range(200)])
    assert (np.diff(drawn, axis=1) == 1).all() and set(drawn[:, 0]) == set(range(13))


def ramp(_: int, height: int, width: int) -> np.ndarray:
    """Brighter to the right and, in another colour, downwards."""
    right, down = np.linspace(0, 255, width), np.linspace(0, 255, height)
    return np.stack(np.broadcast_arrays(right, down[:, None], 0), axis=-1).astype(np.uint8)


def test_crops_stay_within_the_margin(tmp_path: Path) -> None:
    """64×48 becomes 53×40 with a margin of 8: a clip of 32 begins 0 to 8 px from above, 6 to 14 from the left."""
    video = of(frame_folder(tmp_path / "v", 4, "{}.png", ramp))
    cropping = reader(tmp_path, margin=8)
    centre = cropping.clips([video], None)[0]
    rng = np.random.default_rng(0)
    offsets = []
    for clip in (cropping.clips([video], rng)[0] for _ in range(100)):
        apart = clip.astype(int) - centre
        assert np.ptp(apart[..., 0]) < 4 and np.ptp(apart[..., 1]) < 4, "a shift, the same in all frames"
        offsets.append((apart[..., 0].mean() / (255 / 53), apart[..., 1].mean() / (255 / 39)))
    for axis in np.array(offsets).T.round():
        assert set(axis) == set(range(-4, 5))


def test_the_same_generator_gives_the_same_clips(tmp_path: Path) -> None:
    videos = [of(write(tmp_path / f"{name}.mp4")) for name in "ab"]
    again = [reader(tmp_path).clips(videos, np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(*again) and not np.array_equal(again[0], reader(tmp_path).clips(videos, None))


def test_what_is_cached_is_not_decoded_again(tmp_path: Path) -> None:
    video = of(write(tmp_path / "v.mp4"))
    first = reader(tmp_path)
    first.prepare([video])
    clips, files = first.clips([video], None), cached(tmp_path)
    wrong = np.zeros((1, EDGE, EDGE, 3), np.uint8)
    np.save(next(iter(files)), wrong)
    assert not reader(tmp_path).clips([video], None).any() and clips.any()
    reader(tmp_path, size=EDGE, margin=0).prepare([video])
    assert cached(tmp_path) == files, "of the same size"
    reader(tmp_path, kept=9).prepare([video])
    assert len(cached(tmp_path)) == 2


def test_a_video_that_changes_is_decoded_anew(tmp_path: Path) -> None:
    video = of(write(tmp_path / "v.mp4", paint=grey))
    before, version = reader(tmp_path).clips([video], None), reader(tmp_path).version([video])
    write(tmp_path / "v.mp4", paint=upper_half)
    assert not np.array_equal(before, reader(tmp_path).clips([video], None))
    assert reader(tmp_path).version([video]) != version


def test_videos_that_are_fetched_again_are_the_same(tmp_path: Path) -> None:
    """Elsewhere and younger, as where a machine is made anew between two sittings of a run."""
    folder, again = tmp_path / "one", tmp_path / "two"
    files = [write(make / "v.mp4", paint=grey) for make in (folder, again) if not make.mkdir()]
    frames = [frame_folder(make / "f", 4) for make in (folder, again)]
    os.utime(files[1], (0, 0))
    versions = [reader(tmp_path).version([of(file), of(images)]) for file, images in zip(files, frames, strict=True)]
    assert versions[0] == versions[1]
    with open(files[1], "r+b") as video:
        video.seek(-1, os.SEEK_END)
        last = video.read(1)
        video.seek(-1, os.SEEK_END)
        video.write(bytes([last[0] ^ 1]))
    assert reader(tmp_path).version([of(files[1]), of(frames[1])]) != versions[0]


def test_one_image_of_a_folder_that_changes(tmp_path: Path) -> None:
    video = of(frame_folder(tmp_path / "v", 4))
    before = reader(tmp_path).clips([video], None)
    frame_folder(tmp_path / "v", 1, paint=upper_half)
    assert not np.array_equal(before, reader(tmp_path).clips([video], None))


@pytest.mark.parametrize("harm", [Path.unlink, lambda file: file.write_bytes(b""), torn])
def test_a_cache_that_is_harmed_in_use_is_made_again(harm: Callable[[Path], object], tmp_path: Path) -> None:
    video = of(write(tmp_path / "v.mp4"))
    using = reader(tmp_path)
    before = using.clips([video], None)
    for file in cached(tmp_path):
        harm(file)
    assert np.array_equal(using.clips([video], None), before)


def test_the_least_recently_used_make_room(tmp_path: Path) -> None:
    videos = [of(write(tmp_path / f"{number}.mp4")) for number in range(4)]
    each = 128 + KEPT * EDGE * 48 * 3  # bytes of a file: 64×48 becomes 48×36
    using = reader(tmp_path, cache_gib=3.5 * each / 2**30)
    using.prepare(videos[:3])
    files = {video.path.name: using._decoding(video).file for video in videos}
    for age, video in enumerate(videos[:3]):
        os.utime(files[video.path.name], (1000 + age, 1000 + age))
    using.prepare(videos[:1])
    using.prepare(videos[3:])
    assert cached(tmp_path) == {files[name] for name in ("0.mp4", "2.mp4", "3.mp4")}
    with pytest.raises(ValueNotAllowed, match=r"is too little for 4 videos, which take about .* GiB; raise it"):
        using.prepare(videos)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(ValueNotAllowed, match=r"decoded videos cannot be kept in .*cache: .*; make room") as caught:
        reader(tmp_path).prepare([of(write(tmp_path / "v.mp4"))])
    assert "\n" not in str(caught.value)


@contextmanager
def no_room() -> Iterator[None]:
    """No file may grow beyond 4 kB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk(tmp_path: Path) -> None:
    video = of(write(tmp_path / "v.mp4"))
    with no_room(), pytest.raises(ValueNotAllowed, match=r"decoded videos cannot be kept in .*; make room"):
        reader(tmp_path).prepare([video])
    assert not cached(tmp_path), "no half file"


def test_the_cache_is_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ClipReader(SMALL).prepare([of(write(tmp_path / "v.mp4"))])
    assert len(list((tmp_path / "shiftbench" / "videos").iterdir())) == 1


def test_processes_decode_a_folder_as_one_does(tmp_path: Path) -> None:
    found = read_video_set(Videos(path=str(folder_of_videos(tmp_path / "videos", each=6))), Videos().questions[0], 0)
    chosen = found.train + found.validation + found.test
    shares: list[float] = []
    many = reader(tmp_path, workers=2)
    left_out = many.prepare(chosen, shares.append)
    assert [path.name for path in left_out] == ["letter.mp4"] and shares == sorted(shares) and shares[-1] == 1
    one = ClipReader(SMALL.model_copy(update={"cache": str(tmp_path / "another")}))
    assert one.prepare(chosen) == left_out
    good = [video for video in chosen if video.path not in left_out]
    assert len(good) == 11 and np.array_equal(many.clips(good, None), one.clips(good, None))
    assert many.version(good) == one.version(good) != reader(tmp_path, frames=5).version(good)


def test_a_video_that_kills_its_process_costs_itself() -> None:
    decodings = [Decoding(of(Path(name)), "", 1, 32, Path("nowhere")) for name in ("a", "killer", "b")]
    found = {decoding.video.path.name: outcome for decoding, outcome in outcomes(dies_at_killers, decodings, 2)}
    assert found == {"a": 1, "killer": "killer ends the process that decodes it", "b": 1}


def test_without_pyav_a_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, folder = of(write(tmp_path / "v.mp4")), of(frame_folder(tmp_path / "v"))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueNotAllowed, match="install the extra video, pip install av"):
        reader(tmp_path).prepare([video])
    assert reader(tmp_path).prepare([folder]) == {}


def test_workers_import_no_torch() -> None:
    code = "import sys, bench.data.video_clips; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0
