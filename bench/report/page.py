"""The report as one file, and one page over all runs of a folder: no network, no library, one small script.

Names, reasons and paths come from plug-ins and are not trusted: templates escape all of them, the page's own policy
lets only the script whose hash it names run, and figures go in as pictures, in which nothing runs.
"""

import base64
import hashlib
import math
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from statistics import median
from string import printable
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bench.analysis.aa_control import pooled
from bench.analysis.claims import Verdict
from bench.analysis.comparisons import load_controls
from bench.analysis.run import Analysis, markdown
from bench.analysis.tables.video import MARGIN_PP
from bench.report import numbers
from bench.report.answers import Standing, answers
from bench.report.cost_and_gain import budgets, cost_and_gain
from bench.report.figures import FIGURES, draw
from bench.report.figures.canvas import Figure
from bench.report.glance import glance
from bench.report.selection import line_text, mechanism_of, panel_label, panel_text, panels, rows, separated
from bench.report.tables import plain, sample_lists, sheets
from bench.spec.axes import BASELINE
from bench.spec.panel import Panel
from bench.store.records import write_atomically

_AS_IT_IS = "".join(set(printable) - set('"#%&'))  # in a picture that stands in an attribute
TEMPLATES = Path(__file__).with_name("templates")
VERDICTS = {
    "reproduced": "good",
    "not reproduced": "bad",
    "direction only": "middling",
    "inconclusive": "middling",
    "invalid": "bad",
    "not measured": "quiet",
}
"""{verdict: how it looks}, in the order in which a reader wants them: what this run decided comes first."""
STATES = {"certified": "good", "undecided": "middling", "off": "bad", "busy": "bad"}

MAIN_FIGURES = (
    "overhead_by_heap",
    "overhead_by_runtime",
    "latency_overhead",
    "detection",
    "online_overhead",
    "video_by_fraction",
    "accuracy_by_fraction",
)
"""The first of these that a run has stands for it among others."""


