"""What commands share: where they write, how they are interrupted, and the strategy that one of them names."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.spec.axes import (
    IMAGENET,
    PLACEMENTS,
    ValueNotAllowed,
    is_elsewhere,
    parse_fraction,
    require,
    starting_weights,
)
from bench.system import workers

if TYPE_CHECKING:
    from bench.spec.cases import Sweep
    from bench.strategy import Strategy

_ROOT = Path(__file__).resolve().parent.parent.parent
BUILTIN = _ROOT / "strategies"
"""The suite's own strategies, found without being asked for."""


_MAKING, _DOWNLOADING = 120.0, 3600.0  # seconds without a sign of life, for one network


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


def command_line() -> str:
    """As it was typed, for run.json."""
    return shlex.join(["run_bench.py", *sys.argv[1:]])


@contextmanager
def stopping_in_order() -> Iterator[None]:
    """The first Ctrl-C, request to end, or end of the terminal ends the processes and keeps what they measured; a
    second one kills. Who ignores the end of the terminal (nohup) goes on. Afterwards signals are handled as before.
    """

    def stop(number: int, _: Any) -> None:
        if number == signal.SIGHUP:
            _silence(terminals)
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        raise KeyboardInterrupt

    terminals = [handle for handle in (1, 2) if os.isatty(handle)]  # one that is gone is none any more
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence(handles: list[int]) -> None:
    """What is still said goes nowhere: writing to a terminal that is gone would raise."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for handle in handles:
        os.dup2(nowhere, handle)
    os.close(nowhere)


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """What is printed in the body, by a strategy's code or a library's, in whatever way, goes to standard error:
    standard output is for one JSON object."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def weights_at(text: str | None) -> str | None:
    """``--weights``: an absolute path, ``imagenet`` or None. Raises ValueNotAllowed where there is no such file."""
    if text is None or text == IMAGENET:
        return text
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueNotAllowed(f"there is no file {text} with weights; --weights takes a file, or imagenet")
    return str(path.absolute())


def warn_if_released_otherwise(weights: str | None, **asked: Any) -> None:
    """A line on standard error where the name of a released checkpoint says that it was trained with other settings,
    and where a causal network is asked for and the name says nothing.

    asked: any of ``fraction`` (as text), ``placement``, ``direction`` and ``segments``.
    """
    from bench.models import released_otherwise
    from bench.models.weights import released_settings

    if "fraction" in asked:
        asked["fraction"] = parse_fraction(asked["fraction"])
    if weights is None or weights == IMAGENET:
        return
    line = released_otherwise(Path(weights), **asked)
    if asked.get("direction") == "unidirectional" and not released_settings(Path(weights)):
        line = (
            f"{Path(weights).name} does not say how it was trained: where its shift saw the next frame "
            "(bidirectional), what a causal network predicts with it means nothing"
        )
    if line:
        print(f"warning: {line}", file=sys.stderr)


def require_backbones(sweep: "Sweep", weights: str | None) -> dict[str, int]:
    """Networks from elsewhere, and those that are given weights, are made once, in a process of their own, before
    anything is measured. weights: of those that are timed; what learns from videos may start from others.

    Raises ValueNotAllowed for the first that cannot be made, has no place for a strategy, or takes no such weights, and
    where nothing takes any. Returns how many classes each of them tells apart.
    """
    from bench.spec.training import VideoRecipe

    classes = dict[str, int]()
    timed = {(case.panel.backbone, weights) for case in sweep.cases}
    learning = {
        (name := trial.condition.backbone, starting_weights(name, training.recipe.weights))
        for training in sweep.trainings
        if isinstance(training.recipe, VideoRecipe)
        for trial in training.trials
    }
    networks = sorted((name, own or "") for name, own in timed | learning if own or is_elsewhere(name))
    if not networks and weights:
        raise ValueNotAllowed("--weights: no section of this run takes them; latency, online and video do")
    if not networks:
        return {}
    names = ", ".join(name for name, _ in networks)
    limit = _DOWNLOADING if any(own == IMAGENET for _, own in networks) else _MAKING
    job = {"networks": [(name, own or None) for name, own in networks]}
    try:
        for event in workers.stream("bench.measure.probe", job, silence_limit=limit):
            if event["event"] == "fault":
                raise ValueNotAllowed(event["reason"])
            if event["event"] == "made":
                classes[event["name"]] = event["classes"]
    except workers.WorkerDied as death:
        raise ValueNotAllowed(f"backbone {names}: the process that made it {death}") from None
    return classes


def strategy_at(
    name: str, fraction: str, placement: str, direction: str, strategies_dir: Path | None = None
) -> "Strategy":
    """The strategy ``name``. Raises ValueNotAllowed, with what is allowed, for a value, fraction or placement it lacks.

    strategies_dir: a folder with more strategy files.
    """
    from bench.plugins import discovery
    from bench.spec.parameters import plain

    files = discovery.strategy_files(strategies_dir)
    if not any(discovery.says(file, plain(name)) for file in files):  # then a process of their own finds out
        infos, _ = discovery.describe(files)
        known = {info.name: Path(info.file) for info in infos if info.error is None}
        require(plain(name), sorted(known), "strategy")
        files = [known[plain(name)]]
    require(placement, PLACEMENTS, "placement")
    try:
        cls, share = discovery.load_class(name, files), float(parse_fraction(fraction))
    except discovery.LoadError as error:
        raise ValueNotAllowed(f"strategy {name!r}: {error}") from None
    if cls.fractions is not None and share not in cls.fractions:
        allowed = ", ".join(f"{value:g}" for value in cls.fractions)
        raise ValueNotAllowed(f"{name} does not exist at fraction {fraction}; it does at: {allowed}")
    require(placement, cls.placements, f"placement of {name}")
    return cls(share, placement, direction)  # type: ignore[arg-type]
