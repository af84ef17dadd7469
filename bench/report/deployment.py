"""Where networks really run: for each runtime what the best formulation costs, which to take, and why others cost more.

One panel stands for a runtime and number format: the network, clip and threads that most runtimes were measured with.
"""

from collections import Counter
from dataclasses import asdict

import pandas as pd

from bench.analysis.evidence import PUBLISHED
from bench.report.contest import Contest, contests_in
from bench.report.cost import USUAL_FRACTION, nearest_fraction
from bench.report.numbers import Estimate, channels_text, count_text, found_text, listed, milliseconds_text, number
from bench.report.selection import Row, Tables, baselines, in_panel, panels, rows, timed
from bench.spec.cases import Panel

MOST_KINDS = 3  # kinds of nodes named in a sentence; the table has the others
_NAMES = ("device", "runtime", "dtype")


def runtime_name(panel: Panel, among: list[Panel]) -> str:
    """``openvino bf16``; the number format only where a runtime was measured in several, the device likewise."""
    parts = [panel.runtime]
    if len({other.dtype for other in among}) > 1:
        parts.append(panel.dtype)
    if len({other.device for other in among}) > 1:
        parts.append(f"on {panel.device}")
    return " ".join(parts)


def runtime_panels(tables: Tables) -> list[Panel]:
    """One panel for each device, runtime and number format, in the run's order; none where there is one runtime only.

    They agree in everything else, so that what differs between them is where the network runs.
    """
    measured = [panel for panel, _ in panels(timed(tables.latency))]
    setting = Counter(_elsewhere(panel) for panel in measured)
    if not setting:
        return []
    usual = setting.most_common(1)[0][0]
    chosen: dict[tuple[str, ...], Panel] = {}
    for panel in measured:
        if _elsewhere(panel) == usual:
            chosen.setdefault(tuple(getattr(panel, name) for name in _NAMES), panel)
    found = list(chosen.values())
    return found if len({panel.runtime for panel in found}) > 1 else []


def _elsewhere(panel: Panel) -> tuple[object, ...]:
    """All but where it runs. Threads are those of a CPU: they say nothing about a change of the device."""
    return tuple(value for key, value in asdict(panel).items() if key not in (*_NAMES, "threads"))


def runtime_sentences(tables: Tables) -> list[str]:
    """For each runtime: the released code's cost, the formulation to take with those tied, and what the rest brings."""
    chosen = runtime_panels(tables)
    base = {panel: number(g["latency_ms"].iloc[0]) for panel, g in panels(baselines(tables.latency))}
    sentences = []
    for panel in chosen:
        cases = _residual(in_panel(timed(tables.latency), panel))
        name = f"In {runtime_name(panel, chosen)} (without a shift {milliseconds_text(base.get(panel, float('nan')))})"
        contest = _usual_contest(tables, panel)
        if contest is not None:
            sentences.append(f"{name}, {_recommendation(contest, cases)}")
        elif cases:
            sentences.append(f"{name} {listed([_priced(case) for case in cases])}; nothing else was measured there.")
        sentences += _why(tables, panel, contest)
    return sentences


def _residual(frame: pd.DataFrame) -> list[Row]:
    """The residual, bidirectional cases with the fraction nearest to the usual one."""
    own = [r for r in rows(frame) if r["placement"] == "residual" and r["direction"] == "bidirectional"]
    if not own:
        return []
    fraction = nearest_fraction((float(row["fraction"]) for row in own), USUAL_FRACTION)
    return [row for row in own if float(row["fraction"]) == fraction]


def _usual_contest(tables: Tables, panel: Panel) -> Contest | None:
    """Residual and bidirectional, with the fraction nearest to the usual one."""
    fitting = [
        contest
        for contest in contests_in(tables, panel)
        if contest.rows[0]["placement"] == "residual" and contest.rows[0]["direction"] == "bidirectional"
    ]
    if not fitting:
        return None
    fractions = [float(contest.rows[0]["fraction"]) for contest in fitting]
    return fitting[fractions.index(nearest_fraction(fractions, USUAL_FRACTION))]


def _recommendation(contest: Contest, cases: list[Row]) -> str:
    """Which formulation to take; those not shown to be slower are named with it."""
    priced = {str(case["strategy"]): _priced(case) for case in cases}
    first, moved = contest.rows[0], channels_text(float(contest.rows[0]["fraction"]))
    best = priced.get(str(first["strategy"]), str(first["strategy"]))
    released = priced.get(PUBLISHED) if first["strategy"] != PUBLISHED else None
    against = f"; the released code's {released}" if released else ""
    if not contest.decided:
        return f"moving {moved}, {best} costs least{against}; without intervals that decides nothing."
    if not contest.tied:
        than = "the only other one" if len(contest.others) == 1 else f"the {len(contest.others)} others"
        return f"moving {moved}, take {best}, shown to be faster than {than}{against}."
    told = listed([priced.get(str(row["strategy"]), str(row["strategy"])) for row in contest.tied])
    margin = found_text(contest.detectable, "a margin")
    return f"moving {moved}, take {best}; not told from it: {told}{margin}{against}."


def _priced(case: Row) -> str:
    return f"{case['strategy']} ({Estimate.of(case, 'overhead').text()})"


def _why(tables: Tables, panel: Panel, contest: Contest | None) -> list[str]:
    """What the released code and the best formulation add to the runtime's graph."""
    if contest is None:
        return []
    first = contest.rows[0]
    names = list(dict.fromkeys([PUBLISHED, str(first["strategy"])]))
    told = [text for name in names if (text := _brought(tables, panel, first, name))]
    return [f"There {'; '.join(told)}."] if told else []


def _brought(tables: Tables, panel: Panel, first: Row, strategy: str) -> str:
    """``copy_shift brings 40 ScatterND and 64 Transpose into the graph``."""
    frame = in_panel(tables.graphs, panel)
    if frame.empty:
        return ""
    same = frame["fraction"] == float(first["fraction"])
    same &= (frame["placement"] == first["placement"]) & (frame["direction"] == first["direction"])
    own = frame[same & (frame["strategy"] == strategy)]
    if own.empty:
        return ""
    more = own[own["extra_nodes"] > 0].sort_values("extra_nodes", ascending=False, kind="stable")
    if more.empty:
        return f"{strategy} brings no further nodes into the graph"
    kinds = [f"{row['extra_nodes']:.0f} {row['kind']}" for row in rows(more.head(MOST_KINDS))]
    others = f" and {count_text(len(more) - MOST_KINDS, 'further kind')}" if len(more) > MOST_KINDS else ""
    return f"{strategy} brings {listed(kinds) if not others else ', '.join(kinds) + others} into the graph"
