"""``compare``: two runs, case by case."""

from pathlib import Path
from typing import Annotated

import typer

Folder = Annotated[Path, typer.Argument(help="A run's folder.")]


def command(folder_a: Folder, folder_b: Folder) -> int:
    """Hold two runs (machines, versions) against each other; says when they cannot be compared."""
    from bench.analysis.two_runs import compare_runs

    print(compare_runs(folder_a, folder_b))
    return 0
