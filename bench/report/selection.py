"""Which rows of a run the report speaks of: small named filters, and the words for what they find.

A frame may be empty but has its columns, and any figure may be NaN: every filter accepts that.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import pandas as pd

from bench.analysis.run import TRAINED, Analysis
from bench.analysis.selection import EXCHANGE
from bench.report.numbers import between, estimate, holds_zero, number
from bench.spec.axes import BASELINE
from bench.spec.cases import Condition
from bench.spec.panel import PANEL_AXES, Panel
from bench.stats.estimators import Interval

Row = dict[str, Any]
_T = TypeVar("_T")
_K = TypeVar("_K")

MECHANISM = ["strategy", "placement", "direction"]
COUNTED = {axis.name for axis in PANEL_AXES.values() if axis.counts}
"""Axes of panels with an order of their own; the values of the others keep the run's."""
USUAL_FRACTION = 1 / 4  # where the paper finds its best accuracy, and the default of the released code
SIGNIFICANT = 0.05  # two-sided, after Holm: the level of the 95 % intervals beside it
HEAPS = ("retained", "default")
"""A network is run as well as it can be with its heap kept; most people have the default."""
CHANCE_TEMPORAL: dict[str, float] = {"ring_digits": 25.0, "opening_digits": 50.0}
"""Per cent right in time without looking at the order: as many orders of the same frames, equally often."""


@dataclass(frozen=True)
class Offer:
    """A timed case, and the arm that has learned with the function that it computes."""

    case: Row
    overhead: Interval
    arm: Row
    accuracy: Interval


@dataclass(frozen=True)
class Yardstick:
    """By what trained networks are judged, all of them trained under one condition.

    name: the question that videos are asked, or the network that learned from rendered clips. stem: of the columns in
    ``trained``: top1, or joint.
    """

    name: str
    stem: str
    trained: list[Row]


def rows(frame: pd.DataFrame) -> list[Row]:
    """The rows as plain dicts."""
    return cast(list[Row], frame.to_dict("records"))


def grouped(found: Iterable[_T], key: Callable[[_T], _K]) -> dict[_K, list[_T]]:
    """{key: those that have it}, in order of appearance."""
    groups: dict[_K, list[_T]] = {}
    for one in found:
        groups.setdefault(key(one), []).append(one)
    return groups


def finished(frame: pd.DataFrame) -> pd.DataFrame:
    """Only the rows that were measured to the end; all of a table that has no others."""
    return frame[frame["status"] == "ok"] if "status" in frame else frame


def timed(frame: pd.DataFrame) -> pd.DataFrame:
    """The measured cases without the baseline and its twin, of whole clips or frame by frame."""
    done = finished(frame)
    return done[(done["strategy"] != BASELINE) & done["overhead_pct"].notna()]


def baselines(frame: pd.DataFrame, *, aa: bool = False) -> pd.DataFrame:
    """The network without a shift, timed or trained; aa: instead its identical twin, the A/A control."""
    done = finished(frame)
    done = done[done["strategy"] == BASELINE]
    return done[done["aa"].astype(bool) == aa] if "aa" in done else done


def references(latency: pd.DataFrame, *, aa: bool = False) -> dict[Panel, Row]:
    """{panel: the one of its ``baselines``}."""
    return {panel: rows(own)[0] for panel, own in panels(baselines(latency, aa=aa))}


