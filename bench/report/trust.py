"""How far the numbers can be trusted, in words: the A/A control, the widths reached, the noise of the machine."""

import math
from collections import Counter

import numpy as np

from bench.report.numbers import Estimate, count_text, fixed, found_text, fraction_text, number
from bench.report.quality import quality_sentences
from bench.report.selection import Row, Tables, line_text, panel_text, panels, rows, timed, twins

MOST_PANELS = 3  # controls told one by one; more would bury the rest


def trust_sentences(tables: Tables) -> list[str]:
    """The control first: if it failed, nothing else matters."""
    sentences = [f"SUSPECT: {tables.suspect}"] if tables.suspect else []
    if tables.damaged:
        lines = count_text(len(tables.damaged), "damaged line")
        sentences.append(f"{lines} of the journal had to be passed over ({tables.damaged[0]}).")
    sentences += _control(tables)
    cases = rows(timed(tables.latency))
    if cases:
        sentences += [*_widths(cases, tables.header), _effort(cases), *quality_sentences(tables)]
        if all(row["device"] != "cuda" for row in cases):
            sentences.append("No GPU took part: GPU figures are still to come (run --preset gpu where there is one).")
    seeds = sorted({int(row["seeds"]) for row in rows(tables.accuracy) if row["status"] == "ok"})
    if seeds:
        most = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        sentences.append(
            f"Each arm was trained with {most} seed{'' if seeds == [1] else 's'}"
            + (
                "; one seed gives no interval."
                if seeds == [1]
                else ", the same ones in all arms that are held against each other."
            )
        )
    if not tables.failures.empty:
        counts = Counter(str(status) for status in tables.failures["status"])
        told = " and ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        sentences.append(f"Not everything was measured: {told}; the reasons are listed below.")
    return sentences


def _control(tables: Tables) -> list[str]:
    """Each panel's control; those that hold zero are told together where there are many."""
    shown = [(panel, rows(twin)[0]) for panel, twin in panels(twins(tables.latency))]
    keys = [panel for panel, _ in shown]
    clean = [row for _, row in shown if Estimate.of(row, "overhead").has_interval and _holds_zero(row)]
    together = len(shown) > MOST_PANELS and len(clean) > 1
    sentences = [
        _control_text(row, f" ({panel_text(panel, keys)})" if len(shown) > 1 else "")
        for panel, row in shown
        if not (together and row in clean)
    ]
    if together:
        known = [value for row in clean if math.isfinite(value := number(row.get("detectable_pct")))]
        found = found_text(max(known, default=math.nan))
        what = f"A/A control: in {len(clean)} of {len(shown)} settings two identical networks are not told apart"
        sentences.append(f"{what}{found}.")
    return sentences


def _control_text(row: Row, where: str) -> str:
    control = Estimate.of(row, "overhead")
    told = f"A/A control{where}: two identical networks differ by {control.text()}"
    if not control.has_interval:
        return f"{told}, so the control decides nothing."
    if not control.holds_zero:
        return f"{told}; that is not zero, so effects of this size should not be believed."
    return f"{told}: no difference is found where there is none{found_text(number(row.get('detectable_pct')))}."


def _holds_zero(row: Row) -> bool:
    return Estimate.of(row, "overhead").holds_zero


def _widths(cases: list[Row], header: Row) -> list[str]:
    known = [row for row in cases if math.isfinite(number(row["half_width_pct"]))]
    if not known:
        return ["One replicate gives no intervals: read the latencies as a first impression."]
    widest = max(known, key=lambda row: float(row["half_width_pct"]))
    middle = float(np.median([float(row["half_width_pct"]) for row in known]))
    name = line_text(widest["strategy"], widest["placement"], widest["direction"])
    most = fixed(float(widest["half_width_pct"]), 2)
    told = (
        f"Half-widths of the intervals: {fixed(middle, 2)} points in the middle, {most} at most "
        f"({name}, {fraction_text(float(widest['fraction']))})"
    )
    target = ((header.get("settings") or {}).get("latency") or {}).get("target_half_width_points")
    if isinstance(target, int | float):
        reached = sum(float(row["half_width_pct"]) <= target for row in known)
        told += f"; {reached} of {count_text(len(known), 'case')} reached the target of {target:g}"
    sentences = [f"{told}."]
    detectable = [value for row in cases if math.isfinite(value := number(row["detectable_pct"]))]
    if detectable:
        sentences.append(
            f"Effects smaller than about {fixed(float(np.median(detectable)))} points would have been missed."
        )
    return sentences


def _effort(cases: list[Row]) -> str:
    def span(column: str, singular: str, plural: str) -> str:
        counts = sorted({int(row[column]) for row in cases})
        return count_text(counts[0], singular, plural) if len(counts) == 1 else f"{counts[0]} to {counts[-1]} {plural}"

    processes = span("replicates", "fresh process", "fresh processes")
    return f"Behind each case: {processes}, {span('blocks', 'superblock', 'superblocks')}."
