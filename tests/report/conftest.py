"""Synthetic runs for the report's tests; each report is written once, and shared."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis.run import Analysis
from bench.report.page import page, write
from bench.store.journal import read_records, seal
from bench.store.records import Record
from tests.conftest import ROOT
from tests.report.synthetic import full_run, hostile_run

PUBLISHED = ROOT / "results" / "reference" / "intel-xeon-2-cores"


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """A whole run; its frames are made once, and no test writes into them."""
    return full_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def full(whole: Analysis, tmp_path: Path) -> Analysis:
    """A whole run in a folder of its own."""
    folder = tmp_path / "run"
    folder.mkdir()
    return replace(whole, folder=folder)


@pytest.fixture(scope="session")
def report(whole: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """A whole run whose report is written; only to be read."""
    return reported(whole, tmp_path_factory.mktemp("shared") / "run")


@pytest.fixture(scope="session")
def hostile(whole: Analysis, tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """The same with plug-ins of awkward names."""
    return reported(hostile_run(whole), tmp_path_factory.mktemp("hostile") / "run")


def reported(run: Analysis, folder: Path) -> Analysis:
    """A run in a new folder, with its report."""
    folder.mkdir()
    moved = replace(run, folder=folder)
    write(moved)
    return moved


def rewrite(folder: Path, change: Callable[[Record], Record | None]) -> None:
    """Write a run's journal anew, each record changed or left out."""
    changed = [new for record in read_records(folder) if (new := change(record))]
    (folder / "records.jsonl").write_bytes(b"".join(map(seal, changed)))


def said(run: Analysis) -> str:
    """The page's text on one line, without its tags."""
    text = re.sub(r"<(script|style).*?</\1>", "", page(run, ()), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", text).split()).replace(" ,", ",").replace(" .", ".")
