"""What a validation leaves behind: validation.json (everything), validation.csv (a line each), the figure."""

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from bench.store.records import FolderError, write_atomically
from bench.system import environment
from bench.validation.experiment import Measured
from bench.validation.figure import NAME, draw
from bench.validation.findings import Effect, Validation, to_json
from bench.validation.words import checks

SCHEMA_VERSION = 1
"""1: the first. Slots are rows of ``slot_columns``; times in seconds, effects in per cent."""

SLOT_COLUMNS = ("case", "position", "seconds", "own", "switches", "faults", "steal", "foreign", "mhz", "frame_seconds")


def prepare(out: Path) -> None:
    """Make the folder before anything is measured. Raises FolderError where it cannot be written."""
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FolderError(f"cannot write to {out}: {error.strerror}") from None
    if not os.access(out, os.W_OK):
        raise FolderError(f"cannot write to {out}: it is write-protected")


def write_raw(
    out: Path,
    measured: Measured,
    budget: float,
    machine: dict[str, Any],
    validation: Validation | None = None,
    said: list[str] | None = None,
) -> None:
    """validation.json; without results where there was too little to say."""
    content = {
        "schema_version": SCHEMA_VERSION,
        "command": f"run_bench.py validate --budget {budget:g}s",
        "machine": machine,
        "machine_id": environment.machine_id(),
        "versions": environment.versions(),
        "backend": measured.backend,
        "budget_seconds": budget,
        "design": measured.design,
        "calls": measured.design.calls,
        "plan": measured.plan,
        "interrupted": measured.interrupted,
        "notes": measured.notes,
        "results": validation,
        "checks": checks(validation) if validation else None,
        "words": said,
        "slot_columns": SLOT_COLUMNS,
        "processes": measured.processes,
    }
    write_atomically(out / "validation.json", json.dumps(to_json(content), allow_nan=False))


def write_results(out: Path, validation: Validation, said: list[str], machine: dict[str, Any]) -> None:
    """validation.csv, the figure, and README.md, which says it all in words."""
    where = f"{machine['cpu']}, {machine['cores']} cores; torch {machine['versions']['torch']}"
    told = "\n".join(f"- {line.strip()}" for line in said)
    picture = f"![{NAME}](figures/{NAME}.svg)"
    write_atomically(
        out / "README.md", "\n\n".join(["# The harness against known effects", where, picture, told]) + "\n"
    )
    write_atomically(out / "validation.csv", table(validation).to_csv(index=False))
    figure = draw(validation)
    write_atomically(out / "figures" / f"{figure.name}.svg", figure.svg)
    (out / "figures" / f"{figure.name}.png").write_bytes(figure.png)


def table(validation: Validation) -> pd.DataFrame:
    """One row for each effect (kind ``effect``; beside a busy process ``busy``) and each A/A pair of a group (``aa``).

    group: counted from 0, empty where all processes are taken together. covered: does the interval hold the truth.
    """
    rows = [_effect_row("effect", effect, validation.processes) for effect in validation.effects]
    if validation.busy:
        rows += [_effect_row("busy", effect, validation.busy.processes) for effect in validation.busy.effects]
    rows += [
        {
            "kind": "aa",
            "name": f"pair {pair.pair}",
            "group": pair.group,
            "processes": pair.interval.count,
            "truth_pct": 0.0,
            "estimate_pct": pair.interval.mean,
            "ci_low_pct": pair.interval.low,
            "ci_high_pct": pair.interval.high,
            "covered": pair.holds_zero,
            "bias_points": pair.interval.mean,
            "bias_ci_low_points": pair.interval.low,
            "bias_ci_high_points": pair.interval.high,
            "groups_covered": None,
            "groups": None,
            "detectable_pct": pair.detectable_pct,
        }
        for pair in validation.pairs
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(("group", "groups_covered", "groups"), "Int64"))


def _effect_row(kind: str, effect: Effect, processes: int) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": effect.name,
        "group": None,
        "processes": processes,
        "truth_pct": effect.truth_pct,
        "estimate_pct": effect.estimate.mean,
        "ci_low_pct": effect.estimate.low,
        "ci_high_pct": effect.estimate.high,
        "covered": effect.estimate.low <= effect.truth_pct <= effect.estimate.high,
        "bias_points": effect.bias.mean,
        "bias_ci_low_points": effect.bias.low,
        "bias_ci_high_points": effect.bias.high,
        "groups_covered": effect.covered.count,
        "groups": effect.covered.total,
        "detectable_pct": effect.detectable_pct,
    }
