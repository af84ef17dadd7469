"""Notebooks run from a clean kernel, and are kept with what they printed and drew."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import ROOT, Finished

PICTURES = {"explore_run": 3, "why_the_shift_costs": 1, "write_a_strategy": 1, "your_videos": 1}
KERNEL_WARNINGS = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def read(name: str) -> Any:
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


@KERNEL_WARNINGS
@pytest.mark.parametrize("name", ["explore_run", pytest.param("why_the_shift_costs", marks=pytest.mark.slow)])
def test_explore(name: str, small_run: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFTBENCH_RUN", str(small_run.folder))
    execute(name, monkeypatch)


@KERNEL_WARNINGS
@pytest.mark.slow
@pytest.mark.parametrize("name", ["write_a_strategy", "your_videos"])
def test_what_runs_the_program(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    execute(name, monkeypatch)


def execute(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    notebook = read(name)
    place = {"metadata": {"path": str(ROOT / "notebooks")}}
    NotebookClient(notebook, timeout=400, kernel_name="python3", resources=place).execute()
    assert sum("image/png" in output.get("data", {}) for output in outputs(notebook)) == PICTURES[name]


@pytest.mark.parametrize("name", PICTURES)
def test_kept(name: str) -> None:
    kept = outputs(read(name))
    assert sum("image/png" in output.get("data", {}) for output in kept) == PICTURES[name]
    assert not [output for output in kept if output["output_type"] == "error"]


def test_all_are_tested() -> None:
    assert {path.stem for path in Path(ROOT / "notebooks").glob("*.ipynb")} == set(PICTURES)
