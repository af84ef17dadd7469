"""``advise``: which mechanism to deploy here, what it costs, and the command that makes its file.

Answers come from runs of this machine that lie in ``results/``; where none knows, from a quick one.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import session
from bench.spec.axes import (
    BASELINE,
    EAGER,
    PLACEMENTS,
    RUNTIMES,
    STREAM_RUNTIMES,
    ValueNotAllowed,
    parse_fraction,
    require,
)

if TYPE_CHECKING:
    from bench.stats.estimators import Interval

_PUBLISHED = "copy_shift"  # whose function is asked for
_OFFLINE = {
    EAGER: ("buffer_shift", "placed_shift", "native_shift"),
    "openvino": ("frame_concat_shift[edges=pad]", "parted_shift", "parted_shift[edges=pad]"),
}
_OFFLINE_IN_COMPILERS = ("frame_concat_shift[edges=pad]", "split_input_shift", "parted_shift")
_ONLINE = {EAGER: ("concat_shift", "buffer_shift", "placed_shift")}
_ONLINE_IN_RUNTIMES = ("concat_shift", "parted_shift")
_FRAMES = {False: 8, True: 4}  # of a clip; of a slot of a stream
_FRACTIONS = {False: "1/4", True: "1/8"}
_EXPORT = "60s"  # of a case: its share of so short a budget would be too little


@dataclass(frozen=True)
class Wanted:
    """What is to be deployed. weights: a file, or imagenet."""

    backbone: str
    runtime: str
    fraction: str
    placement: str
    dtype: str
    size: int
    online: bool
    weights: str | None

    @property
    def section(self) -> str:
        """Where such cases are timed."""
        return "online" if self.online else "latency"

    @property
    def direction(self) -> str:
        """A stream takes from the past alone."""
        return "unidirectional" if self.online else "bidirectional"

    @property
    def columns(self) -> dict[str, Any]:
        """What a row of the section's table must hold."""
        return {
            **{"backbone": self.backbone, "runtime": self.runtime, "dtype": self.dtype, "size": self.size},
            **{"device": "cpu", "frames": _FRAMES[self.online], "placement": self.placement},
            **{"direction": self.direction, "fraction": float(parse_fraction(self.fraction)), "status": "ok"},
            **({"streams": 1} if self.online else {"batch": 1}),
        }

    @property
    def candidates(self) -> tuple[str, ...]:
        """What a quick run compares."""
        if self.online:
            return (_PUBLISHED, *_ONLINE.get(self.runtime, _ONLINE_IN_RUNTIMES))
        return (_PUBLISHED, *_OFFLINE.get(self.runtime, _OFFLINE_IN_COMPILERS))


@dataclass(frozen=True)
class Found:
    """A mechanism as a run of this machine measured it. control: of the panel, see the page."""

    strategy: str
    overhead: "Interval"
    processes: int
    control: str


