"""``run``: what the user typed -> validated settings -> records -> a report."""

import inspect
import os.path
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from bench.cli import dry_run, session
from bench.spec.axes import (
    BACKBONES,
    DIRECTIONS,
    PLACEMENTS,
    SECTIONS,
    ValueNotAllowed,
    is_elsewhere,
    parse_fraction,
    require,
)
from bench.spec.panel import PANEL_AXES
from bench.spec.parameters import names_in

if TYPE_CHECKING:
    from bench.measure.runner import Tally
    from bench.spec.cases import Chosen
    from bench.spec.settings import Settings, Timing

Text = str | None
_WHAT, _AXES, _TRAINING, _RUN = "What is measured", "Where it is measured", "What is trained", "The run"
EXAMPLES = (
    "run: the default, half an hour on two cores",
    "run --only latency --backbone resnet18 --fractions 1/8,1: a part of it, in another network",
    "run --data my_videos --weights my.pth: on your videos, from your weights",
)
_WITH_RESUME = ("resume", "pause_after", "executor", "ray_address", "quiet", "json_output")  # options that go with it


def _option(group: str, text: str, *flags: str, values: Callable[[], Iterable[str]] = tuple) -> Any:
    """values: what a shell offers for the last of several, which commas part."""

    def offered(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{value}" for value in values() if value.startswith(last)]

    return typer.Option(*flags, help=text, rich_help_panel=group, autocompletion=offered)


def _presets() -> list[str]:
    from bench.spec.settings import preset_names

    return preset_names()


@dataclass(frozen=True)
class Request:
    """The options of ``run`` as text; None: not given. axes: {option of an axis: text}."""

    preset: Annotated[Text, _option(_WHAT, "standard is the default; see: list presets.", values=_presets)] = None
    config: Annotated[Path | None, _option(_WHAT, "A TOML file with the keys of a preset, instead of one.")] = None
    out: Annotated[Path | None, _option(_RUN, "The run's folder; by default a new one in results/.")] = None
    resume: Annotated[Path | None, _option(_RUN, "Go on with the run in this folder.")] = None
    only: Annotated[
        Text, _option(_WHAT, "Sections: latency,accuracy,online,detection,video.", values=lambda: SECTIONS)
    ] = None
    data: Annotated[Text, _option(_TRAINING, "Videos to train on: a folder CLASS/VIDEO, a list or a CSV.")] = None
    task: Annotated[Text, _option(_TRAINING, "What is asked of videos: label, or arrow (forward or reversed).")] = None
    strategies: Annotated[Text, _option(_WHAT, "Only these, by name: a,b; values of parameters in brackets.")] = None
    strategies_dir: Annotated[Path | None, _option(_WHAT, "A folder with more strategy files.")] = None
    fractions: Annotated[Text, _option(_WHAT, "0,1/8,1/4,1/2,1.")] = None
    placements: Annotated[Text, _option(_WHAT, "residual,inplace.", values=lambda: PLACEMENTS)] = None
    directions: Annotated[Text, _option(_WHAT, "bidirectional,unidirectional.", values=lambda: DIRECTIONS)] = None
    device: Annotated[Text, _option(_WHAT, "cpu, cuda or auto.")] = None
    weights: Annotated[Text, _option(_TRAINING, "Of the networks: a checkpoint, or imagenet.")] = None
    seeds: Annotated[Text, _option(_TRAINING, "How many trainings for each arm.")] = None
    budget: Annotated[
        Text, _option(_RUN, "Wall time of the latency section, or of online where that is timed alone: 10m.")
    ] = None
    studies: Annotated[Text, _option(_TRAINING, "Parts of the sections of trainings, by name.")] = None
    pause_after: Annotated[Text, _option(_TRAINING, "Begin no training after this: 85m.")] = None
    executor: Annotated[str, _option(_TRAINING, "Where training runs: local or ray.")] = "local"
    ray_address: Annotated[Text, _option(_TRAINING, "Of a Ray cluster: host:port or auto.")] = None
    dry_run: Annotated[bool, _option(_RUN, "Say what would be measured, and measure nothing.", "--dry-run")] = False
    quiet: Annotated[bool, _option(_RUN, "Print only where the report lies.", "--quiet")] = False
    json_output: Annotated[bool, _option(_RUN, "Print the outcome as one JSON object.", "--json")] = False
    axes: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The preset's name, or the config file's."""
        return self.preset or (self.config.stem if self.config else "standard")

    def settings(self) -> "Settings":
        """The preset or config with the options put in. Raises ValueNotAllowed."""
        from bench.spec.settings import load_config, load_preset, validate

        if self.preset and self.config:
            raise ValueNotAllowed("--preset and --config exclude each other; give one of them")
        if self.strategies_dir and not self.strategies_dir.is_dir():
            raise ValueNotAllowed(f"--strategies-dir {self.strategies_dir} is not a folder")
        base = load_config(self.config) if self.config else load_preset(self.preset or "standard")
        data: dict[str, Any] = base.model_dump(mode="json")
        data["weights"] = session.weights_at(self.weights or base.weights)
        only = _items(self.only, "--only")
        sections = only or base.sections
        streaming_only = "latency" not in sections and bool({"online", "detection"} & {*sections})
        for name, section in base.timed.items():
            self._put_into(data[name], section, strict=streaming_only == (name == "online"))
        if self.budget is not None:
            data["online" if streaming_only else "latency"]["budget"] = self.budget
        if self.seeds is not None:
            for name in base.trained:
                data[name]["seeds"] = _number(self.seeds, "--seeds")
                for study in data[name]["studies"]:  # an option holds for every study
                    study["seeds"] = None
        self._put_videos(data)
        if only is not None:
            data["sections"] = only
        return validate(data, "command line")

    def _put_videos(self, data: dict[str, Any]) -> None:
        """Videos take the place of the digits; the axes that a training has too hold for it. Paths become absolute, so
        that a resumed run finds them, wherever it is started."""
        video, videos = data["video"], data["video"]["data"]
        if self.data is not None:
            videos["path"] = self.data
            timed = [name for name in data["sections"] if name in ("latency", "online")]
            data["sections"] = [*timed, "video"]
        if self.task is not None:
            if not videos["path"]:
                raise ValueNotAllowed("--task asks something of videos; give them with --data")
            require(self.task, ("label", "arrow"), "task")
            asked = [question for question in videos["questions"] if question["task"] == self.task]
            videos["questions"] = asked or [{"name": self.task, "task": self.task}]
            for study in video["studies"]:
                if study["datasets"] is not None:
                    study["datasets"] = [one["name"] for one in asked if one["name"] in study["datasets"]]
            video["studies"] = [study for study in video["studies"] if study["datasets"] != []]
        for option, name in (("frames", "frames"), ("sizes", "size")):
            if len(items := _items(self.axes.get(option), PANEL_AXES[option].flag) or ()) == 1:
                videos[name] = _number(items[0], PANEL_AXES[option].flag)
        backbones = _items(self.axes.get("backbones"), PANEL_AXES["backbones"].flag) or ()
        if flat := [name for name in backbones if is_elsewhere(name) or name in BACKBONES]:
            video["backbone"] = flat[0]
        videos["path"] = _absolute(videos["path"])
        if videos["cache"]:
            videos["cache"] = os.path.abspath(os.path.expanduser(videos["cache"]))
        video["recipe"]["weights"] = session.weights_at(video["recipe"]["weights"])

    def _put_into(self, data: dict[str, Any], section: "Timing", *, strict: bool) -> None:
        """For every panel of a section. A value that it cannot run is left out; where ``strict``, it is a mistake.

        Panels that are meant for one device stay with it: the batches of a GPU are none of a processor's."""
        given: dict[str, Any] = {} if self.device is None else {"device": self.device}
        nothing_left = False
        for option, text in self.axes.items():
            if option in section.NOT_OPTIONS:
                continue
            axis = PANEL_AXES[option]
            items = _items(text, axis.flag) or ()
            values: list[Any] = [_number(item, axis.flag) for item in items] if axis.counts else list(items)
            if not strict and option in section.ALLOWED:
                values = [value for value in values if value in section.ALLOWED[option]]
            if values:
                given[option] = values
            nothing_left |= not values
        data |= given
        for panel in data["panels"]:
            for option in given.keys() - {"device"}:
                panel.pop(option, None)
        if nothing_left:  # this section measures nothing
            data |= {"backbones": [], "panels": []}

    def chosen(self) -> "Chosen":
        """The strategies and variants that the options narrow the sweep to. Raises ValueNotAllowed."""
        from bench.spec.cases import Chosen

        fractions = _items(self.fractions, "--fractions")
        return Chosen(
            strategies=_items(self.strategies, "--strategies"),
            fractions=None if fractions is None else tuple(map(parse_fraction, fractions)),
            placements=_among(self.placements, PLACEMENTS, "placement"),
            directions=_among(self.directions, DIRECTIONS, "direction"),
            studies=_items(self.studies, "--studies"),
        )


def _items(text: str | None, option: str) -> tuple[str, ...] | None:
    """``a,b`` -> (a, b), each once; None: not given."""
    if text is None:
        return None
    items = tuple(dict.fromkeys(part.strip() for part in names_in(text) if part.strip()))
    if not items:
        raise ValueNotAllowed(f"{option} is empty; write one value or several: a,b")
    return items


def _absolute(text: str) -> str:
    """Of a path, or of each in ``train=A,validation=B``; what names nothing that is there stays as it is."""
    if os.path.exists(os.path.expanduser(text)):
        return os.path.abspath(os.path.expanduser(text))
    parts = [part.partition("=") for part in text.split(",")]
    return ",".join(f"{name}{sign}{_absolute(path)}" if sign else name for name, sign, path in parts)


def _number(text: str, option: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ValueNotAllowed(f"{option} {text!r} is not a whole number from 1")
    return value


def _among(text: str | None, allowed: tuple[str, ...], what: str) -> tuple[str, ...] | None:
    items = _items(text, f"--{what}s")
    for item in items or ():
        require(item, allowed, what)
    return items


def _with_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give the command the options of a Request, and one for every axis of a panel, from the registry."""
    options = [(one.name, one.type, one.default) for one in fields(Request) if one.name != "axes"]
    for name, axis in PANEL_AXES.items():
        known = BACKBONES if name == "backbones" else axis.allowed or get_args(axis.value)
        option = _option(_AXES, axis.help, axis.flag, values=partial(tuple, known))
        options.append((name, Annotated[Text, option], None))
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, annotation, default in options
    ]
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {name: annotation for name, annotation, _ in options} | {"return": int}
    return function


@_with_options
@session.stopping_in_order()
def command(**options: Any) -> int:
    """Measure: latency overhead, accuracy, and a report that holds both against the paper."""
    from bench.spec.schema import parse_duration

    axes = {name: options.pop(name) for name in PANEL_AXES}
    asked = Request(**options, axes={name: text for name, text in axes.items() if text is not None})
    pause = None if asked.pause_after is None else parse_duration(asked.pause_after)
    if asked.resume is None:  # a mistake is told before anything slow is imported
        settings, chosen = asked.settings(), asked.chosen()
    elif asked != Request(**{name: getattr(asked, name) for name in _WITH_RESUME}):
        raise ValueNotAllowed("--resume goes on with what the run's folder says; give it alone")

    from bench.measure import runner
    from bench.measure.executors import executor_for
    from bench.measure.plan import prepare
    from bench.store.records import refuse_used
    from bench.system.environment import usable_cores
    from bench.system.progress import Reporter

    reporter = Reporter(quiet=asked.quiet or asked.json_output)
    folder = asked.resume or asked.out
    try:
        if asked.resume is not None:
            tally = runner.resume(asked.resume, reporter, (asked.executor, asked.ray_address), pause)
        else:
            if asked.out is not None:
                refuse_used(asked.out)  # before anything slow: it is a mistake that can be told at once
            executor = executor_for(asked.executor, usable_cores(), settings.limits, asked.ray_address)
            plan = prepare(settings, chosen, asked.strategies_dir)
            if not (plan.sweep.cases or plan.sweep.trials):
                raise ValueNotAllowed("nothing to measure: no section is left")
            session.require_backbones(plan.sweep, settings.weights)
            folder = asked.out or session.new_folder(asked.name)
            if asked.dry_run:
                dry_run.show(plan, folder, json_output=asked.json_output)
                return 0
            tally = runner.start(plan, folder, asked.name, session.command_line(), reporter, executor, pause)
    except KeyboardInterrupt:
        reporter.close()
        if folder is not None and (folder / "run.json").exists():
            print(f"interrupted; what was measured is kept. Go on with: run --resume {folder}", file=sys.stderr)
        raise
    finally:
        reporter.close()
    assert folder is not None
    _show(folder, tally, asked)
    return 1 if tally["failed"] else 0


def _show(folder: Path, tally: "Tally", asked: Request) -> None:
    from bench.cli.report import show, write_report

    run, page = write_report(folder)
    if asked.quiet and not asked.json_output:
        print(f"report: {page}")
        return
    counts = {status: tally[status] for status in ("ok", "failed", "skipped")}
    show(folder, run, page, json_output=asked.json_output, records=counts)
