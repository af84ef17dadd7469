"""``python -m tests.scripts.publish [FOLDER ...]``: writes published runs anew, and keeps of them what is published.

Of each run in ``results/reference`` (or of those named): records (compressed), ``run.json``, CSV tables, one
page, and the figures that README, docs and the page over all runs show; ``report`` makes the rest again.
"""

import lzma
import re
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

from bench.cli.app import main as command
from bench.report.page import MAIN_FIGURES

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
        shutil.copy(copy / "report.html", folder / "report.html")
        for part in ("tables", "figures"):
            shutil.rmtree(folder / part, ignore_errors=True)
        (folder / "tables").mkdir()
        for table in (copy / "tables").glob("*.csv"):
            measured = len(table.read_bytes().splitlines()) > 1
            if measured and table.name != "samples.csv":  # these are the records once more
                shutil.copy(table, folder / "tables" / table.name)
        main_figure = next((name for name in MAIN_FIGURES if (copy / "figures" / f"{name}.png").exists()), None)
        kept_figures = {figure.name for figure in shown if figure.parent.parent == folder.resolve()}
        for name in kept_figures | ({f"{main_figure}.png"} if main_figure else set()):
            (folder / "figures").mkdir(exist_ok=True)
            with Image.open(copy / "figures" / name) as drawn:  # 256 colours: a third of the bytes
                drawn.convert("RGB").quantize(256).save(folder / "figures" / name, optimize=True)


def main(arguments: list[str]) -> None:
    """All runs, or those named."""
    shown = shown_figures()
    folders = [Path(name) for name in arguments] or sorted(path.parent for path in REFERENCE.glob("*/run.json"))
    for folder in folders:
        publish(folder, shown)
    command(["report", str(REFERENCE)])


if __name__ == "__main__":
    main(sys.argv[1:])
