"""The strategy that a command is given by name, at its place on the axes."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from bench.spec.axes import PLACEMENTS, ValueNotAllowed, parse_fraction

if TYPE_CHECKING:
    from bench.strategy import Strategy


def require(value: str, allowed: Collection[str], what: str) -> None:
    """Raises ValueNotAllowed for a value that is not ``allowed``."""
    if value not in allowed:
        raise ValueNotAllowed(f"unknown {what} {value!r}; there are: {', '.join(allowed)}")


def strategy_at(
    name: str, fraction: str, placement: str, direction: str, strategies_dir: Path | None = None
) -> "Strategy":
    """The strategy ``name``. Raises ValueNotAllowed, with what is allowed, for a fraction or placement that it lacks.

    strategies_dir: a folder with more strategy files.
    """
    from bench.plugins.discovery import info_of, load_class, strategy_files

    files = strategy_files(strategies_dir)
    require(name, sorted(info.name for info in map(info_of, files) if info.error is None), "strategy")
    require(placement, PLACEMENTS, "placement")
    cls, share = load_class(name, files), float(parse_fraction(fraction))
    if cls.fractions is not None and share not in cls.fractions:
        allowed = ", ".join(f"{value:g}" for value in cls.fractions)
        raise ValueNotAllowed(f"{name} does not exist at fraction {fraction}; it does at: {allowed}")
    require(placement, cls.placements, f"placement of {name}")
    return cls(share, placement, direction)  # type: ignore[arg-type]
