"""The command line: ``run_bench.py`` in a checkout, ``shiftbench`` where it is installed. One file a command.

Exit codes: 0 all done; 1 some cases failed (they are listed); 2 a user's mistake, in one line; 130 interrupted.
"""

import io
import sys
from pathlib import Path

import typer

from bench.cli import advise, check, compare, doctor, evaluate, export, kit, list_, new, report, run, stream, validate
from bench.spec.axes import Mistake

_GROUPS = {
    "Measure": (run, report, compare, validate, doctor),
    "Strategies": (list_, check, new),
    "Your network": (advise, export, kit, evaluate, stream),
}
_EXAMPLES = (
    "run --preset smoke: everything once, in a few minutes",
    "run: the default, half an hour on two cores; list presets has the others, and how long they take",
    "advise --backbone mobilenet_v2 --runtime openvino: which mechanism to deploy on this machine",
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="\n\n".join(_EXAMPLES),
    help="Latency and accuracy benchmarks for temporal shift strategies: what does one cost here, what does it buy? "
    "`python run_bench.py` and `shiftbench` are the same program.",
)
for group, modules in _GROUPS.items():
    for module in modules:
        name, examples = module.__name__.rpartition(".")[2].rstrip("_"), getattr(module, "EXAMPLES", ())
        app.command(name, epilog="\n\n".join(examples) or None, rich_help_panel=group)(module.command)


_USAGE_ERROR: type[Exception] = next(  # newer typers carry their own click, older ones import it: both have this class
    cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException" and issubclass(cls, Exception)
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; a user's mistake becomes one line on standard error."""
    for shown in (sys.stdout, sys.stderr):
        if isinstance(shown, io.TextIOWrapper):
            shown.reconfigure(errors="replace")  # a locale that knows no "×" shows another sign, and nothing breaks
    program = "shiftbench" if Path(sys.argv[0]).name == "shiftbench" else "run_bench.py"
    try:
        code = app(arguments, prog_name=program, standalone_mode=False)
        return int(code or 0)
    except _USAGE_ERROR as error:
        message = error.format_message()  # type: ignore[attr-defined]
        return _mistake(f"{message} (try --help)") if message else 2
    except Mistake as error:
        return _mistake(str(error))
    except OSError as error:  # a path that no file system takes, a disk that is gone
        return _mistake(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        return 130


def _mistake(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2
