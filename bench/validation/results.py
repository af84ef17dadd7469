"""``validate``, and what it leaves behind: validation.json (everything), validation.csv, README.md and a figure."""

from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
import pandas as pd
import pydantic_core
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench.report.figures import canvas
from bench.report.figures.canvas import BAND, BUILT_IN, INK, RC, REMAINING, WIDTH, Figure, blank, finish, intervals
from bench.report.numbers import count_text, duration_text, fixed, listed
from bench.stats.estimators import Interval
from bench.store.records import FolderError, write_atomically
from bench.store.samples import Slots
from bench.system import environment, workers
from bench.system.progress import Reporter
from bench.validation.experiment import PAIRS_WANTED, Design, Experiment
from bench.validation.findings import BIAS_AT_MOST, RECOVERED_WITHIN, Validation, checks, findings

SCHEMA_VERSION = 4
"""4: processes of identical networks (phase ``networks``), the build order of every superblock. 3: plan has the
number of quiet processes, in place of groups, their size and seconds. 2: results.table has the rows of validation.csv,
in place of effects, pairs and busy; design.group_size in place of group_sizes; ``words`` is ``text``. 1: the first.
Times in seconds, effects in per cent."""

SLOT_COLUMNS = ("case", *list(Slots.model_fields)[1:])  # a record keeps the superblock in place of the case

_ESTIMATE = ["estimate_pct", "ci_low_pct", "ci_high_pct"]
_BIAS = ["bias_points", "bias_ci_low_points", "bias_ci_high_points"]
_EXPERIMENT: dict[bool, dict[str, Any]] = {  # by whether it holds the truth; colours that are distinct for everybody
    True: {"color": BUILT_IN["buffer_shift"], "label": "95 % interval of an experiment"},
    False: {"color": BUILT_IN["copy_shift"], "label": "one that misses the truth"},
}
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
    try:  # before anything is measured
        (out / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"cannot write to {out}: {error.strerror}") from None
    machine, measured = environment.describe_machine(), experiment.run()
    validation = findings(measured) if measured.enough else None
    text = lines(validation) if validation else None
    content = {
        "schema_version": SCHEMA_VERSION,
        "command": f"run_bench.py validate --budget {budget_seconds:g}s",
        "machine": machine,
        "machine_id": environment.machine_id(),
        "budget_seconds": budget_seconds,
        "calls": design.calls,
        "results": validation,
        "checks": checks(validation) if validation else None,
        "text": text,
        "slot_columns": SLOT_COLUMNS,
        **vars(measured),
    }
    write_atomically(out / "validation.json", pydantic_core.to_json(content, inf_nan_mode="null", fallback=_rows))
    if validation and text:
        where = f"{machine['cpu']}, {machine['cores']} cores; torch {machine['versions']['torch']}"
        items = "\n".join(f"- {line.strip()}" for line in text)
        page = f"# The harness against known effects\n\n{where}\n\n![validation](figures/validation.svg)\n\n{items}\n"
        figure = draw(validation)
        write_atomically(out / "README.md", page)
        write_atomically(out / "validation.csv", validation.table.to_csv(index=False))
        write_atomically(out / "figures" / "validation.svg", figure.svg)
        write_atomically(out / "figures" / "validation.png", figure.png)
        return text
    if measured.interrupted:
        raise KeyboardInterrupt
    raise workers.WorkerDied(f"too few processes lived to say anything: {'; '.join(measured.notes)}")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table for JSON, which has one kind of missing value."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")  # type: ignore[return-value]


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
        drawing = blank(WIDTH, 4.2)
        left, right = drawing.subplots(1, 2, width_ratios=[1, 1.25])
        kinds = dict(list(validation.table.groupby("kind")))
        _draw_pairs(left, kinds["aa"].sort_values("estimate_pct"))
        _draw_effects(right, kinds["effect"], kinds["group"])
        return finish(drawing, "validation", "The harness against known effects", caption="")


def _draw_pairs(ax: Axes, pairs: pd.DataFrame) -> None:
    _draw_experiments(ax, pairs.assign(place=range(len(pairs))), _ESTIMATE, horizontal=True)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set(yticks=[], ylim=(-1, len(pairs)), xlabel="difference of two identical stacks [%]")
    ax.set_title(f"A/A: {pairs['covered'].sum()} of {len(pairs)} intervals hold zero")


def _draw_effects(ax: Axes, effects: pd.DataFrame, groups: pd.DataFrame) -> None:
    """The differences to the truth: on the scale of 10 % nobody could see half a point."""
    places = np.arange(len(effects))
    beside = np.linspace(_GROUPS_FROM, _GROUPS_TO, len(groups) // len(effects))
    ax.axhspan(-RECOVERED_WITHIN, RECOVERED_WITHIN, color=BAND, linewidth=0, zorder=0.5)
    canvas.zero(ax)
    _draw_experiments(ax, groups.assign(place=np.add.outer(places, beside).ravel()), _BIAS)
    together: dict[str, Any] = {"color": INK, "linestyle": "none", "marker": "o", "label": "all processes together"}
    intervals(ax, [*(places + _ALL_AT)], _estimates(effects, _BIAS), **together)
    dashes: dict[str, Any] = {"color": REMAINING[1], "linestyle": (0, (3, 1.5)), "label": "where no effect would lie"}
    ax.hlines(-effects["truth_pct"], places - 0.42, places + 0.42, **dashes)
    widest = max(float(frame[_BIAS].abs().to_numpy().max()) for frame in (effects, groups))
    ax.set_ylim(-_HEADROOM * widest, _HEADROOM * widest)
    canvas.at_least(ax, 4 * RECOVERED_WITHIN)
    truths = zip(effects["name"], effects["truth_pct"], strict=True)
    canvas.categories(ax, [f"{name}\n{fixed(truth, 2)} %" for name, truth in truths], 0.6)
    ax.set_ylabel("recovered less built in [pp]")
    ax.set_title(f"Built-in effects (grey: ±{RECOVERED_WITHIN} pp)")


def _draw_experiments(ax: Axes, frame: pd.DataFrame, columns: list[str], horizontal: bool = False) -> None:
    for covered, own in frame.groupby("covered"):
        style = {**_EXPERIMENT[bool(covered)], "linestyle": "none", "marker": "o", "markersize": 2.4, "alpha": 0.8}
        intervals(ax, list(own["place"]), _estimates(own, columns), horizontal, capsize=0, **style)


def _estimates(frame: pd.DataFrame, columns: list[str]) -> list[Interval]:
    return [Interval(mean, low, high, 0) for mean, low, high in frame[columns].itertuples(index=False)]
