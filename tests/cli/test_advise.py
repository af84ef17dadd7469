"""What is advised comes from the newest run of this machine that knows, with its interval and a command that works."""

import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.main import get_command

from bench.cli import session
from bench.cli.app import app, main
from bench.models import runtimes
from bench.store.migrations import SCHEMA
from bench.system.environment import machine_id

pytestmark = pytest.mark.skipif(bool(runtimes.why_not("onnxruntime", "cpu")), reason="needs the extra: runtimes")

PLACE = {
    **{"placement": "residual", "fraction": 0.25, "direction": "bidirectional", "backbone": "mobilenet_v2"},
    **{"device": "cpu", "runtime": "onnxruntime", "dtype": "fp32", "memory_format": "nchw", "threads": 2, "frames": 8},
    **{"size": 224, "batch": 1, "streams": 0, "allocator": "retained", "status": "ok", "replicates": 7},
}


def row(strategy: str, overhead: float, **more: Any) -> dict[str, Any]:
    bounds = {"overhead_ci_low_pct": overhead - 0.5, "overhead_ci_high_pct": overhead + 0.5}
    return {**PLACE, "strategy": strategy, "overhead_pct": overhead, **bounds, "control": "certified", **more}


def put(folder: Path, rows: list[dict[str, Any]], machine: str, created: str) -> None:
    (folder / "tables").mkdir(parents=True)
    alike = [{"name": name, "same_function_as": "copy_shift"} for name in ("parted_shift", "concat_shift")]
    other = [{"name": "inner_shift", "same_function_as": None}]
    header = {"schema_version": SCHEMA, "machine_id": machine, "created": created, "strategies": [*alike, *other]}
    (folder / "run.json").write_text(json.dumps(header))
    pd.DataFrame(rows).to_csv(folder / "tables" / "latency.csv", index=False)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An old run and a new one of this machine, and a newer one of another."""
    monkeypatch.setattr(session, "results", lambda: tmp_path)
    here = machine_id()
    put(tmp_path / "old", [row("concat_shift", 1.0), row("parted_shift", 9.0)], here, "2026-01-01")
    new = [row("no_shift", 0.0, fraction=0.0), row("copy_shift", 48.0), row("parted_shift", 2.0)]
    new += [row("concat_shift", 2.8), row("inner_shift", 0.1), row("parted_shift", 1.0, fraction=0.125)]
    put(tmp_path / "reference" / "new", new, here, "2026-02-01")
    put(tmp_path / "foreign", [row("concat_shift", 0.1), row("copy_shift", 0.2)], "another", "2026-03-01")
    return tmp_path


def test_the_cheapest_way_of_one_function_and_how_it_is_exported(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["advise", "--backbone", "mobilenet_v2", "--runtime", "onnxruntime"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "take, on intervals that overlap, parted_shift" in lines[0]
    assert [line.split()[0] for line in lines[2:5]] == ["parted_shift", "concat_shift", "copy_shift"]
    assert "+2.0 % [1.5, 2.5], 7 processes" in lines[2]
    assert lines[5] == f"measured in {runs / 'reference' / 'new'}"
    words = shlex.split(lines[6].partition("run_bench.py ")[2])
    group = get_command(app)
    name, sub, rest = group.resolve_command(group.make_context("run_bench.py", words, resilient_parsing=True), words)  # type: ignore[attr-defined]
    assert name == "export" and sub.make_context(name, list(rest)).params["strategy"] == "parted_shift"


def test_a_control_that_is_not_certified_is_said(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("copy_shift", 9.0, control="undecided"), row("concat_shift", 1.0, control="undecided")]
    put(runs / "newest", rows, machine_id(), "2026-04-01")
    assert main(["advise", "--backbone", "mobilenet_v2", "--runtime", "onnxruntime"]) == 0
    shown = capsys.readouterr().out
    assert "take concat_shift" in shown and "A/A control undecided" in shown


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--runtime tvm", ["'tvm'", "eager"]),
        ("--runtime compile --online", ["'compile'", "online"]),
        ("--runtime onnxruntime --dtype bf16", ["fp32 or int8 only"]),
        ("--runtime onnxruntime --placement sideways", ["'sideways'", "residual, inplace"]),
        ("--runtime onnxruntime --fraction 2", ["'2'", "0 to 1"]),
        ("--runtime onnxruntime --weights nowhere.pth", ["there is no file nowhere.pth"]),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(
    line: str, words: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["advise", "--backbone", "mobilenet_v2", *line.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert all(text in error for text in words), error


@pytest.mark.slow
def test_where_no_run_knows_a_quick_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "results", lambda: tmp_path)
    ask = ["--backbone", "resnet18", "--runtime", "eager", "--size", "32", "--budget", "60s", "--quiet"]
    if main(["advise", *ask]):  # on a machine that is too busy for five processes in a minute
        told = capsys.readouterr().err
        assert told.endswith("has no interval for them; give a longer --budget than 60s\n") and told.count("\n") == 1
        pytest.skip("too busy for a quick run")
    assert "bench.models.insert" in capsys.readouterr().out
    assert main(["advise", *ask]) == 0  # and is known from then on
    assert len(list(tmp_path.iterdir())) == 1
