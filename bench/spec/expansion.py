"""Settings + what was discovered on this machine -> the frozen list of what to measure.

``resolve`` is the whole door: panels with their cases, and arms study by study.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import product
from typing import TypeVar

from bench.spec.axes import (
    ACCURACY_VOLUMETRIC,
    BASELINE,
    DETECTION_DATASET,
    DETECTORS,
    MAIN,
    ONLY_ON,
    TRAINED_DETECTOR,
    VOLUMETRIC,
    ValueNotAllowed,
    parse_fraction,
)
from bench.spec.cases import (
    BASELINE_VARIANT,
    Arm,
    Case,
    Chosen,
    Condition,
    Detecting,
    Panel,
    StrategyInfo,
    StreamPanel,
    Sweep,
    Variant,
)
from bench.spec.detection_settings import DetectionRecipe
from bench.spec.online_settings import Online, OnlinePanels
from bench.spec.schema import Group
from bench.spec.settings import Accuracy, Latency, Panels, Recipe, Settings, Study

_AnyRecipe = TypeVar("_AnyRecipe", Recipe, DetectionRecipe)


def resolve(
    settings: Settings,
    infos: Sequence[StrategyInfo],
    chosen: Chosen,
    devices: Sequence[str],
    cores: int,
    cpu_bf16: bool = True,
) -> Sweep:
    """The cases and arms that ``settings`` and ``chosen`` ask for on this machine.

    devices: those present; cores: those this process may use; cpu_bf16: the CPU computes in bf16.
    Raises ValueNotAllowed for a strategy, device or number of threads that is not there.
    """
    known = {info.name: info for info in infos}
    for name in _named(settings, chosen):
        if name not in known:
            raise ValueNotAllowed(f"unknown strategy {name!r}; there are: {', '.join(sorted(known))}")
    panels: list[tuple[Panel, tuple[Case, ...]]] = []
    weighted: dict[Panel, float] = {}
    arms: list[Arm] = []
    if "latency" in settings.sections:
        variants = [BASELINE_VARIANT, *_variants(settings.latency.groups, settings.latency.plugins, known, chosen)]
        variants += _own_ways(variants, known)
        grouped = _panels(settings.latency, Panels(), _AXES, Panel, devices, cores)
        weighted = {panel: group.weight for panel, group in grouped.items()}
        for panel, group in grouped.items():
            own = [v for v in variants if _takes_part(known[v.strategy], group)]
            panels.append((panel, _with_twin(panel, own if panel.backbone not in VOLUMETRIC else own[:1])))
    streams = _streams(settings, known, chosen, devices, cores)
    online = tuple((panel, cases) for panel, (cases, _) in streams.items())
    if "accuracy" in settings.sections:
        arms = list(dict.fromkeys(_arms(settings.accuracy, known, chosen)))
    accuracy = settings.accuracy
    return Sweep(
        tuple(panels),
        tuple(arms),
        _recipe(accuracy.recipe, devices, cpu_bf16),
        accuracy.data,
        tuple(weighted.values()),
        online,
        tuple(weight for _, weight in streams.values()),
        _detecting(settings, known, chosen, devices, cpu_bf16),
    )


def _takes_part(info: StrategyInfo, group: Panels | OnlinePanels) -> bool:
    """Where a panel names its strategies, the baseline and what was dropped in are measured there all the same."""
    named = group.strategies if isinstance(group, Panels) else None
    return named is None or info.name in (BASELINE, *named) or not info.builtin


def _with_twin(panel: Panel, variants: Sequence[Variant]) -> tuple[Case, ...]:
    """The cases of a panel: the baseline, which comes first in ``variants``, its twin, and the rest."""
    cases = [Case(variant, panel) for variant in variants]
    return cases[0], replace(cases[0], aa=True), *cases[1:]


def _streams(
    settings: Settings, known: dict[str, StrategyInfo], chosen: Chosen, devices: Sequence[str], cores: int
) -> dict[Panel, tuple[tuple[Case, ...], float]]:
    """{panel: (its cases, its weight)} of the online section: what takes from the past alone. Detectors are timed where
    the detection section is asked for, the others where the online one is.

    Raises ValueNotAllowed where online is all that is asked for, and nothing of what is asked for can stream.
    """
    online = settings.online
    variants = [v for v in _variants(online.groups, online.plugins, known, chosen) if v.direction == "unidirectional"]
    if not variants and settings.sections == ("online",):
        raise ValueNotAllowed(
            "nothing of what is asked for can stream: a stream has no next frame, so the online section takes "
            "strategies in the direction unidirectional, at fractions above 0"
        )
    sections = {True: "detection", False: "online"}  # of a panel, by whether its network is a detector
    if not variants or not (online.backbones or online.panels) or not set(sections.values()) & set(settings.sections):
        return {}
    make = partial(StreamPanel, frames=online.frames, batch=1)
    grouped = _panels(online, OnlinePanels(), _ONLINE_AXES, make, devices, cores)
    return {
        panel: (_with_twin(panel, [BASELINE_VARIANT, *variants]), group.weight)
        for panel, group in grouped.items()
        if sections[panel.backbone in DETECTORS] in settings.sections
    }


def _detecting(
    settings: Settings, known: dict[str, StrategyInfo], chosen: Chosen, devices: Sequence[str], cpu_bf16: bool
) -> Detecting | None:
    """The detector frame by frame, and with each shift asked for; seed by seed, so that an interrupted run holds whole
    comparisons. None where nothing is to be trained. Raises ValueNotAllowed."""
    detection = settings.detection
    if "detection" not in settings.sections or not detection.groups:
        return None
    variants = list(_variants(detection.groups, detection.plugins, known, chosen))
    own = dict.fromkeys(replace(v, strategy=_root(v.strategy, known)) for v in variants)  # the others inherit
    usual = Condition(dataset=DETECTION_DATASET, backbone=TRAINED_DETECTOR)
    factors = product(detection.lr_factors, detection.length_factors)
    conditions = [replace(usual, lr_factor=lr, length_factor=length) for lr, length in factors]
    seeds = range(detection.first_seed, detection.first_seed + detection.seeds)
    trained = product(seeds, conditions, (BASELINE_VARIANT, *own))
    arms = tuple(Arm(variant, condition, seed) for seed, condition, variant in trained)
    return Detecting(arms, _recipe(detection.recipe, devices, cpu_bf16), detection.data, detection.first_seed)


def _recipe(recipe: _AnyRecipe, devices: Sequence[str], cpu_bf16: bool) -> _AnyRecipe:
    """With the device and the number format that are meant. Raises ValueNotAllowed where it is not there."""
    if recipe.device not in ("auto", *devices):
        raise ValueNotAllowed(f"device {recipe.device!r} is not on this machine; there are: {', '.join(devices)}")
    device = recipe.device if recipe.device != "auto" else "cuda" if "cuda" in devices else "cpu"
    bf16 = recipe.bf16 if recipe.bf16 != "auto" else device == "cuda" or cpu_bf16
    return recipe.model_copy(update={"device": device, "bf16": bf16})


def _arms(accuracy: Accuracy, known: dict[str, StrategyInfo], chosen: Chosen) -> Iterator[Arm]:
    """The arms of the main study and of all others, study after study. Raises ValueNotAllowed for an unknown study."""
    names = [MAIN, *(study.name for study in accuracy.studies)]
    for name in chosen.studies or ():
        if name not in names:
            raise ValueNotAllowed(f"unknown study {name!r}; this preset has: {', '.join(names)}")
    main = Study.model_construct(name=MAIN, groups=accuracy.groups)
    for study in (main, *accuracy.studies):
        if chosen.studies is None or study.name in chosen.studies:
            plugins = accuracy.plugins if study.name == MAIN else None
            variants = list(_variants(study.groups, plugins, known, chosen))
            own = dict.fromkeys(replace(v, strategy=_root(v.strategy, known)) for v in variants)  # the others inherit
            yield from _study(study, accuracy, [BASELINE_VARIANT, *own] if study.baseline else list(own))


def _study(study: Study, accuracy: Accuracy, variants: Sequence[Variant]) -> Iterator[Arm]:
    """Seed by seed, so that an interrupted study holds whole comparisons."""
    first = accuracy.first_seed if study.first_seed is None else study.first_seed
    conditions = [
        Condition(*values, cohort=study.cohort)
        for values in product(
            study.datasets or accuracy.datasets,
            study.backbones or (accuracy.backbone,),
            study.objectives,
            study.views,
            study.lr_factors,
            study.length_factors,
        )
    ]
    for seed in range(first, first + (study.seeds or accuracy.seeds)):
        for condition in conditions:
            for variant in variants if condition.backbone not in ACCURACY_VOLUMETRIC else (BASELINE_VARIANT,):
                yield Arm(variant, condition, seed)


def _root(name: str, known: dict[str, StrategyInfo]) -> str:
    """The strategy whose accuracy ``name`` inherits: at the end of the chain of ``same_function_as``."""
    seen = {name}
    while (source := known[name].same_function_as) in known and source not in seen:
        name = source
        seen.add(name)
    return name


def _named(settings: Settings, chosen: Chosen) -> Iterator[str]:
    yield from chosen.strategies or ()
    studies = [group for study in settings.accuracy.studies for group in study.groups]
    sections = (settings.latency, settings.online, settings.accuracy, settings.detection)
    for group in (*(group for section in sections for group in section.groups), *studies):
        yield from group.strategies
    for panels in settings.latency.panels:
        yield from panels.strategies or ()


def _panels(
    section: Latency | Online,
    unchanged: Panels | OnlinePanels,
    axes_of: dict[str, str],
    make: Callable[..., Panel],
    devices: Sequence[str],
    cores: int,
) -> dict[Panel, Panels | OnlinePanels]:
    """Every panel of a section once, with the settings that it comes from, in their order.

    unchanged: the panel that does not differ from the section. axes_of: the settings' names -> the panel's. What
    another device would be needed for is left out where the settings leave the choice of devices open.
    """
    if section.device not in ("auto", *devices):
        raise ValueNotAllowed(f"device {section.device!r} is not on this machine; there are: {', '.join(devices)}")
    allowed = list(devices) if section.device == "auto" else [section.device]
    found: dict[Panel, Panels | OnlinePanels] = {}
    for group in section.panels or (unchanged,):
        given = {name: value for name in type(group).model_fields if (value := getattr(group, name)) is not None}
        axes = {name: given.get(name, getattr(section, name)) for name in axes_of}
        for threads in axes["threads"]:
            if threads > cores:
                raise ValueNotAllowed(
                    f"{threads} threads are more than this machine's {cores} cores; allowed: 1 to {cores}"
                )
        axes["threads"] = axes["threads"] or (cores,)
        for device in allowed:
            if device == given.get("device", device):
                for values in product(*axes.values()):
                    panel = make(device=device, **dict(zip(axes_of.values(), values, strict=True)))
                    if panel.runtime not in ONLY_ON or ONLY_ON[panel.runtime] == device:
                        found[panel] = _both(found.get(panel), group)
    if not found:
        runtimes = [*section.runtimes, *(name for group in section.panels for name in group.runtimes or ())]
        wanted = sorted({ONLY_ON[name] for name in runtimes if name in ONLY_ON})
        raise ValueNotAllowed(
            f"no panel is left on {' and '.join(allowed)}: what is asked for needs {' or '.join(wanted) or 'cuda'}"
        )
    return found


def _both(first: Panels | OnlinePanels | None, second: Panels | OnlinePanels) -> Panels | OnlinePanels:
    """Two groups of settings that come to the same panel: what either names is measured there."""
    if not isinstance(first, Panels) or not isinstance(second, Panels):
        return first or second
    either = first.strategies is None or second.strategies is None
    names = None if either else tuple(dict.fromkeys([*(first.strategies or ()), *(second.strategies or ())]))
    return first.model_copy(update={"strategies": names})


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

_ONLINE_AXES = {name: axis for name, axis in _AXES.items() if name not in ("frames", "batches")} | {
    "streams": "streams"
}


def _variants(
    groups: Sequence[Group], plugins: Group | None, known: dict[str, StrategyInfo], chosen: Chosen
) -> Iterator[Variant]:
    """The variants of all groups, each once; what was dropped in, or only named by the user, joins by ``plugins``
    (None: nothing joins)."""
    grouped = {name for group in groups for name in group.strategies}
    joining = [name for name, info in known.items() if not info.builtin or name in (chosen.strategies or ())]
    all_groups = [*groups]
    if plugins is not None:
        all_groups += [plugins.model_copy(update={"strategies": tuple(n for n in joining if n not in grouped)})]
    seen: set[Variant] = set()
    for group in all_groups:
        for name in group.strategies:
            if name == BASELINE or (chosen.strategies is not None and name not in chosen.strategies):
                continue
            for variant in _of_one(known[name], group, chosen):
                if variant not in seen:
                    seen.add(variant)
                    yield variant


def _own_ways(variants: Sequence[Variant], known: dict[str, StrategyInfo]) -> list[Variant]:
    """Those that compute a layer in another way, with nothing moved: what the way costs without the shift."""
    owners = [variant for variant in variants if known[variant.strategy].owns_layer]
    return list(dict.fromkeys(replace(variant, fraction=Fraction(0)) for variant in owners))


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
