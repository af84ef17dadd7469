"""The last screen of ``run`` and ``report``, and the same facts as data: 15 rows of 80 columns, whatever was measured.

Everything else is on the page.
"""

from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from bench.analysis.run import Analysis
from bench.report.answers import answers
from bench.report.glance import glance
from bench.report.numbers import COLUMNS, fit_text
from bench.report.page import first_line, render


def screen(run: Analysis, page: Path) -> list[str]:
    """The rows. page: where the report lies; its path is never broken, so that it can be opened from a terminal."""
    told = render("screen.txt", **summary(run)).splitlines()
    return [*(fit_text(row, COLUMNS) for row in told if row.strip()), f"report: {page}"]


def as_data(run: Analysis) -> dict[str, Any]:
    """What the screen says as JSON has it: what is not known is null."""
    data: dict[str, Any] = to_jsonable_python(summary(run), inf_nan_mode="null")
    return data


def summary(run: Analysis) -> dict[str, Any]:
    """The first line, and what ``glance`` says."""
    found = answers(run)
    return {"first_line": first_line(found["standing"]), **glance(run, found)}
