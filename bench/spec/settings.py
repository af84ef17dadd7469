"""What a user may ask for: the schema of presets and config files, validated where it is read.

A preset names groups of strategies with the fractions, placements and directions that it measures for each, so that
the number of cases stays what the arithmetic of time allows. Options on the command line replace single values.
"""

import tomllib
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from bench.spec.axes import (
    ACCURACY_BACKBONE,
    ACCURACY_BACKBONES,
    BACKBONES,
    BASELINE,
    DATASETS,
    MAIN,
    RUNTIMES,
    SECTIONS,
    VOLUMETRIC,
    Dtype,
    MemoryFormat,
    Objective,
    ValueNotAllowed,
    View,
)
from bench.spec.detection_settings import Detection
from bench.spec.online_settings import Online
from bench.spec.schema import Count, Factor, Group, ProcessLimits, Size, Stopping, Strict, one_of

PRESETS = Path(__file__).parent / "presets"


Backbone = Annotated[str, one_of({**BACKBONES, **VOLUMETRIC}, "backbone")]
Dataset = Annotated[str, one_of(DATASETS, "dataset")]
AccuracyBackbone = Annotated[str, one_of(ACCURACY_BACKBONES, "backbone of the accuracy section")]
Runtime = Annotated[str, one_of(RUNTIMES, "runtime")]


class Panels(Strict):
    """Panels that differ from the section's axes in what is named here; several values of an axis are crossed.

    weight: of each of them in sharing out the section's budget. strategies: only these of the section's take part.
    """

    backbones: tuple[Backbone, ...] | None = None
    device: Literal["cpu", "cuda"] | None = None
    runtimes: tuple[Runtime, ...] | None = None
    dtypes: tuple[Dtype, ...] | None = None
    memory_formats: tuple[MemoryFormat, ...] | None = None
    threads: tuple[Count, ...] | None = None
    frames: tuple[Count, ...] | None = None
    sizes: tuple[Size, ...] | None = None
    batches: tuple[Count, ...] | None = None
    strategies: tuple[str, ...] | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0


class Latency(Stopping):
    """The latency section: panels (everything that shares a baseline), the cases in each, and when to stop.

    The axes are crossed. ``panels`` replaces the one panel of single values by several that differ from it, so that
    axes can be swept one at a time.
    """

    backbones: tuple[Backbone, ...] = ("resnet50",)
    device: Literal["cpu", "cuda", "auto"] = "auto"
    runtimes: tuple[Runtime, ...] = ("eager",)
    dtypes: tuple[Dtype, ...] = ("fp32",)
    memory_formats: tuple[MemoryFormat, ...] = ("nchw",)
    threads: tuple[Count, ...] = ()  # empty: all the cores that this process may use
    frames: tuple[Count, ...] = (8,)
    sizes: tuple[Size, ...] = (224,)
    batches: tuple[Count, ...] = (1,)
    panels: tuple[Panels, ...] = ()
    groups: tuple[Group, ...] = ()
    plugins: Group = Group(fractions=(Fraction(1, 8), Fraction(1)))


class RingDigitsData(Strict):
    """How hard ``ring_digits`` is. Deviations and contrasts on a scale where black is 0 and the brightest digit 1."""

    jitter: Annotated[int, Field(ge=0, le=3)] = 1  # px either way, per frame and sprite
    noise: Annotated[float, Field(ge=0, le=1)] = 0.05  # standard deviation
    band: Annotated[int, Field(ge=0, le=8)] = 3  # px of each sprite that are erased in every frame
    lowest_contrast: Annotated[float, Field(gt=0, le=1)] = 0.6
    distractor: bool = True


class OpeningDigitsData(Strict):
    """How hard ``opening_digits`` is; units as in ``RingDigitsData``."""

    jitter: Annotated[int, Field(ge=0, le=3)] = 1  # px either way, per frame
    noise: Annotated[float, Field(ge=0, le=1)] = 0.05
    lowest_contrast: Annotated[float, Field(gt=0, le=1)] = 0.6


class Data(Strict):
    """The parameters of each data set."""

    ring_digits: RingDigitsData = RingDigitsData()
    opening_digits: OpeningDigitsData = OpeningDigitsData()


