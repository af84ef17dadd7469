"""What each command does, and what it prints. Heavy imports stay inside the command that needs them."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench.spec.axes import BACKBONES, ValueNotAllowed
from bench.spec.request import Request
from bench.store.records import FolderError, refuse_used

if TYPE_CHECKING:
    from bench.models.runtimes.export import Export

_RESULTS = Path(__file__).resolve().parent.parent.parent / "results"

_TEMPLATE = '''"""{name}: say here what the idea is, and what it should cost or buy."""

from torch import Tensor

from bench.strategy import Strategy


class {cls}(Strategy):
    """One line that says what moves where: it is shown in lists and reports."""

    name = "{name}"
    source = ""  # a paper, a repository and file, or empty
    # same_function_as = "copy_shift"  # where this is the same function, faster: then it is proven, and not trained

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape. Must not overwrite ``clip``: the shortcut still needs it.

        As it stands: the first group of channels comes from the previous frame, the rest stays.
        """
        moved = self.channels_each_way(clip.shape[2])
        out = clip.clone()
        out[:, 1:, :moved] = clip[:, :-1, :moved]
        out[:, :1, :moved] = 0
        return out
'''


@contextmanager
def _stopping_in_good_order() -> Iterator[None]:
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


@_stopping_in_good_order()
def run(
    asked: Request, out: Path | None, resume: Path | None, *, pause_after: str | None, quiet: bool, as_json: bool
) -> int:
    """Measure, then report. Returns the exit code."""
    from bench.measure import runner
    from bench.measure.executors import executor_for
    from bench.measure.plan import prepare
    from bench.spec.schema import parse_duration
    from bench.system.environment import usable_cores
    from bench.system.progress import Bar, Silent

    reporter = Silent() if quiet or as_json else Bar(Console(stderr=True))
    folder = resume or out
    pause = None if pause_after is None else parse_duration(pause_after)
    try:
        if resume is not None:
            if out is not None or asked != Request(executor=asked.executor, ray_address=asked.ray_address):
                raise ValueNotAllowed("--resume goes on with what the run's folder says; give it alone")
            tally = runner.resume(resume, reporter, (asked.executor, asked.ray_address), pause)
        else:
            settings, chosen = asked.settings(), asked.chosen()
            if out is not None:  # before anything slow: one that is not free is a mistake that can be told at once
                refuse_used(out)
            executor = executor_for(asked.executor, usable_cores(), settings.limits, asked.ray_address)
            plan = prepare(settings, chosen, asked.strategies_dir)
            if not (plan.sweep.cases or plan.sweep.arms or plan.sweep.detection):
                raise ValueNotAllowed("nothing to measure: no section is left")
            folder = out or _RESULTS / f"{datetime.now():%Y-%m-%d-%H%M%S}-{asked.name}"
            command = "run_bench.py " + " ".join(sys.argv[1:])
            tally = runner.start(plan, folder, asked.name, command, reporter, executor, pause)
    except FolderError as error:
        raise ValueNotAllowed(str(error)) from None
    except KeyboardInterrupt:
        reporter.close()
        if folder is not None and (folder / "run.json").exists():
            print(
                f"interrupted; everything measured so far is kept. Go on with: run --resume {folder}", file=sys.stderr
            )
        raise
    finally:
        reporter.close()
    assert folder is not None
    page = _write_report(folder)
    _summary(folder, page, tally, quiet=quiet, as_json=as_json)
    return 1 if tally.failed else 0


def _write_report(folder: Path) -> Path:
    """Tables, figures and report.html."""
    from bench.analysis import run_tables
    from bench.report import write

    try:
        tables = run_tables.load(folder)
        if tables.damaged:
            print(f"warning: passed over in {folder}/records.jsonl: {'; '.join(tables.damaged[:3])}", file=sys.stderr)
        run_tables.write(tables)
        return write(tables)
    except FolderError as error:
        raise ValueNotAllowed(str(error)) from None
    except OSError as error:
        raise ValueNotAllowed(f"cannot write into {folder}: {error.strerror}") from None


def _summary(folder: Path, page: Path, tally: Any, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        counts = {"ok": tally.ok, "failed": tally.failed, "skipped": tally.skipped}
        print(json.dumps({"folder": str(folder), "report": str(page), "records": counts}))
        return
    if not quiet:
        from bench.analysis import run_tables
        from bench.report import answer

        tables = run_tables.load(folder)
        for line in answer(tables):
            print(line)
        for row in tables.failures.itertuples():
            print(f"failed: {row.id}: {row.reason}")
    print(f"report: {page}")


def report(folder: Path) -> int:
    """Rebuild everything that can be derived from a run's records; of a folder of runs, one page over all of them."""
    runs = [] if (folder / "run.json").exists() else sorted(path.parent for path in folder.glob("*/run.json"))
    print(f"gallery: {_write_gallery(folder, runs)}" if runs else f"report: {_write_report(folder)}")
    return 0


def _write_gallery(folder: Path, runs: list[Path]) -> Path:
    from bench.analysis import run_tables
    from bench.report.gallery import exhibit, write_gallery

    shown, failed = [], []
    for run in runs:
        try:
            shown.append(exhibit(run_tables.load(run)))
        except FolderError as error:
            failed.append((run.name, str(error)))
    try:
        return write_gallery(folder, shown, failed)
    except OSError as error:
        raise ValueNotAllowed(f"cannot write into {folder}: {error.strerror}") from None


def compare(folder_a: Path, folder_b: Path) -> int:
    """Two runs, case by case."""
    from bench.analysis.two_runs import compare_runs

    try:
        print(compare_runs(folder_a, folder_b))
    except FolderError as error:
        raise ValueNotAllowed(str(error)) from None
    return 0


def list_(what: str, strategies_dir: Path | None, *, load: bool = True) -> int:
    """One line for each thing of a kind. load: run strategies' files, which tells more; else they are only read."""
    lines = {
        "strategies": lambda: _strategy_lines(strategies_dir, load=load),
        "backbones": lambda: BACKBONES.items(),
        "presets": _preset_lines,
        "claims": _claim_lines,
    }
    if what not in lines:
        raise ValueNotAllowed(f"cannot list {what!r}; there are: {', '.join(lines)}")
    for name, text in lines[what]():
        print(f"{name:24} {text}")
    return 0


def _strategy_lines(strategies_dir: Path | None, *, load: bool) -> list[tuple[str, str]]:
    from bench.plugins import discovery, static_metadata

    if strategies_dir and not strategies_dir.is_dir():
        raise ValueNotAllowed(f"--strategies-dir {strategies_dir} is not a folder")
    files = discovery.strategy_files(strategies_dir)
    if not load:
        return [static_metadata.glance(file) for file in files]
    infos, _ = discovery.describe(files)
    return [(info.name, info.summary if info.error is None else f"NOT LOADED: {info.error}") for info in infos]


def _preset_lines() -> list[tuple[str, str]]:
    from bench.spec.settings import load_preset, preset_names

    return [(name, load_preset(name).title) for name in preset_names()]


def _claim_lines() -> list[tuple[str, str]]:
    from bench.analysis.claims import load_claims

    return [(claim.id, f"{claim.finding} ({claim.source})") for claim in load_claims()]


def check(strategy: str, strategies_dir: Path | None) -> int:
    """Conformance of one strategy over its placements and directions, each check by name."""
    from bench.cli.check import check_strategy
    from bench.plugins import discovery

    files = discovery.strategy_files(strategies_dir)
    is_file = strategy.endswith(".py") or "/" in strategy
    if is_file and not Path(strategy).is_file():
        raise ValueNotAllowed(f"there is no file {strategy}")
    return check_strategy(Path(strategy) if is_file else strategy, files)


def export(asked: "Export", strategies_dir: Path | None) -> int:
    """Write the file, and print how to load it."""
    from bench.models.runtimes import export as exporting
    from bench.plugins import discovery

    try:
        worst = exporting.write(asked, discovery.strategy_files(strategies_dir))
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueNotAllowed(f"{asked.strategy} was not exported: {error}") from None
    print(f"wrote {asked.out} ({asked.out.stat().st_size / 1e6:.1f} MB); it deviates from eager by {worst:.1g} at most")
    print(f"load it with:\n\n{asked.loader()}")
    return 0


def new(name: str) -> int:
    """Scaffold a strategy."""
    path = _RESULTS.parent / "strategies" / f"{name}.py"
    if not name.isidentifier() or name.startswith("_"):
        raise ValueNotAllowed(
            f"{name!r} cannot be a strategy's name; use letters, digits and underscores, like two_back"
        )
    if path.exists():
        raise ValueNotAllowed(f"{path} exists already; choose another name")
    cls = "".join(part.capitalize() for part in name.split("_"))
    try:
        path.write_text(_TEMPLATE.format(name=name, cls=cls), encoding="utf-8")
    except OSError as error:
        raise ValueNotAllowed(f"cannot write {path}: {error.strerror}") from None
    print(f"wrote {path}\nnext: change it, then  run_bench.py check {name}  and  run_bench.py run --preset smoke")
    return 0


@_stopping_in_good_order()
def validate(budget: str, out: Path | None, *, quiet: bool) -> int:
    """The harness against known effects, on this machine."""
    from bench.spec.schema import parse_duration
    from bench.system.progress import Bar, Silent
    from bench.system.workers import WorkerDied
    from bench.validation import validate as run_validation

    seconds = parse_duration(budget)
    folder = out or _RESULTS / f"{datetime.now():%Y-%m-%d-%H%M%S}-validate"
    reporter = Silent() if quiet else Bar(Console(stderr=True))
    try:
        refuse_used(folder)
        lines = run_validation(seconds, folder, reporter)
    except (FolderError, WorkerDied) as error:
        raise ValueNotAllowed(str(error)) from None
    finally:
        reporter.close()
    for line in lines:
        print(line)
    print(f"written to: {folder}")
    return 0


def stream(*, duration: str | None, strategies_dir: Path | None, as_json: bool, **options: Any) -> int:
    """A causal network on a running video. Raises ValueNotAllowed where it cannot play, or not to its end."""
    from dataclasses import asdict

    from bench.models.streaming.player import Wish, summary_lines, watch
    from bench.models.streaming.screen import screen_for
    from bench.spec.schema import parse_duration

    wish = Wish(**options, seconds=None if duration is None else parse_duration(duration))
    summary = watch(wish, screen_for(Console(), silent=as_json), strategies_dir)
    if as_json:
        print(json.dumps(asdict(summary), ensure_ascii=False))
    else:
        for line in summary_lines(summary):
            print(line)
    if summary.stopped:
        raise ValueNotAllowed(summary.stopped)
    return 0


def doctor() -> int:
    """The machine in a few lines, what it can measure, and what will disturb that."""
    from bench.system import doctor as physician
    from bench.system.environment import describe_machine

    for key, value in describe_machine().items():
        print(f"{key:12} {value}")
    for line in (*physician.capabilities(), *physician.lines(physician.diagnose())):
        print(line)
    return 0
