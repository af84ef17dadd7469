"""A run -> figures, one page, and a few lines for the terminal. Never torch, never a plug-in.

``answers`` makes typed results, ``tables`` the tables to read, ``figures/`` the figures; templates hold the words, and
``page`` fills them.
"""

from pathlib import Path
from textwrap import TextWrapper

from bench.analysis.run import Analysis
from bench.report.answers import answers
from bench.report.figures import FIGURES, draw
from bench.report.page import page, render
from bench.store.records import write_atomically

COLUMNS = 80  # of a terminal


def write(run: Analysis) -> Path:
    """Write ``figures/*.svg``, ``figures/*.png`` and ``report.html`` into the run's folder; returns the page's path.

    Each file is replaced at once. A figure that this run no longer has data for is removed, so that none contradicts
    the page. Raises OSError where the folder cannot be written.
    """
    figures = draw(run)
    folder: Path = run.folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIGURES.keys() - {figure.name for figure in figures}:
        for suffix in (".svg", ".png"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
    for figure in figures:
        write_atomically(folder / f"{figure.name}.svg", figure.svg)
        write_atomically(folder / f"{figure.name}.png", figure.png)
    path: Path = run.folder / "report.html"
    write_atomically(path, page(run, figures))
    return path


def answer(run: Analysis) -> list[str]:
    """What the run says, in a few lines of 80 columns."""
    text = render("answer.txt", failures=len(run.failures), **answers(run))
    wrapper = TextWrapper(COLUMNS, subsequent_indent="  ", replace_whitespace=False, break_on_hyphens=False)
    return [part for line in text.splitlines() for part in wrapper.wrap(line)]
