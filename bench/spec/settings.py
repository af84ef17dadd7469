"""What a user may ask for: the schema of presets and config files, validated where it is read.

A preset names groups of strategies with the fractions, placements and directions that it measures for each, so that
the number of cases stays what the arithmetic of time allows. Options on the command line replace single values.
"""

import tomllib
from collections.abc import Callable, Collection, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model, model_validator

from bench.spec.axes import (
    BACKBONES,
    BASELINE,
    DETECTORS,
    SECTIONS,
    STREAM_RUNTIMES,
    VOLUMETRIC,
    Device,
    ValueNotAllowed,
    require,
    require_backbone,
)
from bench.spec.panel import PANEL_AXES
from bench.spec.parameters import plain
from bench.spec.schema import Count, Group, Positive, ProcessLimits, Seconds, Stopping, Strict, one_of
from bench.spec.training import Accuracy, Detection, TrainingSection, VideoSection

PRESETS = Path(__file__).parent / "presets"

_Model = TypeVar("_Model", bound=BaseModel)
_Several = BeforeValidator(lambda value: value if isinstance(value, list | tuple) else (value,))


def _with_axes(*, optional: bool = False, **defaults: Any) -> Callable[[type[_Model]], type[_Model]]:
    """Give a model a field for every axis of a panel. optional: None by default; defaults: other than the axis's."""

    def add(model: type[_Model]) -> type[_Model]:
        fields: dict[str, Any] = {}
        for option, axis in PANEL_AXES.items():
            value = Annotated[int, Field(ge=axis.least)] if axis.counts else str if axis.allowed else axis.value
            values = Annotated[tuple[value, ...], _Several]  # type: ignore[valid-type]
            default = defaults.get(option, axis.default)
            fields[option] = (values | None, None) if optional else (values, default)
        return create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
        )

    return add


@_with_axes(optional=True)
class Panels(Strict):
    """Panels that differ from the section's axes in what is named here.

    weight: of each of them in sharing out the section's budget. strategies: only these of the section's take part.
    turn: those of a later turn are measured once all of earlier ones are narrow enough, in the time that is left.
    groups: measured instead of the section's.
    """

    device: Device | None = None
    strategies: tuple[str, ...] | None = None
    weight: Positive = 1.0
    turn: Count = 1
    groups: tuple[Group, ...] | None = None


class Timing(Stopping):
    """A section that is timed: panels (everything that shares a baseline), the cases in each, and when to stop.

    The axes are crossed. ``panels`` replaces the one panel of single values by several that differ from it, so that
    axes can be swept one at a time.
    """

    WHERE: ClassVar[str] = ""
    ALLOWED: ClassVar[dict[str, Collection[Any]]] = {}
    """{option: what this section can run}, where it is not all that there is."""
    NOT_OPTIONS: ClassVar[tuple[str, ...]] = ()
    """Axes that mean something else here than on the command line."""

    device: Literal[Device, "auto"] = "auto"
    panels: tuple[Panels, ...] = ()
    groups: tuple[Group, ...] = ()
    plugins: Group = Group()

    @model_validator(mode="after")
    def _possible(self) -> "Timing":
        for option, axis in PANEL_AXES.items():
            allowed = self.ALLOWED.get(option, axis.allowed)
            if allowed is not None:
                for source in (self, *self.panels):
                    for value in getattr(source, option) or ():
                        check = require_backbone if option == "backbones" else require
                        check(value, allowed, f"{axis.name}{self.WHERE}")
        return self


@_with_axes()
class Latency(Timing):
    """Whole clips."""

    ALLOWED: ClassVar[dict[str, Collection[Any]]] = {"backbones": {**BACKBONES, **VOLUMETRIC}, "streams": (0,)}
    NOT_OPTIONS = ("streams",)

    plugins: Group = Group(fractions=(Fraction(1, 8), Fraction(1)))


@_with_axes(backbones=(), streams=(1,))
class Online(Timing):
    """Causal strategies frame by frame, against the 2-D network frame by frame.

    streams: frames that come at once, one of each stream. frames: consecutive frames in a slot. arrival_fps: how many
    frames of a stream are taken to arrive in a second, for missed deadlines. Without groups nothing is measured.
    Panels of detectors belong to the detection section, and are left out where that is not asked for.
    """

    WHERE = " of the online section"
    ALLOWED: ClassVar[dict[str, Collection[Any]]] = {
        "backbones": {**BACKBONES, **DETECTORS},
        "runtimes": STREAM_RUNTIMES,
        "dtypes": ("fp32", "bf16", "fp16"),  # a calibration of clips says nothing of caches
        "batches": (1,),
    }
    NOT_OPTIONS = ("frames", "batches")

    arrival_fps: Positive = 30.0
    plugins: Group = Group(fractions=(Fraction(1, 8),), directions=("unidirectional",))
    largest_copy_mib: Annotated[int, Field(ge=1, le=1024)] = 16  # what moves in a frame is small
    budget: Seconds = 240.0
    target_half_width_pp: Positive = 1.0

    @model_validator(mode="after")
    def _frame_by_frame(self) -> "Online":
        if any(0 in (getattr(source, "streams") or ()) for source in (self, *self.panels)):  # noqa: B009
            raise ValueNotAllowed("streams of the online section = 0: input should be greater than or equal to 1")
        return self


class Settings(Strict):
    """A whole preset or config file. weights: a checkpoint of the networks from elsewhere, or ``imagenet``; None: their
    weights are random where they are timed, and ImageNet's where they learn from videos."""

    title: str = "a sweep"
    sections: tuple[Annotated[str, one_of(SECTIONS, "section")], ...] = SECTIONS
    seed: int = 0
    weights: str | None = None
    limits: ProcessLimits = ProcessLimits()
    latency: Latency = Latency()
    online: Online = Online()
    accuracy: Accuracy = Accuracy()
    detection: Detection = Detection()
    video: VideoSection = VideoSection()

    @property
    def timed(self) -> dict[str, Timing]:
        """The sections that are timed, in their order."""
        return {"latency": self.latency, "online": self.online}

    @property
    def trained(self) -> dict[str, TrainingSection]:
        """The sections of trainings, in their order."""
        return {"accuracy": self.accuracy, "detection": self.detection, "video": self.video}

    @property
    def strategies(self) -> Iterator[str]:
        """All that any section names."""
        for timed in self.timed.values():
            for group in timed.groups:
                yield from group.strategies
            for panels in timed.panels:
                yield from panels.strategies or ()
                for group in panels.groups or ():
                    yield from group.strategies
        for trained in self.trained.values():
            for study in trained.all_studies:
                for group in study.groups:
                    yield from group.strategies


def preset_names() -> list[str]:
    """The presets that come with the suite."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def preset_strategies() -> frozenset[str]:
    """The strategies that the suite's presets name: its own. Whatever else lies in ``strategies/`` was dropped in."""
    named = (name for preset in preset_names() for name in load_preset(preset).strategies)
    return frozenset({BASELINE, *map(plain, named)})


def load_preset(name: str) -> Settings:
    """A preset by name. Raises ValueNotAllowed for an unknown one."""
    require(name, preset_names(), "preset")
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
