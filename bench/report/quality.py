"""What disturbed the measurement, what was done about it, and how its values scatter, in words.

The rules that declare a superblock disturbed are those of ``stats.exclusion``; every flag of the latency table that
says something about the measurement is translated here, so that a reader need not know its name.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from bench.report.conditions import condition_sentences
from bench.report.figures.noise import first_control
from bench.report.numbers import Estimate, count_text, duration_text, fixed, fraction_text, number
from bench.report.selection import TWIN_FLAG, Row, Tables, flags_of, line_text, panels, rows, timed
from bench.stats.exclusion import EXCLUDED_AT_MOST

MOST_NAMED = 3  # cases named in one sentence; the table has all of them
_REASON = re.compile(r"\s*(.+?) in (\d+)\s*")
_ELSEWHERE = (TWIN_FLAG, "prediction_off")  # flags that another passage explains
_IN_WORDS = {
    "autocorrelated": (
        "In {cases} neighbouring values (superblocks of a process, or whole processes) resemble each other: something "
        "outlasted them. Values then say less than their number promises, and the intervals may be too narrow."
    ),
    "trend": (
        "In {cases} the difference drifts, inside processes or from one to the next: it had not settled (warm-up, "
        "heat, memory). The value depends on how long was measured, and the intervals may be too narrow."
    ),
    "throttled": (
        "In {cases} the GPU lowered its clock (heat or power): times compare clocks as well as mechanisms there; "
        "the overhead in cycles does not."
    ),
    "few_replicates": "In {cases} there are too few processes to trust the interval's width.",
    "loses_channels_last": (
        "In {cases} the strategy gives its tensor back in another memory format than channels_last, so the layers "
        "behind it pay as well."
    ),
}


def quality_sentences(tables: Tables) -> list[str]:
    """Interference, scatter, dependence between superblocks, settings in force. Silent on what is not known."""
    cases = rows(timed(tables.latency))
    quality = [row for _, group in panels(tables.quality) for row in rows(group)]
    return [
        *_interference(quality),
        *_estimates(cases, quality, named=not tables.suspect),
        *_scatter(tables, quality),
        *_flags(cases),
        *condition_sentences(quality),
    ]


def _interference(quality: Sequence[Row]) -> list[str]:
    known = [row for row in quality if math.isfinite(number(row.get("disturbed_pct")))]
    blocks = sum(int(row["superblocks"]) for row in known)
    if not blocks:
        return []
    disturbed = round(sum(number(row["disturbed_pct"]) / 100 * row["superblocks"] for row in known))
    left_out = int(_total(known, "excluded"))
    sentences = [
        f"Interference: {_share(disturbed, blocks)} disturbed{_why(known)}; {left_out or 'none'} left out, by rules "
        f"declared beforehand that may take {100 * EXCLUDED_AT_MOST:.0f} % at most."
    ]
    over = [row for row in known if number(row["disturbed_pct"]) > 100 * EXCLUDED_AT_MOST]
    if over:
        where = "" if len(quality) == 1 else f" in {count_text(len(over), 'setting')} of {len(quality)}"
        sentences.append(f"More were disturbed than may be left out{where}: there, the noise is part of the intervals.")
    waited = _total(known, "waited_seconds")
    if waited > 0:
        sentences.append(f"Before superblocks, {duration_text(waited)} in all were spent waiting for a quiet machine.")
    return sentences


def _share(disturbed: int, blocks: int) -> str:
    if not disturbed:
        return f"none of {count_text(blocks, 'superblock')} was"
    verb = "was" if disturbed == 1 else "were"
    return f"{disturbed} of {count_text(blocks, 'superblock')} ({fixed(100 * disturbed / blocks, 0)} %) {verb}"


def _why(known: Sequence[Row]) -> str:
    """`` (foreign CPU in 12, steal in 3)``: the reasons of all panels together."""
    counts: Counter[str] = Counter()
    for row in known:
        for part in str(row.get("reasons") or "").split(","):
            if match := _REASON.fullmatch(part):
                counts[match[1]] += int(match[2])
    return f" ({', '.join(f'{reason} in {count}' for reason, count in counts.most_common())})" if counts else ""


def _estimates(cases: Sequence[Row], quality: Sequence[Row], *, named: bool) -> list[str]:
    """Both estimates where they differ."""
    differing = [row for row in cases if "estimates_differ" in flags_of(row)]
    if not differing:
        agree = "With nothing left out, every estimate would be the same to the digit that is printed."
        return [agree] if _total(quality, "excluded") > 0 else []
    most = max(abs(number(row["overhead_pct"]) - number(row["overhead_all_pct"])) for row in differing)
    told = f"Leaving them out changes {_of(len(differing), len(cases))}, by {fixed(most)} points at the most"
    if not named:
        return [f"{told}; both are in the table."]
    both = [
        f"{_case(row)} {Estimate.of(row, 'overhead').text()}, with nothing left out "
        f"{Estimate.of(row, 'overhead_all', 'overhead_all_pct').text()}"
        for row in differing[:MOST_NAMED]
    ]
    more = "" if len(differing) <= MOST_NAMED else "; the others are in the table"
    return [f"{told}: {'; '.join(both)}{more}."]


def _scatter(tables: Tables, quality: Sequence[Row]) -> list[str]:
    between, within = _span(quality, "between_sd_pct"), _span(quality, "within_sd_pct")
    if between and within:
        return [
            f"Scatter (standard deviation, the middle case): {between} points from process to process, {within} points "
            "from superblock to superblock inside one."
        ]
    control = first_control(tables.superblocks)
    if len(control) < 2:
        return []
    spread = fixed(float(np.std(control["overhead_pct"].to_numpy(float), ddof=1)))
    return [f"The machine's noise: single superblocks of the control scatter by {spread} points (standard deviation)."]


def _flags(cases: Sequence[Row]) -> list[str]:
    raised = Counter(flag for row in cases for flag in flags_of(row))
    sentences = [words.format(cases=_of(raised[flag], len(cases))) for flag, words in _IN_WORDS.items() if raised[flag]]
    told = {*_IN_WORDS, *_ELSEWHERE, "disturbed", "estimates_differ"}
    rest = [f"{flag} ({count_text(n, 'case')})" for flag, n in sorted(raised.items()) if flag not in told]
    return [*sentences, f"Further flags: {', '.join(rest)}."] if rest else sentences


def _case(row: Row) -> str:
    name = line_text(row["strategy"], row["placement"], row["direction"])
    return f"{name}, {fraction_text(float(row['fraction']))}"


def _of(count: int, total: int) -> str:
    return f"{count} of {count_text(total, 'case')}"


def _total(quality: Sequence[Row], column: str) -> float:
    return sum(value for row in quality if math.isfinite(value := number(row.get(column))))


def _span(quality: Sequence[Row], column: str) -> str:
    """``0.30``, or ``0.30 to 0.52`` where settings differ; empty where it is not known."""
    known = [value for row in quality if math.isfinite(value := number(row.get(column)))]
    return " to ".join(dict.fromkeys(fixed(value, 2) for value in (min(known), max(known)))) if known else ""
