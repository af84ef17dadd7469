"""A folder that is not as it should be, names that nobody expects, narrow terminals: one line, or what there is."""

import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.app import main
from bench.store.journal import read_records, seal
from bench.store.records import RECORD, SCHEMA, Record
from tests.conftest import ROOT
from tests.report.conftest import PUBLISHED, rewrite

EVIL = "<img src=x onerror=alert(1)> 名前 $x^2_$"
LONG = "ein_sehr_langer_Name_ähnlich_dem_einer_Datei_" * 7


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "a run, with blanks and ü"
    shutil.copytree(PUBLISHED, folder)
    rewrite(folder, lambda record: record)
    return folder


def one_line(capsys: pytest.CaptureFixture[str], folder: Path) -> str:
    capsys.readouterr()
    assert main(["report", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    return error


def test_what_cannot_be_read_is_one_line(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    header = json.loads((run / "run.json").read_text())
    assert "not a run" in one_line(capsys, tmp_path / "nowhere")
    for text, told in (
        ("{", "cannot read"),
        ("[]", "not a run's header"),
        (json.dumps({**header, "schema_version": SCHEMA + 1}), "newer version"),
    ):
        (run / "run.json").write_text(text)
        assert told in one_line(capsys, run)
    (run / "run.json").write_text(json.dumps(header))
    newest = next(iter(read_records(run))).model_copy(update={"schema_version": SCHEMA + 1})
    (run / "records.jsonl").write_bytes(seal(newest))
    assert "newer version" in one_line(capsys, run)


def test_a_folder_that_cannot_be_written_is_one_line(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "tables")
    (run / "tables").write_text("a file")
    assert "cannot write" in one_line(capsys, run)


def test_damaged_lines_are_passed_over_and_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (run / "records.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = lines[3].replace(b'"ok"', b'"OK"').replace(b"failed", b"FAILED")
    (run / "records.jsonl").write_bytes(b"".join([*lines[:-1], lines[-1][:20]]))
    assert main(["report", str(run)]) == 0
    assert "line 4: " in capsys.readouterr().err
    page = (run / "report.html").read_text()
    assert "2 lines" in page and "copy_shift" in page


def test_no_records_and_no_success_still_give_a_page(run: Path) -> None:
    def failed(record: Record) -> Record | None:
        if record.kind == "process":
            return None
        return record.model_copy(update={"status": "failed", "reason": "nothing works"})

    rewrite(run, failed)
    assert main(["report", str(run)]) == 0
    assert "nothing works" in (run / "report.html").read_text()
    (run / "records.jsonl").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").stat().st_size > 1000


def test_names_of_any_kind(run: Path) -> None:
    def renamed(record: Record) -> Record:
        text = record.model_dump_json()
        for old, new in (("concat_shift", EVIL), ("buffer_shift", LONG)):
            text = text.replace(old, json.dumps(new, ensure_ascii=False)[1:-1])
        return RECORD.validate_json(text)

    rewrite(run, renamed)
    assert main(["report", str(run)]) == 0
    page = (run / "report.html").read_text()
    assert "<img src=x" not in page and html.escape(EVIL) in page and LONG in page
    assert (run / "figures" / "latency_overhead.png").stat().st_size


def test_a_terminal_of_40_columns_without_colours(run: Path) -> None:
    narrow = os.environ | {"COLUMNS": "40", "NO_COLOR": "1", "TERM": "dumb"}
    resumed = ["run", "--resume", str(run)]  # refused: the code changed since
    for arguments in (["--help"], ["run", "--help"], ["list"], ["report", str(run)], resumed):
        line = [sys.executable, str(ROOT / "run_bench.py"), *arguments]
        done = subprocess.run(line, env=narrow, cwd=ROOT, capture_output=True, text=True, timeout=300)
        assert done.returncode == (2 if arguments == resumed else 0), (arguments, done.stderr)
        assert "\x1b" not in done.stdout + done.stderr and "Traceback" not in done.stderr