def command(
    backbone: Annotated[str, typer.Option(help="See: list backbones; or timm:NAME, FILE.py:FUNCTION.")],
    runtime: Annotated[str, typer.Option(help="eager, compile, onnxruntime or openvino.")],
    weights: Annotated[str | None, typer.Option(help="For the file that is made: a checkpoint, or imagenet.")] = None,
    fraction: Annotated[str | None, typer.Option(help="Share of the channels that move: 1/4; online 1/8.")] = None,
    placement: Annotated[str, typer.Option(help="residual or inplace.")] = "residual",
    dtype: Annotated[str, typer.Option(help="fp32, bf16 or int8.")] = "fp32",
    size: Annotated[int, typer.Option(min=32, help="Pixels along an edge.")] = 224,
    online: Annotated[bool, typer.Option("--online", help="Frame by frame.")] = False,
    budget: Annotated[str, typer.Option(help="Of the quick run, where no run knows.")] = "2m",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> int:
    """Which mechanism to deploy on this machine, what it costs with its interval, and how to export it.

    From the runs of this machine in results/ (the newest that knows), or from a quick one.
    """
    require(runtime, STREAM_RUNTIMES if online else RUNTIMES, "runtime of the online section" if online else "runtime")
    require(placement, PLACEMENTS, "placement")
    where = backbone, runtime, fraction or _FRACTIONS[online], placement, dtype, size, online
    wanted = Wanted(*where, session.weights_at(weights))

    from bench.models.runtimes import why_not

    if reason := why_not(runtime, "cpu", dtype):
        raise ValueNotAllowed(reason)
    folder, found = _known(wanted)
    if not found:
        folder = _measured(wanted, budget, quiet)
        found = _of_run(folder, wanted)
    if not found:
        raise ValueNotAllowed(f"{folder} has no interval for them; give a longer --budget than {budget}")
    for line in _lines(wanted, found, folder):
        print(line)
    return 0


def _known(wanted: Wanted) -> tuple[Path, list[Found]]:
    """The newest run of this machine that has measured at least two ways, and what it says."""
    from bench.store.records import FolderError, read_header
    from bench.system.environment import machine_id

    here, headers = machine_id(), {}
    for file in session.results().glob("**/run.json"):
        try:
            headers[file.parent] = read_header(file.parent)
        except FolderError:
            continue
    own = [folder for folder, header in headers.items() if header.get("machine_id") == here]
    for folder in sorted(own, key=lambda folder: str(headers[folder].get("created")), reverse=True):
        if len(found := _of_run(folder, wanted)) > 1:
            return folder, found
    return session.results(), []


def _of_run(folder: Path, wanted: Wanted) -> list[Found]:
    """The ways to write the published shift that a run has measured for what is wanted, the cheapest first."""
    import pandas as pd

    from bench.report.numbers import estimate, known
    from bench.report.selection import rows
    from bench.store.records import read_header

    try:
        table = pd.read_csv(folder / "tables" / f"{wanted.section}.csv")
        for name, value in wanted.columns.items():
            table = table[table[name] == value]
    except (OSError, KeyError, pd.errors.EmptyDataError):
        return []
    if not len(table):
        return []
    panel = [name for name in ("threads", "memory_format", "allocator") if name in table]
    _, table = max(table.groupby(panel), key=lambda group: (len(group[1]), group[1]["replicates"].min()))
    infos: Sequence[Mapping[str, Any]] = read_header(folder).get("strategies", ())
    alike = {info["name"] for info in infos if info.get("same_function_as") == _PUBLISHED} | {_PUBLISHED}
    measured = [
        Found(row["strategy"], overhead, int(row["replicates"]), str(row["control"]))
        for row in rows(table)
        if row["strategy"] in alike and row["strategy"] != BASELINE and known(overhead := estimate(row, "overhead"))
    ]
    return sorted(measured, key=lambda one: one.overhead.mean)


def _measured(wanted: Wanted, budget: str, quiet: bool) -> Path:
    """A quick run of the candidates; its folder. Raises ValueNotAllowed for what cannot be measured."""
    from bench.cli.report import write_report
    from bench.measure import runner
    from bench.measure.executors import executor_for
    from bench.measure.plan import prepare
    from bench.spec.cases import Chosen
    from bench.spec.settings import validate
    from bench.system.progress import Reporter

    group = {
        **{"strategies": wanted.candidates, "fractions": [wanted.fraction]},
        **{"placements": [wanted.placement], "directions": [wanted.direction]},
    }
    timed: dict[str, Any] = {
        **{"device": "cpu", "backbones": [wanted.backbone], "runtimes": [wanted.runtime], "dtypes": [wanted.dtype]},
        **{"sizes": [wanted.size], "frames": [_FRAMES[wanted.online]], "budget": budget, "allocators": ["retained"]},
        **{"groups": [group], "plugins": {"strategies": []}, "min_replicates": 5, "max_replicates": 24},
    }
    title = {"title": f"What to deploy: {wanted.backbone} in {wanted.runtime}", "weights": wanted.weights}
    given = {**title, "sections": [wanted.section], "limits": {"export": _EXPORT}, wanted.section: timed}
    settings = validate(given, "command line")
    reporter, folder = Reporter(quiet), session.new_folder("advise")
    with session.stopping_in_order():
        try:
            plan = prepare(settings, Chosen(strategies=wanted.candidates), None)
            session.require_backbones(plan.sweep, wanted.weights)
            executor = executor_for("local", 1, settings.limits, None)
            runner.start(plan, folder, "advise", session.command_line(), reporter, executor)
        finally:
            reporter.close()
    write_report(folder)
    return folder


def _lines(wanted: Wanted, found: Sequence[Found], folder: Path) -> Iterator[str]:
    """What to take, what it costs, what else there is, how it is made."""
    from bench.models.runtimes import EXPORTED
    from bench.report.numbers import interval_text

    best, *others = found
    form = "one frame at a time" if wanted.online else f"{_FRAMES[False]} frames"
    where = f"{wanted.backbone}, {form} of {wanted.size}², {wanted.dtype}, in {wanted.runtime} on this machine"
    alike = [one for one in others if one.overhead.low <= best.overhead.high]
    yield f"{where}: {'take' if not alike else 'take, on intervals that overlap,'} {best.strategy}"
    yield f"{wanted.fraction} of the channels, {wanted.placement}, over the network without a shift:"
    for one in found:
        note = "" if one.control == "certified" else f"; A/A control {one.control}"
        yield f"  {one.strategy:<20} {interval_text(one.overhead)}, {one.processes} processes{note}"
    yield f"measured in {folder}"
    if wanted.runtime not in EXPORTED:
        yield f"put it in with: bench.models.{'go_online' if wanted.online else 'insert'} (docs/networks.md)"
        return
    name = wanted.backbone.rpartition(":")[2].replace("/", "_")
    file = f"{name}-{best.strategy}.{'xml' if wanted.online and wanted.runtime == 'openvino' else 'onnx'}"
    line = ["run_bench.py", "export", best.strategy, "--runtime", wanted.runtime, "--backbone", wanted.backbone]
    line += ["--fraction", str(wanted.fraction), "--placement", wanted.placement, "--size", str(wanted.size)]
    line += (["--online"] if wanted.online else []) + (["--weights", str(wanted.weights)] if wanted.weights else [])
    yield f"its file: {shlex.join([*line, '--out', file])}"
    if wanted.dtype == "int8":
        yield "the file is in fp32: quantise it with the runtime's own tool and clips of your data"
