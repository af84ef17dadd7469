"""Lists of videos as users have them, how they are divided, and what is said where they are wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench.data.video_lists import ARROW, Video, VideoSet, describe, read_video_set
from bench.spec.axes import ValueNotAllowed
from bench.spec.videos import Question, Split, Videos
from tests.data.making_videos import frame_folder

LABEL, ARROW_OF_TIME = Question(), Question(name="arrow", task="arrow")


def touch(folder: Path, *names: str) -> Path:
    """Files that no list looks into."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def class_folder(folder: Path, classes: tuple[str, ...] = ("sit", "stand"), each: int = 10) -> Path:
    return touch(folder, *(f"{name}/{number}.mp4" for name in classes for number in range(each)))


def listed(folder: Path, text: str, name: str = "list.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def subjects(folder: Path, beside: str = "videos") -> Path:
    """A CSV as UTD-MHAD's: 2 actions, 8 subjects, 2 trials."""
    header, rows = "file,frames,action,name,subject,trial", []
    for action, name in ((9, "draw circle clockwise"), (10, "stand up")):
        for subject in range(1, 9):
            rows += [f"a{action}_s{subject}_t{trial}.mp4,76,{action},{name},{subject},{trial}" for trial in (1, 2)]
    touch(folder / beside, *(row.split(",")[0] for row in rows))
    return listed(folder, "\n".join([header, *rows, ""]), "clips.csv")


def everything(found: VideoSet) -> tuple[Video, ...]:
    return found.train + found.validation + found.test


def read(path: Path | str, question: Question = LABEL, seed: int = 0, **how: object) -> VideoSet:
    return read_video_set(Videos(path=str(path), **how), question, seed)  # type: ignore[arg-type]


def test_a_folder_of_classes(tmp_path: Path) -> None:
    class_folder(tmp_path, ("10", "9", "b"), 4)
    touch(tmp_path, "9/notes.txt", "9/.hidden.mp4", "readme.md")
    frame_folder(tmp_path / "9" / "frames", 2)
    found = read(tmp_path)
    assert found.classes == ("9", "10", "b") and len(everything(found)) == 13
    assert {(video.path.parent.name, video.label) for video in everything(found)} == {("9", 0), ("10", 1), ("b", 2)}
    assert tmp_path / "9" / "frames" in {video.path for video in everything(found)}


@pytest.mark.parametrize("root", ["", "elsewhere"])
def test_lists_of_other_suites(root: str, tmp_path: Path) -> None:
    """Frame folders of the released TSM code and files of mmaction2, in one list; paths with blanks."""
    for number in range(4):
        (tmp_path / root / f"frames {number}").mkdir(parents=True)
        touch(tmp_path / root, f"my clip {number}.mp4")
    lines = [f"frames {number} 24 10\nmy clip {number}.mp4 2\n\n" for number in range(4)]
    found = read(listed(tmp_path, "".join(lines)), root=str(tmp_path / root) if root else "")
    assert found.classes == ("2", "10")
    assert {(video.path.name[:6], video.label, video.frames) for video in everything(found)} == {
        ("frames", 1, 24),
        ("my cli", 0, None),
    }
    assert all(video.path.exists() for video in everything(found))


@pytest.mark.parametrize("beside", ["videos", "."])
def test_a_csv_prefers_words_and_finds_its_videos(beside: str, tmp_path: Path) -> None:
    found = read(subjects(tmp_path, beside))
    assert found.classes == ("draw circle clockwise", "stand up") and len(everything(found)) == 32
    assert all(video.path.exists() and video.frames == 76 for video in everything(found))
    assert read(tmp_path / "clips.csv", label_column="action").classes == ("9", "10")


def test_a_csv_with_other_columns_and_delimiters(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{number}.mp4" for number in range(8)))
    rows = [f"{number % 2};{number}.mp4" for number in range(8)]
    found = read(listed(tmp_path, "\n".join(["Class;where", *rows]), "a.csv"), path_column="where")
    assert found.classes == ("0", "1") and len(everything(found)) == 8


def test_lists_that_are_divided_already(tmp_path: Path) -> None:
    class_folder(tmp_path / "a")
    class_folder(tmp_path / "b", each=4)
    class_folder(tmp_path / "c", each=2)
    three = read(f"train={tmp_path}/a,validation={tmp_path}/c,test={tmp_path}/b")
    assert [len(part) for part in (three.train, three.validation, three.test)] == [20, 4, 8]
    two = read(f"train={tmp_path}/a,test={tmp_path}/b")
    assert [len(part) for part in (two.train, two.validation, two.test)] == [16, 4, 8], "validation: of the training's"
    odd = read(f"train={tmp_path}/a,test={tmp_path}/b", seed=1, split=Split(alternate=True))
    assert {video.path.parts[-3] for video in odd.test} == {"a"} and len(odd.test) == 20
    assert [len(odd.train), len(odd.validation)] == [6, 2]


def test_each_class_is_in_each_part_and_no_seed_changes_that(tmp_path: Path) -> None:
    class_folder(tmp_path, ("a", "b", "c"))
    found = read(tmp_path)
    for part, each in ((found.train, 7), (found.validation, 1), (found.test, 2)):
        assert [video.label for video in part] == [0] * each + [1] * each + [2] * each
    assert found == read(tmp_path, seed=1) == read(tmp_path, seed=2)


@pytest.mark.parametrize("group", ["subject", r"_s(\d)_"])
@pytest.mark.parametrize(
    ("split", "seed", "train", "validation", "test"),
    [
        ({"test": tuple("2468"), "validation": ("7",)}, 0, "135", "7", "2468"),
        ({"test": tuple("2468"), "validation": ("7",)}, 1, "135", "7", "2468"),
        ({"test": tuple("2468"), "validation": ("7",), "alternate": True}, 2, "135", "7", "2468"),
        ({"test": tuple("2468"), "validation": ("7",), "alternate": True}, 3, "246", "8", "1357"),
        ({"test": tuple("78"), "validation": tuple("15"), "alternate": True}, 0, "2346", "15", "78"),
    ],
)
def test_groups_by_name(
    group: str, split: dict[str, object], seed: int, train: str, validation: str, test: str, tmp_path: Path
) -> None:
    found = read(subjects(tmp_path), seed=seed, split=Split(group=group, **split))  # type: ignore[arg-type]
    for part, wanted in ((found.train, train), (found.validation, validation), (found.test, test)):
        assert sorted({video.group for video in part}) == list(wanted)
        assert {video.path.name.split("_")[1][1:] for video in part} == set(wanted)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("alternate", [False, True])
def test_groups_by_share_are_never_divided(seed: int, alternate: bool, tmp_path: Path) -> None:
    split = Split(group="subject", test_share=0.4, alternate=alternate)
    found = read(subjects(tmp_path), seed=seed, split=split)
    parts = [{video.group for video in part} for part in (found.train, found.validation, found.test)]
    assert sum(map(len, parts)) == 8 == len(set.union(*parts)) and all(parts)
    assert len(parts[2]) == (5 if alternate and seed else 3)
    assert len(everything(found)) == 32


def test_a_question_of_some_classes(tmp_path: Path) -> None:
    class_folder(tmp_path, ("left", "right", "up"))
    question = Question(name="pair", classes=("up", "left"))
    found, whole = read(tmp_path, question), read(tmp_path)
    assert found.classes == ("left", "up") and {video.label for video in found.train} == {0, 1}
    assert {video.path for video in found.test} < {video.path for video in whole.test}, "the same split"


def test_the_arrow_of_time_needs_no_classes(tmp_path: Path) -> None:
    touch(tmp_path / "flat", *(f"{number}.mp4" for number in range(8)))
    frame_folder(tmp_path / "flat" / "frames", 2)
    found = read(tmp_path / "flat", ARROW_OF_TIME)
    assert found.classes == ARROW and len(everything(found)) == 9 and found.flips
    assert {video.label for video in everything(found)} == {0}
    rows = listed(tmp_path / "flat", "\n".join(["file", *(f"{number}.mp4" for number in range(8))]), "a.csv")
    assert len(everything(read(rows, ARROW_OF_TIME))) == 8


@pytest.mark.parametrize(
    ("classes", "flips"),
    [(("open", "close"), True), (("Swipe Left", "wave"), False), (("counter-clockwise", "x"), False)],
)
def test_flips_where_no_name_forbids_them(classes: tuple[str, ...], flips: bool, tmp_path: Path) -> None:
    assert read(class_folder(tmp_path, classes)).flips is flips


def test_a_line_that_describes_them(tmp_path: Path) -> None:
    line = describe(Videos(path=str(class_folder(tmp_path))))
    assert line == f"{tmp_path}: 20 videos, 2 classes; 14 for training, 2 for validation, 4 for the test"


def of_lines(*lines: str) -> Callable[[Path], Path]:
    return lambda folder: listed(touch(folder, "a.mp4", "b.mp4", "c.mp4"), "\n".join(lines))


def of_csv(*lines: str) -> Callable[[Path], Path]:
    return lambda folder: listed(touch(folder, "a.mp4", "b.mp4", "c.mp4"), "\n".join(lines), "list.csv")


def binary(folder: Path) -> Path:
    (folder / "film.mp4").write_bytes(b"\x00\xff\xfe" * 100)
    return folder / "film.mp4"


def empty_folder(folder: Path) -> Path:
    (folder / "class").mkdir()
    return folder


def overlapping(folder: Path) -> str:
    return f"train={class_folder(folder)},test={folder}"


MISTAKES: dict[str, tuple[Callable[[Path], Path | str], dict[str, object], str]] = {
    "no path": (lambda folder: folder / "nowhere", {}, "there is no folder and no list of videos .*nowhere"),
    "empty folder": (empty_folder, {}, "names no video; a folder holds CLASS/VIDEO"),
    "empty list": (of_lines("", " "), {}, "names no video"),
    "empty csv": (of_csv(""), {}, "names no video"),
    "csv of a header": (of_csv("path,label"), {}, "names no video"),
    "a video as list": (binary, {}, "film.mp4 cannot be read as a list of videos"),
    "missing files": (
        of_lines("a.mp4 0", *(f"{number}.mp4 1" for number in range(7))),
        {},
        r"7 of 8 videos of .* are missing: \S*0.mp4, \S*1.mp4, \S*2.mp4, \S*3.mp4, \S*4.mp4, …; root says",
    ),
    "malformed line": (of_lines("a.mp4 0", "b.mp4"), {}, "line 2 of .* is 'b.mp4'; write PATH LABEL or"),
    "label in words": (of_lines("a.mp4 0", "b.mp4 sit"), {}, "line 2 of .*: label 'sit' is not a whole number from 0"),
    "label below zero": (of_lines("a.mp4 -1"), {}, "line 1 of .*: label '-1' is not a whole number from 0"),
    "one class": (of_lines("a.mp4 3", "b.mp4 3", "c.mp4 3"), {}, "are of the class '3'; it takes two"),
    "csv without paths": (of_csv("where,label", "a.mp4,0"), {}, "is called path or file or video, but where"),
    "csv without that column": (
        of_csv("path,label", "a.mp4,0"),
        {"label_column": "verb"},
        "unknown column of .*list.csv 'verb'; there are: path, label",
    ),
    "csv with a short row": (of_csv("path,label", "a.mp4,0", "b.mp4"), {}, "line 3 of .* does not fit its header path"),
    "csv with a long row": (of_csv("path,label", "a.mp4,0,1"), {}, "line 2 of .* does not fit its header"),
    "no classes": (of_csv("path", "a.mp4", "b.mp4", "c.mp4"), {}, "videos of .* have no class; .*the task arrow"),
    "unknown class": (
        class_folder,
        {"question": Question(classes=("lie",))},
        "unknown class of the question label 'lie'; there are: sit, stand",
    ),
    "unknown group": (
        subjects,
        {"split": Split(group="subject", test=("9",))},
        "unknown group of split.test '9'; there are: 1, 2, 3",
    ),
    "unknown column of groups": (
        subjects,
        {"split": Split(group="person")},
        "'person' is not among the columns of .*: they are file, frames",
    ),
    "columns of a folder": (class_folder, {"split": Split(group="subject")}, "'subject' is not .* are none; catch it"),
    "groups not caught": (class_folder, {"split": Split(group="_g(.)_")}, "nothing in 20 paths: sit/0.mp4, .*…"),
    "no regular expression": (class_folder, {"split": Split(group="(")}, "is no regular expression with a group"),
    "too few groups": (class_folder, {"split": Split(group="(sit|stand)")}, "cannot be divided: .* it takes three"),
    "nothing left to train on": (
        subjects,
        {"split": Split(group="subject", test=("1",), validation=tuple("2345678"))},
        "groups cannot be divided: 2, 3, .* leave none for training",
    ),
    "a class that is not trained": (
        lambda folder: class_folder(folder, ("a", "b", "c")),
        {"split": Split(group="(.)/.", test=("c",), validation=("b",))},
        "no video is for training of the classes b, c",
    ),
    "one group left": (
        subjects,
        {"split": Split(group="name", test=("stand up",))},
        "groups cannot be divided: draw circle clockwise leave none for validation",
    ),
    "a list too few": (lambda folder: f"train={folder}", {}, "lacks a list; write train=A,test=B"),
    "lists that share videos": (overlapping, {}, "20 videos are in more than one list: .*…"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line(name: str, tmp_path: Path) -> None:
    make, how, message = MISTAKES[name]
    with pytest.raises(ValueNotAllowed, match=message) as caught:
        read(make(tmp_path), **how)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_what_cannot_be_asked_for() -> None:
    for how, message in (
        ({"pattern": "img.jpg"}, "gives frames no numbers"),
        ({"pattern": "{name}.jpg"}, "gives frames no numbers"),
        ({"kept": 4}, "kept = 4 of a video is fewer than the frames = 8"),
        ({"questions": (LABEL, LABEL)}, "two questions are called 'label'"),
    ):
        with pytest.raises(ValueError, match=message):
            Videos(**how)  # type: ignore[arg-type]
