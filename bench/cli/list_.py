"""``list``: what is available, a line each."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.spec.axes import BACKBONES, ELSEWHERE, ValueNotAllowed, require
from bench.spec.parameters import described

if TYPE_CHECKING:
    from bench.spec.settings import Settings


def command(
    what: Annotated[str, typer.Argument(help="strategies, backbones, presets or claims.")] = "strategies",
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    of: Annotated[str | None, typer.Option(help="With backbones: where this network takes a strategy.")] = None,
    no_load: Annotated[
        bool, typer.Option("--no-load", help="Run no strategy file: faster, and of presets only the budgets.")
    ] = False,
) -> int:
    """Show what is available, a line each."""
    require(what, ("strategies", "backbones", "presets", "claims"), "list")
    lines: Iterable[tuple[str, str]]
    match what:
        case "strategies":
            lines = _strategies(strategies_dir, load=not no_load)
        case "backbones":
            lines = [*BACKBONES.items(), (ELSEWHERE, "any other network")] if of is None else _sites(of)
        case "presets":
            lines = _presets(strategies_dir, load=not no_load)
        case _:
            from bench.analysis.claims import load_claims

            lines = ((claim.id, f"{claim.finding} ({claim.source})") for claim in load_claims())
    shown = list(lines)
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        print(f"{name:{width}}  {text}")
    return 0


def _presets(strategies_dir: Path | None, *, load: bool) -> list[tuple[str, str]]:
    """With how long each takes on this machine. load: trainings are counted, else only what the budgets say."""
    from bench.spec.settings import load_preset, preset_names

    presets = {name: load_preset(name) for name in preset_names()}
    if load:
        from bench.measure.plan import expected_here

        takes = expected_here(presets, _folder(strategies_dir))
    else:
        takes = {name: _budgets(settings) for name, settings in presets.items()}
    rows = [("takes", "what for")]
    for name, settings in presets.items():
        time = takes[name]
        if isinstance(time, str):
            reason = time.partition(";")[0].partition(":")[0]  # what comes after it are other values
            rows.append(("-", f"{settings.title}; not as it is: {reason}"))
        else:
            trained = [own for section, own in settings.trained.items() if section in settings.sections]
            trains = not load and any(own.groups or own.studies for own in trained)
            parts = [_minutes(time)] if time else []
            rows.append((" + ".join([*parts, *["training"] * trains]), settings.title))
    width = max(len(time) for time, _ in rows)
    texts = [f"{time:>{width}}  {title}" for time, title in rows]
    return list(zip(["preset", *presets], texts, strict=True))


def _budgets(settings: "Settings") -> float:
    """Seconds. The budget of streams is that of detectors too, where these are asked for."""
    streams = settings.online.groups or any(panels.groups for panels in settings.online.panels)
    online = streams and not {"online", "detection"}.isdisjoint(settings.sections)
    latency = settings.latency.budget if "latency" in settings.sections else 0.0
    return latency + (settings.online.budget if online else 0.0)


def _minutes(seconds: float) -> str:
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    return f"{hours} h {minutes:2} min" if hours else f"{minutes} min"


def _folder(strategies_dir: Path | None) -> Path | None:
    if strategies_dir and not strategies_dir.is_dir():
        raise ValueNotAllowed(f"--strategies-dir {strategies_dir} is not a folder")
    return strategies_dir


def _sites(backbone: str) -> list[tuple[str, str]]:
    """A line for each place that takes a strategy: the block, the layer in it, and the channels that it reads."""
    from bench import models

    network = models.build(backbone, 1)
    blocks = {module: path for path, module in network.trunk.named_modules()}
    found = []
    for parent, name, site in models.sites(network):
        block = parent.get_submodule(name)
        try:
            read = f"{site.channels(block)} channels"
        except ValueNotAllowed:
            read = type(site.layer(block)).__name__
        if site.features == "tokens":
            read += " of tokens"
        found.append((f"{blocks[parent]}.{name}".lstrip("."), f"{site.path}, {read}"))
    return found


def _strategies(strategies_dir: Path | None, *, load: bool) -> list[tuple[str, str]]:
    """load: run the files, which tells more; else they are only read."""
    from bench.plugins import discovery

    files = discovery.strategy_files(_folder(strategies_dir))
    if not load:
        return [found for file in files for found in discovery.static_metadata(file)]
    lines = []
    for info in discovery.describe(files)[0]:
        lines.append((info.name, info.summary if info.error is None else f"NOT LOADED: {info.error}"))
        lines += [("", text) for text in described(info.parameters)]
    return lines
