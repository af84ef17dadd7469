"""``validate``: the harness against known effects, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import session
from bench.spec.axes import ValueNotAllowed


def command(
    budget: Annotated[str, typer.Option(help="Wall time: 10m tells what this machine can do.")] = "10m",
    out: Annotated[Path | None, typer.Option(help="Where the results go; by default a new folder in results/.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> int:
    """Measure known effects, zero among them, with the same harness: what differences can this machine tell?"""
    from bench.spec.schema import parse_duration
    from bench.store.records import refuse_used
    from bench.system.progress import Reporter
    from bench.system.workers import WorkerDied
    from bench.validation.results import validate

    seconds = parse_duration(budget)
    folder = out or session.new_folder("validate")
    reporter = Reporter(quiet)
    try:
        with session.stopping_in_order():
            refuse_used(folder)
            lines = validate(seconds, folder, reporter)
    except WorkerDied as error:
        raise ValueNotAllowed(str(error)) from None
    finally:
        reporter.close()
    print(*lines, f"written to: {folder}", sep="\n")
    return 0
