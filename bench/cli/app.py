"""The command line: ``run_bench.py`` in a checkout, ``shiftbench`` where it is installed. One file a command.

Exit codes: 0 all done; 1 some cases failed (they are listed); 2 a user's mistake, in one line; 130 interrupted.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.cli import check, compare, doctor, list_, new, report, run, validate
from bench.spec.axes import ValueNotAllowed

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Latency and accuracy benchmarks for temporal shift strategies: what does one cost here, what does it buy? "
    "`python run_bench.py` and `shiftbench` are the same program.",
)
for module in (run, report, compare, list_, check, new, validate, doctor):
    app.command(module.__name__.rpartition(".")[2].rstrip("_"))(module.command)


@app.command()
def export(
    strategy: Annotated[str, typer.Argument(help="A strategy's name.")],
    runtime: Annotated[str, typer.Option(help="onnxruntime or openvino: where the file is checked.")],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")],
    backbone: Annotated[str, typer.Option(help="A 2-D network, see: list backbones.")] = "resnet50",
    fraction: Annotated[str, typer.Option(help="Share of the channels that move.")] = "1/4",
    placement: Annotated[str, typer.Option(help="residual or inplace.")] = "residual",
    direction: Annotated[str, typer.Option(help="bidirectional or unidirectional.")] = "bidirectional",
    frames: Annotated[int, typer.Option(min=1, help="Frames in a clip; fixed in the file.")] = 8,
    size: Annotated[int, typer.Option(min=32, help="Pixels along an edge; fixed in the file.")] = 224,
    weights: Annotated[Path | None, typer.Option(help="A checkpoint: torchvision's, TSM's or mmaction2's.")] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
) -> int:
    """Write a network with its shift as an ONNX file for any number of clips, checked against eager.

    Without --weights they are untrained; for a network of your own call bench.runtimes.onnx_file.export.
    """
    from bench.cli import commands
    from bench.models.runtimes.export import Export

    asked = Export(strategy, runtime, out, backbone, fraction, placement, direction, frames, size, weights)
    return commands.export(asked, strategies_dir)


@app.command()
def stream(
    source: Annotated[str, typer.Option(help="A video file, or synthetic: digits that move.")],
    strategy: Annotated[str, typer.Option(help="A causal strategy, by name.")] = "buffer_shift",
    fraction: Annotated[str, typer.Option(help="Share of the channels that come from the past.")] = "1/8",
    placement: Annotated[str, typer.Option(help="residual or inplace.")] = "residual",
    backbone: Annotated[str, typer.Option(help="digits_resnet, or see: list backbones.")] = "digits_resnet",
    weights: Annotated[
        Path | None, typer.Option(help="A checkpoint: torchvision's, TSM's, mmaction2's, or of a run's pretraining/.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    size: Annotated[int | None, typer.Option(help="Pixels along an edge, as the network sees it.")] = None,
    threads: Annotated[int | None, typer.Option(help="Of the processor; by default all cores.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames arriving in a second, if not as the source says.")] = None,
    frames: Annotated[int | None, typer.Option(help="Stop after so many frames.")] = None,
    duration: Annotated[str | None, typer.Option(help="Stop after this time: 10s.")] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> int:
    """Play a video through a network frame by frame: frame time, missed deadlines and the prediction, live.

    Examples: stream --source synthetic --duration 10s  |  stream --source film.mp4 --backbone resnet50
    """
    from bench.cli import commands

    return commands.stream(
        source=source,
        strategy=strategy,
        fraction=fraction,
        placement=placement,
        backbone=backbone,
        weights=weights,
        device=device,
        size=size,
        threads=threads,
        fps=fps,
        frames=frames,
        duration=duration,
        strategies_dir=strategies_dir,
        as_json=json_output,
    )


_USAGE_ERROR: type[Exception] = next(  # newer typers carry their own click, older ones import it: both have this class
    cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException" and issubclass(cls, Exception)
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; a user's mistake becomes one line on standard error."""
    program = "shiftbench" if Path(sys.argv[0]).name == "shiftbench" else "run_bench.py"
    try:
        code = app(arguments, prog_name=program, standalone_mode=False)
        return int(code or 0)
    except _USAGE_ERROR as error:
        message = error.format_message()  # type: ignore[attr-defined]
        return _mistake(f"{message} (try --help)") if message else 2
    except ValueNotAllowed as error:
        return _mistake(str(error))
    except OSError as error:  # a path that no file system takes, a disk that is gone
        return _mistake(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return 130


def _mistake(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
