"""What a run says at a glance: the first screen of its page and the last one of the terminal, from typed results."""

from dataclasses import replace
from typing import Any

from bench.analysis.run import Analysis
from bench.report.answers import Choice, MechanismCost, PanelCost
from bench.report.numbers import estimate, fit_text
from bench.report.selection import line_text, mechanism_of, panel_text
from bench.report.video import VideoAnswer

_MECHANISMS = 3  # rows of the table; one less each where videos, or several settings, have a row
_TOLD = ("reproduced", "not reproduced", "inconclusive")  # verdicts; the others are counted together


def glance(run: Analysis, found: dict[str, Any]) -> dict[str, Any]:
    """What matters most of ``answers(run)``; of each part nothing where the run has not measured it.

    headline: overheads in the first panel that headlines speak of, then of the released code with the default heap;
    where: in what that panel differs from the ``others`` that have costs too.
    online: of a run without a headline, the least overhead of a frame in the first of its ``others`` settings.
    cheapest: which exact mechanism is so at the least and the largest fraction, by how much. choice: what to take, or
    why nothing is. video: the first question, and the gap between the placements with most channels, which is told in
    place of that of the digits. failure: the first of those failed or skipped.
    """
    costs: list[PanelCost] = found["costs"]
    judged = found["judged"]
    findings = {verdict: judged[verdict] for verdict in _TOLD if judged[verdict]}
    others = judged.total() - judged["not measured"] - sum(findings.values())
    return {
        "standing": found["standing"],
        "headline": _headline(costs, _MECHANISMS - (found["video"] is not None)) if costs else None,
        "online": None if costs else _online(found["online"]),
        "cheapest": _cheapest(costs[0]) if costs else [],
        "video": _video(found["video"]),
        "residual_over_inplace": run.placements.get("1"),
        "choice": _choice(found["choice"]),
        "findings": findings | ({"other": others} if others else {}),
        "on_validation": found["on_validation"],
        "failed": len(run.failures),
        "failure": None if run.failures.empty else run.failures.iloc[0].to_dict(),
    }


def _headline(costs: list[PanelCost], most: int) -> dict[str, Any]:
    cost = costs[0]
    panels = [other.panel for other in costs]
    heaps = {replace(cost.panel, allocator=panel.allocator) for panel in panels}
    where, others = panel_text(cost.panel, panels), sum(panel not in heaps for panel in panels)
    ends = sorted({cost.fractions[0], cost.fractions[-1]})
    lines = [_line(one, cost, ends, line_text(*mechanism_of(one))) for one in cost.mechanisms]
    lines = [line for line in lines if any(line["overheads"])][: most - (others > 0)]
    for other in costs[1:]:
        if other.panel == replace(cost.panel, allocator="default"):
            first = other.mechanisms[0]
            lines.append(_line(first, other, ends, f"{fit_text(first.strategy, 10)}, default heap"))
    title = "overhead" if cost.panel.device == "cuda" else f"overhead, {cost.panel.allocator} heap"
    return {"title": title, "where": where, "others": others, "fractions": ends, "lines": lines}


def _line(one: MechanismCost, cost: PanelCost, fractions: list[float], name: str) -> dict[str, Any]:
    known_at = dict(zip(cost.fractions, one.overheads, strict=True))
    overheads = [known_at.get(fraction) for fraction in fractions]
    what = {"name": name, "strategy": one.strategy, "panel": cost.panel.label}
    return {**what, "overheads": overheads, "verdict": one.verdict}


def _online(found: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not found:
        return None
    case = found[0]["cases"][0]
    name = f"{case['strategy']}, {case['placement']}"  # all streams are unidirectional
    what = {"where": found[0]["where"], "name": name, "fraction": case["fraction"], "others": len(found) - 1}
    return {**what, "overhead": estimate(case, "overhead")}


def _cheapest(cost: PanelCost) -> list[dict[str, Any]]:
    found = []
    for fraction in sorted({cost.fractions[0], cost.fractions[-1]}):
        ranking = cost.rankings.get(fraction)
        if ranking is not None:
            first, tied = ranking.ranked[0], [one.strategy for one in cost.tied(ranking)]
            gap = None if tied else min((one.gap for one in ranking.ranked[1:]), key=lambda gap: gap.mean)
            found.append({"fraction": fraction, "strategy": first.strategy, "gap": gap, "tied": tied})
    return found


def _choice(choice: Choice | None) -> dict[str, Any] | None:
    """The verdict, and the arm that it speaks of."""
    if choice is None:
        return None
    found: dict[str, Any] = {"verdict": choice.verdict}
    if choice.taken is not None:
        case = choice.taken.case
        found |= {"name": line_text(*mechanism_of(case)), "fraction": case["fraction"], "tied": choice.tied}
        found |= {"overhead": choice.taken.overhead, "accuracy": choice.taken.accuracy}
    return found


def _video(found: VideoAnswer | None) -> dict[str, Any] | None:
    """What is said of the first question."""
    if found is None:
        return None
    first = found.asked[0]
    arm = {"name": line_text(*mechanism_of(first.best)), "fraction": first.best["fraction"], "trained": first.trained}
    told: dict[str, Any] = {"question": first.question, "gain": first.gain, "seeds": int(first.best["seeds"]), **arm}
    told |= {"accuracy": estimate(first.best, "top1"), "delta": estimate(first.best, "top1_delta")}
    gap = first.gaps[-1] if first.gaps else None
    return told | {"residual_over_inplace": gap and {"fraction": gap.fraction, "gap": gap.found, "answer": gap.answer}}
