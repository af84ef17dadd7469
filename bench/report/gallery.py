"""One page over all runs of a folder: which finding held where, each run's answer, and the way to its report."""

from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.report.html import HERE, VERDICT_TONE
from bench.report.selection import Row, Tables
from bench.report.words import finding_sentences, passages
from bench.store.records import write_atomically

_FIGURES = (
    "overhead_by_runtime",
    "latency_overhead",
    "detection",
    "online_overhead",
    "accuracy_by_fraction",
)  # a run's first
_SILENT = "not measured"


@dataclass(frozen=True)
class Exhibit:
    """One run as the gallery shows it. link: its report, relative to the page; verdicts: the claims that it judged."""

    name: str
    link: str
    title: str
    command: str
    machine: str
    created: str
    answer: tuple[str, ...]
    findings: tuple[str, ...]
    figure: str | None
    verdicts: tuple[Row, ...]


def exhibit(tables: Tables) -> Exhibit:
    """A run, loaded."""
    header, folder = tables.header, tables.folder
    machine = header.get("environment") or {}
    told = [passage for passage in passages(tables) if not passage.question.startswith(("Which published", "How far"))]
    figure = next((name for name in _FIGURES if (folder / "figures" / f"{name}.png").is_file()), None)
    return Exhibit(
        name=folder.name,
        link=f"{folder.name}/report.html" if (folder / "report.html").is_file() else f"{folder.name}/",
        title=str(header.get("title") or "a run"),
        command=str(header.get("command") or "not recorded"),
        machine=f"{machine.get('cpu', 'unknown processor')}, {machine.get('cores', '?')} cores",
        created=str(header.get("created") or "")[:10],
        answer=tuple(passage.sentences[0] for passage in told[:3]),
        findings=tuple(finding_sentences([claim for claim in tables.claims if claim["verdict"] != _SILENT])),
        figure=None if figure is None else f"{folder.name}/figures/{figure}.png",
        verdicts=tuple(claim for claim in tables.claims if claim["verdict"] != _SILENT),
    )


def findings(exhibits: list[Exhibit]) -> list[Row]:
    """Every finding that any of the runs judged: what it says, and verdict by verdict where and of what."""
    rows: dict[str, Row] = {}
    for one in exhibits:
        for claim in one.verdicts:
            row = rows.setdefault(claim["claim"], {"id": claim["claim"], "finding": claim["finding"], "held": {}})
            row["held"].setdefault(claim["verdict"], {}).setdefault(one.name, []).append(claim["subject"])
    return [
        {**rows[name], "held": [_held(verdict, runs) for verdict, runs in sorted(rows[name]["held"].items())]}
        for name in sorted(rows)
    ]


def _held(verdict: str, runs: dict[str, list[str]]) -> Row:
    named = [(name, ", ".join(filter(None, subjects))) for name, subjects in runs.items()]
    return {"verdict": verdict, "tone": VERDICT_TONE.get(verdict, "quiet"), "runs": named}


def write_gallery(folder: Path, exhibits: list[Exhibit], failed: list[tuple[str, str]]) -> Path:
    """Write ``index.html`` into ``folder``; failed: (run, why it cannot be shown). Raises OSError."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("gallery.html").render(
        exhibits=exhibits,
        findings=findings(exhibits),
        failed=failed,
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
    )
    write_atomically(folder / "index.html", page)
    return folder / "index.html"
