"""Where commands write: into the checkout that is used, or below the working directory."""

from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent.parent
BUILTIN = _ROOT / "strategies"
"""The suite's own strategies, found without being asked for."""


def _base() -> Path:
    """The checkout, or the working directory where the suite is installed as a package."""
    return _ROOT if (_ROOT / "run_bench.py").is_file() else Path.cwd()


def results() -> Path:
    """The folder in which runs get folders of their own."""
    return _base() / "results"


def strategies() -> Path:
    """The folder for new strategies."""
    return _base() / "strategies"
