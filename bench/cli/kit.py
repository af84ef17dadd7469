"""``kit``: a folder to take to a phone or a board, where Python and ONNX Runtime are all there is.

It holds a network without a shift and with one, as files, and a script that measures the pair as ``run`` does: fresh
processes, superblocks in mirrored orders, an A/A twin. The records that it leaves are what ``report`` reads.
"""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import kit_script
from bench.cli.export import deployable
from bench.cli.session import weights_at
from bench.spec.axes import BASELINE, ValueNotAllowed, parse_fraction

if TYPE_CHECKING:
    from bench.strategy import Strategy

_FRAMES = {False: 8, True: 16}  # of a clip; of a slot of a stream
_RUNTIME = "onnxruntime"


def command(
    strategy: Annotated[str, typer.Argument(help="A strategy's name.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not be there yet.")],
    backbone: Annotated[str, typer.Option(help="See: list backbones; or timm:NAME, FILE.py:FUNCTION.")] = "resnet50",
    fraction: Annotated[str | None, typer.Option(help="Share of the channels that move: 1/4; online 1/8.")] = None,
    placement: Annotated[str, typer.Option(help="residual or inplace.")] = "residual",
    frames: Annotated[int | None, typer.Option(min=1, help="Frames in a clip, 8; online: in a slot, 16.")] = None,
    size: Annotated[int, typer.Option(min=32, help="Pixels along an edge.")] = 224,
    online: Annotated[bool, typer.Option("--online", help="Frame by frame.")] = False,
    streams: Annotated[int, typer.Option(min=1, help="Online: how many at once.")] = 1,
    weights: Annotated[str | None, typer.Option(help="A checkpoint, or imagenet.")] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
) -> int:
    """A folder with an exported pair and a script that measures it on another machine, with ONNX Runtime alone."""
    weights = weights_at(weights)
    share, direction = fraction or ("1/8" if online else "1/4"), "unidirectional" if online else "bidirectional"
    if out.exists() or not out.parent.is_dir():
        raise ValueNotAllowed(f"--out {out} cannot be written: it must be a new folder in one that is there")
    try:
        length = frames or _FRAMES[online]
        if strategy == BASELINE:
            raise ValueNotAllowed(f"{BASELINE} is in every kit; name what is to be held against it")
        asked = deployable(strategy, _RUNTIME, backbone, share, placement, direction, length, strategies_dir)
        out.mkdir()
        _fill(out, asked, backbone, share, length, size, streams if online else 0, weights, strategies_dir)
    except (RuntimeError, ValueError, OSError) as error:
        shutil.rmtree(out, ignore_errors=True)
        raise ValueNotAllowed(f"the kit was not made: {error}") from None
    print(f"wrote {out} ({sum(file.stat().st_size for file in out.iterdir()) / 1e6:.0f} MB)")
    print("take it to the machine, where Python and onnxruntime are: python measure.py")
    print(f"bring its folder results back, and: run_bench.py report {out / 'results'}")
    return 0


def _fill(
    out: Path,
    asked: "Strategy",
    backbone: str,
    fraction: str,
    frames: int,
    size: int,
    streams: int,
    weights: str | None,
    strategies_dir: Path | None,
) -> None:
    """Both networks, held against eager; what they are; and the script. streams: 0 for clips."""
    import torch

    from bench import __version__
    from bench.measure.latency.builder import PanelBuilder
    from bench.measure.latency.devices import Device
    from bench.plugins.discovery import describe, load_class, strategy_files
    from bench.spec.cases import BASELINE_VARIANT, Case, Variant
    from bench.spec.panel import Panel
    from bench.spec.parameters import plain
    from bench.store.migrations import SCHEMA

    threads = torch.get_num_threads()
    panel = Panel(backbone, "cpu", _RUNTIME, "fp32", "nchw", threads, frames, size, 1, streams)
    shifted = Variant(type(asked).name, parse_fraction(fraction), asked.placement, asked.direction)
    files, cases, builder = strategy_files(strategies_dir), [], PanelBuilder(panel, Device(), 0, weights)
    for variant, aa in ((BASELINE_VARIANT, False), (BASELINE_VARIANT, True), (shifted, False)):
        case, file = Case(variant, panel, aa), out / f"{variant.strategy}.onnx"
        if not aa:
            made = asked if variant is shifted else load_class(BASELINE, files)(0.0)
            with torch.inference_mode():
                builder.build(made, _RUNTIME, file, runs=1, prove=True)
        cases.append({"case": case.to_json(), "key": case.key, "file": file.name})
    known = [info for info in describe(files)[0] if info.name == plain(shifted.strategy)]
    told_of = [replace(info, name=shifted.strategy) for info in known]
    told = {
        **{"schema_version": SCHEMA, "version": __version__, "panel": asdict(panel), "label": panel.label},
        **{
            "cases": cases,
            "strategies": [{**asdict(info), "file": Path(info.file).name} for info in told_of],
        },
    }
    (out / "kit.json").write_text(json.dumps(told, indent=2) + "\n")
    shutil.copyfile(kit_script.__file__, out / "measure.py")
