"""What commands share: where they write, how they are interrupted, and the strategy that one of them names."""

import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.spec.axes import PLACEMENTS, ValueNotAllowed, is_elsewhere, parse_fraction, require
from bench.system import workers

if TYPE_CHECKING:
    from bench.strategy import Strategy

_ROOT = Path(__file__).resolve().parent.parent.parent
BUILTIN = _ROOT / "strategies"
"""The suite's own strategies, found without being asked for."""


_MAKING = 120.0  # seconds without a sign of life, for one network


def _base() -> Path:
    """The checkout, or the working directory where the suite is installed as a package."""
    return _ROOT if (_ROOT / "run_bench.py").is_file() else Path.cwd()


def results() -> Path:
    """The folder in which runs get folders of their own."""
    return _base() / "results"


def new_folder(name: str) -> Path:
    """A run's folder, called after this moment and ``name``."""
    return results() / f"{datetime.now():%Y-%m-%d-%H%M%S}-{name}"


def strategies() -> Path:
    """The folder for new strategies."""
    return _base() / "strategies"


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """The first Ctrl-C, or request to end, ends the processes and keeps what they measured; a second one kills.

    Afterwards signals are handled as they were before.
    """

    def stop(*_: Any) -> None:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def require_backbones(names: Iterable[str]) -> None:
    """Networks from elsewhere are made once, in a process of their own, before anything is measured.

    Raises ValueNotAllowed for the first that cannot be made, or has no place for a strategy.
    """
    elsewhere = sorted(filter(is_elsewhere, set(names)))
    if not elsewhere:
        return
    try:
        events = workers.stream("bench.measure.probe", {"names": elsewhere}, silence_limit=_MAKING)
        for event in events:
            if event["event"] == "fault":
                raise ValueNotAllowed(event["reason"])
    except workers.WorkerDied as death:
        raise ValueNotAllowed(f"backbone {', '.join(elsewhere)}: the process that made it {death}") from None


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
