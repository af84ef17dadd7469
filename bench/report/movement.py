"""Is the cost the moving of bytes? What was predicted from counts, held against what was measured, in words.

A prediction has two parts: the extra bytes at the copy bandwidth measured for that size, and the extra page faults
(fresh memory that the system maps at its first touch) at the measured cost of a page. A mismatch beyond a factor of two
is flagged by ``bench.analysis.run_tables``; here it is named, case by case, with the most likely reason.
"""

import math
from collections.abc import Sequence

from bench.report.numbers import Estimate, channels_text, count_text, fixed, listed, number, sentence
from bench.report.selection import Row, Tables, flags_of, line_text, panel_text, panels, rows, timed
from bench.spec.cases import Panel

WITHIN = 2.0  # a prediction from counts alone is called good within this factor
_OFF = "prediction_off"
_TELLING = 0.5  # points: below it page faults are not worth a word
_SAME_KERNELS = ("eager", "cudagraph")  # runtimes that move the bytes that were counted
_CACHED = (
    "its tensors are likely to be in a cache when they are moved, where a copy is faster than in the measured curve"
)


def movement_sentences(tables: Tables) -> list[str]:
    """How often the prediction holds, what it is made of, and every mismatch beyond a factor of two."""
    cases = timed(tables.latency)
    predicted = cases if cases.empty else cases[cases["predicted_overhead_pct"].notna()]
    shown = panels(predicted)
    if not shown:
        return []
    found = [(panel, row) for panel, group in shown for row in rows(group)]
    off = [(panel, row) for panel, row in found if _OFF in flags_of(row)]
    parts = "bytes and page faults" if any(_has_faults(row) for _, row in found) else "bytes alone"
    return [
        f"In {len(found) - len(off)} of {count_text(len(found), 'case')} the measured overhead agrees, as far as its "
        f"interval can tell, with what {parts} predict within a factor of {WITHIN:g}; {_shown(found)}.",
        *_larger_part(rows(shown[0][1])),
        *_mismatches(off, [panel for panel, _ in shown]),
        *_machine(tables),
    ]


def reason(panel: Panel, row: Row) -> str:
    """The most likely cause of a mismatch: what the model leaves out in this setting."""
    above = number(row["overhead_pct"]) > number(row["predicted_overhead_pct"])
    if panel.runtime not in _SAME_KERNELS:
        return f"bytes are counted in eager mode, and what {panel.runtime} makes of the network moves others"
    if not above:
        return _CACHED
    if "loses_channels_last" in flags_of(row):
        return "it gives its tensor back in another memory format, which the layers behind it pay for"
    if panel.device == "cuda" and panel.runtime == "eager":
        return "starting small kernels takes longer than the bytes that they move"
    if panel.device == "cuda":
        return "not in the model: strided access, and kernels that are too short to fill the device"
    return (
        "not in the model: the start of many small copies, strided access, and that what is copied drives out of the "
        "cache what the next convolution reads"
    )


def _mismatches(off: Sequence[tuple[Panel, Row]], shown: Sequence[Panel]) -> list[str]:
    """One sentence for each mechanism and reason: its worst case, and how many others it has."""
    groups: dict[tuple[str, str], list[tuple[Panel, Row]]] = {}
    for panel, row in off:
        groups.setdefault((str(row["strategy"]), reason(panel, row)), []).append((panel, row))
    sentences = []
    for (_, why), members in groups.items():
        panel, row = max(members, key=lambda member: _factor(member[1]))
        where = f" ({panel_text(panel, shown)})" if len(shown) > 1 else ""
        overhead = Estimate.of(row, "overhead")
        more = f" So for {count_text(len(members) - 1, 'more case')} of this mechanism." if len(members) > 1 else ""
        sentences.append(f"{_case(row)}{where} costs {overhead.text()} where its {_explained(row)}: {why}.{more}")
    return sentences


def _shown(found: Sequence[tuple[Panel, Row]]) -> str:
    """In how many cases the interval is narrow enough to show it: an interval that reaches beyond shows little."""
    told = 0
    for _, row in found:
        predicted, overhead = number(row["predicted_overhead_pct"]), Estimate.of(row, "overhead")
        nearest, farthest = sorted((predicted / WITHIN, predicted * WITHIN))
        told += nearest <= overhead.low and overhead.high <= farthest
    return f"in {told} of them the whole interval lies within that factor, the others are too wide to show it"


def _explained(row: Row) -> str:
    """``bytes and page faults explain 9.0 % (6.6 and 2.4)``."""
    total = fixed(number(row["predicted_overhead_pct"]))
    traffic, faults = number(row.get("predicted_traffic_pct")), number(row.get("predicted_faults_pct"))
    if not (math.isfinite(traffic) and _has_faults(row)):
        return f"bytes explain {total} %"
    return f"bytes and page faults explain {total} % ({fixed(traffic)} and {fixed(faults)})"


def _factor(row: Row) -> float:
    """How far apart measured and predicted are; infinite where one is zero or they differ in sign."""
    measured, predicted = number(row["overhead_pct"]), number(row["predicted_overhead_pct"])
    if measured <= 0 or predicted <= 0:
        return math.inf
    return max(measured / predicted, predicted / measured)


def _has_faults(row: Row) -> bool:
    """Page faults are part of the prediction: not on a GPU, nor in runs that did not price a page."""
    return abs(number(row.get("predicted_faults_pct"))) > 0


def _larger_part(cases: Sequence[Row]) -> list[str]:
    """Mechanisms that pay more for fresh memory than for the bytes themselves."""
    names = {
        str(row["strategy"])
        for row in cases
        if number(row.get("predicted_faults_pct")) > max(_TELLING, number(row.get("predicted_traffic_pct")))
    }
    if not names:
        return []
    return [
        f"For {listed(sorted(names))} the larger part of the prediction is not the bytes but the page faults: "
        "fresh memory that the system maps at its first touch."
    ]


def _machine(tables: Tables) -> list[str]:
    """The two prices that the prediction rests on, in the first setting that has them."""
    told = []
    for panel, curve in panels(tables.bandwidth)[:1]:
        sizes = rows(curve.sort_values("mebibytes"))
        ends = [sizes[0], sizes[-1]] if len(sizes) > 1 else sizes
        speeds = [f"{fixed(number(row['gb_per_s']))} GB/s at {row['mebibytes']:g} MiB" for row in ends]
        told.append(f"a plain copy moves {listed(speeds)} (read and written, {panel.device})")
    pages = [row for _, group in panels(tables.quality) for row in rows(group)]
    costs = [cost for row in pages if math.isfinite(cost := number(row.get("page_microseconds")))]
    if costs:
        told.append(f"a page of fresh memory costs {fixed(costs[0], 2)} µs")
    return [f"{sentence('; '.join(told))}."] if told else []


def _case(row: Row) -> str:
    where = line_text(row["strategy"], row["placement"], row["direction"])
    return f"{where}, {channels_text(float(row['fraction']))}"
