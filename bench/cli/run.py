"""``run``: measure, then report."""

import inspect
import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import session
from bench.cli.session import stopping_in_order
from bench.spec.axes import ValueNotAllowed
from bench.spec.panel import PANEL_AXES

if TYPE_CHECKING:
    from bench.measure.runner import Tally

Text = str | None
_FAILURES_SHOWN = 3  # the answer counts them, and the page has all


def _with_axes(function: Callable[..., int]) -> Callable[..., int]:
    """Give the command an option for every axis of a panel, from the registry."""
    signature = inspect.signature(function)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    options = [
        inspect.Parameter(
            option,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[str | None, typer.Option(axis.flag, help=axis.help)],
        )
        for option, axis in PANEL_AXES.items()
    ]
    function.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
    function.__annotations__ = {one.name: one.annotation for one in (*own, *options)} | {"return": int}
    return function


@_with_axes
def command(
    *,
    preset: Annotated[Text, typer.Option(help="standard is the default; see: list presets.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with the keys of a preset, instead of one.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default a new one in results/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    only: Annotated[Text, typer.Option(help="Sections: latency,accuracy,online,detection.")] = None,
    strategies: Annotated[Text, typer.Option(help="Only these, by name: a,b.")] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    fractions: Annotated[Text, typer.Option(help="0,1/8,1/4,1/2,1.")] = None,
    placements: Annotated[Text, typer.Option(help="residual,inplace.")] = None,
    directions: Annotated[Text, typer.Option(help="bidirectional,unidirectional.")] = None,
    device: Annotated[Text, typer.Option(help="cpu, cuda or auto.")] = None,
    seeds: Annotated[Text, typer.Option(help="How many trainings for each arm.")] = None,
    budget: Annotated[Text, typer.Option(help="Wall time of the latency section: 10m.")] = None,
    studies: Annotated[Text, typer.Option(help="Parts of the accuracy section, by name.")] = None,
    pause_after: Annotated[Text, typer.Option(help="Begin no training after this: 85m.")] = None,
    executor: Annotated[str, typer.Option(help="Where training runs: local or ray.")] = "local",
    ray_address: Annotated[Text, typer.Option(help="Of a Ray cluster: host:port or auto.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only where the report lies.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
    **axes: Text,
) -> int:
    """Measure: latency overhead, accuracy, and a report that holds both against the paper.

    Examples: run  |  run --preset smoke  |  run --only latency --strategies copy_shift --fractions 1/8,1
    """
    from bench.spec.request import Request

    asked = Request(
        preset=preset,
        config=config,
        only=only,
        strategies=strategies,
        strategies_dir=strategies_dir,
        fractions=fractions,
        placements=placements,
        directions=directions,
        device=device,
        seeds=seeds,
        budget=budget,
        studies=studies,
        axes={option: text for option, text in axes.items() if text is not None},
        executor=executor,
        ray_address=ray_address,
    )
    return measure(asked, out, resume, pause_after, quiet=quiet, as_json=json_output)


@stopping_in_order()
def measure(
    asked: Any, out: Path | None, resume: Path | None, pause_after: str | None, *, quiet: bool, as_json: bool
) -> int:
    """Measure what a ``Request`` asks for, or go on with a run; then report. Returns the exit code."""
    from bench.spec.request import Request
    from bench.spec.schema import parse_duration

    pause = None if pause_after is None else parse_duration(pause_after)
    if resume is None:  # a mistake is told before anything slow is imported
        settings, chosen = asked.settings(), asked.chosen()
    elif out is not None or asked != Request(executor=asked.executor, ray_address=asked.ray_address):
        raise ValueNotAllowed("--resume goes on with what the run's folder says; give it alone")

    from bench.measure import runner
    from bench.measure.executors import executor_for
    from bench.measure.plan import prepare
    from bench.store.records import FolderError, refuse_used
    from bench.system.environment import usable_cores
    from bench.system.progress import Reporter

    reporter = Reporter(quiet=quiet or as_json)
    folder = resume or out
    try:
        if resume is not None:
            tally = runner.resume(resume, reporter, (asked.executor, asked.ray_address), pause)
        else:
            if out is not None:  # before anything slow: one that is not free is a mistake that can be told at once
                refuse_used(out)
            executor = executor_for(asked.executor, usable_cores(), settings.limits, asked.ray_address)
            plan = prepare(settings, chosen, asked.strategies_dir)
            if not (plan.sweep.cases or plan.sweep.trials):
                raise ValueNotAllowed("nothing to measure: no section is left")
            folder = out or session.results() / f"{datetime.now():%Y-%m-%d-%H%M%S}-{asked.name}"
            line = "run_bench.py " + " ".join(sys.argv[1:])
            tally = runner.start(plan, folder, asked.name, line, reporter, executor, pause)
    except FolderError as error:
        raise ValueNotAllowed(str(error)) from None
    except KeyboardInterrupt:
        reporter.close()
        if folder is not None and (folder / "run.json").exists():
            print(f"interrupted; what was measured is kept. Go on with: run --resume {folder}", file=sys.stderr)
        raise
    finally:
        reporter.close()
    assert folder is not None
    _show(folder, tally, quiet=quiet, as_json=as_json)
    return 1 if tally["failed"] else 0


def _show(folder: Path, tally: "Tally", *, quiet: bool, as_json: bool) -> None:
    from bench.cli.report import write_report
    from bench.report.page import answer

    run, page = write_report(folder)
    if as_json:
        counts = {status: tally[status] for status in ("ok", "failed", "skipped")}
        print(json.dumps({"folder": str(folder), "report": str(page), "records": counts}))
        return
    if not quiet:
        for line in answer(run):
            print(line)
        for row in run.failures.head(_FAILURES_SHOWN).itertuples():
            print(f"{row.status}: {row.id}: {row.reason}")
        if len(run.failures) > _FAILURES_SHOWN:
            print("the others: see the page")
    print(f"report: {page}")
