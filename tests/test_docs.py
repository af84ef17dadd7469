"""What README and the other pages tell people to type is understood by the program, and runs where that is quick."""

import importlib.util
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pandas as pd
import pytest
from typer.main import get_command

from bench.analysis.run import load
from bench.cli.app import app, main
from bench.report.summary import screen
from bench.spec.settings import validate
from tests.conftest import ROOT, Finished

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "notebooks/*.md", "results/README.md", "results/reference/README.md")
    for path in ROOT.glob(pattern)
)
_COMMAND = re.compile(r"(?:run_bench\.py|shiftbench) ([a-z][^`\n]*)")


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


def test_quick_commands_of_the_readme_run(small_run: Finished, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(small_run.folder, tmp_path / name)
    for arguments in (
        ["report", str(tmp_path / "a")],
        ["report", str(tmp_path)],
        ["compare", str(tmp_path / "a"), str(tmp_path / "b")],
        ["doctor"],
        ["stream", "--source", "synthetic", "--duration", "1s"],
    ):
        assert main(arguments) == 0, arguments


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), target


def test_settings_that_pages_show_are_settings() -> None:
    blocks = [
        (page, text)
        for page in PAGES
        for text in re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    ]
    assert "docs/videos.md" in dict(blocks)
    for page, text in blocks:
        validate(tomllib.loads(text), page)


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """The pages of machines, as the site has them."""
    spec = importlib.util.spec_from_file_location("machine_pages", ROOT / "docs" / "machine_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: module.page(name, runs) for name, runs in module.machines().items()}


def test_every_machine_has_a_page_and_every_run_of_it_a_part(pages: dict[str, str]) -> None:
    """What no machine's name begins with is a search for a recipe."""
    published = {path.parent.name for path in (ROOT / "results" / "reference").glob("*/run.json")}
    linked = {folder for text in pages.values() for folder in re.findall(r"\.\./runs/([^/]+)/report", text)}
    assert {name for name in published if "-cores" in name} == linked
    assert not any("nan" in re.findall(r"\w+", text) for text in pages.values())


def test_a_machines_page_says_what_its_tables_hold(pages: dict[str, str]) -> None:
    name = "amd-zen4-2-cores-allocators"
    latency = pd.read_csv(ROOT / "results" / "reference" / name / "tables" / "latency.csv")
    (row,) = latency.query("strategy == 'copy_shift' and fraction == 0.125 and allocator == 'retained'").itertuples()
    own = pages["amd-zen4-2-cores"].split(f"../runs/{name}/report.html")[1].split("default heap**")[0]
    line = next(line for line in own.splitlines() if line.startswith("| copy_shift, residual |"))
    found = f"{row.overhead_pct:+.1f} [{row.overhead_ci_low_pct:.1f}, {row.overhead_ci_high_pct:.1f}]"
    assert found in line.replace("\u00a0", " ")


def test_the_last_screen_that_a_newcomer_is_shown_is_one() -> None:
    """The lines in the first hour are those of a published run, as ``report`` prints them."""
    text = (ROOT / "docs" / "first_hour.md").read_text().split("## Read the last screen")[1]
    block = re.findall(r"^    (.+)$", text.split("## Go on")[0], re.MULTILINE)
    printed = screen(load(ROOT / "results" / "reference" / "amd-zen4-2-cores"), Path("report.html"))
    assert len(block) > 4 and block == printed[: len(block)]


def test_what_a_control_that_is_off_withholds_is_on_no_page(pages: dict[str, str]) -> None:
    after = pages["amd-zen5-2-cores"].split("A/A control off.")
    assert len(after) > 1 and not any(text.strip().startswith("| overhead") for text in after[1:])


def test_flags_are_explained() -> None:
    """Each flag that a published table holds, and each name that the code gives one, stands in the page on reports."""
    text = (ROOT / "docs" / "reading_a_report.md").read_text()
    raised = {
        flag
        for table in (ROOT / "results" / "reference").glob("*/tables/latency.csv")
        for flags in pd.read_csv(table)["flags"].dropna()
        for flag in str(flags).split(";")
    }
    assert raised and not {flag for flag in raised if f"`{flag}`" not in text}
