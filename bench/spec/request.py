"""What the user typed -> validated settings. One line for a mistake: the value, and what is allowed."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from bench.spec.axes import (
    BACKBONES,
    DETECTORS,
    DIRECTIONS,
    PLACEMENTS,
    STREAM_RUNTIMES,
    ValueNotAllowed,
    parse_fraction,
)
from bench.spec.cases import Chosen
from bench.spec.settings import Settings, load_config, load_preset, validate


@dataclass(frozen=True)
class Request:
    """The options of ``run`` as text; None: not given."""

    preset: str | None = None
    config: Path | None = None
    only: str | None = None
    strategies: str | None = None
    strategies_dir: Path | None = None
    fractions: str | None = None
    placements: str | None = None
    directions: str | None = None
    backbone: str | None = None
    device: str | None = None
    runtimes: str | None = None
    threads: str | None = None
    dtypes: str | None = None
    memory_formats: str | None = None
    frames: str | None = None
    sizes: str | None = None
    batches: str | None = None
    seeds: str | None = None
    budget: str | None = None
    executor: str = "local"
    ray_address: str | None = None
    studies: str | None = None

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
        given = self._latency()
        data["latency"] |= given
        data["latency"]["panels"] = [  # an option holds for every panel
            {key: value for key, value in panel.items() if key not in given} for panel in data["latency"]["panels"]
        ]
        self._put_into_online(data, given)
        if self.seeds is not None:
            data["accuracy"]["seeds"] = data["detection"]["seeds"] = _number(self.seeds, "--seeds")
            for study in data["accuracy"]["studies"]:  # an option holds for every study
                study["seeds"] = None
        if self.only is not None:
            data["sections"] = _items(self.only, "--only")
        return validate(data, "command line")

    def _put_into_online(self, data: dict[str, Any], given: dict[str, Any]) -> None:
        """What holds for latency holds frame by frame too, as far as it can; alone, it must, and has the budget."""
        alone = self.only is not None and _items(self.only, "--only") in (("online",), ("detection",))
        possible = {"backbones": {**BACKBONES, **DETECTORS}, "runtimes": STREAM_RUNTIMES}
        for key in ("backbones", "device", "runtimes", "dtypes", "memory_formats", "threads", "sizes"):
            if key in given:
                values = given[key]
                if key in possible and not alone:
                    values = [value for value in values if value in possible[key]]
                data["online"][key] = values
                for panel in data["online"]["panels"]:
                    panel.pop(key, None)
        if alone and "budget" in given:
            data["online"]["budget"] = given["budget"]

    def _latency(self) -> dict[str, Any]:
        texts = {"backbones": self.backbone, "runtimes": self.runtimes, "dtypes": self.dtypes}
        texts |= {"memory_formats": self.memory_formats}
        numbers = {"threads": self.threads, "frames": self.frames, "sizes": self.sizes, "batches": self.batches}
        single = {"device": self.device, "budget": self.budget}
        given: dict[str, Any] = {key: _items(text, f"--{key}") for key, text in texts.items() if text is not None}
        for key, text in numbers.items():
            if text is not None:
                given[key] = [_number(item, f"--{key}") for item in _items(text, f"--{key}")]
        return given | {key: value for key, value in single.items() if value is not None}

    def chosen(self) -> Chosen:
        """The strategies and variants that the options narrow the sweep to. Raises ValueNotAllowed."""
        return Chosen(
            strategies=None if self.strategies is None else _items(self.strategies, "--strategies"),
            fractions=self._fractions(),
            placements=_among(self.placements, PLACEMENTS, "placement"),
            directions=_among(self.directions, DIRECTIONS, "direction"),
            studies=None if self.studies is None else _items(self.studies, "--studies"),
        )

    def _fractions(self) -> tuple[Fraction, ...] | None:
        if self.fractions is None:
            return None
        return tuple(parse_fraction(item) for item in _items(self.fractions, "--fractions"))


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
