"""What the report is given, and the small named filters by which everything here chooses its rows.

The tables are described as a Protocol, so that the report depends on their shape and not on how they were made.
Any frame may be empty, with or without its columns, and any figure may be NaN: every filter accepts that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from bench.analysis.evidence import EXCHANGE, PUBLISHED
from bench.spec.axes import BASELINE
from bench.spec.cases import Condition, Panel

Row = dict[str, Any]

PANEL_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Panel))

CONDITION_COLUMNS: tuple[str, ...] = tuple(field.name for field in fields(Condition))

RELEASED = ("copy_shift", "concat_shift")
"""Mechanisms that people run because published code contains them (mit-han-lab, mmaction2)."""

CHANCE_TEMPORAL: dict[str, float] = {"ring_digits": 25.0, "opening_digits": 50.0}
"""Per cent right in time without looking at the order: as many orders of the same frames, equally often."""

VERDICTS = {
    "reproduced": "held",
    "not reproduced": "did not hold",
    "direction only": "held in direction only",
    "inconclusive": "could not be decided",
    "invalid": "is invalid here, because a control failed",
    "not measured": "was not measured",
}
"""What a finding did, by its verdict."""

CONTROL_ARMS = (EXCHANGE,)
"""Trained to be held against a shift, with parameters of their own: no variant of it that one could take."""

TWIN_FLAG = "aa"
"""Marks the baseline's twin; every other flag is a warning."""


class Tables(Protocol):
    """A run as ``bench.analysis.load`` returns it."""

    @property
    def folder(self) -> Path:
        """The run's folder."""

    @property
    def header(self) -> dict[str, Any]:
        """``run.json``."""

    @property
    def latency(self) -> pd.DataFrame:
        """One row per case."""

    @property
    def accuracy(self) -> pd.DataFrame:
        """One row per arm and condition."""

    @property
    def curves(self) -> pd.DataFrame:
        """Accuracy on validation clips while training: one row per arm, condition and epoch."""

    @property
    def controls(self) -> pd.DataFrame:
        """What each control of the accuracy experiment compares, and what came out: one row per comparison."""

    @property
    def slopes(self) -> pd.DataFrame:
        """The trend of each mechanism over the fraction."""

    @property
    def superblocks(self) -> pd.DataFrame:
        """Raw differences, one row per case and superblock."""

    @property
    def contests(self) -> pd.DataFrame:
        """Exact mechanisms against the least of them: one row per mechanism, with simultaneous intervals."""

    @property
    def quality(self) -> pd.DataFrame:
        """What disturbed the measurement, and how the values scatter: one row per panel."""

    @property
    def bandwidth(self) -> pd.DataFrame:
        """The speed of a plain copy: one row per panel and size."""

    @property
    def graphs(self) -> pd.DataFrame:
        """What a runtime executes for each case, by kind of node, and what of it the shift brought in."""

    @property
    def online(self) -> pd.DataFrame:
        """Frame by frame: one row per case."""

    @property
    def frames(self) -> pd.DataFrame:
        """How long single frames take: one row per case and quantile."""

    @property
    def early(self) -> pd.DataFrame:
        """Accuracy of causal arms after each frame: one row per arm, condition and frame."""

    @property
    def samples(self) -> pd.DataFrame:
        """What every estimate rests on: one row per process or seed, with its record's id."""

    @property
    def detection(self) -> pd.DataFrame:
        """One row per form of the detector, and per mechanism that was timed in one."""

    @property
    def detection_examples(self) -> list[dict[str, Any]]:
        """Frames to look at, with what each form found in them."""

    @property
    def damaged(self) -> list[str]:
        """What is wrong with each line of the journal that had to be passed over."""

    @property
    def failures(self) -> pd.DataFrame:
        """What failed or was skipped, with its reason."""

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Verdicts on published findings."""

    @property
    def suspect(self) -> str | None:
        """Why the A/A control failed; None where it held."""

    @property
    def online_suspect(self) -> str | None:
        """The same for what ran frame by frame."""


@dataclass(frozen=True)
class Line:
    """One mechanism in one placement and direction; ``rows`` by rising fraction."""

    strategy: str
    placement: str
    direction: str
    rows: tuple[Row, ...]


def rows(frame: pd.DataFrame) -> list[Row]:
    """The rows as plain dicts."""
    return cast(list[Row], frame.to_dict("records"))


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    """Only the rows that were measured to the end."""
    return frame if frame.empty else frame.loc[frame["status"] == "ok"]


def timed(latency: pd.DataFrame) -> pd.DataFrame:
    """The measured cases without the baseline and its twin."""
    done = finished(latency)
    return done if done.empty else done[(done["strategy"] != BASELINE) & done["overhead_pct"].notna()]


def twins(latency: pd.DataFrame) -> pd.DataFrame:
    """The baseline's identical twins: one A/A control for each panel."""
    done = finished(latency)
    return done if done.empty else done[done["aa"].astype(bool)]


