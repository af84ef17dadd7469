"""``list``: what is available, a line each."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from bench.spec.axes import BACKBONES, ELSEWHERE, ValueNotAllowed, require
from bench.spec.parameters import described


def command(
    what: Annotated[str, typer.Argument(help="strategies, backbones, presets or claims.")] = "strategies",
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    of: Annotated[str | None, typer.Option(help="With backbones: where this network takes a strategy.")] = None,
    no_load: Annotated[bool, typer.Option("--no-load", help="Read strategy files, run none of them.")] = False,
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
            from bench.spec.settings import load_preset, preset_names

            lines = ((name, load_preset(name).title) for name in preset_names())
        case _:
            from bench.analysis.claims import load_claims

            lines = ((claim.id, f"{claim.finding} ({claim.source})") for claim in load_claims())
    shown = list(lines)
    width = max((len(name) for name, _ in shown), default=0)
    for name, text in shown:
        print(f"{name:{width}}  {text}")
    return 0


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

    if strategies_dir and not strategies_dir.is_dir():
        raise ValueNotAllowed(f"--strategies-dir {strategies_dir} is not a folder")
    files = discovery.strategy_files(strategies_dir)
    if not load:
        return [found for file in files for found in discovery.static_metadata(file)]
    lines = []
    for info in discovery.describe(files)[0]:
        lines.append((info.name, info.summary if info.error is None else f"NOT LOADED: {info.error}"))
        lines += [("", text) for text in described(info.parameters)]
    return lines
