"""Settings + what was discovered on this machine -> the frozen list of what to measure."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from typing import TypeVar

from bench.spec.axes import (
    ACCURACY_VOLUMETRIC,
    BASELINE,
    DETECTORS,
    ONLY_ON,
    QUANTISING,
    SECTIONS,
    VOLUMETRIC,
    ValueNotAllowed,
    parse_fraction,
    require,
)
from bench.spec.cases import (
    BASELINE_VARIANT,
    Case,
    Chosen,
    Condition,
    PlannedPanel,
    StrategyInfo,
    Sweep,
    Training,
    Trial,
    Variant,
)
from bench.spec.panel import PANEL_AXES, Panel
from bench.spec.parameters import alike, parse, plain, spelled_out
from bench.spec.schema import Group
from bench.spec.settings import Panels, Settings, Timing
from bench.spec.training import Study, TrainingRecipe, TrainingSection, VideoRecipe, VideoSection

_T = TypeVar("_T")


@dataclass(frozen=True)
class Machine:
    """What a sweep is resolved for. cores: that may be used; cpu_bf16: the CPU computes in bf16."""

    devices: tuple[str, ...]
    cores: int
    cpu_bf16: bool = True

    def meant(self, device: str) -> tuple[str, ...]:
        """The devices that a setting means: one, or with auto all that there are. Raises ValueNotAllowed."""
        if device == "auto":
            return self.devices
        if device not in self.devices:
            raise ValueNotAllowed(f"device {device!r} is not on this machine; there are: {', '.join(self.devices)}")
        return (device,)


def with_parameters(infos: Sequence[StrategyInfo], settings: Settings, chosen: Chosen) -> list[StrategyInfo]:
    """``infos``, and one for each strategy with values of its own that ``settings`` or ``chosen`` name, and for what it
    equals with the same values, as far as that takes them.

    Raises ValueNotAllowed for a strategy, parameter or value that is not there.
    """
    known = {info.name: info for info in infos}
    waiting = [*(chosen.strategies or ()), *settings.strategies]
    while waiting:
        for name in strategies_asked((waiting.pop(0),), known):
            if name not in known:
                own = known[plain(name)]
                same = known.get(own.same_function_as or "")
                if same is not None:
                    waiting.append(alike(name, same.name, same.parameters))
                    own = replace(own, same_function_as=waiting[-1])
                known[name] = replace(own, name=name)
    return list(known.values())


def strategies_asked(asked: Sequence[str], known: Mapping[str, StrategyInfo]) -> list[str]:
    """Each strategy that is asked for, with one value for each of its parameters. Raises ValueNotAllowed."""
    found = list[str]()
    for name in asked:
        own = name if name in known else parse(name)[0]
        require(own, sorted(known), "strategy")
        declares_nothing = own == name or known[own].error is not None
        found += [own] if declares_nothing else spelled_out(name, known[own].parameters)
    return found


def expand(settings: Settings, infos: Sequence[StrategyInfo], chosen: Chosen, machine: Machine) -> Sweep:
    """The cases and trials that ``settings`` and ``chosen`` ask for on this machine. infos: of ``with_parameters``.

    Raises ValueNotAllowed for a strategy, study, device or number of threads that is not there, and where nothing that
    is asked for can be timed or trained.
    """
    return _Expansion(settings, {info.name: info for info in infos}, chosen, machine).sweep()


@dataclass(frozen=True)
class _Expansion:
    settings: Settings
    known: dict[str, StrategyInfo]
    chosen: Chosen
    machine: Machine

    def sweep(self) -> Sweep:
        strategies_asked(
            (*(self.chosen.strategies or ()), *self.settings.strategies), self.known
        )  # raises what is not there
        sections = self.settings.sections
        clips = self._planned(self.settings.latency, self._of_clips) if "latency" in sections else ()
        panels = [*clips, *self._streams()]
        if "video" in sections and set(sections) != set(SECTIONS) and not self.settings.video.data.path:
            raise ValueNotAllowed(
                "the video section trains on videos of your own, and there are none: name a folder CLASS/VIDEO, a list "
                "or a CSV with --data"
            )
        trained = {name: section for name, section in self.settings.trained.items() if name in sections}
        self._require_studies(list(trained.values()))
        trainings = [self._training(name, section) for name, section in trained.items()]
        return Sweep(tuple(panels), tuple(training for training in trainings if training.trials))

    def _of_clips(self, section: Timing, row: Panels) -> list[Variant]:
        shifts = self._asked(section, row)
        owners = [variant for variant in shifts if self.known[variant.strategy].owns_layer]
        nothing_moved = [replace(variant, fraction=Fraction(0)) for variant in owners]  # what their way costs by itself
        return [*shifts, *dict.fromkeys(nothing_moved)]

    def _streams(self) -> list[PlannedPanel]:
        """Detectors are timed where the detection section is asked for, other networks where the online section is."""
        section, asked = self.settings.online, self.settings.sections
        streaming = any(self._of_streams(section, row) for row in section.panels or (Panels(),))
        if not streaming and asked == ("online",):
            raise ValueNotAllowed(
                "nothing of what is asked for can stream: a stream has no next frame, so the online section takes "
                "strategies in the direction unidirectional, at fractions above 0"
            )
        networks = getattr(section, "backbones") or section.panels  # noqa: B009
        if not streaming or not networks or not {"online", "detection"} & set(asked):
            return []
        return [
            planned
            for planned in self._planned(section, self._of_streams)
            if ("detection" if planned.panel.backbone in DETECTORS else "online") in asked
        ]

    def _of_streams(self, section: Timing, row: Panels) -> list[Variant]:
        return [variant for variant in self._asked(section, row) if variant.direction == "unidirectional"]

    def _asked(self, section: Timing, row: Panels) -> list[Variant]:
        """What was dropped in joins where a row has no groups of its own, even if it names its strategies."""
        asked = (
            self._variants(section.groups, section.plugins) if row.groups is None else self._variants(row.groups, None)
        )
        named = None if row.strategies is None else strategies_asked(row.strategies, self.known)
        return [
            v
            for v in asked
            if named is None or {v.strategy, plain(v.strategy)} & {*named} or not self.known[v.strategy].builtin
        ]

    def _planned(
        self, section: Timing, variants: Callable[[Timing, Panels], Sequence[Variant]]
    ) -> Iterator[PlannedPanel]:
        """All panels; one of a later turn only where it adds a case."""
        before: dict[Panel, set[Case]] = {}
        for (turn, panel), rows in sorted(self._panels(section).items(), key=lambda item: item[0][0]):
            shifts = [] if panel.backbone in VOLUMETRIC else [v for row in rows for v in variants(section, row)]
            own = dict.fromkeys(Case(variant, panel) for variant in shifts)
            if turn == 1 or own.keys() - before.get(panel, set()):
                cases = (Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True), *own)
                yield PlannedPanel(panel, cases, rows[0].weight, turn)
            before.setdefault(panel, set()).update(own)

    def _panels(self, section: Timing) -> dict[tuple[int, Panel], list[Panels]]:
        """Every panel once a turn, with the settings that it comes from; without what needs a device not ``meant``."""
        allowed = self.machine.meant(section.device)
        found: dict[tuple[int, Panel], list[Panels]] = {}
        for row in section.panels or (Panels(),):
            axes = {}
            for option, axis in PANEL_AXES.items():
                own = getattr(row, option)
                axes[axis.name] = getattr(section, option) if own is None else own
            axes["threads"] = self._threads(axes["threads"])
            if "int8" in axes["dtype"] and not set(axes["runtime"]) & set(QUANTISING):
                raise ValueNotAllowed(
                    f"int8 exists in the runtimes {' and '.join(QUANTISING)}, which bring tools that quantise, not in "
                    f"{' or '.join(axes['runtime'])}: --runtimes {','.join(QUANTISING)}"
                )
            for device in allowed:
                if device == (row.device or device):
                    for values in product(*axes.values()):
                        panel = Panel(device=device, **dict(zip(axes, values, strict=True)))
                        if _exists(panel):
                            found.setdefault((row.turn, panel), []).append(row)
        if not found:
            runtimes = [name for part in (section, *section.panels) for name in getattr(part, "runtimes") or ()]  # noqa: B009
            wanted = sorted({ONLY_ON[name] for name in runtimes if name in ONLY_ON})
            raise ValueNotAllowed(
                f"no panel is left on {' and '.join(allowed)}: what is asked for needs {' or '.join(wanted) or 'cuda'}"
            )
        return found

    def _threads(self, asked: tuple[int, ...]) -> tuple[int, ...]:
        cores = self.machine.cores
        for count in asked:
            if count > cores:
                raise ValueNotAllowed(
                    f"{count} threads are more than this machine's {cores} cores; allowed: 1 to {cores}"
                )
        return asked or (cores,)

    def _require_studies(self, sections: Sequence[TrainingSection]) -> None:
        names = list(dict.fromkeys(study.name for section in sections for study in section.all_studies))
        for wanted in self.chosen.studies or ():
            if names and wanted not in names:
                raise ValueNotAllowed(f"unknown study {wanted!r}; this preset has: {', '.join(names)}")

    def _training(self, name: str, section: TrainingSection) -> Training:
        trials = tuple(dict.fromkeys(self._trials(name, section)))
        return Training(name, trials, self._resolved(section.recipe), section.data)

    def _trials(self, name: str, section: TrainingSection) -> Iterator[Trial]:
        """Study after study, and seed by seed, so that an interrupted study holds whole comparisons; questions about
        videos one after the other, as each is an experiment of its own."""
        studies = section.all_studies
        chosen = self.chosen.studies if section.studies else None  # others have none to choose
        for study in studies:
            if chosen is None or study.name in chosen:
                main = studies[0]
                variants = self._variants(study.groups, section.plugins if study is main else None)
                own = dict.fromkeys(replace(v, strategy=root_of(v.strategy, self.known)) for v in variants)
                trained = [BASELINE_VARIANT, *own] if study.baseline else list(own)  # the others inherit
                first = section.first_seed if study.first_seed is None else study.first_seed
                seeds = range(first, first + (study.seeds or section.seeds))
                conditions = _conditions(study, main)
                order = [(condition, seed) for seed in seeds for condition in conditions]
                if isinstance(section, VideoSection):
                    order = list(product(conditions, seeds))
                for condition, seed in order:
                    own_of = trained if condition.backbone not in ACCURACY_VOLUMETRIC else [BASELINE_VARIANT]
                    for variant in own_of:
                        yield Trial(name, variant, condition, seed)

    def _resolved(self, recipe: TrainingRecipe) -> TrainingRecipe:
        """With the device, the number format and the weights that are meant."""
        device = "cuda" if "cuda" in self.machine.meant(recipe.device) else "cpu"
        bf16 = recipe.bf16 if recipe.bf16 != "auto" else device == "cuda" or self.machine.cpu_bf16
        update: dict[str, object] = {"device": device, "bf16": bf16}
        if isinstance(recipe, VideoRecipe) and self.settings.weights:
            update["weights"] = self.settings.weights
        return recipe.model_copy(update=update)

    def _variants(self, groups: Sequence[Group], plugins: Group | None) -> list[Variant]:
        """Each once. What was dropped in, or only named by the user, joins by ``plugins``; None: nothing joins.

        What the user gives values of its own takes the place of the plain strategy.
        """
        chosen = None if self.chosen.strategies is None else strategies_asked(self.chosen.strategies, self.known)
        dropped_in = [name for name, info in self.known.items() if not info.builtin and name == plain(name)]
        joining = [name for name in self.known if name in dropped_in or name in (chosen or ())]

        def meant(group: Group) -> list[str]:
            names = strategies_asked(group.strategies, self.known)
            return names if chosen is None else [own for name in names for own in chosen if name in (own, plain(own))]

        grouped = {name for group in groups for name in meant(group)}
        all_groups = [*groups]
        if plugins is not None:
            all_groups += [plugins.model_copy(update={"strategies": tuple(n for n in joining if n not in grouped)})]
        taking_part = [
            variant
            for group in all_groups
            for name in meant(group)
            if name != BASELINE
            for variant in self._of_one(self.known[name], group)
        ]
        return list(dict.fromkeys(taking_part))

    def _of_one(self, info: StrategyInfo, group: Group) -> Iterator[Variant]:
        """One strategy's variants: what is asked for, as far as the strategy declares that it makes sense."""
        chosen = self.chosen
        asked = None if chosen.fractions is None else [fraction for fraction in chosen.fractions if fraction > 0]
        usual = [fraction for fraction in group.fractions if fraction > 0]
        fractions = _fitting(asked, usual, [parse_fraction(fraction) for fraction in info.fractions or ()])
        placements = _fitting(chosen.placements, group.placements, info.placements)
        directions = _fitting(chosen.directions, group.directions, info.directions)
        for placement, direction, fraction in product(placements, directions, fractions):
            yield Variant(info.name, fraction, placement, direction)