def baselines(frame: pd.DataFrame) -> pd.DataFrame:
    """The network without a shift: a latency or an accuracy row, never the twin."""
    done = finished(frame)
    if done.empty:
        return done
    done = done[done["strategy"] == BASELINE]
    return done[~done["aa"].astype(bool)] if "aa" in done else done


def arms(accuracy: pd.DataFrame) -> pd.DataFrame:
    """The trained arms that shift, under the main condition, all of whose seeds came to their end."""
    done = main_condition(finished(accuracy))
    return done if done.empty else done[_shifts(done) & done["joint_mean_pct"].notna() & ~_lost(done)]


def incomplete(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Arms of the main condition of which a seed failed: the mean over the others flatters them."""
    done = main_condition(finished(accuracy))
    return done if done.empty else done[_shifts(done) & _lost(done)]


def whole_forms(detection: pd.DataFrame) -> list[Row]:
    """The trained forms of the detector, by the recipe itself, all of whose seeds came to their end."""
    done = main_condition(finished(detection))
    return [row for row in rows(done) if row["seeds"] > 0 and not row["reason"]]


def main_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """The learning curves of the baseline and of the arms that shift, under the main condition."""
    main = main_condition(curves)
    return main if main.empty else main[(main["strategy"] == BASELINE) | _shifts(main)]


def main_condition(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that headlines and figures speak of: means of different conditions must not stand in one plot.

    Everything as usual; where another network or data set was trained, its rows only if the usual one was not. Older
    tables name fewer conditions, or leave them empty: those are the usual ones.
    """
    usual = Condition()
    chosen = frame
    for name in (*(column for column in CONDITION_COLUMNS if column not in _TRAINED_ON), *_TRAINED_ON):
        if chosen.empty or name not in chosen:
            continue
        same: pd.Series[bool] = chosen[name].isna() | (chosen[name] == getattr(usual, name))
        if name in _TRAINED_ON and not same.any():
            same = chosen[name] == chosen[name].iloc[0]
        chosen = chosen[same]
    return chosen


_TRAINED_ON = ("dataset", "backbone")
"""What a run may have none of the usual value of, and still a main condition."""


def _lost(done: pd.DataFrame) -> "pd.Series[bool]":
    return done["reason"].notna() & (done["reason"] != "")


def _shifts(arms_of_one: pd.DataFrame) -> "pd.Series[bool]":
    return ~arms_of_one["strategy"].isin([BASELINE, *CONTROL_ARMS])


def panels(frame: pd.DataFrame) -> list[tuple[Panel, pd.DataFrame]]:
    """Everything that shares one baseline, in order of appearance."""
    if frame.empty:
        return []
    groups = frame.groupby(list(PANEL_COLUMNS), sort=False, dropna=False)
    return [(Panel(*cast(tuple[Any, ...], key)), group) for key, group in groups]


ONLINE_COLUMNS = ("backbone", "size", "device", "runtime", "dtype", "memory_format", "threads")
"""What sets of cases that run frame by frame share, beside the number of streams."""


def online_groups(online: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(words, rows) of the measured cases, all numbers of streams together."""
    return _by(finished(online) if "status" in online else online, ONLINE_COLUMNS)


def online_settings(online: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The same, each number of streams for itself: what shares one baseline."""
    return _by(finished(online) if "status" in online else online, (*ONLINE_COLUMNS, "streams"))


def _by(frame: pd.DataFrame, columns: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """In words: the network, and the columns in which groups differ."""
    if frame.empty:
        return []
    differing = [name for name in columns if name != "backbone" and frame[name].nunique() > 1]
    return [
        (", ".join([str(own["backbone"].iloc[0]), *(_worded(name, own[name].iloc[0]) for name in differing)]), own)
        for _, own in frame.groupby(list(columns), sort=False)
    ]


def _worded(name: str, value: object) -> str:
    plural = "" if value == 1 else "s"
    words = {"size": f"{value}²", "threads": f"{value} thread{plural}", "streams": f"{value} stream{plural}"}
    return words.get(name, str(value))


def arms_that_stream(early: pd.DataFrame) -> list[pd.DataFrame]:
    """Of the main condition, each causal arm that shifts, frame by frame."""
    main = main_condition(early)
    if main.empty:
        return []
    shifting = main[_shifts(main)].sort_values("frame")
    return [arm for _, arm in shifting.groupby(["strategy", "placement", "direction", "fraction"], sort=False)]


def in_panel(frame: pd.DataFrame, panel: Panel) -> pd.DataFrame:
    """The rows of one panel."""
    return next((group for other, group in panels(frame) if other == panel), frame.iloc[:0])


def lines(frame: pd.DataFrame) -> list[Line]:
    """What is drawn as one line or told in one sentence: mechanism, placement and direction."""
    if frame.empty:
        return []
    groups = frame.sort_values("fraction", kind="stable").groupby(["strategy", "placement", "direction"], sort=True)
    return [Line(str(s), str(p), str(d), tuple(rows(group))) for (s, p, d), group in groups]


def flags_of(row: Row) -> list[str]:
    """The flags of one row; none where the cell is empty."""
    flags = row.get("flags")
    return [flag for flag in flags.split(";") if flag] if isinstance(flags, str) else []


def holders(arm: Row) -> list[str]:
    """The strategies that an arm's accuracy holds for: its own and those proven to compute the same function."""
    inherited = arm.get("also_holds_for")
    names = inherited.split(",") if isinstance(inherited, str) else []
    return [arm["strategy"], *(name.strip() for name in names if name.strip())]


def exact_strategies(header: dict[str, Any]) -> set[str]:
    """The strategies that compute the published shift, so that only their cost differs."""
    infos: Iterable[Row] = header.get("strategies") or ()
    return {PUBLISHED, *(info["name"] for info in infos if info.get("same_function_as") == PUBLISHED)}


def panel_text(panel: Panel, among: Sequence[Panel] = ()) -> str:
    """A panel in words; of several, only that in which they differ."""
    words = {
        "backbone": f"{panel.backbone}",
        "frames": f"{panel.frames} frames",
        "size": f"{panel.size}²",
        "batch": f"batch {panel.batch}",
        "device": f"{panel.device}",
        "runtime": f"{panel.runtime}",
        "dtype": f"{panel.dtype}",
        "memory_format": f"{panel.memory_format}",
        "threads": f"{panel.threads} thread{'' if panel.threads == 1 else 's'}",
    }
    differing = [name for name in words if len({getattr(other, name) for other in among}) > 1]
    return ", ".join(words[name] for name in (differing or words))


def line_text(strategy: str, placement: str, direction: str) -> str:
    """``copy_shift, residual``; the direction only where it is not the usual one."""
    return f"{strategy}, {placement}" + ("" if direction == "bidirectional" else f", {direction}")
