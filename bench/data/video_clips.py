"""Clips of videos, read from a cache on disk: a few small frames of each video, decoded once.

A cached video is an array [m, H, W, 3] of uint8 RGB: m = min(n, ``kept``) of its n frames, evenly spaced, upright, the
shorter side ``size + margin`` px. Its file's name is a hash of where the source lies, how large and how old it is, and
of how it was decoded, so what changes is decoded anew. Files that were not used for long make room for new ones; what
somebody deletes is decoded again. No torch: worker processes import this.
"""

import hashlib
import os
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import count, islice, takewhile
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.decoding import VideoError, open_video, pictures, words
from bench.data.images import version_of
from bench.data.video_lists import IMAGE_SUFFIXES, Video, in_order
from bench.spec.axes import ValueNotAllowed
from bench.spec.videos import Videos
from bench.system.environment import cache_folder

Frames = NDArray[np.uint8]

_SUFFIX = ".frames.npy"
_GIB, _END = 1 << 30, 1 << 16  # bytes
_LOOKS = 20  # at the whole cache, while as much as it may hold is written
_CHANGES_PIXELS = {"pattern", "frames", "sampling", "views", "kept", "size", "margin"}  # of ``Videos``


@dataclass(frozen=True)
class Decoding:
    """A video, how it is decoded (``kept`` frames, the shorter side ``edge`` px), and the file that takes it."""

    video: Video
    pattern: str
    kept: int
    edge: int
    file: Path


