"""What mkdocs makes while it builds the site: the commands from the program itself, and published runs."""

import re
from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.cli import get_docs_for_click
from typer.main import get_command

from bench.cli.app import app

_REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
_PUBLISHED = ("report.html", "*.svg", "figures/*.png", "figures/*.svg", "tables/*.csv", "README.md", "index.html")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Published runs, under ``runs/``: their pages, tables, and the figures that pages show."""
    folders = [_REFERENCE, *sorted(path for path in _REFERENCE.iterdir() if path.is_dir())]
    for path in (path for folder in folders for pattern in _PUBLISHED for path in folder.glob(pattern)):
        target = f"runs/{path.relative_to(_REFERENCE).as_posix()}"
        files.append(File.generated(config, target, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links to published runs lead to their copies in the site; the commands follow on their page."""
    markdown = re.sub(r"\]\(\.\./results/reference/([^)]*)\)", lambda link: f"]({_in_site(link[1])})", markdown)
    if page.file.src_uri == "commands.md":
        command = get_command(app)
        listed = get_docs_for_click(obj=command, ctx=typer.Context(command), name="shiftbench", indent=1)
        markdown += "\n" + listed.replace("## `shiftbench`", "## All options", 1)
    return markdown


def _in_site(path: str) -> str:
    if not path.endswith("/") and path:
        return f"runs/{path}"
    page = next(name for name in ("report.html", "index.html", "README.md") if (_REFERENCE / path / name).exists())
    return f"runs/{path}{page}"
