"""What is measured, as frozen values: Case, Trial, and the Sweep that lists them all. ``expansion`` makes them.

A *panel* is everything that shares one baseline (``panel``). A *case* is one strategy in one panel. An *arm* is one
strategy that is trained under one condition; a *trial* is an arm with one seed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

from bench.spec.axes import ACCURACY_BACKBONE, BASELINE, MAIN, parse_fraction
from bench.spec.panel import Panel
from bench.spec.parameters import Declared, Parameter
from bench.spec.schema import Share, Strict
from bench.spec.training import TrainingRecipe


@dataclass(frozen=True)
class StrategyInfo:
    """What is known of a strategy without running its code again. ``error``: why its file could not be loaded."""

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
    parameters: Declared = field(default_factory=dict)
    error: str | None = None

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "StrategyInfo":
        """The inverse of ``asdict`` after a journey through JSON."""
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        parameters = {name: Parameter(**one) for name, one in data.get("parameters", {}).items()}
        return cls(**plain | {"parameters": parameters})


@dataclass(frozen=True)
class Variant:
    """A strategy with its settings: the point on the axes that a plug-in is given.

    strategy: its name, with its values where they differ from its defaults: ``tam[kernel=5]``, see ``parameters``.
    """

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
    def from_json(cls, data: Mapping[str, Any]) -> "Variant":
        """From a dict that holds at least the four values."""
        return cls(data["strategy"], parse_fraction(data["fraction"]), data["placement"], data["direction"])


BASELINE_VARIANT = Variant(BASELINE, Fraction(0), "residual", "bidirectional")


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

    @property
    def key(self) -> str:
        """What the ids of its timed records begin with."""
        return f"{self.panel.section}/{self.label}"

    @property
    def baseline(self) -> "Case":
        """The case that it is held against."""
        return Case(BASELINE_VARIANT, self.panel)

    def to_json(self) -> dict[str, Any]:
        """One flat dict: columns of ``latency.csv`` or ``online.csv``."""
        return {**self.variant.to_json(), **asdict(self.panel), "aa": self.aa}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Case":
        """The inverse of ``to_json``."""
        return cls(Variant.from_json(data), Panel.from_json(data), data["aa"])


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
        for name in ("objective", "view", "cohort"):
            if getattr(self, name) != getattr(Condition, name):
                parts.append(getattr(self, name))
        parts += [f"{name}×{value:g}" for name in ("lr", "length") if (value := getattr(self, f"{name}_factor")) != 1]
        return "-".join(parts)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Condition":
        """From a dict that holds at least data set and network; what older records do not name is as usual."""
        return cls(**{name: data[name] for name in cls.__dataclass_fields__ if name in data})


@dataclass(frozen=True)
class Trial:
    """One strategy trained with one seed under one condition, for one section."""

    section: str
    variant: Variant
    condition: Condition
    seed: int

    @property
    def label(self) -> str:
        """Unique within its section."""
        return f"{self.condition.label}/{self.variant.label}/seed{self.seed}"

    @property
    def key(self) -> str:
        """The id of its record."""
        return f"{self.section}/{self.label}"


@dataclass(frozen=True)
class PlannedPanel:
    """A panel with its cases. weight: in sharing out its section's budget. turn: its place in the order of panels.

    A panel may have a second turn, with other cases.
    """

    panel: Panel
    cases: tuple[Case, ...]
    weight: float
    turn: int = 1


@dataclass(frozen=True)
class Training:
    """All trials of a section, and the recipe and the data that they share."""

    section: str
    trials: tuple[Trial, ...]
    recipe: TrainingRecipe
    data: Strict


@dataclass(frozen=True)
class Sweep:
    """All that a run will measure."""

    panels: tuple[PlannedPanel, ...] = ()
    trainings: tuple[Training, ...] = ()

    def panels_of(self, section: str) -> list[PlannedPanel]:
        """Those that a section times, in their order."""
        return [planned for planned in self.panels if planned.panel.section == section]

    def share(self, planned: PlannedPanel) -> float:
        """The part of its section's budget with which a panel begins, 0 to 1: by weight, among those of its turn."""
        beside = [own for own in self.panels_of(planned.panel.section) if own.turn == planned.turn]
        return planned.weight / sum(own.weight for own in beside)

    @property
    def cases(self) -> list[Case]:
        """Of all panels."""
        return [case for planned in self.panels for case in planned.cases]

    @property
    def trials(self) -> list[Trial]:
        """Of all sections."""
        return [trial for training in self.trainings for trial in training.trials]

    @property
    def strategies(self) -> list[str]:
        """The strategies that take part, in order of appearance."""
        return list(dict.fromkeys(variant.strategy for variant in self._variants))

    def variants(self, strategy: str) -> list[Variant]:
        """All settings in which ``strategy`` takes part."""
        return [variant for variant in dict.fromkeys(self._variants) if variant.strategy == strategy]

    @property
    def _variants(self) -> list[Variant]:
        return [case.variant for case in self.cases] + [trial.variant for trial in self.trials]


class Chosen(Strict):
    """What the command line narrows or replaces; None: as the preset says."""

    strategies: tuple[str, ...] | None = None
    fractions: tuple[Share, ...] | None = None
    placements: tuple[str, ...] | None = None
    directions: tuple[str, ...] | None = None
    studies: tuple[str, ...] | None = None
