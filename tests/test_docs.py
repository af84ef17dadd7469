"""What README and the other pages tell people to type is understood by the program, and runs where that is quick."""

import json
import re
import shlex

import pandas as pd
import pytest
from typer.main import get_command

from bench.cli.app import app
from tests.conftest import ROOT, Finished, command

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "notebooks/*.md", "results/README.md", "results/reference/README.md")
    for path in ROOT.glob(pattern)
)
_COMMAND = re.compile(r"(?:uv run )?(?:--extra \w+ )?run_bench\.py ([^`\n]*)")


def written() -> list[str]:
    """The arguments of each command that any page names, once; comments beside them left out."""
    found = []
    for page in PAGES:
        for match in _COMMAND.finditer((ROOT / page).read_text()):
            text = re.split(r"\s{3,}|\s#|\|\s|[).,;:]?$", match[1].strip())[0]
            found.append(text)
    return sorted(set(found))


COMMANDS = written()


def test_pages_name_commands_at_all() -> None:
    names = {text.split()[0] for text in COMMANDS if text}
    assert {"run", "report", "compare", "list", "check", "new", "validate", "doctor", "stream", "export"} <= names


@pytest.mark.parametrize("text", COMMANDS)
def test_a_written_command_is_understood(text: str) -> None:
    """Each option exists and has a value where it needs one; what stands in capitals is for the reader to fill in."""
    group = get_command(app)
    words = shlex.split(text.replace("|", " | "))
    if not words or words == ["--help"]:
        return
    if "|" in words:  # one of several: list strategies|backbones
        words = words[: words.index("|")]
    name, sub, rest = group.resolve_command(group.make_context("run_bench.py", words, resilient_parsing=True), words)  # type: ignore[attr-defined]
    assert sub is not None, f"there is no command {name}"
    sub.make_context(name, list(rest))


@pytest.mark.parametrize("text", ["list strategies", "list backbones", "list presets", "list claims", "list --no-load"])
def test_lists(text: str) -> None:
    done = command(*text.split())
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 3, done.stderr


def test_quick_commands_of_the_readme_run(small_run: Finished) -> None:
    for arguments in (
        ["report", str(small_run.folder)],
        ["compare", str(small_run.folder), str(small_run.folder)],
        ["doctor"],
        ["stream", "--source", "synthetic", "--duration", "2s"],
    ):
        done = command(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)


@pytest.mark.parametrize("name", ["explore_run", "why_the_shift_costs", "write_a_strategy"])
def test_notebooks_are_kept_with_their_pictures(name: str) -> None:
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    outputs = [output for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error"]


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_flags_are_explained() -> None:
    """Each flag that a published table holds, and each name that the code gives one, stands in the page on reports."""
    told = (ROOT / "docs" / "reading_a_report.md").read_text()
    raised = {
        flag
        for table in (ROOT / "results" / "reference").glob("*/tables/latency.csv")
        for flags in pd.read_csv(table)["flags"].dropna()
        for flag in str(flags).split(";")
    }
    assert raised and not {flag for flag in raised if f"`{flag}`" not in told}
