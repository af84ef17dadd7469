"""``run --dry-run``: what would be measured, how the budget is divided, how long it should take."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.measure.plan import Plan
    from bench.spec.cases import Training


def show(plan: "Plan", folder: Path, *, json_output: bool) -> None:
    """Print it: for people, or as one JSON object."""
    told = outline(plan, folder)
    print(json.dumps(told) if json_output else "\n".join(_lines(told)))


def outline(plan: "Plan", folder: Path) -> dict[str, Any]:
    """Plain values; seconds: as expected. cases: of a panel, the baseline and its twin among them."""
    from bench.measure.plan import expected_seconds

    expected, sweep = expected_seconds(plan, folder), plan.sweep
    sections: dict[str, dict[str, Any]] = {name: {"seconds": seconds} for name, seconds in expected.items()}
    for planned in sweep.panels:
        name = planned.panel.section
        row = {"panel": planned.panel.label, "cases": len(planned.cases), "turn": planned.turn}
        row["seconds"] = expected[name] * sweep.share(planned)
        sections[name].setdefault("panels", []).append(row)
    for training in sweep.trainings:
        sections[training.section] |= _trainings(training)
    total = sum(expected.values())
    return {"folder": str(folder), "strategies": sweep.strategies, "sections": sections, "total_seconds": total}


def _trainings(training: "Training") -> dict[str, Any]:
    from bench.measure.training import TASKS

    arms = {(trial.variant, trial.condition) for trial in training.trials}
    seeds = {trial.seed for trial in training.trials}
    missing = TASKS[training.section].missing()
    return {"trainings": len(training.trials), "arms": len(arms), "seeds": len(seeds), "skipped": missing}


def _lines(told: dict[str, Any]) -> list[str]:
    from bench.report.numbers import count_text, duration_text

    lines = []
    for name, section in told["sections"].items():
        line = f"{name}: {duration_text(section['seconds'])}"
        if "trainings" in section:
            of = f"{count_text(section['arms'], 'arm')}, {count_text(section['seeds'], 'seed')}"
            line += f", {count_text(section['trainings'], 'training')} ({of})"
        lines.append(line + (f"; skipped: {section['skipped']}" if section.get("skipped") else ""))
        for row in section.get("panels", ()):
            cases, share = count_text(row["cases"], "case"), duration_text(row["seconds"])
            share = f"in turn {row['turn']}, of what is left of {share}" if row["turn"] > 1 else share
            lines.append(f"  {row['panel']}: {cases}, {share}")
    strategies = f"{count_text(len(told['strategies']), 'strategy', 'strategies')}: {', '.join(told['strategies'])}"
    return [*lines, strategies, f"in all about {duration_text(told['total_seconds'])}, into {told['folder']}"]
