"""Which videos there are, what each shows, and what each is for: training, validation or the test.

Read from a folder CLASS/VIDEO, from lists of the released TSM code or of mmaction2, or from CSVs, as ``Videos`` and
``Split`` in ``spec`` say. Whether a video can be decoded is seen when it is, in ``video_clips``. No torch.
"""

import csv
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.data.decoding import words
from bench.spec.axes import ValueNotAllowed, require
from bench.spec.videos import Question, Split, Videos

ARROW = ("forward", "reversed")
"""The classes of the task ``arrow``: each video is shown both ways."""

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".webp")
VIDEO_SUFFIXES = (
    *(".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv"),
    *(".ts", ".webm", ".wmv"),
)
"""What counts in a folder; a list may name any file."""

_PATH_COLUMNS = ("path", "file", "video")
_LABEL_COLUMNS = ("label", "class", "name", "action")
_SIDES = ("left", "right", "clockwise")  # what a mirror exchanges
_NAMED = 5  # of many, in a message
_LINE = re.compile(r"(.+?)(?:\s+(\d+))?\s+(\S+)")
_PARTS = r"(?:train|validation|test)="


@dataclass(frozen=True)
class Video:
    """A video file, or a folder of frames, of which the first ``frames`` count (None: all). label: of its class in
    ``VideoSet.classes``; 0 in the task ``arrow``. group: what is never divided between parts."""

    path: Path
    label: int
    frames: int | None
    group: str


@dataclass(frozen=True)
class VideoSet:
    """The videos of a question. Where labels are numbers, ``classes`` are these, written out. flips: whether a mirrored
    video is still of its class, as far as the names of the classes tell."""

    classes: tuple[str, ...]
    train: tuple[Video, ...]
    validation: tuple[Video, ...]
    test: tuple[Video, ...]
    flips: bool


@dataclass(frozen=True)
class _Listed:
    """A video before its question is asked. name: of its class, empty where it has none. columns: of a CSV's row."""

    path: Path
    name: str
    frames: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    group: str = ""


_Several = Sequence[_Listed]


def read_video_set(videos: Videos, question: Question, seed: int) -> VideoSet:
    """The videos of ``question``, divided as for ``seed``. Raises ValueNotAllowed with what is wrong in the lists."""
    listed = {part: _read(path, videos) for part, path in _lists(videos.path).items()}
    return _asked(_divided(listed, videos.split, seed), question, videos.path)


def describe(videos: Videos) -> str:
    """A line: how many videos of how many classes, and for what, in the first question. Raises as above."""
    found = read_video_set(videos, videos.questions[0], 0)
    train, validation, test = len(found.train), len(found.validation), len(found.test)
    return (
        f"{videos.path}: {train + validation + test} videos, {len(found.classes)} classes; {train} for training, "
        f"{validation} for validation, {test} for the test"
    )


