"""What the user typed -> validated settings. One line for a mistake: the value, and what is allowed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.spec.axes import DIRECTIONS, PLACEMENTS, ValueNotAllowed, parse_fraction
from bench.spec.cases import Chosen
from bench.spec.panel import PANEL_AXES
from bench.spec.settings import Settings, Timing, load_config, load_preset, validate


@dataclass(frozen=True)
class Request:
    """The options of ``run`` as text; None: not given. axes: {option of an axis: text}."""

    preset: str | None = None
    config: Path | None = None
    only: str | None = None
    strategies: str | None = None
    strategies_dir: Path | None = None
    fractions: str | None = None
    placements: str | None = None
    directions: str | None = None
    device: str | None = None
    seeds: str | None = None
    budget: str | None = None
    studies: str | None = None
    axes: Mapping[str, str] = field(default_factory=dict)
    executor: str = "local"
    ray_address: str | None = None

    @property
    def name(self) -> str:
        """The preset's name, or the config file's."""
        return self.preset or (self.config.stem if self.config else "standard")

    def settings(self) -> Settings:
        """The preset or config with the options put in. Raises ValueNotAllowed."""
        if self.preset and self.config:
            raise ValueNotAllowed("--preset and --config exclude each other; give one of them")
        if self.strategies_dir and not self.strategies_dir.is_dir():
            raise ValueNotAllowed(f"--strategies-dir {self.strategies_dir} is not a folder")
        base = load_config(self.config) if self.config else load_preset(self.preset or "standard")
        data: dict[str, Any] = base.model_dump(mode="json")
        only = None if self.only is None else _items(self.only, "--only")
        streaming_only = only in (("online",), ("detection",))
        for name, section in base.timed.items():
            self._put_into(data[name], section, strict=streaming_only == (name == "online"))
        if self.budget is not None:
            data["online" if streaming_only else "latency"]["budget"] = self.budget
        if self.seeds is not None:
            for name in base.trained:
                data[name]["seeds"] = _number(self.seeds, "--seeds")
            for study in data["accuracy"]["studies"]:  # an option holds for every study
                study["seeds"] = None
        if only is not None:
            data["sections"] = only
        return validate(data, "command line")

    def _put_into(self, data: dict[str, Any], section: Timing, *, strict: bool) -> None:
        """An option holds for every panel of a section. strict: a value that the section cannot run is a mistake; else
        it is left out, and where no value is left the section measures nothing."""
        nothing_left = False
        for option, text in self.axes.items():
            axis = PANEL_AXES[option]
            if option in section.NOT_OPTIONS:
                continue
            items = _items(text, axis.flag)
            values: list[Any] = [_number(item, axis.flag) for item in items] if axis.counts else list(items)
            if not strict and option in section.ALLOWED:
                values = [value for value in values if value in section.ALLOWED[option]]
            if values:
                _replace(data, option, values)
            nothing_left |= not values
        if self.device is not None:
            _replace(data, "device", self.device)
        if nothing_left:
            data |= {"backbones": [], "panels": []}

    def chosen(self) -> Chosen:
        """The strategies and variants that the options narrow the sweep to. Raises ValueNotAllowed."""
        fractions = None if self.fractions is None else _items(self.fractions, "--fractions")
        return Chosen(
            strategies=None if self.strategies is None else _items(self.strategies, "--strategies"),
            fractions=None if fractions is None else tuple(map(parse_fraction, fractions)),
            placements=_among(self.placements, PLACEMENTS, "placement"),
            directions=_among(self.directions, DIRECTIONS, "direction"),
            studies=None if self.studies is None else _items(self.studies, "--studies"),
        )


def _items(text: str, option: str) -> tuple[str, ...]:
    """``a,b`` -> (a, b), each once."""
    items = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not items:
        raise ValueNotAllowed(f"{option} is empty; write one value or several: a,b")
    return items


def _number(text: str, option: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ValueNotAllowed(f"{option} {text!r} is not a whole number from 1")
    return value


def _among(text: str | None, allowed: tuple[str, ...], what: str) -> tuple[str, ...] | None:
    if text is None:
        return None
    items = _items(text, f"--{what}s")
    for item in items:
        if item not in allowed:
            raise ValueNotAllowed(f"unknown {what} {item!r}; there are: {', '.join(allowed)}")
    return items


def _replace(section: dict[str, Any], option: str, value: Any) -> None:
    section[option] = value
    for panel in section["panels"]:
        panel.pop(option, None)
