"""``validate``, and what it leaves behind: validation.json (everything), validation.csv, README.md and a figure."""

import os
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
import pandas as pd
import pydantic_core
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.report.figures.canvas import Figure, at_least, blank, finish
from bench.report.numbers import count_text, duration_text, fixed, listed
from bench.report.style import BAND, BUILT_IN, INK, RC, REMAINING, legend_below
from bench.store.records import FolderError, write_atomically
from bench.store.samples import Slots
from bench.system import environment, workers
from bench.system.progress import Reporter
from bench.validation.design import PAIRS_WANTED, Design
from bench.validation.experiment import Experiment, Measured
from bench.validation.findings import BIAS_AT_MOST, RECOVERED_WITHIN, Validation, checks, findings

SCHEMA_VERSION = 2
"""2: results.table has the rows of validation.csv, in place of effects, pairs and busy; design.group_size in place of
group_sizes; ``words`` is ``text``. 1: the first. Times in seconds, effects in per cent."""

SLOT_COLUMNS = ("case", *list(Slots.model_fields)[1:])  # a record keeps the superblock in place of the case

_HELD, _MISSED = BUILT_IN["buffer_shift"], BUILT_IN["copy_shift"]  # blue and vermilion: distinct for everybody
_ZERO: dict[str, Any] = {"color": REMAINING[1], "linestyle": (0, (3, 1.5))}
_GROUPS_FROM, _GROUPS_TO, _ALL_AT = -0.36, 0.18, 0.34  # beside an effect's place, in units of the distance of two
_HEADROOM = 1.15  # of the widest interval
_FEW_GROUPS = 5  # with fewer, coverage is counted but proves nothing
_TEMPLATE = Path(__file__).with_name("text.jinja")
_DESIGN = Design()


def validate(budget_seconds: float, out: Path, reporter: Reporter, design: Design = _DESIGN) -> list[str]:
    """Measure for ``budget_seconds``, write everything into ``out``, and return the lines for the terminal.

    After Ctrl-C it reports what was measured, if that is one experiment at least.
    Raises ValueNotAllowed where the budget is too small, FolderError where ``out`` cannot be written, WorkerDied where
    the processes die, KeyboardInterrupt where there is too little to report; raw samples are kept in any case.
    """
    experiment = Experiment(design, budget_seconds, reporter)
    _prepare(out)
    machine = environment.describe_machine()
    measured = experiment.run()
    validation = findings(measured) if measured.enough else None
    _write_json(out, measured, validation, budget_seconds, machine)
    if validation:
        _write_results(out, validation, machine)
        return lines(validation)
    if measured.interrupted:
        raise KeyboardInterrupt
    raise workers.WorkerDied(f"too few processes lived to say anything: {'; '.join(measured.notes)}")


def _prepare(out: Path) -> None:
    """Make the folder before anything is measured."""
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"cannot write to {out}: {error.strerror}") from None
    if not os.access(out, os.W_OK):
        raise FolderError(f"cannot write to {out}: it is write-protected")


def _write_json(
    out: Path, measured: Measured, validation: Validation | None, budget: float, machine: dict[str, Any]
) -> None:
    content = {
        "schema_version": SCHEMA_VERSION,
        "command": f"run_bench.py validate --budget {budget:g}s",
        "machine": machine,
        "machine_id": environment.machine_id(),
        "budget_seconds": budget,
        "calls": measured.design.calls,
        "results": validation,
        "checks": checks(validation) if validation else None,
        "text": lines(validation) if validation else None,
        "slot_columns": SLOT_COLUMNS,
        **vars(measured),
    }
    write_atomically(out / "validation.json", pydantic_core.to_json(content, inf_nan_mode="null", fallback=_rows))


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table for JSON, which has one kind of missing value."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")  # type: ignore[return-value]


def _write_results(out: Path, validation: Validation, machine: dict[str, Any]) -> None:
    where = f"{machine['cpu']}, {machine['cores']} cores; torch {machine['versions']['torch']}"
    text = "\n".join(f"- {line.strip()}" for line in lines(validation))
    page = f"# The harness against known effects\n\n{where}\n\n![validation](figures/validation.svg)\n\n{text}\n"
    write_atomically(out / "README.md", page)
    write_atomically(out / "validation.csv", validation.table.to_csv(index=False))
    figure = draw(validation)
    write_atomically(out / "figures" / "validation.svg", figure.svg)
    (out / "figures" / "validation.png").write_bytes(figure.png)


