"""``evaluate``: what a checkpoint gets right on videos, moved in each way, in each runtime, and what that costs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import session
from bench.cli.run import Request
from bench.spec.axes import BASELINE, EAGER, ValueNotAllowed, require

if TYPE_CHECKING:
    import pandas as pd

    from bench.measure.plan import Plan
    from bench.system.progress import Reporter

Text = str | None
Number = int | None

_USUAL = ("copy_shift", "concat_shift", "buffer_shift", "parted_shift")  # of one function: as published, and candidates
_SIZE, _FRAMES = 224, 8
_LARGER = 7  # the released code tests on the middle 224 of 256 px: a seventh more
_KEPT = 3  # times as many frames of a video are cached as a clip has
_VARYING = ("placement", "fraction", "direction", "runtime", "dtype")  # a row names those in which rows differ
_LISTED = 10  # videos that cannot be read; all are in a file
_UNKNOWN = "n/a"


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
    runtimes: Annotated[str, typer.Option(help="eager,onnxruntime,openvino; eager in fp32 always runs.")] = EAGER,
    dtypes: Annotated[str, typer.Option(help="fp32,bf16,int8.")] = "fp32",
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
    from bench.spec.expansion import strategies_asked
    from bench.spec.settings import validate
    from bench.store.records import refuse_used
    from bench.system.progress import Reporter

    trained = released_settings(Path(weights))
    if trained.get("fraction") == 0 and strategies is None:  # as it was trained comes first
        chosen = chosen.model_copy(update={"strategies": (BASELINE, *_USUAL)})
    direction = (chosen.directions or (trained.get("direction", "bidirectional"),))[0]
    usual = {
        "fractions": [str(trained.get("fraction") or ("1/8" if direction == "unidirectional" else "1/4"))],
        "placements": [trained.get("placement", "residual")],
        "directions": [direction],
    }
    videos = _videos(config, task, trained, {"path": data, "frames": frames, "size": size, "views": views})
    timed = budget.strip() != "0"
    latency: dict[str, Any] = {
        **{"device": "cpu", "backbones": [backbone], "frames": [videos["frames"]], "sizes": [videos["size"]]},
        "panels": [  # the others are held against the first
            {"runtimes": [EAGER], "dtypes": ["fp32"]},
            {"runtimes": runtimes.split(","), "dtypes": dtypes.split(",")},
        ],
        **{"groups": [{"strategies": _USUAL, **usual}], "plugins": usual},
        **({"budget": budget} if timed else {}),
    }
    title = {"title": f"{Path(weights).name} on {videos['path']}", "sections": ["latency"], "weights": file}
    settings = validate({**title, "latency": latency, "video": {"data": videos}}, "command line")
    folder, reporter = out or session.new_folder("evaluate"), Reporter(quiet or json_output)
    try:
        refuse_used(folder)
        asked = evaluation.footage(settings.video.data, part, calibrated="int8" in dtypes.split(","))
        plan = prepare(settings, chosen, strategies_dir)
        known = {info.name: info for info in plan.infos}
        for name in strategies_asked(chosen.strategies or (), known):
            if name not in (BASELINE, *plan.sweep.strategies):
                raise ValueNotAllowed(f"{name} takes none of the fractions, placements and directions asked for")
        told, names = session.require_backbones(plan.sweep, file)[backbone], asked.classes
        if told != len(names):
            some = f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
            raise ValueNotAllowed(f"{weights} tells {told} classes apart; {videos['path']} has {len(names)}: {some}")
        shown, broken = evaluation.readable(asked, reporter)
        found = evaluation.predict(plan, shown, reporter)
        apart, costs, failed = evaluation.disagreements(plan, found, shown), None, len(broken)
        try:
            if timed:
                costs, lost = _measured(plan, folder, reporter)
                failed += lost
        finally:  # what was predicted is kept, whatever becomes of the rest
            table = predictions.write(folder, found, shown.judged, apart, broken, costs)
    finally:
        reporter.close()
    faults, clips = [own.fault for own in apart if own.fault], len(shown.judged.names)
    if json_output:
        rows = table.astype(object).where(table.notna(), None).to_dict("records")
        about = {"folder": str(folder), "clips": clips, "classes": names, "unreadable": broken, "faults": faults}
        print(json.dumps({**about, "rows": rows}))
    else:
        of = f"{clips} clips of {len(names)} classes, {videos['frames']} frames of {videos['size']}²"
        print(f"{settings.title}: {backbone}, {of}", *_lines(table, broken, faults), sep="\n")
        print(f"tables: {folder / 'evaluation'}", *([f"report: {folder / 'report.html'}"] if timed else []), sep="\n")
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


def _measured(plan: "Plan", folder: Path, reporter: "Reporter") -> "tuple[pd.DataFrame, int]":
    """The latency of the same cases, with a report; and how many failed."""
    from bench.cli.report import write_report
    from bench.measure import runner
    from bench.measure.executors import executor_for

    executor = executor_for("local", 1, plan.settings.limits, None)
    tally = runner.start(plan, folder, "evaluate", session.command_line(), reporter, executor)
    run, _ = write_report(folder)
    return run.latency, tally["failed"]


def _lines(table: "pd.DataFrame", broken: Mapping[str, str], faults: Sequence[str]) -> Iterator[str]:
    """A row for each case, and what went wrong."""
    import pandas as pd

    from bench.report.numbers import count_text, estimate, fixed, fraction_text, interval_text
    from bench.report.selection import rows

    def intervals(stem: str) -> list[str]:
        found = [estimate(row, stem) for row in rows(table)]
        return [interval_text(one, "", signed=stem != "top1") if one.mean == one.mean else _UNKNOWN for one in found]

    shown = table[["strategy", *(axis for axis in _VARYING if table[axis].nunique() > 1)]].astype(str)
    if "fraction" in shown:
        shown["fraction"] = table["fraction"].map(fraction_text)
    shown["top-1 [%]"] = table["status"].where(table["status"] != "ok", pd.Series(intervals("top1")))
    shown["top-5"] = table["top5_pct"].map(fixed)
    shown["minus first [pp]"] = intervals("delta")
    shown["unlike eager"] = [fixed(count, 0) for count in table["unlike_eager"]]
    shown["deviation"] = [f"{share:.1g}" if share == share else _UNKNOWN for share in table["deviation"]]
    shown["latency [%]"] = intervals("overhead")
    yield shown.loc[:, (shown != _UNKNOWN).any()].replace(_UNKNOWN, "").to_string(index=False)
    lost = rows(table[table["status"] != "ok"])
    yield from dict.fromkeys(f"{one['strategy']} in {one['runtime']} {one['status']}: {one['reason']}" for one in lost)
    if len(alike := table["unlike_same_function"].dropna()):
        yield f"strategies of one function, in eager fp32: {count_text(int(alike.sum()), 'clip')} in unlike classes"
    yield from (f"error: {fault}" for fault in faults)
    if broken:
        yield f"{count_text(len(broken), 'video')} could not be read and are left out (all of them: unreadable.csv)"
        yield from (f"  {video}: {why}" for video, why in list(broken.items())[:_LISTED])
