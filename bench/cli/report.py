"""``report``: everything that can be derived from a run's records, again; of a folder of runs, one page over all."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.spec.axes import ValueNotAllowed

if TYPE_CHECKING:
    from bench.analysis.run import Analysis

_ASCII = str.maketrans("−…²", "-~2")  # for terminals that have no others


def command(
    folder: Annotated[Path, typer.Argument(help="A run's folder, or a folder of runs.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print what the run says as one JSON object.")] = False,
) -> int:
    """Make tables, figures and report.html again from a run's records; of a folder of runs, one page over all."""
    runs = [] if (folder / "run.json").exists() else sorted(path.parent for path in folder.glob("*/run.json"))
    if runs:
        print(f"gallery: {_write_gallery(folder, runs)}")
    else:
        show(folder, *write_report(folder), json_output=json_output)
    return 0


def show(folder: Path, run: "Analysis", page: Path, *, json_output: bool, **more: object) -> None:
    """The last screen, or its facts as one JSON object with ``more`` in it."""
    from bench.report.summary import as_data, screen

    if json_output:
        print(json.dumps({"folder": str(folder), "report": str(page), **more, **as_data(run)}))
        return
    encoding = sys.stdout.encoding or "ascii"
    for row in screen(run, page):
        plain = row if encoding.lower().startswith("utf") else row.translate(_ASCII)
        print(plain.encode(encoding, "replace").decode(encoding))


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
