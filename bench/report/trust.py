"""How far the numbers can be trusted, in words: the A/A control, the widths reached, the noise of the machine."""

import math
from collections import Counter

import numpy as np

from bench.report.figures.noise import first_control
from bench.report.numbers import Estimate, count_text, fixed, fraction_text, number
from bench.report.selection import Row, Tables, line_text, panel_text, panels, rows, timed, twins

TWIN_FLAG = "aa"  # marks the baseline's twin; every other flag is a warning


def trust_sentences(tables: Tables) -> list[str]:
    """The control first: if it failed, nothing else matters."""
    sentences = [f"SUSPECT: {tables.suspect}"] if tables.suspect else []
    sentences += _control(tables)
    cases = rows(timed(tables.latency))
    if cases:
        sentences += [*_widths(cases, tables.header), _effort(cases), *_noise(tables), *_flags(cases)]
    seeds = sorted({int(row["seeds"]) for row in rows(tables.accuracy) if row["status"] == "ok"})
    if seeds:
        most = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        sentences.append(
            f"Each arm was trained with {most} seed{'' if seeds == [1] else 's'}"
            + ("; one seed gives no interval." if seeds == [1] else ", the same ones in all arms.")
        )
    if not tables.failures.empty:
        counts = Counter(str(status) for status in tables.failures["status"])
        told = " and ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        sentences.append(f"Not everything was measured: {told}; the reasons are listed below.")
    return sentences


def _control(tables: Tables) -> list[str]:
    shown = panels(twins(tables.latency))
    keys = [panel for panel, _ in shown]
    sentences = []
    for panel, twin in shown:
        control = Estimate.of(rows(twin)[0], "overhead")
        where = f" ({panel_text(panel, keys)})" if len(shown) > 1 else ""
        told = f"A/A control{where}: two identical networks differ by {control.text()}"
        if not control.has_interval:
            sentences.append(f"{told}, so the control decides nothing.")
        elif control.holds_zero:
            sentences.append(f"{told}; no difference is found where there is none.")
        else:
            sentences.append(f"{told}; that is not zero, so effects of this size should not be believed.")
    return sentences


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


def _noise(tables: Tables) -> list[str]:
    control = first_control(tables.superblocks)
    if len(control) < 2:
        return []
    twin = control["overhead_pct"].to_numpy(float)
    spread = fixed(float(np.std(twin, ddof=1)))
    return [f"The machine's noise: single superblocks of the control scatter by {spread} points (standard deviation)."]


def _flags(cases: list[Row]) -> list[str]:
    raised = Counter(flag for row in cases for flag in flags_of(row) if flag not in ("", TWIN_FLAG))
    if not raised:
        return []
    told = ", ".join(f"{flag} ({count_text(count, 'case')})" for flag, count in sorted(raised.items()))
    return [f"Flags were raised: {told}."]


def flags_of(row: Row) -> list[str]:
    """The flags of one row; none where the cell is empty."""
    flags = row.get("flags")
    return [flag for flag in flags.split(";") if flag] if isinstance(flags, str) else []
