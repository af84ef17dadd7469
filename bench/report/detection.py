"""What a shift adds to a detector on a running video, and what it costs there, in words."""

import math

from bench.axes import BASELINE
from bench.detection.speed import SPEEDS
from bench.report.numbers import Estimate, channels_text, found_text, listed, number
from bench.report.selection import Row, Tables, finished, main_condition, rows


def detection_sentences(tables: Tables) -> list[str]:
    """Form by form: what it finds, more of which objects, and at what cost."""
    if tables.detection.empty:
        return []
    trained = [row for row in rows(main_condition(finished(tables.detection))) if row["seeds"] > 0]
    base = next((row for row in trained if row["strategy"] == BASELINE), None)
    if base is None:
        return []
    by_speed = listed([f"{speed} objects {_level(base, f'map_{speed}')}" for speed in SPEEDS])
    told = [f"Frame by frame the detector has a mean average precision of {_level(base, 'map')} ({by_speed})."]
    told += [_gain(row) for row in trained if row is not base]
    told += [_cost(tables)]
    return [sentence for sentence in told if sentence]


def _gain(row: Row) -> str:
    gain = Estimate.of(row, "map_delta")
    by_speed = listed([f"{speed} ones {Estimate.of(row, f'map_{speed}_delta').text('points')}" for speed in SPEEDS])
    what = f"{str(row['form']).capitalize()}, {row['strategy']} with {channels_text(number(row['fraction']))}"
    found = found_text(number(row.get("map_delta_detectable_pct"))) if gain.holds_zero else ""
    return f"{what}: {gain.text('points')} of all objects{found}; of {by_speed}."


def _cost(tables: Tables) -> str:
    timed = [row for row in rows(finished(tables.detection)) if math.isfinite(number(row["overhead_pct"]))]
    told = []
    for detector in dict.fromkeys(str(row["detector"]) for row in timed):
        own = [row for row in timed if row["detector"] == detector and row["strategy"] != BASELINE]
        if own:
            best = min(own, key=lambda row: number(row["overhead_pct"]))
            cost = Estimate.of(best, "overhead").text()
            told.append(f"in {detector} {cost} with {best['strategy']} {best['placement']}")
    return f"A frame takes longer by, at the least, {listed(told)}." if told else ""


def _level(row: Row, measure: str) -> str:
    return Estimate.of(row, measure, f"{measure}_pct").text(signed=False)
