"""The report as one file: no network, no library, nothing that runs but a few lines that sort and filter tables.

Names, reasons and paths come from plug-ins and are not trusted: the template escapes all of them, and the page's own
policy lets only the script whose hash it names run. Figures are the one thing that goes in unescaped; they are parsed
and rebuilt first, so that what goes in is what an SVG may hold.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.report.behind import sample_lists
from bench.report.figures.canvas import Figure
from bench.report.method import accuracy_method, detection_method
from bench.report.numbers import Estimate, duration_text, number
from bench.report.selection import VERDICTS, Row, Tables, rows
from bench.report.sheet import plain
from bench.report.sheets import (
    accuracy_sheet,
    bandwidth_sheet,
    controls_sheet,
    detection_sheet,
    latency_sheet,
    online_sheet,
    quality_sheet,
)
from bench.report.words import passages

HERE = Path(__file__).parent
VERDICT_TONE = {
    "reproduced": "good",
    "not reproduced": "bad",
    "invalid": "bad",
    "direction only": "middling",
    "inconclusive": "middling",
    "not measured": "quiet",
}
_DROPPED = ("metadata", "style")  # matplotlib's style rule would reach the whole page
_LINKS = ("clip-path", "fill", "style", "mask", "filter")


def page(tables: Tables, figures: Sequence[Figure]) -> str:
    """The whole report as text."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = (HERE / "tables.js").read_text(encoding="utf-8").strip()
    header, samples = tables.header, sample_lists(tables.samples)
    return environment.get_template("template.html").render(
        title=header.get("title") or "a run",
        header=header,
        created=_moment(header.get("created")),
        folder=tables.folder.name,
        suspect=tables.suspect,
        passages=passages(tables),
        claims=[_claim(claim) for claim in sorted(tables.claims, key=_rank)],
        figures=[(figure, inlined(figure)) for figure in figures],
        latency=latency_sheet(tables.latency),
        online=online_sheet(tables.online),
        online_suspect=tables.online_suspect,
        accuracy=accuracy_sheet(tables.accuracy),
        full_accuracy="clip_share_pct" in tables.accuracy,
        controls=controls_sheet(tables.controls),
        detection=detection_sheet(tables.detection),
        training_method=[*accuracy_method(tables), *detection_method(tables)],
        quality=quality_sheet(tables.quality),
        bandwidth=bandwidth_sheet(tables.bandwidth),
        failures=rows(tables.failures),
        samples=samples,
        damaged=tables.damaged,
        places={own.records: f"samples-{place}" for place, own in enumerate(samples)},
        citation=citation(header),
        machine=_pairs(header.get("environment") or {}),
        spent={name: duration_text(number(seconds)) for name, seconds in (header.get("wall_seconds") or {}).items()},
        settings=_settings(header.get("settings") or {}),
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def citation(header: dict[str, Any]) -> str:
    """How to cite a number of this run: what measured it, when and on which machine."""
    environment = header.get("environment") or {}
    version = (environment.get("versions") or {}).get("shiftbench", "unknown")
    commit = str(environment.get("commit") or "")[:12]
    year = _moment(header.get("created"))[:4]
    return (
        f"The ShiftBench authors. ShiftBench: a latency and accuracy benchmark of temporal shift strategies, version "
        f"{version}{f' (commit {commit})' if commit else ''}, {year}. "
        f"Preset {header.get('preset') or 'none'} on {environment.get('cpu') or 'an unknown machine'}, "
        f"{_moment(header.get('created'))}."
    )


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


def _rank(claim: Row) -> int:
    """What this run decided comes first."""
    order = list(VERDICTS)
    return order.index(claim["verdict"]) if claim["verdict"] in order else len(order)


def _claim(claim: Row) -> Row:
    """A verdict as the template prints it."""
    unit = str(claim.get("unit") or "")
    measured = Estimate(number(claim.get("measured")), number(claim.get("ci_low")), number(claim.get("ci_high")))
    paper = claim.get("paper")
    known = claim.get("measured") is not None and measured.value == measured.value
    return {
        **claim,
        "measured_text": _measured_text(measured, unit) if known else "",
        "paper_text": ""
        if paper is None
        else f"{paper:g} {unit}".strip()
        if isinstance(paper, int | float)
        else str(paper),
        "tone": VERDICT_TONE.get(claim["verdict"], "quiet"),
    }


def _measured_text(measured: Estimate, unit: str) -> str:
    """What is counted and not estimated has no unit and no interval."""
    return measured.text(unit, signed=False) if unit or measured.has_interval else f"{measured.value:g}"


def _moment(created: object) -> str:
    """``2026-01-12 10:00 UTC``; what is not a time is shown as it is."""
    try:
        return datetime.fromisoformat(str(created)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return str(created)


def _settings(settings: Row) -> list[tuple[str, str]]:
    """Settings by their dotted name."""
    pairs: list[tuple[str, str]] = []
    for name, value in settings.items():
        nested = _settings(value) if isinstance(value, dict) else []
        pairs += [(f"{name}.{key}", text) for key, text in nested] if nested else [(name, plain(value))]
    return pairs


def _pairs(values: dict[str, Any]) -> Iterable[tuple[str, str]]:
    return [(name.replace("_", " "), plain(value)) for name, value in values.items() if value not in (None, "", [], {})]
