"""What is measured, as frozen values: Case, Arm, and the Sweep that lists them all. ``resolution`` makes them.

A *panel* is everything that shares one baseline: same network, device, runtime, dtype, layout, threads and input.
A *case* is one strategy in one panel. An *arm* is one strategy in the accuracy experiment, trained once per seed.
"""

from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any

from bench.spec.axes import ACCURACY_BACKBONE, BASELINE, MAIN, parse_fraction
from bench.spec.detection_settings import ClutteredDigitsData, DetectionRecipe
from bench.spec.settings import Data, Recipe


@dataclass(frozen=True)
class StrategyInfo:
    """What is known of a strategy file without running its code again. ``error``: why it could not be loaded."""

    name: str
    file: str
    builtin: bool
    summary: str = ""
    source: str = ""
    fractions: tuple[float, ...] | None = None
    placements: tuple[str, ...] = ()
    directions: tuple[str, ...] = ()
    same_function_as: str | None = None
    owns_layer: bool = False
    error: str | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "StrategyInfo":
        """The inverse of ``asdict`` after a journey through JSON."""
        lists = {key: tuple(data[key]) for key in ("placements", "directions")}
        fractions = None if data["fractions"] is None else tuple(data["fractions"])
        return cls(**{**data, **lists, "fractions": fractions})