def write(run: Analysis) -> Path:
    """Write ``figures/*.svg``, ``figures/*.png``, ``tables/cost_and_gain.*``, ``tables/budgets.*`` and ``report.html``
    into the run's folder; returns the page's path.

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
    write_cost_and_gain(run, run.folder / "tables")
    path: Path = run.folder / "report.html"
    write_atomically(path, page(run, figures))
    return path


def write_cost_and_gain(run: Analysis, folder: Path) -> None:
    """``cost_and_gain`` and ``budgets``, as CSV and for people, where something was both timed and trained; where
    nothing was, what an earlier report wrote is removed. Raises OSError."""
    table = cost_and_gain(run)
    for name, frame in {"cost_and_gain": table, "budgets": budgets(table)}.items():
        for suffix, text in {"csv": frame.to_csv(index=False), "md": markdown(frame)}.items():
            path = folder / f"{name}.{suffix}"
            if frame.empty:
                path.unlink(missing_ok=True)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                write_atomically(path, text)


def first_line(standing: Standing) -> str:
    """What page, screen and gallery say first; empty where nothing was timed."""
    return render("standing.txt", **vars(standing)).strip()


def page(run: Analysis, figures: Sequence[Figure]) -> str:
    """The whole report as text."""
    samples, found = sample_lists(run.samples), answers(run)
    frames = (run.latency, run.online, run.accuracy, run.detection, run.video)
    first = next((figure for name in MAIN_FIGURES for figure in figures if figure.name == name), None)
    return render(
        "page.html",
        run=run,
        answers=found,
        glance=glance(run, found),
        first_figure=first,
        claims=sorted(run.claims, key=lambda claim: list(VERDICTS).index(claim.verdict)),
        questions=[one.question for one in load_controls() if one.id in {other.control for other in run.comparisons}],
        figures=[figure for figure in figures if figure is not first],
        names=sorted({str(name) for frame in frames for name in frame["strategy"]} - {BASELINE}),
        panels=_panels(run),
        sheets=sheets(run),
        failures=rows(run.failures),
        samples=samples,
        places={records: f"samples-{place}" for place, records in enumerate(samples)},
        settings=pd.json_normalize(run.header.get("settings") or {}).iloc[:1].to_dict("records"),
    )


def _panels(run: Analysis) -> dict[str, dict[Panel, str]]:
    """{kind: {panel: in words}} of what the filter offers; nothing where there is no choice."""
    found = {}
    for kind, frame, always in (
        ("whole clips", run.latency, ["backbone"]),
        ("frame by frame", run.online, ["backbone", "streams"]),
    ):
        own = [panel for panel, _ in panels(frame)]
        if own:
            found[kind] = {panel: panel_text(panel, own, always=always) for panel in own}
    return found if sum(map(len, found.values())) > 1 else {}


def exhibit(run: Analysis) -> dict[str, Any]:
    """What the page over all runs shows of one. link, figure: relative to that page. claims: those that it judged."""
    name = run.folder.name
    links = (f"{name}/report.html", *(f"{name}/figures/{figure}.png" for figure in MAIN_FIGURES))
    there = [link for link in links if (run.folder.parent / link).is_file()]
    return {
        "name": name,
        "link": links[0] if links[0] in there else f"{name}/",
        "figure": next((link for link in there if link != links[0]), None),
        "header": run.header,
        "answers": answers(run),
        "controls": list(run.controls.by_panel.values()),
        "claims": [claim for claim in run.claims if claim.verdict != "not measured"],
    }


def findings(exhibits: Sequence[dict[str, Any]]) -> dict[tuple[str, str], dict[str, dict[str, list[str]]]]:
    """{(finding, in words): {verdict: {run: subjects}}} of all that any run judged."""
    judged = [(one["name"], claim) for one in exhibits for claim in one["claims"]]
    found: dict[tuple[str, str], dict[str, dict[str, list[str]]]] = {}
    for name, claim in sorted(judged, key=lambda one: list(VERDICTS).index(one[1].verdict)):
        held = found.setdefault((claim.claim, claim.finding), {}).setdefault(claim.verdict, {})
        held.setdefault(name, []).extend([claim.subject] if claim.subject else [])
    return dict(sorted(found.items()))


def write_gallery(folder: Path, exhibits: Sequence[dict[str, Any]], failed: Sequence[tuple[str, str]]) -> Path:
    """Write ``index.html`` into ``folder``; failed: (run, why it cannot be shown). Raises OSError."""
    path, controls = folder / "index.html", [control for one in exhibits for control in one["controls"]]
    shown = {"exhibits": exhibits, "findings": findings(exhibits), "failed": failed}
    write_atomically(path, render("gallery.html", control=pooled(controls), **shown))
    return path


def render(template: str, **values: Any) -> str:
    """A template with these values; those for the terminal are not escaped."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8").strip()
    made.globals |= {
        "style": Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "verdicts": VERDICTS,
        "states": STATES,
        "estimate": numbers.estimate,
        "first_line": first_line,
        "separated": separated,
        "margin": MARGIN_PP,
        "claim_text": _claim_text,
        "panel_label": panel_label,
    }
    made.tests |= {"known": numbers.known, "beyond": numbers.beyond, "holding_zero": numbers.holds_zero}
    made.tests |= {"nan": lambda value: value != value, "finite": math.isfinite}
    texts = {name.removesuffix("_text"): text for name, text in vars(numbers).items() if name.endswith("_text")}
    made.filters |= texts | {
        "counted": numbers.count_text,
        "fixed": numbers.fixed,
        "number": numbers.number,
        "median": median,
        "listed": lambda names: numbers.listed(list(names)),
        "line": lambda one: line_text(*mechanism_of(one)),
        "plain": plain,
        "data_uri": _data_uri,
    }
    return made


def _data_uri(svg: str) -> Markup:
    """A picture for an attribute: with single quotes, which stand in one as they are."""
    return Markup("data:image/svg+xml," + quote(re.sub(r'="([^"\']*)"', r"='\1'", svg), safe=_AS_IT_IS))


def _claim_text(claim: Verdict) -> str:
    """What was measured; what is counted and not estimated has no unit and no interval."""
    found = numbers.between(claim.measured, claim.ci_low, claim.ci_high)
    if math.isnan(found.mean):
        return ""
    estimated = claim.unit or numbers.known(found)
    return numbers.interval_text(found, claim.unit, signed=False) if estimated else f"{found.mean:g}"