def lines(validation: Validation) -> list[str]:
    """For the terminal: what was measured, what was found, what it means, and what went wrong."""
    templates = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    templates.filters |= {"fixed": fixed, "counted": count_text, "duration": duration_text, "listed": listed}
    text = templates.from_string(_TEMPLATE.read_text()).render(
        v=validation,
        passed=checks(validation),
        within=RECOVERED_WITHIN,
        at_most=BIAS_AT_MOST,
        few_groups=_FEW_GROUPS,
        pairs_wanted=PAIRS_WANTED,
    )
    return text.splitlines()


def draw(validation: Validation) -> Figure:
    """Left the A/A intervals, sorted; right what was recovered, less what was built in."""
    with matplotlib.rc_context(RC):
        drawing = blank(7.2, 4.2)
        left, right = drawing.subplots(1, 2, width_ratios=[1, 1.25])
        _draw_pairs(left, sorted(validation.rows("aa"), key=lambda pair: pair.estimate_pct))
        _draw_effects(right, validation.rows("effect"), validation.rows("group"))
        handles = [
            Line2D([], [], color=_HELD, label="95 % interval of an experiment"),
            Line2D([], [], color=_MISSED, label="one that misses the truth"),
            Line2D([], [], color=INK, marker="o", label="all processes together"),
            Line2D([], [], **_ZERO, label="where no effect would lie"),
        ]
        legend_below(drawing, handles)
        return finish(drawing, "validation", "The harness against known effects", caption="")


def _draw_pairs(ax: Axes, pairs: list[Any]) -> None:
    for place, pair in enumerate(pairs):
        colour = _HELD if pair.covered else _MISSED
        ax.plot([pair.ci_low_pct, pair.ci_high_pct], [place, place], color=colour, linewidth=1.3, alpha=0.8)
        ax.plot([pair.estimate_pct], [place], "o", color=colour, markersize=2.4)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_ylim(-1, len(pairs))
    ax.set_xlabel("difference of two identical stacks [%]")
    ax.set_title(f"A/A: {sum(pair.covered for pair in pairs)} of {len(pairs)} intervals hold zero")


def _draw_effects(ax: Axes, effects: list[Any], groups: list[Any]) -> None:
    """The differences to the truth: on the scale of 10 % nobody could see half a point."""
    ax.axhspan(-RECOVERED_WITHIN, RECOVERED_WITHIN, color=BAND, linewidth=0, zorder=0.5)
    ax.axhline(0, color=INK, linewidth=0.8)
    for place, effect in enumerate(effects):
        places = place + np.linspace(_GROUPS_FROM, _GROUPS_TO, effect.groups)
        for x, group in zip(places, [group for group in groups if group.name == effect.name], strict=True):
            ends = [group.bias_ci_low_points, group.bias_ci_high_points]
            ax.plot([x, x], ends, color=_HELD if group.covered else _MISSED, linewidth=1.3, alpha=0.8)
        middle, ends = place + _ALL_AT, [effect.bias_ci_low_points, effect.bias_ci_high_points]
        ax.plot([middle, middle], ends, color=INK, linewidth=2.4)
        ax.plot([middle], [effect.bias_points], "o", color=INK, markersize=4.5)
        ax.plot([place - 0.42, place + 0.42], [-effect.truth_pct] * 2, **_ZERO, scaley=False)  # as wide as its groups
    widest = max(max(-row.bias_ci_low_points, row.bias_ci_high_points) for row in (*effects, *groups))
    ax.set_ylim(-_HEADROOM * widest, _HEADROOM * widest)
    at_least(ax, 4 * RECOVERED_WITHIN)
    ax.set_xticks(range(len(effects)), [f"{effect.name}\n{fixed(effect.truth_pct, 2)} %" for effect in effects])
    ax.set_xlim(-0.6, len(effects) - 0.4)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("recovered less built in [pp]")
    ax.set_title(f"Built-in effects (grey: ±{RECOVERED_WITHIN} pp)")
