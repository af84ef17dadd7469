"""Settings + what was discovered -> the frozen list of cases.

A *panel* is everything that shares one baseline: same network, device, runtime, dtype, layout, threads and input.
A *case* is one strategy in one panel. An *arm* is one strategy in the accuracy experiment, trained once per seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import product
from typing import Any

from bench.axes import BASELINE, ONLY_ON, ValueNotAllowed, parse_fraction
from bench.settings import Group, Panels, Recipe, Settings


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
    def label(self) -> str:
        """Unique and readable: ``resnet50-8x224-b1-cpu-eager-fp32-nchw-2t``."""
        return (
            f"{self.backbone}-{self.frames}x{self.size}-b{self.batch}-"
            f"{self.device}-{self.runtime}-{self.dtype}-{self.memory_format}-{self.threads}t"
        )


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
        """One flat dict: the columns of ``latency.csv``."""
        return {**self.variant.to_json(), **asdict(self.panel), "aa": self.aa}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Case":
        """The inverse of ``to_json``."""
        panel = Panel(**{name: data[name] for name in Panel.__dataclass_fields__})
        return cls(Variant.from_json(data), panel, data["aa"])


@dataclass(frozen=True)
class Arm:
    """One strategy trained with one seed on one data set."""

    variant: Variant
    dataset: str
    backbone: str
    seed: int

    @property
    def label(self) -> str:
        """Unique within a run."""
        return f"{self.dataset}-{self.backbone}/{self.variant.label}/seed{self.seed}"

    def to_json(self) -> dict[str, Any]:
        """One flat dict."""
        return {**self.variant.to_json(), "dataset": self.dataset, "backbone": self.backbone}


@dataclass(frozen=True)
class Sweep:
    """All that a run will measure."""

    panels: tuple[tuple[Panel, tuple[Case, ...]], ...]
    arms: tuple[Arm, ...]
    recipe: Recipe

    @property
    def strategies(self) -> list[str]:
        """The strategies that take part, in order of appearance."""
        variants = [case.variant for _, cases in self.panels for case in cases] + [arm.variant for arm in self.arms]
        return list(dict.fromkeys(variant.strategy for variant in variants))

    def variants(self, strategy: str) -> list[Variant]:
        """All settings in which ``strategy`` takes part."""
        variants = [case.variant for _, cases in self.panels for case in cases] + [arm.variant for arm in self.arms]
        return list(dict.fromkeys(variant for variant in variants if variant.strategy == strategy))


@dataclass(frozen=True)
class Chosen:
    """What the command line narrows or replaces; None: as the preset says."""

    strategies: tuple[str, ...] | None = None
    fractions: tuple[Fraction, ...] | None = None
    placements: tuple[str, ...] | None = None
    directions: tuple[str, ...] | None = None


def resolve(
    settings: Settings, infos: Sequence[StrategyInfo], chosen: Chosen, devices: Sequence[str], cores: int
) -> Sweep:
    """The cases and arms that ``settings`` and ``chosen`` ask for on this machine.

    devices: those present; cores: those this process may use.
    Raises ValueNotAllowed for a strategy, device or number of threads that is not there.
    """
    known = {info.name: info for info in infos}
    for name in _named(settings, chosen):
        if name not in known:
            raise ValueNotAllowed(f"unknown strategy {name!r}; there are: {', '.join(sorted(known))}")
    panels: list[tuple[Panel, tuple[Case, ...]]] = []
    arms: list[Arm] = []
    if "latency" in settings.sections:
        variants = [BASELINE_VARIANT, *_variants(settings.latency.groups, settings.latency.plugins, known, chosen)]
        for panel in _panels(settings, devices, cores):
            cases = [Case(variant, panel) for variant in variants]
            panels.append((panel, (cases[0], replace(cases[0], aa=True), *cases[1:])))
    if "accuracy" in settings.sections:
        accuracy = settings.accuracy
        variants = list(_variants(accuracy.groups, accuracy.plugins, known, chosen))
        own = dict.fromkeys(replace(v, strategy=_root(v.strategy, known)) for v in variants)  # the others inherit
        seeds = range(accuracy.first_seed, accuracy.first_seed + accuracy.seeds)
        arms = [
            Arm(variant, dataset, accuracy.backbone, seed)
            for dataset, seed, variant in product(accuracy.datasets, seeds, [BASELINE_VARIANT, *own])
        ]
    return Sweep(tuple(panels), tuple(arms), settings.accuracy.recipe)


def _root(name: str, known: dict[str, StrategyInfo]) -> str:
    """The strategy whose accuracy ``name`` inherits: at the end of the chain of ``same_function_as``."""
    seen = {name}
    while (source := known[name].same_function_as) in known and source not in seen:
        name = source
        seen.add(name)
    return name


def _named(settings: Settings, chosen: Chosen) -> Iterator[str]:
    yield from chosen.strategies or ()
    for group in (*settings.latency.groups, *settings.accuracy.groups):
        yield from group.strategies


def _panels(settings: Settings, devices: Sequence[str], cores: int) -> list[Panel]:
    """Every panel once, in the order of the settings; what another device would be needed for is left out where the
    settings leave the choice of devices open."""
    latency = settings.latency
    if latency.device not in ("auto", *devices):
        raise ValueNotAllowed(f"device {latency.device!r} is not on this machine; there are: {', '.join(devices)}")
    allowed = list(devices) if latency.device == "auto" else [latency.device]
    found: dict[Panel, None] = {}
    for group in latency.panels or (Panels(),):
        given = {name: value for name in Panels.model_fields if (value := getattr(group, name)) is not None}
        axes = {name: given.get(name, getattr(latency, name)) for name in _AXES}
        for threads in axes["threads"]:
            if threads > cores:
                raise ValueNotAllowed(
                    f"{threads} threads are more than this machine's {cores} cores; allowed: 1 to {cores}"
                )
        axes["threads"] = axes["threads"] or (cores,)
        for device in allowed:
            if device == given.get("device", device):
                for values in product(*axes.values()):
                    panel = Panel(device=device, **dict(zip(_AXES.values(), values, strict=True)))
                    if panel.runtime not in ONLY_ON or ONLY_ON[panel.runtime] == device:
                        found[panel] = None
    if not found:
        runtimes = [*latency.runtimes, *(name for group in latency.panels for name in group.runtimes or ())]
        wanted = sorted({ONLY_ON[name] for name in runtimes if name in ONLY_ON})
        raise ValueNotAllowed(
            f"no panel is left on {' and '.join(allowed)}: what is asked for needs {' or '.join(wanted) or 'cuda'}"
        )
    return list(found)


_AXES = {
    "backbones": "backbone",
    "runtimes": "runtime",
    "dtypes": "dtype",
    "memory_formats": "memory_format",
    "threads": "threads",
    "frames": "frames",
    "sizes": "size",
    "batches": "batch",
}
"""The settings' names of the axes -> the panel's; the device stands apart."""


def _variants(
    groups: Sequence[Group], plugins: Group, known: dict[str, StrategyInfo], chosen: Chosen
) -> Iterator[Variant]:
    """The variants of all groups, each once; what was dropped in, or only named by the user, joins by ``plugins``."""
    grouped = {name for group in groups for name in group.strategies}
    joining = [name for name, info in known.items() if not info.builtin or name in (chosen.strategies or ())]
    all_groups = [*groups, plugins.model_copy(update={"strategies": tuple(n for n in joining if n not in grouped)})]
    seen: set[Variant] = set()
    for group in all_groups:
        for name in group.strategies:
            if name == BASELINE or (chosen.strategies is not None and name not in chosen.strategies):
                continue
            for variant in _of_one(known[name], group, chosen):
                if variant not in seen:
                    seen.add(variant)
                    yield variant


def _of_one(info: StrategyInfo, group: Group, chosen: Chosen) -> Iterator[Variant]:
    """One strategy's variants: what is asked for, as far as the strategy declares that it makes sense."""
    declared = None if info.fractions is None else tuple(parse_fraction(f) for f in info.fractions)
    asked = tuple(f for f in chosen.fractions or group.fractions if f > 0)
    if declared is not None:
        fitting = tuple(f for f in asked if f in declared)
        asked = fitting if fitting or chosen.fractions else declared
    placements = _fitting(chosen.placements, group.placements, info.placements)
    directions = _fitting(chosen.directions, group.directions, info.directions)
    for placement, direction, fraction in product(placements, directions, asked):
        yield Variant(info.name, fraction, placement, direction)


def _fitting(chosen: tuple[str, ...] | None, group: Sequence[str], declared: Sequence[str]) -> Sequence[str]:
    """The values asked for that are declared; where only the preset asked, and none fits, those declared."""
    if not declared:  # a file that failed to load declares nothing: it is listed as failed under what was asked
        return chosen or group
    fitting = [value for value in chosen or group if value in declared]
    return fitting if fitting or chosen else declared
