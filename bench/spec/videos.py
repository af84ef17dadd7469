"""Videos of one's own: where they lie, what is asked of them, which are for what, and how clips are taken from them."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from bench.spec.axes import ValueNotAllowed
from bench.spec.schema import Count, Positive, Strict

Share = Annotated[float, Field(gt=0, lt=1)]


class Question(Strict):
    """What is asked of videos. label: which class; arrow: shown forward or reversed? classes: only their videos.
    epochs: of training, where a question has more or fewer videos than the recipe was made for; None: the recipe's.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = "label"
    task: Literal["label", "arrow"] = "label"
    classes: tuple[str, ...] = ()
    epochs: Count | None = None


class Split(Strict):
    """Which videos are for what, where their lists don't say so; the same for all questions.

    group: what is never divided between parts: a column of a CSV or, with parentheses in it, a regular expression whose
    first pair catches the group in a video's path as listed, as ``_g([0-9]+)_``; empty: each video is a group of its
    own. test, validation: groups, by value. Where test is empty, test_share of the groups are drawn by a hash of their
    names; where validation is empty, validation_share of the groups that the test leaves: the same for all seeds, and
    from each class alike where each video is a group of its own. alternate: odd seeds test on what even ones train on
    and validate on, and divide what those test on: as many groups as ``validation`` names, from the end of their sorted
    names, are for validation, validation_share of them where it names none, and the rest for training.
    """

    group: str = ""
    test: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test_share: Share = 0.2
    validation_share: Share = 0.15
    alternate: bool = False


class Videos(Strict):
    """Videos of one's own, and how clips are taken from them (docs/videos.md).

    path: a folder CLASS/VIDEO, a list of the released TSM code (path frames label) or of mmaction2 (path label), or a
    CSV; empty: there are none. With several lists, train=A,validation=B,test=C. root: what paths in lists begin with;
    empty: the list's folder, or ``videos`` in it. pattern: of the names of numbered frames in a frame folder.
    path_column, label_column: of a CSV; empty: path, file or video; label, class, name or action, of which one with
    words comes before one with numbers. kept: frames of a video that the cache holds, evenly spaced; size: px of a
    clip's edge, kept with ``margin`` more on the shorter side, within which a training clip is cropped at random.
    frames: in a clip. sampling: segments (one frame of each, random in training, the centre one in tests) or dense
    (consecutive kept frames). views: clips of a video in a test, whose logits are averaged. cache: a folder, safe to
    delete; empty: in the user's cache folder; cache_gib: its bound.
    """

    path: str = ""
    root: str = ""
    pattern: str = "img_{:05d}.jpg"
    path_column: str = ""
    label_column: str = ""
    questions: Annotated[tuple[Question, ...], Field(min_length=1)] = (Question(),)
    split: Split = Split()
    frames: Count = 8
    sampling: Literal["segments", "dense"] = "segments"
    views: Count = 1
    kept: Count = 24
    size: Annotated[int, Field(ge=32)] = 112
    margin: Annotated[int, Field(ge=0)] = 8
    cache: str = ""
    cache_gib: Positive = 20.0

    @field_validator("pattern")
    @classmethod
    def _numbers_files(cls, pattern: str) -> str:
        try:
            numbers = pattern.format(1) != pattern.format(2)
        except (ValueError, LookupError, AttributeError):
            numbers = False
        if not numbers:
            raise ValueNotAllowed(f"pattern {pattern!r} gives frames no numbers; write one like 'img_{{:05d}}.jpg'")
        return pattern

    @model_validator(mode="after")
    def _possible(self) -> "Videos":
        if self.kept < self.frames:
            raise ValueNotAllowed(f"kept = {self.kept} of a video is fewer than the frames = {self.frames} of a clip")
        names = [question.name for question in self.questions]
        if doubled := [name for name in names if names.count(name) > 1]:
            raise ValueNotAllowed(f"two questions are called {doubled[0]!r}; each needs a name of its own")
        return self

    def question(self, name: str) -> Question:
        """The one of that name."""
        return next(question for question in self.questions if question.name == name)
