"""The page as Markdown. Every sentence follows from the numbers, the verdict too."""

from typing import Any

import numpy as np

from bench.report.numbers import count_text, fixed, listed
from bench.stats.estimators import Interval
from tests.harnesses.cases import BASE, EFFECT, EFFECTS, LAYERS
from tests.harnesses.summary import ASKED, TRIALS_ASKED, TRUTH_WITHIN, Score, Summary
from tests.harnesses.tools import OURS, PYPERF, TOOLS, TORCH

Row = dict[str, Any]


def page(summary: Summary, header: Row, runs: list[Row], truth: Interval, caption: str, notes: str) -> str:
    """The page as Markdown."""
    parts = [
        f"# The same two known effects, {len(summary.scores) // len(EFFECTS)} tools, the same time",
        verdict(summary),
        f"{count_text(header['rounds'], 'round')} asked, {summary.trials} complete; in each, every tool had "
        f"{header['seconds']:.0f} s of wall time, start-up included, in random order (seed {header['seed']}). "
        f"{_truth(truth)} `tests/harnesses/README.md` explains the method.",
        "## Results",
        _table(summary),
        "Errors in points of overhead; RMSE: root-mean-square error; coverage: 95 % intervals that held the truth; "
        f"wrong signs: estimates of the 3 % effect that were zero or less. "
        f"{TORCH} gives no interval for a ratio, in turns or not. {PYPERF} prints a standard deviation; "
        "the interval here was derived from the means of its worker processes.",
        f"RMSE of {OURS} over that of the others, with a 95 % bootstrap interval over rounds; asked: at most {ASKED}.",
        _ratios(summary),
        "![every estimate of every tool](estimates.svg)",
        caption,
        "## Where this harness loses",
        losses(summary),
        "## Why",
        notes or "*(No notes yet: `why.md` in this folder is inserted here.)*",
        "## How it was run",
        _conditions(header, runs),
    ]
    return "\n\n".join(parts) + "\n"


def _truth(truth: Interval) -> str:
    """The truth of the second effect, how well it is known, and a warning where that is not well enough."""
    ends = f"[{fixed(truth.low, 3)}, {fixed(truth.high, 3)}]"
    text = (
        f"The truth of the second effect is {fixed(truth.mean, 3)} % {ends}: {LAYERS[EFFECT]} layers against "
        f"{LAYERS[BASE]}, less the fixed part, measured before all trials (95 % interval)."
    )
    if truth.half_width <= TRUTH_WITHIN:
        return text
    return f"{text} **It is known to ± {fixed(truth.half_width, 2)} points only: measure again on a quieter machine.**"


def verdict(summary: Summary) -> str:
    """Whether the bar was met, computed from the ratios; how sure that is; by how much it was missed."""
    worst = max(summary.ratios, key=lambda ratio: ratio.ratio)
    if not summary.settled:
        few = summary.trials < TRIALS_ASKED
        why = f"{TRIALS_ASKED} trials of each tool were asked" if few else "the truth is not known well enough"
        return (
            f"**No verdict:** {why}. After {count_text(summary.trials, 'trial')} the largest ratio of root-mean-square "
            f"errors is {fixed(worst.ratio, 2)}, against {worst.other} on {worst.effect}; at most {ASKED} is asked."
        )
    if summary.met:
        unsure = [f"{r.other} on {r.effect} (up to {fixed(r.high, 2)})" for r in summary.ratios if r.high > ASKED]
        sure = (
            f" The bootstrap intervals of {listed(unsure)} reach beyond the bar, so more trials could still turn it."
            if unsure
            else " The upper ends of all bootstrap intervals lie below the bar too."
        )
        return (
            f"**Met.** At equal time the root-mean-square error of {OURS} is at most {ASKED} of every other tool's "
            f"on both effects; the largest ratio is {fixed(worst.ratio, 2)}, against {worst.other} on {worst.effect}."
            f"{sure}"
        )
    missed = [
        f"{fixed(r.ratio, 2)} of {r.other}'s on {r.effect} [{fixed(r.low, 2)}, {fixed(r.high, 2)}]"
        for r in summary.ratios
        if not r.met
    ]
    met = [f"{r.other} on {r.effect} ({fixed(r.ratio, 2)})" for r in summary.ratios if r.met]
    kept = f" It was met against {listed(met)}." if met else ""
    return f"**Missed.** At most {ASKED} was asked; the root-mean-square error of {OURS} is {listed(missed)}.{kept}"


