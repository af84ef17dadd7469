"""The command line: parse, call, print. No logic, and no heavy import before a command needs it.

Exit codes: 0 all done; 1 some cases failed (they are listed); 2 a user's mistake, in one line; 130 interrupted.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.spec.axes import ValueNotAllowed

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Latency and accuracy benchmarks for temporal shift strategies: what does one cost here, what does it buy?",
)

Folder = Annotated[Path, typer.Argument(help="A run's folder.")]

_USAGE_ERROR: type[Exception] = next(  # newer typers carry their own click, older ones import it: both have this class
    cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException" and issubclass(cls, Exception)
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; a user's mistake becomes one line on standard error."""
    try:
        code = app(arguments, prog_name="run_bench.py", standalone_mode=False)
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


@app.command()
def run(
    preset: Annotated[str | None, typer.Option(help="standard is the default; see: list presets.")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with the keys of a preset, instead of one.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; by default a new one in results/.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the run in this folder.")] = None,
    only: Annotated[str | None, typer.Option(help="Sections: latency,accuracy,online,detection.")] = None,
    strategies: Annotated[str | None, typer.Option(help="Only these, by name: a,b.")] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    fractions: Annotated[str | None, typer.Option(help="0,1/8,1/4,1/2,1.")] = None,
    placements: Annotated[str | None, typer.Option(help="residual,inplace.")] = None,
    directions: Annotated[str | None, typer.Option(help="bidirectional,unidirectional.")] = None,
    backbone: Annotated[str | None, typer.Option(help="One or several, see: list backbones.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or auto.")] = None,
    runtimes: Annotated[str | None, typer.Option(help="eager,compile,onnxruntime,openvino,cudagraph.")] = None,
    threads: Annotated[str | None, typer.Option(help="1,2.")] = None,
    dtypes: Annotated[str | None, typer.Option(help="fp32,bf16.")] = None,
    memory_formats: Annotated[str | None, typer.Option(help="nchw,channels_last.")] = None,
    frames: Annotated[str | None, typer.Option(help="Frames in a clip: 8.")] = None,
    sizes: Annotated[str | None, typer.Option(help="Pixels along an edge: 224.")] = None,
    batches: Annotated[str | None, typer.Option(help="Clips in a batch: 1.")] = None,
    seeds: Annotated[str | None, typer.Option(help="How many trainings for each arm.")] = None,
    budget: Annotated[str | None, typer.Option(help="Wall time of the latency section: 10m.")] = None,
    studies: Annotated[str | None, typer.Option(help="Parts of the accuracy section, by name.")] = None,
    pause_after: Annotated[str | None, typer.Option(help="Begin no training after this: 85m.")] = None,
    executor: Annotated[str, typer.Option(help="Where training runs: local or ray.")] = "local",
    ray_address: Annotated[str | None, typer.Option(help="Of a Ray cluster: host:port or auto.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print only where the report lies.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> int:
    """Measure: latency overhead, accuracy, and a report that holds both against the paper.

    Examples: run  |  run --preset smoke  |  run --only latency --strategies copy_shift --fractions 1/8,1
    """
    from bench.cli import commands
    from bench.spec import request

    asked = request.Request(
        preset=preset,
        config=config,
        only=only,
        strategies=strategies,
        strategies_dir=strategies_dir,
        fractions=fractions,
        placements=placements,
        directions=directions,
        backbone=backbone,
        device=device,
        runtimes=runtimes,
        threads=threads,
        dtypes=dtypes,
        memory_formats=memory_formats,
        frames=frames,
        sizes=sizes,
        batches=batches,
        seeds=seeds,
        budget=budget,
        executor=executor,
        ray_address=ray_address,
        studies=studies,
    )
    return commands.run(asked, out, resume, pause_after=pause_after, quiet=quiet, as_json=json_output)


@app.command()
def report(folder: Folder) -> int:
    """Make tables, figures and report.html again from a run's records; of a folder of runs, one page over all."""
    from bench.cli import commands

    return commands.report(folder)


@app.command()
def compare(folder_a: Folder, folder_b: Folder) -> int:
    """Hold two runs (machines, versions) against each other; says when they cannot be compared."""
    from bench.cli import commands

    return commands.compare(folder_a, folder_b)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="strategies, backbones, presets or claims.")] = "strategies",
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    no_load: Annotated[bool, typer.Option("--no-load", help="Read strategy files, run none of them.")] = False,
) -> int:
    """Show what is available, a line each."""
    from bench.cli import commands

    return commands.list_(what, strategies_dir, load=not no_load)


@app.command()
def check(
    strategy: Annotated[str, typer.Argument(help="A strategy's name, or a file.")],
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
) -> int:
    """Prove one strategy: every property of conformance by name."""
    from bench.cli import commands

    return commands.check(strategy, strategies_dir)


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
def new(name: Annotated[str, typer.Argument(help="The new strategy's name.")]) -> int:
    """Write strategies/NAME.py: a documented strategy that passes check, ready to be changed."""
    from bench.cli import commands

    return commands.new(name)


@app.command()
def validate(
    budget: Annotated[str, typer.Option(help="Wall time: 10m tells what this machine can do.")] = "10m",
    out: Annotated[Path | None, typer.Option(help="Where the results go; by default a new folder in results/.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> int:
    """Measure known effects, zero among them, with the same harness: what differences can this machine tell?"""
    from bench.cli import commands

    return commands.validate(budget, out, quiet=quiet)


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


@app.command()
def doctor() -> int:
    """Say what this machine can measure, and what will disturb it."""
    from bench.cli import commands

    return commands.doctor()
