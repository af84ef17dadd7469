"""``report``: everything that can be derived from a run's records, again; of a folder of runs, one page over all."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.spec.axes import ValueNotAllowed

if TYPE_CHECKING:
    from bench.analysis.run import Analysis


def command(folder: Annotated[Path, typer.Argument(help="A run's folder, or a folder of runs.")]) -> int:
    """Make tables, figures and report.html again from a run's records; of a folder of runs, one page over all."""
    runs = [] if (folder / "run.json").exists() else sorted(path.parent for path in folder.glob("*/run.json"))
    if runs:
        print(f"gallery: {_write_gallery(folder, runs)}")
    else:
        print(f"report: {write_report(folder)[1]}")
    return 0


def write_report(folder: Path) -> "tuple[Analysis, Path]":
    """Tables, figures and report.html of a run. Raises Mistake where the folder cannot be used."""
    from bench.analysis.run import load, write_tables
    from bench.report.page import write

    try:
        run = load(folder)
        if run.damaged:
            print(f"warning: passed over in {folder}/records.jsonl: {'; '.join(run.damaged[:3])}", file=sys.stderr)
        write_tables(run)
        return run, write(run)
    except OSError as error:
        raise ValueNotAllowed(f"cannot write into {folder}: {error.strerror}") from None


def _write_gallery(folder: Path, runs: list[Path]) -> Path:
    from bench.analysis.run import load
    from bench.report.page import exhibit, write_gallery
    from bench.store.records import FolderError

    shown, failed = [], []
    for run in runs:
        try:
            shown.append(exhibit(load(run)))
        except FolderError as error:
            failed.append((run.name, str(error)))
    try:
        return write_gallery(folder, shown, failed)
    except OSError as error:
        raise ValueNotAllowed(f"cannot write into {folder}: {error.strerror}") from None