def losses(summary: Summary) -> str:
    """All in which another tool did better, or an interval of ours did not hold what it promised."""
    ours = {score.effect: score for score in summary.scores if score.tool == OURS}
    found = []
    for score in summary.scores:
        mine = ours[score.effect]
        if score.tool == OURS:
            if score.intervals and score.covered < 0.95 * score.intervals - 1:  # one more than expected is chance
                found.append(f"Its 95 % intervals held the truth of {score.effect} only {_coverage(score)}.")
            if score.wrong_signs:
                found.append(f"It gave the 3 % effect a wrong sign {count_text(score.wrong_signs, 'time')}.")
            continue
        for name, word in (("rmse", "root-mean-square error"), ("deviation", "standard deviation")):
            theirs, own = getattr(score, name), getattr(mine, name)
            if theirs < own:
                found.append(
                    f"{score.tool} has the smaller {word} on {score.effect}: {_points(theirs)} against {_points(own)}."
                )
        if abs(score.bias) < abs(mine.bias):
            found.append(
                f"{score.tool} has the smaller bias on {score.effect}: {_points(score.bias)} against "
                f"{_points(mine.bias)} (standard errors: {_points(_error(score))} and {_points(_error(mine))})."
            )
    return "\n".join(f"- {line}" for line in found) or "Nowhere in this table."


def _error(score: Score) -> float:
    return score.deviation / score.trials**0.5


def _points(value: float) -> str:
    return fixed(value, 2 if abs(value) < 10 else 1)


def _coverage(score: Score) -> str:
    return f"{score.covered} of {score.intervals}" if score.intervals else "none given"


def _table(summary: Summary) -> str:
    lines = [
        "| effect | tool | trials | bias | standard deviation | RMSE | coverage | half-width | wrong signs |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for s in summary.scores:
        width = _points(s.half_width) if s.intervals else "–"
        signs = "–" if s.wrong_signs is None else str(s.wrong_signs)
        cells = [_points(s.bias), _points(s.deviation), f"**{_points(s.rmse)}**", _coverage(s), width, signs]
        lines.append(f"| {s.effect} | {s.tool} | {s.trials} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratios(summary: Summary) -> str:
    lines = ["| effect | against | ratio | interval | met |", "|---|---|--:|--:|---|"]
    for r in summary.ratios:
        ends = f"{fixed(r.low, 2)} to {fixed(r.high, 2)}"
        lines.append(f"| {r.effect} | {r.other} | {fixed(r.ratio, 2)} | {ends} | {'yes' if r.met else 'no'} |")
    return "\n".join(lines)


def _conditions(header: Row, runs: list[Row]) -> str:
    machine = header["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["versions"].items() if number)
    lines = [
        f"- Machine: {machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['os']}",
        f"- Python {machine['python']}, {packages}",
        f"- Commit {machine['commit'] or 'not known'}",
        f"- Command: `{header['command']}`",
    ]
    for tool in TOOLS:
        own = [row for row in runs if row["tool"] == tool]
        if not own:
            continue
        walls = [row["wall"] for row in own]
        took = f"median trial {np.median(walls):.1f} s, longest {max(walls):.1f} s"
        stolen = f"CPU time taken by the hypervisor {np.median([row['steal'] for row in own]):.2f} s"
        lines.append(f"- {tool}: {took}; {stolen}; {_setup(tool, own)}")
    return "\n".join(lines)


def _setup(tool: str, own: list[Row]) -> str:
    if tool == PYPERF:
        processes, values, loops = (
            _span([row["plan"][key] for row in own]) for key in ("processes", "values", "loops")
        )
        return f"worker processes for each benchmark: {processes}; values in each: {values}, of {loops} loops"
    if tool == OURS:
        blocks = int(np.median([len(process) for row in own for process in row["samples"]]))
        return f"{_span([len(row['samples']) for row in own])} processes, about {count_text(blocks, 'superblock')} each"
    values = int(np.median([len(seconds) for row in own for seconds in row["samples"].values()]))
    return f"one process, about {values} blocks of each case"


def _span(numbers: list[int]) -> str:
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"
