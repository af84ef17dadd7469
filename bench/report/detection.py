"""What a shift adds to a detector on a running video, and what it costs there, in words."""

import math

from bench.data.speed import SPEEDS
from bench.report.numbers import Estimate, channels_text, found_text, listed, number
from bench.report.selection import Row, Tables, finished, rows, whole_forms
from bench.spec.axes import BASELINE


def detection_sentences(tables: Tables) -> list[str]:
    """Form by form: what it finds, more of which objects, and at what cost."""
    if tables.detection.empty:
        return []
    trained = whole_forms(tables.detection)
    base = next((row for row in trained if row["strategy"] == BASELINE), None)
    if base is None:
        return []
    by_speed = listed([f"{speed} objects {_level(base, f'map_{speed}')}" for speed in SPEEDS])
    told = []
    recipe = ((tables.header.get("settings") or {}).get("detection") or {}).get("recipe") or {}
    if recipe.get("judged_on") == "validation":
        told.append("Judged on validation clips, as one does to choose a recipe: this is no test of a finding.")
    told.append(f"Frame by frame the detector has a mean average precision of {_level(base, 'map')} ({by_speed}).")
    told += [_gain(row) for row in trained if row is not base]
    told += _costs(tables, [row for row in trained if row["form"] == "online"])
    return [sentence for sentence in told if sentence]


def _gain(row: Row) -> str:
    gain = Estimate.of(row, "map_delta")
    by_speed = listed([f"{speed} ones {Estimate.of(row, f'map_{speed}_delta').text('points')}" for speed in SPEEDS])
    what = f"{str(row['form']).capitalize()}, {row['strategy']} with {channels_text(number(row['fraction']))}"
    found = found_text(number(row.get("map_delta_detectable_pct"))) if gain.holds_zero else ""
    return f"{what}: {gain.text('points')} for all objects{found}; for {by_speed}."


def _costs(tables: Tables, online: list[Row]) -> list[str]:
    """What a frame takes longer: of each online form, as trained and with the mechanism that came out cheapest."""
    timed = [row for row in rows(finished(tables.detection)) if math.isfinite(number(row["overhead_pct"]))]
    told = [_cost(form, [row for row in timed if _computes(row, form)]) for form in online]
    if any(told) and tables.online_suspect:
        return [f"What it costs is withheld: {tables.online_suspect.rstrip('.')}."]
    return told


def _computes(row: Row, form: Row) -> bool:
    """Whether what was timed is the function of what was trained."""
    same = {form["strategy"], *str(form["also_holds_for"] or "").split(",")}
    return row["strategy"] in same and all(row[name] == form[name] for name in ("placement", "fraction", "direction"))


def _cost(form: Row, timed: list[Row]) -> str:
    told = []
    for detector in dict.fromkeys(str(row["detector"]) for row in timed):
        own = [row for row in timed if row["detector"] == detector]
        own.sort(key=lambda row: number(row["overhead_pct"]))
        named = {row["strategy"]: row for row in own if row["strategy"] == form["strategy"]}
        named[own[0]["strategy"]] = own[0]
        costs = listed([f"{Estimate.of(row, 'overhead').text()} with {row['strategy']}" for row in named.values()])
        told.append(f"in {detector} {costs}{f', the least of {len(own)} mechanisms' if len(own) > 1 else ''}")
    moved = channels_text(number(form["fraction"]))
    return f"The cost of a frame with {moved} from the past: {'; '.join(told)}." if told else ""


def _level(row: Row, measure: str) -> str:
    return Estimate.of(row, measure, f"{measure}_pct").text(signed=False)