@dataclass(frozen=True)
class Variant:
    """A strategy with its settings: the point on the axes that a plug-in is given."""

    strategy: str
    fraction: Fraction
    placement: str
    direction: str

    @property
    def label(self) -> str:
        """Unique and readable: ``copy_shift-residual-1/8-bidirectional``."""
        return f"{self.strategy}-{self.placement}-{self.fraction}-{self.direction}"

    def to_json(self) -> dict[str, Any]:
        """Plain values; the fraction as text, so that it stays exact."""
        return {**asdict(self), "fraction": str(self.fraction)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Variant":
        """From a dict that holds at least the four values."""
        return cls(data["strategy"], parse_fraction(data["fraction"]), data["placement"], data["direction"])


BASELINE_VARIANT = Variant(BASELINE, Fraction(0), "residual", "bidirectional")


@dataclass(frozen=True)
class Panel:
    """Everything that shares one baseline. sizes in pixels, batch in clips."""

    backbone: str
    device: str
    runtime: str
    dtype: str
    memory_format: str
    threads: int
    frames: int
    size: int
    batch: int

    @property
    def kind(self) -> str:
        """Of the records that hold its slots."""
        return "latency"

    @property
    def images(self) -> int:
        """Frames that pass through the network in one slot."""
        return self.batch * self.frames

    @property
    def label(self) -> str:
        """Unique and readable: ``resnet50-8x224-b1-cpu-eager-fp32-nchw-2t``."""
        return (
            f"{self.backbone}-{self.frames}x{self.size}-b{self.batch}-"
            f"{self.device}-{self.runtime}-{self.dtype}-{self.memory_format}-{self.threads}t"
        )


@dataclass(frozen=True)
class StreamPanel(Panel):
    """A panel in which the network runs frame by frame, one frame of each of ``streams`` streams at a time.

    One slot is ``frames`` consecutive frames; batch is 1.
    """

    streams: int

    @property
    def kind(self) -> str:
        """Of the records that hold its slots."""
        return "online"

    @property
    def images(self) -> int:
        """Frames that pass through the network in one slot."""
        return self.streams * self.frames

    @property
    def label(self) -> str:
        """Unique and readable: ``resnet50-online-8x224-s1-cpu-eager-fp32-nchw-2t``."""
        return (
            f"{self.backbone}-online-{self.frames}x{self.size}-s{self.streams}-"
            f"{self.device}-{self.runtime}-{self.dtype}-{self.memory_format}-{self.threads}t"
        )


def panel_from_json(data: dict[str, Any]) -> Panel:
    """The panel that ``data`` names, whatever else it holds."""
    kind = StreamPanel if "streams" in data else Panel
    return kind(**{name: data[name] for name in kind.__dataclass_fields__})


@dataclass(frozen=True)
class Case:
    """One strategy in one panel. ``aa``: the baseline's identical twin, the live A/A control."""

    variant: Variant
    panel: Panel
    aa: bool = False

    @property
    def label(self) -> str:
        """Unique within a run."""
        return f"{self.panel.label}/{self.variant.label}{'+aa' if self.aa else ''}"

    def to_json(self) -> dict[str, Any]:
        """One flat dict: columns of ``latency.csv`` or ``online.csv``."""
        return {**self.variant.to_json(), **asdict(self.panel), "aa": self.aa}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Case":
        """The inverse of ``to_json``."""
        return cls(Variant.from_json(data), panel_from_json(data), data["aa"])


@dataclass(frozen=True)
class Condition:
    """Everything that arms share which are held against one another: what is trained, on what, how.

    lr_factor and length_factor multiply the recipe's learning rate and epochs.
    """

    dataset: str = "ring_digits"
    backbone: str = ACCURACY_BACKBONE
    objective: str = "both"
    view: str = "clip"
    lr_factor: float = 1.0
    length_factor: float = 1.0
    cohort: str = MAIN

    @property
    def label(self) -> str:
        """Unique and readable; only what is unusual is named beyond data set and network."""
        parts = [self.dataset, self.backbone]
        parts += [value for name in ("objective", "view", "cohort") if (value := getattr(self, name)) != _USUAL[name]]
        parts += [f"{name}×{value:g}" for name in ("lr", "length") if (value := getattr(self, f"{name}_factor")) != 1]
        return "-".join(parts)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Condition":
        """From a dict that holds at least data set and network; what older records do not name is as usual."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


_USUAL = {field.name: field.default for field in fields(Condition)}


@dataclass(frozen=True)
class Arm:
    """One strategy trained with one seed under one condition."""

    variant: Variant
    condition: Condition
    seed: int

    @property
    def label(self) -> str:
        """Unique within a run."""
        return f"{self.condition.label}/{self.variant.label}/seed{self.seed}"

    def to_json(self) -> dict[str, Any]:
        """One flat dict."""
        return {**self.variant.to_json(), **asdict(self.condition)}


@dataclass(frozen=True)
class Detecting:
    """What the detection section trains: its arms, how, and on what. shown: the seed whose arms keep some frames."""

    arms: tuple[Arm, ...]
    recipe: DetectionRecipe
    data: ClutteredDigitsData
    shown: int


@dataclass(frozen=True)
class Sweep:
    """All that a run will measure. weights: of the panels, in their order, in sharing out the time for latency.

    online, online_weights: the same for what runs frame by frame. detection: what is trained to detect.
    """

    panels: tuple[tuple[Panel, tuple[Case, ...]], ...]
    arms: tuple[Arm, ...]
    recipe: Recipe
    data: Data
    weights: tuple[float, ...] = ()
    online: tuple[tuple[Panel, tuple[Case, ...]], ...] = ()
    online_weights: tuple[float, ...] = ()
    detection: Detecting | None = None

    @property
    def cases(self) -> list[Case]:
        """Of all panels, those that run frame by frame last."""
        return [case for _, cases in (*self.panels, *self.online) for case in cases]

    @property
    def strategies(self) -> list[str]:
        """The strategies that take part, in order of appearance."""
        return list(dict.fromkeys(variant.strategy for variant in self._variants))

    def variants(self, strategy: str) -> list[Variant]:
        """All settings in which ``strategy`` takes part."""
        return list(dict.fromkeys(variant for variant in self._variants if variant.strategy == strategy))

    @property
    def _variants(self) -> list[Variant]:
        arms = [*self.arms, *(self.detection.arms if self.detection else ())]
        return [case.variant for case in self.cases] + [arm.variant for arm in arms]


@dataclass(frozen=True)
class Chosen:
    """What the command line narrows or replaces; None: as the preset says."""

    strategies: tuple[str, ...] | None = None
    fractions: tuple[Fraction, ...] | None = None
    placements: tuple[str, ...] | None = None
    directions: tuple[str, ...] | None = None
    studies: tuple[str, ...] | None = None