def _exists(panel: Panel) -> bool:
    """Whether its runtime is made for its device, and can quantise where its dtype is int8."""
    there = ONLY_ON.get(panel.runtime, panel.device) == panel.device
    return there and (panel.dtype != "int8" or panel.runtime in QUANTISING)


def _conditions(study: Study, main: Study) -> list[Condition]:
    crossed = product(
        study.datasets or main.datasets or (),
        study.backbones or main.backbones or (),
        study.objectives,
        study.views,
        study.lr_factors,
        study.length_factors,
    )
    return [Condition(*values, cohort=study.cohort) for values in crossed]


def root_of(name: str, known: dict[str, StrategyInfo]) -> str:
    """The strategy whose function ``name`` computes and whose accuracy it inherits: at the end of the chain of
    ``same_function_as``."""
    seen = {name}
    while (source := known[name].same_function_as) in known and source not in seen:
        name = source
        seen.add(name)
    return name


def _fitting(chosen: Sequence[_T] | None, group: Sequence[_T], declared: Sequence[_T]) -> Sequence[_T]:
    """The values asked for that are declared; where only the preset asked, and none fits, those declared."""
    asked = group if chosen is None else chosen
    if not declared:  # all are fine; or the file failed to load, and is listed as failed under what was asked
        return asked
    fitting = [value for value in asked if value in declared]
    return declared if chosen is None and not fitting else fitting
