"""``evaluate``: what a checkpoint gets right on videos, moved in each way and run in each runtime, and what that costs."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import session
from bench.cli.run import Request
from bench.spec.axes import BASELINE, ValueNotAllowed, require

if TYPE_CHECKING:
    import pandas as pd

    from bench.measure.plan import Plan
    from bench.spec.cases import Chosen
    from bench.spec.settings import Settings
    from bench.system.progress import Reporter

Text = str | None
Number = int | None

_USUAL = ("copy_shift", "buffer_shift", "placed_shift", "parted_shift")  # of one function: as released, and candidates
_SIZE, _FRAMES = 224, 8
_LARGER = 7  # the released code tests on the middle 224 of 256 px: a seventh more
_KEPT = 3  # times as many frames of a video are cached as a clip has
_VARYING = ("placement", "fraction", "direction", "runtime", "dtype")  # a row names those in which rows differ
_LISTED = 10  # videos that cannot be read; all are in a file


@session.stopping_in_order()
def command(
    weights: Annotated[str, typer.Option(help="A checkpoint: torchvision's, timm's, TSM's or mmaction2's.")],
    data: Annotated[Text, typer.Option(help="A folder CLASS/VIDEO, a list of TSM or mmaction2, or a CSV.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file whose [video.data] says how to read it.")] = None,
    backbone: Annotated[str, typer.Option(help="See: list backbones; or timm:NAME, FILE.py:FUNCTION.")] = "resnet50",
    strategies: Annotated[Text, typer.Option(help="a,b; all others are compared with the first.")] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    fractions: Annotated[Text, typer.Option(help="1/8,1/4; by default as the file's name says.")] = None,
    placements: Annotated[Text, typer.Option(help="residual,inplace.")] = None,
    directions: Annotated[Text, typer.Option(help="bidirectional,unidirectional.")] = None,
    runtimes: Annotated[str, typer.Option(help="eager,onnxruntime,openvino; eager in fp32 always runs.")] = "eager",
    dtypes: Annotated[str, typer.Option(help="fp32,bf16.")] = "fp32",
    frames: Annotated[Number, typer.Option(min=1, help="In a clip; by default as the name says, or 8.")] = None,
    size: Annotated[Number, typer.Option(min=32, help="Pixels along an edge; by default 224.")] = None,
    views: Annotated[Number, typer.Option(min=1, help="Clips of a video, whose logits are averaged.")] = None,
    task: Annotated[str, typer.Option(help="label, or arrow: forward or reversed?")] = "label",
    part: Annotated[str, typer.Option(help="Of the videos: test, validation or all.")] = "test",
    budget: Annotated[str, typer.Option(help="Wall time for latency: 3m. 0: it is not measured.")] = "0",
    out: Annotated[Path | None, typer.Option(help="Where results go; by default a new folder in results/.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> int:
    """Show videos to a checkpoint: what it gets right, moved in each way, in each runtime; and what each costs.

    Example: evaluate --weights tsm.pth --data val.txt --part all --runtimes eager,openvino --fractions 1/8,1/4
    """
    require(task, ("label", "arrow"), "task")
    require(part, ("test", "validation", "all"), "part")
    if strategies_dir and not strategies_dir.is_dir():
        raise ValueNotAllowed(f"--strategies-dir {strategies_dir} is not a folder")
    chosen = Request(strategies=strategies, fractions=fractions, placements=placements, directions=directions).chosen()
    file = session.weights_at(weights)

    from bench.analysis import predictions
    from bench.measure import evaluation
    from bench.measure.plan import prepare
    from bench.models.weights import released_settings
    from bench.store.records import refuse_used
    from bench.system.progress import Reporter

    trained = released_settings(Path(weights))
    if trained.get("fraction") == 0 and strategies is None:  # as it was trained comes first
        chosen = chosen.model_copy(update={"strategies": (BASELINE, *_USUAL)})
    videos = _videos(config, task, trained, {"path": data, "frames": frames, "size": size, "views": views})
    timed = budget.strip() != "0"
    axes = {"backbones": [backbone], "runtimes": runtimes.split(","), "dtypes": dtypes.split(",")}
    axes |= {"budget": budget} if timed else {}
    settings = _settings(f"{Path(weights).name} on {videos['path']}", file, videos, axes, _group(trained, chosen))
    folder, reporter = out or session.new_folder("evaluate"), Reporter(quiet or json_output)
    try:
        refuse_used(folder)
        asked = evaluation.footage(settings.video.data, part)
        plan = prepare(settings, chosen, strategies_dir)
        absent = [name for name in chosen.strategies or () if name not in (BASELINE, *plan.sweep.strategies)]
        if absent:
            raise ValueNotAllowed(
                f"{absent[0]} takes none of the fractions, placements and directions that are asked for"
            )
        told = session.require_backbones(plan.sweep, file)[backbone]
        if told != len(asked.classes):
            raise ValueNotAllowed(
                f"{weights} tells {told} classes apart, and {videos['path']} has {len(asked.classes)}: "
                f"{', '.join(asked.classes[:3])}{', …' if len(asked.classes) > 3 else ''}"
            )
        shown, broken = evaluation.readable(asked, reporter)
        found = evaluation.predict(plan, shown, reporter)
        apart = evaluation.disagreements(plan, found, shown)
        latency, failed = None, len(broken)
        try:
            if timed:
                latency, failures = _measured(plan, folder, reporter)
                failed += failures
        finally:  # what was predicted is kept, whatever becomes of the rest
            table = predictions.write(folder, found, shown.judged, apart, broken, latency)
    finally:
        reporter.close()
    faults, clips = [own.fault for own in apart if own.fault], len(shown.judged.names)
    if json_output:
        told = {"folder": str(folder), "clips": clips, "classes": shown.classes, "unreadable": broken, "faults": faults}
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        print(json.dumps({**told, "rows": rows}))
    else:
        print(f"{settings.title}: {backbone}, {clips} clips of {len(shown.classes)} classes, ", end="")
        print(f"{videos['frames']} frames of {videos['size']}²")
        print(*_lines(table, broken, faults), f"tables: {folder / 'evaluation'}", sep="\n")
    return 1 if failed or faults or (table["status"] == "failed").any() else 0


def _videos(config: Path | None, task: str, trained: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Where the videos are and how clips are taken from them: as the config says, or as the released code tests, with
    what was ``given`` put in. trained: what the name of the checkpoint says of its training."""
    from bench.spec.settings import load_config

    asked = {name: value for name, value in given.items() if value is not None}
    if config is None:
        found = {"frames": trained.get("segments", _FRAMES), "size": _SIZE, **asked}
        found |= {"margin": found["size"] // _LARGER, "kept": _KEPT * found["frames"]}
    else:
        found = load_config(config).video.data.model_dump(mode="json") | asked
    if not found.get("path"):
        raise ValueNotAllowed("there are no videos: --data names them, or path in [video.data] of --config")
    alike = [question for question in found.get("questions", ()) if question["task"] == task]
    return found | {"questions": alike[:1] or [{"task": task}]}


def _group(trained: dict[str, Any], chosen: "Chosen") -> dict[str, Any]:
    """Fraction, placement and direction where no option names them: as it was trained, as far as that is known."""
    direction = (chosen.directions or (trained.get("direction", "bidirectional"),))[0]
    fraction = str(trained.get("fraction") or ("1/8" if direction == "unidirectional" else "1/4"))
    return {"fractions": [fraction], "placements": [trained.get("placement", "residual")], "directions": [direction]}


def _settings(
    title: str, weights: str | None, videos: dict[str, Any], axes: dict[str, Any], group: dict[str, Any]
) -> "Settings":
    """A latency section with the cases that are evaluated. Its first panel is what the others are held against."""
    from bench.spec.settings import validate

    exact = {"runtimes": ["eager"], "dtypes": ["fp32"]}
    asked = {name: axes.pop(name) for name in exact}
    clips = {"device": "cpu", "frames": [videos["frames"]], "sizes": [videos["size"]], "panels": [exact, asked]}
    groups = {"groups": [{"strategies": _USUAL, **group}], "plugins": group}
    data = {"title": title, "weights": weights, "sections": ["latency"], "video": {"data": videos}}
    return validate({**data, "latency": {**axes, **clips, **groups}}, "command line")


def _measured(plan: "Plan", folder: Path, reporter: "Reporter") -> "tuple[pd.DataFrame, int]":
    """The latency of the same cases, with a report; and how many failed."""
    from bench.cli.report import write_report
    from bench.measure import runner
    from bench.measure.executors import executor_for

    line, executor = "run_bench.py " + " ".join(sys.argv[1:]), executor_for("local", 1, plan.settings.limits, None)
    tally = runner.start(plan, folder, "evaluate", line, reporter, executor)
    run, _ = write_report(folder)
    return run.latency, tally["failed"]


def _lines(table: "pd.DataFrame", broken: Mapping[str, str], faults: Sequence[str]) -> Iterator[str]:
    """A row for each case, and what went wrong."""
    from bench.report.numbers import count_text, estimate, fixed, fraction_text, interval_text

    axes = ["strategy", *(axis for axis in _VARYING if table[axis].nunique() > 1)]
    columns: dict[str, list[str]] = {axis: [] for axis in axes}
    for row in table.astype(object).to_dict("records"):
        for axis in axes:
            columns[axis].append(fraction_text(row[axis]) if axis == "fraction" else row[axis])
        known = {name: value for name, value in row.items() if value == value}  # NaN: not known
        cells = {
            "top-1 [%]": interval_text(estimate(row, "top1"), "", signed=False)
            if "top1_pct" in known
            else row["status"],
            "top-5": fixed(row["top5_pct"]) if "top5_pct" in known else "",
            "minus first [pp]": interval_text(estimate(row, "delta"), "") if "delta_pct" in known else "",
            "unlike eager": f"{known['unlike_eager']:.0f}" if "unlike_eager" in known else "",
            "deviation": f"{known['deviation']:.1g}" if "deviation" in known else "",
            "latency [%]": interval_text(estimate(row, "overhead"), "") if "overhead_pct" in known else "",
        }
        for name, cell in cells.items():
            columns.setdefault(name, []).append(cell)
    shown = [[name, *cells] for name, cells in columns.items() if any(cells)]
    widths = [max(map(len, cells)) for cells in shown]
    for cells in zip(*shown, strict=True):
        yield "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
    for row in table[table["status"] != "ok"].to_dict("records"):
        yield f"{row['strategy']} in {row['runtime']} {row['dtype']} {row['status']}: {row['reason']}"
    if (alike := table["unlike_same_function"].dropna()).any() and not faults:
        yield f"strategies of one function put {alike.sum():.0f} clips into unlike classes, all within rounding"
    yield from (f"error: {fault}" for fault in faults)
    if broken:
        yield f"{count_text(len(broken), 'video')} could not be read and are left out (all: unreadable.csv):"
        yield from (f"  {video}: {why}" for video, why in list(broken.items())[:_LISTED])