class ClipReader:
    """Reads clips of ``videos``. workers: processes that decode; 0: this one does."""

    def __init__(self, videos: Videos, workers: int = 0) -> None:
        self._videos, self._workers = videos, workers
        self._folder = Path(videos.cache).expanduser() if videos.cache else cache_folder() / "videos"
        self._decodings: dict[Path, Decoding] = {}
        self._written = 0  # bytes since the last look at the whole cache

    def prepare(self, chosen: Sequence[Video], progress: Callable[[float], None] | None = None) -> dict[Path, str]:
        """Decode what the cache lacks. Returns the videos that cannot be read, and why: ``clips`` takes the others.

        progress: called with the share that is done, 0 to 1. Raises ValueNotAllowed where the cache cannot be written,
        or cannot hold all of ``chosen``; what is decoded by then is kept.
        """
        wanted = {video.path: self._decoding(video) for video in chosen}
        lacking, held, left_out = [], 0, dict[Path, str]()
        for decoding in wanted.values():
            try:
                os.utime(decoding.file)  # used now
                held += decoding.file.stat().st_size
            except OSError:
                lacking.append(decoding)
        with closing(outcomes(decode, lacking, self._workers)) as found:
            for done, (decoding, outcome) in enumerate(found, 1):
                if isinstance(outcome, str):
                    left_out[decoding.video.path] = outcome
                else:
                    held += outcome
                    self._make_room(outcome)
                if held > self._videos.cache_gib * _GIB:
                    needed = held / _GIB * len(wanted) / (len(wanted) - len(lacking) + done)
                    raise ValueNotAllowed(
                        f"cache_gib = {self._videos.cache_gib:g} is too little for {len(wanted)} videos, which take "
                        f"about {needed:.3g} GiB; raise it, or lower kept or size"
                    )
                if progress:
                    progress(done / len(lacking))
        return left_out

    def clips(self, chosen: Sequence[Video], rng: np.random.Generator | None, view: int = 0) -> Frames:
        """A clip of each video [N, T, size, size, 3].

        rng None: view ``view`` of ``views``, from the centre of the frame. Else a random moment of each segment, and a
        random place up to half a margin from the centre, the same in all frames of a clip. Raises VideoError where a
        video cannot be read.
        """
        v, shape = self._videos, (len(chosen), self._videos.frames)
        when = np.full(shape, (view + 0.5) / v.views) if rng is None else rng.random(shape)
        corners = (len(chosen), 2)
        moved = np.full(corners, v.margin // 2) if rng is None else rng.integers(0, v.margin + 1, corners)
        clips = np.empty((*shape, v.size, v.size, 3), np.uint8)
        for clip, video, moments, (down, right) in zip(clips, chosen, when, moved, strict=True):
            stored = self._stored(video)
            top, left = ((extent - v.size - v.margin) // 2 for extent in stored.shape[1:3])
            window = stored[:, top + down : top + down + v.size, left + right : left + right + v.size]
            clip[...] = window[sampled(len(stored), moments, v.sampling)]
        return clips

    def version(self, chosen: Sequence[Video]) -> str:
        """A short hash of what the files hold now, wherever they lie and however old they are, and of all in ``Videos``
        that changes a pixel of a clip."""
        how = self._videos.model_dump(mode="json", include=_CHANGES_PIXELS)
        return version_of([how, [_contents(video, self._videos.pattern) for video in chosen]], ())

    def _decoding(self, video: Video) -> Decoding:
        """Looked up once: a source that changes while it is in use is decoded anew by the next reader."""
        if video.path not in self._decodings:
            v, edge = self._videos, self._videos.size + self._videos.margin
            made_from = repr((_stamps(video, v.pattern), v.kept, edge))
            file = self._folder / (hashlib.sha256(made_from.encode()).hexdigest()[:32] + _SUFFIX)
            self._decodings[video.path] = Decoding(video, v.pattern, v.kept, edge, file)
        return self._decodings[video.path]

    def _stored(self, video: Video) -> Frames:
        """A cached video, mapped into memory; decoded where it is not there."""
        decoding = self._decoding(video)
        with suppress(OSError, ValueError, EOFError):
            mapped: Frames = np.load(decoding.file, mmap_mode="r")
            return mapped
        outcome = decode(decoding)
        if isinstance(outcome, str):
            raise VideoError(outcome)
        mapped = np.load(decoding.file, mmap_mode="r")
        self._make_room(outcome)
        return mapped

    def _make_room(self, written: int) -> None:
        """Keep the bound: every now and then, delete the files that were not used for the longest time."""
        bound = self._videos.cache_gib * _GIB
        self._written += written
        if self._written * _LOOKS < bound:
            return
        self._written, files = 0, []
        for file in self._folder.glob(f"*{_SUFFIX}"):
            with suppress(OSError):  # another process makes room as well
                status = file.stat()
                files.append((status.st_mtime_ns, status.st_size, file))
        surplus = sum(size for _, size, _ in files) - bound
        for _, size, file in sorted(files):
            if surplus <= 0:
                break
            file.unlink(missing_ok=True)
            surplus -= size


def sampled(available: int, moments: NDArray[np.float64], sampling: str) -> NDArray[np.intp]:
    """Which of the kept frames [T] a clip shows, in their order. moments [T]: where in its part each is taken, 0 to 1.

    segments: as many equal parts as the clip has frames, a frame of each (Wang et al., Temporal Segment Networks, ECCV
    2016). dense: consecutive frames that begin at the first of ``moments``. A video with fewer frames than the clip
    repeats them by the rule of segments.
    """
    length = len(moments)
    if sampling == "dense" and available >= length:
        return int(moments[0] * (available - length + 1)) + np.arange(length)
    places = (np.arange(length) + moments) * available / length
    return np.minimum(places.astype(np.intp), available - 1)  # 7 + 0.999… is 8


def outcomes(
    work: Callable[[Decoding], int | str], decodings: Sequence[Decoding], workers: int
) -> Generator[tuple[Decoding, int | str], None, None]:
    """Each with what ``work`` returned, as they come; in fresh processes, or in this one where there are no workers.

    A video that kills its process costs itself: from then on one process at a time finds out which one it is.
    """
    left = list(decodings)
    if not workers:
        yield from ((decoding, work(decoding)) for decoding in left)
        return
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    while left:
        with ProcessPoolExecutor(min(workers, len(left)), get_context("spawn"), signal.signal, ignore) as pool:
            futures = {pool.submit(work, decoding): decoding for decoding in left}
            try:
                for future in as_completed(futures):
                    if not isinstance(future.exception(), BrokenProcessPool):
                        yield futures[future], future.result()
            finally:
                pool.shutdown(cancel_futures=True)
        left = [futures[future] for future in futures if isinstance(future.exception(), BrokenProcessPool)]
        if left and workers == 1:
            killer = left.pop(0)
            yield killer, f"{killer.video.path} ends the process that decodes it"
        workers = 1


def decode(decoding: Decoding) -> int | str:
    """Put a video into the cache: its bytes there, or why it cannot be read.

    Raises ValueNotAllowed where the cache cannot be written, or without PyAV.
    """
    try:
        frames = np.stack(_of_folder(decoding) if decoding.video.path.is_dir() else _of_file(decoding))
    except VideoError as error:
        return str(error)
    file = decoding.file
    part = file.with_name(f"{os.getpid()}-{file.name}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(part, frames)
        size = part.stat().st_size
        os.replace(part, file)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise ValueNotAllowed(
            f"decoded videos cannot be kept in {file.parent}: {words(error)}; make room, or name another by cache"
        ) from None
    return size


def _of_file(decoding: Decoding) -> list[Frames]:
    """As far as it can be decoded; once more where its header counts other frames than there are, or none."""
    expected = None
    while True:
        found, seen = list[Frames](), 0
        with open_video(decoding.video.path) as (container, stream):
            expected = stream.frames if expected is None else expected
            wanted = set(_spread(expected, decoding.kept))
            try:
                for picture in pictures(decoding.video.path, container, stream):
                    if seen in wanted:
                        upright = picture.to_image().rotate(90 * round(picture.rotation / 90), expand=True)
                        found.append(_scaled(upright, decoding.edge, found))
                    seen += 1
            except VideoError:
                if not seen:
                    raise
        if seen == expected:
            return found
        expected = seen


def _of_folder(decoding: Decoding) -> list[Frames]:
    files, found = frame_files(decoding.video, decoding.pattern), list[Frames]()
    if not files:
        raise VideoError(f"{decoding.video.path} holds no frame")
    for place in _spread(len(files), decoding.kept):
        try:
            with Image.open(files[place]) as image:
                found.append(_scaled(image, decoding.edge, found))
        except (OSError, SyntaxError) as error:  # the latter: a broken PNG
            raise VideoError(f"{files[place]} cannot be read as an image: {words(error)}") from None
    return found


def frame_files(video: Video, pattern: str) -> list[Path]:
    """The frames of a folder: numbered from 0 or 1 on as ``pattern`` says, else all of its images, sorted by name."""
    start = next((number for number in (0, 1) if (video.path / pattern.format(number)).exists()), None)
    if start is None:
        images = [path for path in video.path.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
        return sorted(images, key=lambda path: in_order(path.name))[: video.frames]
    numbered = (video.path / pattern.format(number) for number in count(start))
    return list(takewhile(Path.exists, numbered) if video.frames is None else islice(numbered, video.frames))


def _spread(available: int, kept: int) -> list[int]:
    """The middle frames of min(available, kept) equal parts."""
    parts = min(available, kept)
    return [(2 * part + 1) * available // (2 * parts) for part in range(parts)]


def _scaled(image: Image.Image, edge: int, before: Sequence[Frames]) -> Frames:
    """[H, W, 3], the shorter side ``edge`` px; of the size of the frames before it, where there are any."""
    width, height = (round(side * edge / min(image.size)) for side in image.size)
    size = before[0].shape[1::-1] if before else (width, height)
    return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def _contents(video: Video, pattern: str) -> list[tuple[str, int, str]]:
    """Of each file of a video: its name, its bytes (-1: it is missing), and of a video file a hash of both ends."""
    found = []
    for file in frame_files(video, pattern) if video.path.is_dir() else [video.path]:
        try:
            size, ends = file.stat().st_size, b""
            if file == video.path:
                with open(file, "rb") as opened:
                    ends = opened.read(_END)
                    opened.seek(max(0, size - _END))
                    ends += opened.read(_END)
            found.append((file.name, size, hashlib.sha256(ends).hexdigest()))
        except OSError:
            found.append((file.name, -1, ""))
    return found


def _stamps(video: Video, pattern: str) -> list[tuple[str, int, int]]:
    """Of all files of a video: where it lies, its bytes and its time in ns; -1 where it is missing."""
    stamps = []
    for file in frame_files(video, pattern) if video.path.is_dir() else [video.path]:
        try:
            status = file.stat()
            stamps.append((str(file.absolute()), status.st_size, status.st_mtime_ns))
        except OSError:
            stamps.append((str(file.absolute()), -1, -1))
    return stamps
