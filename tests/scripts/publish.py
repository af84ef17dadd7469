"""``python -m tests.scripts.publish [FOLDER ...]``: writes published runs anew, and keeps of them what is published.

Of each run in ``results/reference`` (or of those named): records (compressed), ``run.json``, verdicts, CSV tables, one
page, and the figures that a page of this project shows; ``report`` makes the rest again. Then the gallery over all.
"""

import lzma
import re
import shutil
import sys
import tempfile
from pathlib import Path

from bench.cli.app import main as command

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ROOT / "results" / "reference"
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("results/**/*.md")]


def shown_figures() -> set[Path]:
    """The figures that README and docs show."""
    found = set[Path]()
    for page in PAGES:
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            found.add((page.parent / target).resolve())
    return found


def publish(folder: Path, shown: set[Path]) -> None:
    """One run, from its records."""
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / folder.name
        shutil.copytree(folder, copy)
        packed = folder / "records.jsonl.xz"
        if not packed.exists():
            packed.write_bytes(lzma.compress((folder / "records.jsonl").read_bytes(), preset=9))
            (folder / "records.jsonl").unlink()
        if command(["report", str(copy)]):
            raise SystemExit(f"no report of {folder}")
        for kept in ("report.html", "claims.json"):
            shutil.copy(copy / kept, folder / kept)
        for part in ("tables", "figures"):
            shutil.rmtree(folder / part, ignore_errors=True)
        (folder / "tables").mkdir()
        for table in (copy / "tables").glob("*.csv"):
            if len(table.read_bytes().splitlines()) > 1:  # what a run has not measured is not published
                shutil.copy(table, folder / "tables" / table.name)
        for figure in shown:
            if figure.parent.parent == folder.resolve():
                figure.parent.mkdir(exist_ok=True)
                shutil.copy(copy / "figures" / figure.name, figure)


def main(arguments: list[str]) -> None:
    """All runs, or those named."""
    shown = shown_figures()
    folders = [Path(name) for name in arguments] or sorted(path.parent for path in REFERENCE.glob("*/run.json"))
    for folder in folders:
        publish(folder, shown)
    command(["report", str(REFERENCE)])


if __name__ == "__main__":
    main(sys.argv[1:])
