"""What a causal shift costs a running video, and how early it knows, in words."""

import math

import pandas as pd

from bench.report.numbers import Estimate, channels_text, count_text, fixed, fraction_text, listed, milliseconds_text
from bench.report.numbers import number as as_number
from bench.report.selection import Row, Tables, arms_that_stream, finished, online_settings, rows
from bench.spec.axes import BASELINE

MOST_SETTINGS = 4  # told one by one; the table has all
_MOST_NAMED = 4
_PART = "joint"
_OF_CALLS = 3.0  # GB/s: any memory moves more; what moves less spends its time elsewhere


def online_sentences(tables: Tables) -> list[str]:
    """Setting by setting: what a frame takes, what each mechanism adds, what is missed in real time, what is kept."""
    settings = online_settings(tables.online)
    if not settings:
        return []
    if tables.online_suspect:
        return [f"Withheld: {tables.online_suspect.rstrip('.')}. Frame times of this run are in the table only."]
    told = [_cost(words, frame) for words, frame in settings[:MOST_SETTINGS]]
    told += [_real_time(words, frame) for words, frame in settings[:1]]
    told += [_moved(words, frame) for words, frame in settings[:1]]
    told += [_kept(words, frame) for words, frame in settings[:1]]
    if len(settings) > MOST_SETTINGS:
        told.append(f"{count_text(len(settings) - MOST_SETTINGS, 'further setting')} in the table.")
    return [sentence for sentence in told if sentence]


def _cost(words: str, frame: pd.DataFrame) -> str:
    base = _baseline(frame)
    cases = sorted(_timed(frame), key=lambda row: as_number(row["overhead_pct"]))
    named = cases if len(cases) <= _MOST_NAMED else [*cases[: _MOST_NAMED - 1], cases[-1]]
    told = [f"{_name(row)} {Estimate.of(row, 'overhead').text()}" for row in named]
    if len(cases) > len(named):
        told[-1] = f"{count_text(len(cases) - len(named), 'other mechanism')} up to {told[-1]}"
    if base is None or not told:
        return ""
    typical, slow = (milliseconds_text(as_number(base[name])) for name in ("frame_ms", "p99_ms"))
    return f"{words}: without a shift a frame takes {typical} (one in a hundred {slow} or more); {listed(told)}."


def _real_time(words: str, frame: pd.DataFrame) -> str:
    base = _baseline(frame)
    cases = _timed(frame)
    if base is None or not cases:
        return ""
    best = min(cases, key=lambda row: as_number(row["overhead_pct"]))

    def missed(column: str) -> str:
        without, with_best = (fixed(as_number(row[column])) for row in (base, best))
        return f"{without} % without a shift, {with_best} % with {_name(best)}"

    return (
        f"{words}, deadlines missed where frames arrive {as_number(base['arrival_fps']):g} times a second: "
        f"{missed('missed_deadline_pct')}; at {as_number(base['load_fps']):.3g} times, four fifths of what the network "
        f"without a shift can do: {missed('missed_at_load_pct')}."
    )


def _moved(words: str, frame: pd.DataFrame) -> str:
    """The bytes behind the cost, of those that cost something for certain: the cheapest and the dearest."""
    base, told, rates = _baseline(frame), list[str](), list[float]()
    cases = [row for row in _timed(frame) if Estimate.of(row, "overhead").low > 0 and row["extra_traffic_mb"] > 0]
    cases.sort(key=lambda row: as_number(row["overhead_pct"]))
    if base is None or len(cases) < 2:
        return ""
    for row in (cases[0], cases[-1]):
        milliseconds = as_number(row["overhead_pct"]) / 100 * as_number(base["frame_ms"])
        moved = as_number(row["extra_traffic_mb"])
        told.append(
            f"{_name(row)} moves {fixed(moved)} MB more than no shift for each frame and takes "
            f"{fixed(milliseconds, 2)} ms more, {fixed(moved / milliseconds)} GB/s"
        )
        rates.append(moved / milliseconds)
    calls = ": so little that it is the calls which cost, not the bytes" if max(rates) < _OF_CALLS else ""
    return f"{words}, what holds it: {'; '.join(told)}{calls}."


def _timed(frame: pd.DataFrame) -> list[Row]:
    """The cases that shift and were timed; an interrupted run has some that were only counted."""
    return rows(frame[(frame["strategy"] != BASELINE) & frame["overhead_pct"].notna()])


def _kept(words: str, frame: pd.DataFrame) -> str:
    sizes: dict[str, list[str]] = {}
    for row in rows(frame[frame["strategy"] != BASELINE]):
        if math.isfinite(as_number(row["cache_mb"])):
            sizes.setdefault(fixed(as_number(row["cache_mb"]), 2), []).append(_name(row))
    told = [f"{size} MB ({listed(names)})" for size, names in sizes.items()]
    return f"{words}: one stream remembers {listed(told)}." if told else ""


def early_sentences(tables: Tables) -> list[str]:
    """After how much of the clip each causal arm is right, against the network without a shift."""
    told = []
    for arm in arms_that_stream(tables.early):
        by_frame = rows(arm)
        halfway, last = by_frame[(len(by_frame) - 1) // 2], by_frame[-1]
        told.append(
            f"{_arm(last)}: {_share(halfway)} after {_seen(halfway)} of the clip, {_share(last)} at its end; against "
            f"no shift {_gain(halfway)} and {_gain(last)}."
        )
    return ([f"Predictions of a running stream, {_PART} accuracy. " + told[0], *told[1:]]) if told else []


def _share(row: Row) -> str:
    return Estimate.of(row, _PART, f"{_PART}_mean_pct").text(signed=False)


def _gain(row: Row) -> str:
    return Estimate.of(row, f"{_PART}_delta").text("points")


def _seen(row: Row) -> str:
    return fraction_text(as_number(row["seen_pct"]) / 100)


def _arm(row: Row) -> str:
    return f"{row['strategy']}, {row['placement']}, {channels_text(as_number(row['fraction']))}"


def _name(row: Row) -> str:
    return f"{row['strategy']} {row['placement']} {fraction_text(as_number(row['fraction']))}"


def _baseline(frame: pd.DataFrame) -> Row | None:
    """The 2-D network, never its twin."""
    own = finished(frame)
    found = rows(own[(own["strategy"] == BASELINE) & ~own["aa"].astype(bool)])
    return found[0] if found else None