def main_condition(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows that headlines and figures speak of: means of different conditions must not stand in one plot.

    Everything as usual; where another network or data set was trained, its rows only if the usual one was not. A
    condition that a table does not name, or leaves empty, is as usual.
    """
    trained_on = ("dataset", "backbone")
    for name, usual in sorted(vars(Condition()).items(), key=lambda item: item[0] in trained_on):
        if name not in frame or frame.empty:
            continue
        same: pd.Series[bool] = frame[name].isna() | (frame[name] == usual)
        if name in trained_on and not same.any():
            same = frame[name] == frame[name].iloc[0]
        frame = frame[same]
    return frame


def shifting(trained: pd.DataFrame) -> pd.DataFrame:
    """Neither the baseline nor the learned exchange: that has parameters of its own, and is no variant to take."""
    return trained[~trained["strategy"].isin([BASELINE, EXCHANGE])]


def arms(accuracy: pd.DataFrame, *, lost: bool = False) -> pd.DataFrame:
    """The trained arms that shift, under the main condition, all of whose seeds came to their end.

    lost: instead those of which a seed failed or is missing yet; the mean over the others may flatter them.
    """
    done = shifting(main_condition(finished(accuracy)))
    failed = done["reason"].fillna("") != ""
    return done[failed if lost else ~failed & done["joint_mean_pct"].notna()]


def whole_arms(trained: pd.DataFrame) -> list[Row]:
    """The forms of a detector, or the arms of real videos, by the recipe itself, of which no seed was lost."""
    return [row for row in rows(main_condition(finished(trained))) if row["seeds"] > 0 and not row["reason"]]


def separated(arm: Row, outcome: str) -> bool:
    """A trained arm differs from what it is held against: in joint, spatial, temporal, mixture or top-1 accuracy from
    the network without a shift, in ``placement`` from the in-place arm."""
    p = number(arm.get(f"{outcome}_delta_p"))
    return not holds_zero(estimate(arm, f"{outcome}_delta")) and not p >= SIGNIFICANT


def panels(frame: pd.DataFrame, *ignored: str) -> list[tuple[Panel, pd.DataFrame]]:
    """Everything that shares one baseline, in order of appearance. ignored: axes in which they may differ."""
    columns = [name for name in Panel.COLUMNS if name in frame and name not in ignored]
    groups = frame.groupby(columns, sort=False, dropna=False)
    return [(Panel(**dict(zip(columns, cast(tuple[Any, ...], key), strict=True))), group) for key, group in groups]


def panel_label(row: Row) -> str:
    """Of the panel that a row belongs to; empty for rows of trainings, which have none."""
    return Panel.from_json(row).label if row.keys() >= {*Panel.COLUMNS} else ""


def differing_in(measured: Iterable[Panel], *axes: str) -> list[Panel]:
    """The panels that differ in these axes alone: of several such rows the longest, and of these the first."""
    # threads are those of a CPU: they say nothing about a change of the device
    ignored = {*axes, "threads"} if "device" in axes else {*axes}
    found: dict[tuple[object, ...], dict[tuple[object, ...], Panel]] = {}
    for panel in measured:
        same = tuple(value for column, value in vars(panel).items() if column not in ignored)
        found.setdefault(same, {}).setdefault(tuple(getattr(panel, axis) for axis in axes), panel)
    return list(max(found.values(), key=len, default={}).values())


def headline_panels(latency: pd.DataFrame) -> list[Panel]:
    """Those that headlines speak of: the first one, in every heap that it was measured in, the kept one first."""
    found = differing_in(dict(panels(timed(latency))), "allocator")
    return sorted(found, key=lambda panel: panel.allocator != HEAPS[0])


def runtime_panels(run: Analysis) -> list[Panel]:
    """One panel for each device, runtime and number format, as the run has them; none with one runtime only."""
    found = differing_in(dict(panels(timed(run.latency))), "device", "runtime", "dtype")
    return found if len({panel.runtime for panel in found}) > 1 else []


def online_settings(online: pd.DataFrame, *ignored: str) -> list[tuple[str, pd.DataFrame]]:
    """(words, rows) of the measured cases that share one baseline, frame by frame. ignored: as for ``panels``."""
    found = panels(finished(online), *ignored)
    among = [panel for panel, _ in found]
    return [(panel_text(panel, among, always=("backbone",)), group) for panel, group in found]


def warnings_of(row: Row) -> list[str]:
    """The flags of one row but for that of the baseline's twin; none where the cell is empty."""
    flags = row.get("flags")
    return [flag for flag in flags.split(";") if flag not in ("", "aa")] if isinstance(flags, str) else []


def settings_of(run: Analysis, section: str) -> dict[str, Any]:
    """As the run has them; a run of an older version or cut short may have none."""
    return (run.header.get("settings") or {}).get(section) or {}


def judged_on_validation(run: Analysis) -> bool:
    """Something was judged on validation clips, to choose a recipe, which is no test."""
    recipes = [settings_of(run, section).get("recipe") or {} for section in TRAINED]
    return any(recipe.get("judged_on") == "validation" for recipe in recipes)


def target_half_width(run: Analysis) -> float:
    """What was asked for of an overhead's interval, in pp; NaN where nothing was."""
    latency = settings_of(run, "latency")
    return number(latency.get("target_half_width_pp", latency.get("target_half_width_points")))  # as older runs say


def holders(arm: Row) -> list[str]:
    """The strategies that an arm's accuracy holds for: its own and those proven to compute the same function."""
    equivalents = arm["equivalents"]
    return [arm["strategy"], *(equivalents.split(",") if isinstance(equivalents, str) else ())]


def paired(run: Analysis) -> list[Offer]:
    """Latency rows of the headline panel, and the joint accuracy of the arms that headlines speak of."""
    trained = [*rows(baselines(main_condition(run.accuracy))), *rows(arms(run.accuracy))]
    panels_timed = headline_panels(run.latency)[:1]
    return offers(run, panels_timed[0], Yardstick("", "joint", trained)) if panels_timed else []


def offers(run: Analysis, panel: Panel, by: Yardstick) -> list[Offer]:
    """Latency rows of a panel joined with the accuracy of the arm that computes the same function."""
    trained = {_function(name, arm): arm for arm in by.trained for name in holders(arm)}
    base, found = references(run.latency).get(panel), list[Offer]()
    for case in [*([base] if base else []), *rows(dict(panels(timed(run.latency)))[panel])]:
        arm = trained.get(_function(case["strategy"], case))
        if arm is not None:
            overhead = estimate(case, "overhead") if case["fraction"] else between(0.0)
            found.append(Offer(case, overhead, arm, estimate(arm, by.stem)))
    return found


def yardsticks(run: Analysis) -> list[Yardstick]:
    """Real videos first, question by question; then rendered clips, network by network: those by which something that
    exchanges frames was judged. An arm of which a seed failed is left out, as the mean over the others flatters it."""
    watched = grouped(whole_arms(run.video), lambda row: row["question"])
    usual = finished(run.accuracy)
    for name in ("dataset", "objective", "view", "cohort", "lr_factor", "length_factor"):
        usual = usual[usual[name].isna() | (usual[name] == getattr(Condition(), name))]
    usual = usual[(usual["reason"].fillna("") == "") & usual["joint_mean_pct"].notna()]
    rendered = grouped(rows(usual), lambda row: row["backbone"])
    found = [Yardstick(question, "top1", own) for question, own in watched.items()]
    found += [Yardstick(backbone, "joint", own) for backbone, own in rendered.items()]
    return [one for one in found if any(row["strategy"] != BASELINE for row in one.trained)]


def _function(strategy: str, row: Row) -> tuple[str, str, str, float]:
    return strategy, row["placement"], row["direction"], round(float(row["fraction"]), 6)


def nearest_fraction(fractions: Iterable[float]) -> float:
    """The measured fraction that is nearest to the usual one; of two, the smaller."""
    return min((float(f) for f in fractions), key=lambda f: (abs(f - USUAL_FRACTION), f))


def panel_text(panel: Panel, among: Sequence[Panel] = (), *, always: Sequence[str] = ()) -> str:
    """A panel in words; of several, what is ``always`` named and that in which they differ."""
    differing = [name for name in Panel.COLUMNS if len({getattr(other, name) for other in among}) > 1]
    named = {*always, *differing} or {name for name in Panel.COLUMNS if getattr(panel, name) != _UNTOLD.get(name)}
    order = sorted(Panel.COLUMNS, key=lambda name: name not in ("backbone", "streams", "frames", "size", "batch"))
    values = {name: getattr(panel, name) for name in order if name in named}
    words = {name: _WORDED.get(name, "{}").format(value) for name, value in values.items()}
    return ", ".join(text.removesuffix("s") if values[name] == 1 else text for name, text in words.items())


_UNTOLD = {"streams": 0, "allocator": "default"}
_WORDED = {
    "frames": "{} frames",
    "size": "{}²",
    "batch": "batch {}",
    "threads": "{} threads",
    "streams": "{} streams",
    "allocator": "{} heap",
}


def runtime_name(panel: Panel, among: Sequence[Panel]) -> str:
    """``openvino bf16``; the number format only where a runtime was measured in several, the device likewise."""
    dtype = f" {panel.dtype}" if len({other.dtype for other in among}) > 1 else ""
    device = f" on {panel.device}" if len({other.device for other in among}) > 1 else ""
    return f"{panel.runtime}{dtype}{device}"


def mechanism_of(one: Any) -> tuple[str, str, str]:
    """Strategy, placement and direction, of a row or of an object that has them."""
    row = one if isinstance(one, dict) else vars(one)
    return row["strategy"], row["placement"], row["direction"]


def line_text(strategy: str, placement: str, direction: str = "bidirectional") -> str:
    """``copy_shift, residual``; the direction only where it is not the usual one."""
    return f"{strategy}, {placement}" + ("" if direction == "bidirectional" else f", {direction}")