def in_order(text: str) -> tuple[list[str | int], str]:
    """A key that sorts numbers in names as numbers: clip9, clip10."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", text)], text


def _lists(path: str) -> dict[str, Path]:
    """{part: its list}, or {"": the list of all}."""
    if not re.match(_PARTS, path):
        return {"": Path(path).expanduser()}
    named = dict(part.split("=", 1) for part in re.split(f",(?={_PARTS})", path))
    if not {"train", "test"} <= named.keys():
        raise ValueNotAllowed(f"{path!r} lacks a list; write train=A,test=B or train=A,validation=B,test=C")
    return {part: Path(where).expanduser() for part, where in named.items()}


def _read(listing: Path, videos: Videos) -> list[_Listed]:
    """All that a folder or list names, with their groups. Raises ValueNotAllowed where files are missing."""
    if not listing.exists():
        raise ValueNotAllowed(f"there is no folder and no list of videos {listing}")
    if listing.is_dir():
        listed = list(_folder(listing))
    else:
        listed = list(_table(listing, videos) if listing.suffix.lower() == ".csv" else _lines(listing))
    if not listed:
        raise ValueNotAllowed(
            f"{listing} names no video; a folder holds CLASS/VIDEO, a VIDEO being a file such as *.mp4 or a folder of "
            "images; a list has lines PATH LABEL or PATH FRAMES LABEL; a CSV has a header"
        )
    root = _root(listing, videos.root, listed[0].path)
    groups = _groups(listed, videos.split.group, listing)
    found = [replace(v, path=root / v.path, group=group) for v, group in zip(listed, groups, strict=True)]
    if missing := [video.path for video in found if not video.path.exists()]:
        raise ValueNotAllowed(
            f"{len(missing)} of {len(found)} videos of {listing} are missing: {_some(missing)}; root says what the "
            "paths of a list begin with"
        )
    return found


def _root(listing: Path, root: str, first: Path) -> Path:
    if listing.is_dir():
        return listing
    if root:
        return Path(root).expanduser()
    inside = listing.parent / "videos"
    return inside if (inside / first).exists() and not (listing.parent / first).exists() else listing.parent


def _folder(folder: Path) -> Iterator[_Listed]:
    """CLASS/VIDEO, sorted; a video that stands beside the classes has none."""
    for child in _children(folder):
        if _is_video(child):
            yield _Listed(Path(child.name), "")
        elif child.is_dir():
            for video in filter(_is_video, _children(child)):
                yield _Listed(Path(child.name, video.name), child.name)


def _children(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if path.name[0] != "."), key=lambda path: in_order(path.name))


def _is_video(path: Path) -> bool:
    """A file by its suffix; a folder that holds images and no videos."""
    if not path.is_dir():
        return path.suffix.lower() in VIDEO_SUFFIXES
    suffixes = {child.suffix.lower() for child in path.iterdir()}
    return not suffixes.isdisjoint(IMAGE_SUFFIXES) and suffixes.isdisjoint(VIDEO_SUFFIXES)


def _lines(listing: Path) -> Iterator[_Listed]:
    """PATH FRAMES LABEL, as the released TSM code has it, or PATH LABEL, as mmaction2; blank lines are passed over."""
    for number, line in enumerate(_text(listing).splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueNotAllowed(f"line {number} of {listing} is {line[:80]!r}; write PATH LABEL or PATH FRAMES LABEL")
        path, frames, label = match.groups()
        if not label.isdecimal():
            raise ValueNotAllowed(f"line {number} of {listing}: label {label!r} is not a whole number from 0 on")
        yield _Listed(Path(path), str(int(label)), None if frames is None else int(frames))


def _table(listing: Path, videos: Videos) -> Iterator[_Listed]:
    """A CSV with a header; its delimiter is the commonest of comma, semicolon and tab in that."""
    text = _text(listing)
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    if not (header := list(reader.fieldnames or ())):
        return
    paths = _columns(videos.path_column, _PATH_COLUMNS, header, listing)
    if not paths:
        raise ValueNotAllowed(
            f"no column of {listing} is called {' or '.join(_PATH_COLUMNS)}, but {', '.join(header)}; name one by "
            "path_column"
        )
    rows = []
    for row in reader:
        if None in row or None in row.values() or not row[paths[0]]:  # too many values, too few, no path
            raise ValueNotAllowed(f"line {reader.line_num} of {listing} does not fit its header {', '.join(header)}")
        rows.append(row)
    labels = _columns(videos.label_column, _LABEL_COLUMNS, header, listing)
    textual = [column for column in labels if not all(row[column].isdecimal() for row in rows)]
    label = next(iter(textual or labels), None)
    for row in rows:
        frames = row.get("frames", "")
        count = int(frames) if frames.isdecimal() else None
        yield _Listed(Path(row[paths[0]]), row[label] if label else "", count, row)


def _columns(named: str, usual: Sequence[str], header: Sequence[str], listing: Path) -> list[str]:
    """The columns that may be meant, the likeliest first."""
    if named:
        require(named, header, f"column of {listing}")
        return [named]
    return [column for name in usual for column in header if column.lower() == name]


def _text(listing: Path) -> str:
    try:
        return listing.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueNotAllowed(f"{listing} cannot be read as a list of videos: {words(error)}") from None


def _groups(listed: _Several, group: str, listing: Path) -> list[str]:
    """Of each video, as ``Split.group`` says."""
    paths = [video.path.as_posix() for video in listed]
    if not group:
        return paths
    if "(" not in group:
        columns = listed[0].columns
        if group not in columns:
            has = f"they are {', '.join(columns)}" if columns else "there are none; catch it in paths: '_g([0-9]+)_'"
            raise ValueNotAllowed(f"split.group = {group!r} is not among the columns of {listing}: {has}")
        return [video.columns[group] for video in listed]
    try:
        caught = [(match and match[1]) or "" for match in (re.search(group, path) for path in paths)]
    except (re.error, IndexError) as error:
        raise ValueNotAllowed(f"split.group = {group!r} is no regular expression with a group: {error}") from None
    if missed := [path for path, found in zip(paths, caught, strict=True) if not found]:
        raise ValueNotAllowed(f"split.group = {group!r} catches nothing in {len(missed)} paths: {_some(missed)}")
    return caught


def _divided(listed: Mapping[str, _Several], split: Split, seed: int) -> tuple[_Several, _Several, _Several]:
    """Training, validation and test, as ``Split`` says."""
    aside = listed.get("validation", ())
    if "" in listed:
        pool, test = _apart(listed[""], split.test, split.test_share, split, "test")
    else:
        pool, test = listed["train"], listed["test"]
        times = Counter(path for part in listed.values() for path in {video.path for video in part})
        if twice := [path for path, lists in times.items() if lists > 1]:
            raise ValueNotAllowed(f"{len(twice)} videos are in more than one list: {_some(twice)}")
    named = split.validation
    if split.alternate and seed % 2:
        pool, aside, test = test, (), [*pool, *aside]
        named = tuple(_names(pool)[-len(named) :]) if named else ()
    if not aside:
        pool, aside = _apart(pool, named, split.validation_share, split, "validation")
    return pool, aside, test


def _apart(listed: _Several, named: Sequence[str], share: float, split: Split, part: str) -> tuple[_Several, _Several]:
    """What remains, and the videos of the groups that are named for ``part`` or drawn for it."""
    groups = _names(listed)
    for name in named:
        require(name, groups, f"group of split.{part}")
    chosen = set(named) or _drawn(listed, share, by_class=not split.group)
    remaining = [video for video in listed if video.group not in chosen]
    apart = [video for video in listed if video.group in chosen]
    if not remaining or not apart:
        raise ValueNotAllowed(
            f"groups cannot be divided: {_some(groups)} leave none for {part if remaining else 'training'}; training, "
            "validation and test share no group, so it takes three"
        )
    return remaining, apart


def _drawn(listed: _Several, share: float, by_class: bool) -> set[str]:
    """A share of the groups by a hash of their names, the same on every machine; never all that a class has."""
    strata: dict[str, set[str]] = {}
    for video in listed:
        strata.setdefault(video.name if by_class else "", set()).add(video.group)
    drawn = set[str]()
    for groups in strata.values():
        count = min(max(1, round(share * len(groups))), len(groups) - 1)
        drawn |= set(sorted(groups, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())[:count])
    return drawn


def _asked(parts: Sequence[_Several], question: Question, path: str) -> VideoSet:
    """The videos of the question's classes, with its labels. Raises ValueNotAllowed where they cannot answer it."""
    names = sorted({video.name for part in parts for video in part}, key=in_order)
    for name in question.classes:
        require(name, names, f"class of the question {question.name}")
    kept = [name for name in names if name in (question.classes or names)]
    arrow = question.task == "arrow"
    if not arrow and "" in kept:
        raise ValueNotAllowed(
            f"videos of {path} have no class; a folder says it as CLASS/VIDEO, a CSV in a column "
            f"{' or '.join(_LABEL_COLUMNS)}; without classes there is the task arrow"
        )
    if not arrow and len(kept) < 2:
        raise ValueNotAllowed(f"all videos of {path} are of the class {kept[0]!r}; it takes two to tell apart")
    labels = {name: 0 if arrow else label for label, name in enumerate(kept)}
    train, validation, test = (
        tuple(Video(v.path, labels[v.name], v.frames, v.group) for v in part if v.name in labels) for part in parts
    )
    for part, found in (("training", train), ("validation", validation), ("the test", test)):
        if not found:
            raise ValueNotAllowed(f"{path}: no video of the question {question.name} is for {part}; split otherwise")
    if absent := sorted({v.label for v in validation + test} - {v.label for v in train}):
        raise ValueNotAllowed(
            f"{path}: no video is for training of the classes {_some([kept[label] for label in absent])}, which "
            "validation or test ask for; split otherwise"
        )
    classes = ARROW if arrow else tuple(kept)
    return VideoSet(classes, train, validation, test, not any(side in c.lower() for c in classes for side in _SIDES))


def _names(listed: Iterable[_Listed]) -> list[str]:
    """Of all groups, sorted."""
    return sorted({video.group for video in listed}, key=in_order)


def _some(names: Sequence[object]) -> str:
    """The first of them, for a message."""
    return ", ".join(map(str, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