class Recipe(Strict):
    """How one arm is trained; written down before the run that it is judged by.

    Source images are split into training, validation and the rest, which is for the test. Learning curves are taken on
    validation clips; recipes are chosen with ``judged_on`` = validation, so that no test clip is ever looked at.
    """

    train_share: Annotated[float, Field(gt=0, lt=1)] = 0.6
    validation_share: Annotated[float, Field(gt=0, lt=1)] = 0.15
    pretrain_frames: Count = 15_000  # per epoch
    pretrain_epochs_easy: Count = 3
    pretrain_epochs_hard: Count = 3
    pretrain_lr: Annotated[float, Field(gt=0)] = 3e-3
    pretrain_batch: Count = 128
    clips: Count = 500  # per epoch; often enough for a learning curve
    epochs: Count = 8  # 4,000 clips in all; this and lr: as the rule in presets/recipe.toml found them, on validation
    lr: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.02
    batch: Count = 16
    test_clips: Count = 500  # each of them in all orders
    validation_clips: Count = 32  # after each epoch, each of them in all orders
    judged_on: Literal["test", "validation"] = "test"
    size: Annotated[int, Field(ge=32)] = 32  # px; the frames are rendered at 32 and enlarged
    bf16: bool | Literal["auto"] = "auto"  # auto: where the device has bf16 units; without them it is 20 times slower
    device: Literal["auto", "cpu", "cuda"] = "auto"  # auto: cuda where there is one

    @model_validator(mode="after")
    def _something_to_test_on(self) -> "Recipe":
        if self.train_share + self.validation_share >= 1:
            raise ValueNotAllowed(
                f"train_share = {self.train_share:g} and validation_share = {self.validation_share:g} leave no images "
                "for the test; together they must stay below 1"
            )
        return self


class Study(Strict):
    """A question that needs arms beyond the main ones: what differs from the section is named, several values crossed.

    cohort: arms of one cohort are averaged over their seeds; another name keeps a repetition apart. baseline: train the
    network without a shift as well.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    seeds: Count | None = None
    first_seed: Annotated[int, Field(ge=0)] | None = None
    datasets: tuple[Dataset, ...] | None = None
    backbones: tuple[AccuracyBackbone, ...] | None = None
    objectives: tuple[Objective, ...] = ("both",)
    views: tuple[View, ...] = ("clip",)
    lr_factors: tuple[Factor, ...] = (1.0,)
    length_factors: tuple[Factor, ...] = (1.0,)
    cohort: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")] = MAIN
    baseline: bool = True
    groups: tuple[Group, ...] = ()


class Accuracy(Strict):
    """The accuracy section: the main arms, further studies, seeds and the recipe that all arms share."""

    datasets: tuple[Dataset, ...] = ("ring_digits",)
    backbone: AccuracyBackbone = ACCURACY_BACKBONE
    groups: tuple[Group, ...] = ()
    plugins: Group = Group(fractions=(Fraction(1, 4),))
    studies: tuple[Study, ...] = ()
    seeds: Count = 3
    first_seed: Annotated[int, Field(ge=0)] = 0
    recipe: Recipe = Recipe()
    data: Data = Data()

    @model_validator(mode="after")
    def _names_once(self) -> "Accuracy":
        names = [MAIN, *(study.name for study in self.studies)]
        for name in names:
            if names.count(name) > 1:
                raise ValueNotAllowed(f"two studies are called {name!r}; each needs a name of its own")
        return self


class Settings(Strict):
    """A whole preset or config file."""

    title: str = "a sweep"
    sections: tuple[Annotated[str, one_of(SECTIONS, "section")], ...] = SECTIONS
    seed: int = 0
    limits: ProcessLimits = ProcessLimits()
    latency: Latency = Latency()
    online: Online = Online()
    accuracy: Accuracy = Accuracy()
    detection: Detection = Detection()


def preset_names() -> list[str]:
    """The presets that come with the suite."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset_strategies() -> frozenset[str]:
    """The strategies that the suite's presets name: its own. Whatever else lies in ``strategies/`` was dropped in."""
    settings = [load_preset(name) for name in preset_names()]
    sections = [section for one in settings for section in (one.latency, one.online, one.accuracy, one.detection)]
    groups = [group for section in sections for group in section.groups]
    groups += [group for one in settings for study in one.accuracy.studies for group in study.groups]
    return frozenset({BASELINE, *(name for group in groups for name in group.strategies)})


def load_preset(name: str) -> Settings:
    """A preset by name. Raises ValueNotAllowed for an unknown one."""
    if name not in preset_names():
        raise ValueNotAllowed(f"unknown preset {name!r}; there are: {', '.join(preset_names())}")
    return load_config(PRESETS / f"{name}.toml")


def load_config(path: Path) -> Settings:
    """A TOML file as settings. Raises ValueNotAllowed: one line that names the value and what is allowed."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueNotAllowed(f"cannot read config {path}: {getattr(error, 'strerror', None) or error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueNotAllowed(f"config {path} is not TOML: {error}") from None
    return validate(data, str(path))


def validate(data: dict[str, Any], where: str) -> Settings:
    """Plain values -> Settings. Raises ValueNotAllowed with the first thing that is wrong in ``where``."""
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        raise ValueNotAllowed(f"{where}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    """The first complaint as one line: the key, the value, what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        model: Any = Settings
        for part in first["loc"][:-1]:
            if isinstance(part, str):
                annotation = model.model_fields[part].annotation
                model = next((a for a in getattr(annotation, "__args__", ()) if hasattr(a, "model_fields")), annotation)
        return f"unknown key {key!r}; allowed here: {', '.join(model.model_fields)}"
    message = first["msg"].removeprefix("Value error, ")
    return (
        message if first["type"] == "value_error" else f"{key} = {first['input']!r}: {message[0].lower()}{message[1:]}"
    )
