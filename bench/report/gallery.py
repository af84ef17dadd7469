"""One page over all runs of a folder: which finding held where, each run's answer, and the way to its report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.run import Analysis
from bench.report.page import VERDICTS, answers, render
from bench.store.records import write_atomically

FIGURES = ("overhead_by_runtime", "latency_overhead", "detection", "online_overhead", "accuracy_by_fraction")
"""The first of these that a run has stands for it."""


@dataclass(frozen=True)
class Exhibit:
    """One run as the gallery shows it. link, figure: relative to the page. claims: those that it judged."""

    name: str
    link: str
    figure: str | None
    header: dict[str, Any]
    answers: dict[str, Any]
    claims: tuple[Any, ...]


def exhibit(run: Analysis) -> Exhibit:
    """A run, loaded."""
    folder = run.folder
    figure = next((name for name in FIGURES if (folder / "figures" / f"{name}.png").is_file()), None)
    return Exhibit(
        name=folder.name,
        link=f"{folder.name}/report.html" if (folder / "report.html").is_file() else f"{folder.name}/",
        figure=None if figure is None else f"{folder.name}/figures/{figure}.png",
        header=run.header,
        answers=answers(run),
        claims=tuple(claim for claim in run.claims if claim.verdict != "not measured"),
    )


def findings(exhibits: list[Exhibit]) -> dict[tuple[str, str], dict[str, dict[str, list[str]]]]:
    """{(finding, in words): {verdict: {run: subjects}}} of all that any run judged."""
    found: dict[tuple[str, str], dict[str, dict[str, list[str]]]] = {}
    for one in exhibits:
        for claim in one.claims:
            runs = found.setdefault((claim.claim, claim.finding), {}).setdefault(claim.verdict, {})
            runs.setdefault(one.name, []).extend([claim.subject] if claim.subject else [])
    return {
        key: {verdict: held[verdict] for verdict in VERDICTS if verdict in held} for key, held in sorted(found.items())
    }


def write_gallery(folder: Path, exhibits: list[Exhibit], failed: list[tuple[str, str]]) -> Path:
    """Write ``index.html`` into ``folder``; failed: (run, why it cannot be shown). Raises OSError."""
    path = folder / "index.html"
    write_atomically(path, render("gallery.html", exhibits=exhibits, findings=findings(exhibits), failed=failed))
    return path
