"""Tables -> figures, words and one page. Reads what ``bench.analysis`` returns; never torch, never a plug-in.

``numbers`` and ``selection`` are what everything here rests on; ``words`` answers in sentences: ``cost`` with
``contest`` (what is the fastest), ``movement`` (is it the bytes), ``dependence`` on what was ``swept``, ``deployment``
(which to take in which runtime), ``gain`` (what it buys), ``control_words`` (is there another explanation) and
``lasting`` (does it last), both ``told`` by rule from the ``controls``, ``choice``, and ``trust`` with ``quality`` and
``conditions``. ``figures/`` draws in the one ``style``, ``sheets`` makes the tables to read, ``method`` says how
accuracies were measured, ``html`` makes the page.
"""

from pathlib import Path

from bench.report.figures import FIGURES, draw
from bench.report.html import page
from bench.report.selection import Tables
from bench.report.words import answer
from bench.store.records import write_atomically


def write(tables: Tables) -> Path:
    """Write ``figures/*.svg``, ``figures/*.png`` and ``report.html`` into the run's folder; returns the page's path.

    Each file is replaced at once. A figure that this run no longer has data for is removed, so that none contradicts
    the page. Raises OSError where the folder cannot be written.
    """
    figures = draw(tables)
    folder = tables.folder / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIGURES.keys() - {figure.name for figure in figures}:
        for suffix in (".svg", ".png"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
    for figure in figures:
        write_atomically(folder / f"{figure.name}.svg", figure.svg)
        write_atomically(folder / f"{figure.name}.png", figure.png)
    path = tables.folder / "report.html"
    write_atomically(path, page(tables, figures))
    return path


__all__ = ["Tables", "answer", "write"]
