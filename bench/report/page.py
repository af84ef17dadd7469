"""The report as one file: no network, no library, nothing that runs but a few lines that sort and filter tables.

Names, reasons and paths come from plug-ins and are not trusted: templates escape all of them, and the page's own
policy lets only the script whose hash it names run. Figures are the one thing that goes in unescaped; they are parsed
and rebuilt first, so that what goes in is what an SVG may hold.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any
from xml.etree import ElementTree

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from bench.analysis.claims import Verdict
from bench.analysis.comparisons import load_controls
from bench.analysis.results import Comparison
from bench.analysis.run import Analysis
from bench.report import numbers
from bench.report.cost import online_costs, panel_costs, runtime_costs
from bench.report.figures.canvas import Figure
from bench.report.gain import choice, detection, gain, on_validation
from bench.report.numbers import Estimate, number
from bench.report.selection import line_text, rows
from bench.report.tables import plain, sample_lists, sheets
from bench.report.trust import trust
from bench.stats.estimators import Interval

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

_DROPPED = ("metadata", "style")  # matplotlib's style rule would reach the whole page
_LINKS = ("clip-path", "fill", "style", "mask", "filter")


def page(run: Analysis, figures: Sequence[Figure]) -> str:
    """The whole report as text."""
    samples = sample_lists(run.samples)
    return render(
        "page.html",
        run=run,
        answers=answers(run),
        claims=sorted(run.claims, key=lambda claim: list(VERDICTS).index(claim.verdict)),
        controls=_by_control(run.comparisons),
        questions={control.title: control.question for control in load_controls()},
        figures=[(figure, inlined(figure)) for figure in figures],
        sheets=sheets(run),
        failures=rows(run.failures),
        samples=samples,
        places={records: f"samples-{place}" for place, records in enumerate(samples)},
        settings=pd.json_normalize(run.header.get("settings") or {}).iloc[:1].to_dict("records"),
    )


def answers(run: Analysis) -> dict[str, Any]:
    """What a reader wants to know, as typed results for the templates. A failed A/A control withholds what rests on
    the clock."""
    suspect = bool(run.suspect)
    return {
        "choice": None if suspect else choice(run),
        "costs": [] if suspect else panel_costs(run),
        "runtimes": [] if suspect else runtime_costs(run),
        "online": [] if run.online_suspect else online_costs(run),
        "gain": gain(run),
        "detection": detection(run),
        "trust": trust(run),
        "judged": Counter(claim.verdict for claim in run.claims),
        "on_validation": on_validation(run),
        "suspect": run.suspect,
        "online_suspect": run.online_suspect,
    }


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
    script = made.loader.get_source(made, "tables.js")[0].strip()  # type: ignore[union-attr]
    made.globals |= {
        "style": Markup(made.loader.get_source(made, "report.css")[0]),  # type: ignore[union-attr]
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "verdicts": VERDICTS,
        "estimate": Estimate.of,
        "claim_text": _claim_text,
    }
    made.filters |= {
        "interval": _interval,
        "mde": numbers.mde_text,
        "p": numbers.p_text,
        "ms": numbers.milliseconds_text,
        "fixed": numbers.fixed,
        "number": number,
        "fraction": numbers.fraction_text,
        "channels": numbers.channels_text,
        "duration": lambda seconds: numbers.duration_text(number(seconds)),
        "counted": numbers.count_text,
        "span": numbers.span_text,
        "median": median,
        "listed": lambda names: numbers.listed(list(names)),
        "line": _line,
        "moment": _moment,
        "plain": plain,
    }
    return made


def _line(one: Any) -> str:
    row = one if isinstance(one, dict) else vars(one)
    return line_text(row["strategy"], row["placement"], row["direction"])


def _interval(value: Estimate | Interval, unit: str = "%", *, signed: bool = True, missing: str = "no interval") -> str:
    found = value if isinstance(value, Estimate) else Estimate.over(value)
    return found.text(unit, signed=signed, missing=missing)


def _claim_text(claim: Verdict) -> str:
    """What was measured; what is counted and not estimated has no unit and no interval."""
    found = Estimate(*map(number, (claim.measured, claim.ci_low, claim.ci_high)))
    if found.value != found.value:
        return ""
    return found.text(claim.unit, signed=False) if claim.unit or found.has_interval else f"{found.value:g}"


def _by_control(comparisons: Sequence[Comparison]) -> dict[str, dict[tuple[str, str], list[Comparison]]]:
    """{title: {(outcome, words): comparisons}}, in the order of the table."""
    found: dict[str, dict[tuple[str, str], list[Comparison]]] = {}
    for one in comparisons:
        found.setdefault(one.title, {}).setdefault((one.outcome, one.words), []).append(one)
    return found


def inlined(figure: Figure) -> Markup:
    """A figure for use inside a page: ids made its own, no namespaces, as wide as its column."""
    root = ElementTree.fromstring(figure.svg)
    for parent in root.iter():
        for child in [child for child in parent if _local(child.tag) in _DROPPED]:
            parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.attrib = {
            _local(key): _prefixed(_local(key), value, figure.name) for key, value in element.attrib.items()
        }
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    # what matplotlib's style rule said
    root.attrib |= {"role": "img", "aria-label": figure.title, "style": "stroke-linejoin:round;stroke-linecap:butt"}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _prefixed(key: str, value: str, name: str) -> str:
    """Ids and what refers to them, with the figure's name in front."""
    if key == "id":
        return f"{name}-{value}"
    if key == "href" and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    return value.replace("url(#", f"url(#{name}-") if key in _LINKS else value


def _moment(created: object) -> str:
    """``2026-01-12 10:00 UTC``; what is not a time is shown as it is."""
    try:
        return datetime.fromisoformat(str(created)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return str(created)
