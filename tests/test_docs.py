"""What README and the other pages tell people to type is understood by the program, and runs where that is quick."""

import re
import shlex

import pytest
from typer.main import get_command

from bench.cli import app
from tests.conftest import ROOT, Finished, command

PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "notebooks/README.md", "results/reference/README.md"]
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
