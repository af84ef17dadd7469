"""One small run, made by the command line in a process of its own, looked at from all sides."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from nbclient import NotebookClient

from bench.analysis import run_tables
from bench.store.journal import read_records, seal
from bench.store.records import read_header
from tests.conftest import ROOT, SMALL, Finished, command


def test_a_run_with_failures_exits_with_1_and_lists_them(small_run: Finished) -> None:
    assert small_run.code == 1, small_run.stderr
    assert "Traceback" not in small_run.stderr
    assert "this file is broken" in small_run.stdout
    assert "check shortcut_exact" in small_run.stdout
    assert str(small_run.folder / "report.html") in small_run.stdout


def test_the_files_of_the_contract_are_there(small_run: Finished) -> None:
    names = ["run.json", "records.jsonl", "claims.json", "report.html"]
    names += [
        f"tables/{name}.{kind}"
        for name in ("latency", "accuracy", "online", "early", "claims")
        for kind in ("csv", "md")
    ]
    names += [f"figures/{name}.{kind}" for name in ("latency_overhead", "pareto") for kind in ("svg", "png")]
    names += [f"figures/{name}.svg" for name in ("accuracy_by_fraction", "data_movement", "measurement_noise")]
    assert [name for name in names if not (small_run.folder / name).stat().st_size] == []
    assert read_header(small_run.folder)["status"] == "finished"


def test_latency_table(small_run: Finished) -> None:
    table = pd.read_csv(small_run.folder / "tables/latency.csv")
    contract = (
        "strategy placement fraction direction backbone device runtime dtype memory_format threads frames size batch"
    )
    contract += (
        " latency_ms overhead_pct overhead_ci_low_pct overhead_ci_high_pct extra_traffic_mb predicted_overhead_pct"
    )
    contract += " peak_memory_mb replicates blocks status flags"
    assert set(contract.split()) <= set(table.columns)
    measured = table[table.status == "ok"]
    assert set(measured.strategy) == {"no_shift", "copy_shift", "buffer_shift", "two_back"}
    assert (measured.latency_ms > 0).all()
    assert (measured.overhead_ci_low_pct <= measured.overhead_pct).all()
    assert (measured.overhead_pct <= measured.overhead_ci_high_pct).all()
    assert (measured.replicates == 2).all()
    twin = measured[measured["flags"].str.contains("aa", na=False)]
    assert list(twin.strategy) == ["no_shift"]
    failed = table[table.status == "failed"]
    assert set(failed.strategy) == {"broken", "<b>leaky</b>"}


def test_baseline_is_exactly_at_chance_in_time(small_run: Finished) -> None:
    table = pd.read_csv(small_run.folder / "tables/accuracy.csv")
    baseline = table[table.strategy == "no_shift"].iloc[0]
    assert (baseline.temporal_mean_pct, baseline.temporal_ci_low_pct, baseline.temporal_ci_high_pct) == (
        25.0,
        25.0,
        25.0,
    )
    measured = table[table.status == "ok"]
    assert set(measured.strategy) == {"no_shift", "copy_shift", "two_back"}
    assert (measured.seeds == 2).all()
    assert (measured.params == baseline.params).all()


def test_every_claim_has_a_verdict_and_a_reason(small_run: Finished) -> None:
    verdicts = json.loads((small_run.folder / "claims.json").read_text())
    assert {v["claim"] for v in verdicts} == {claim.id for claim in run_tables.claims.load_claims()}
    assert len({v["id"] for v in verdicts}) == len(verdicts)
    assert all(v["verdict"] and v["why"] for v in verdicts)
    judged = [v for v in verdicts if v["verdict"] not in ("not measured", "invalid")]
    assert {"zero-cost", "trend-devices"} <= {v["claim"] for v in judged}
    partly = next(v for v in verdicts if v["claim"] == "residual-over-inplace")
    assert "has not trained" in partly["why"]
    assert all(v["ci_low"] is not None for v in judged if v["claim"] != "zero-cost")


def test_a_dropped_in_strategy_is_everywhere(small_run: Finished) -> None:
    for name in ("tables/latency.csv", "tables/accuracy.csv", "figures/latency_overhead.svg", "report.html"):
        assert "two_back" in (small_run.folder / name).read_text(), name
    page = (small_run.folder / "report.html").read_text()
    assert "<b>leaky</b>" not in page
    assert "&lt;b&gt;leaky" in page


def test_raw_samples_lead_to_the_table(small_run: Finished) -> None:
    """By hand, without the suite's estimators: each superblock's ratio, then medians, agree with the table."""
    records = [r for r in read_records(small_run.folder) if r.kind == "latency" and r.status == "ok"]
    by_case = {(r.case["strategy"], r.case["fraction"], r.case["aa"], r.replicate): r.samples for r in records}
    table = pd.read_csv(small_run.folder / "tables/latency.csv")
    row = table[(table.strategy == "copy_shift") & (table.fraction == 1.0)].iloc[0]
    ratios = []
    for replicate in (0, 1):
        mine, base = (
            by_case[key, f, False, replicate]["seconds"] for key, f in (("copy_shift", "1"), ("no_shift", "0"))
        )
        ratios += [
            math.sqrt(a * b / (c * d)) for a, b, c, d in zip(mine[::2], mine[1::2], base[::2], base[1::2], strict=True)
        ]
    assert len(ratios) == row.blocks + row.excluded  # where something ran beside the test, some are left out
    assert min(ratios) - 1 <= row.overhead_pct / 100 <= max(ratios) - 1


def test_every_superblock_is_mirrored(small_run: Finished) -> None:
    for record in read_records(small_run.folder):
        if record.kind == "latency" and record.status == "ok":
            pairs = list(zip(record.samples["superblock"], record.samples["position"], strict=True))
            blocks = {block for block, _ in pairs}
            cases = (max(p for _, p in pairs) + 1, min(p for _, p in pairs))
            for block in blocks:
                first, second = [position for b, position in pairs if b == block]
                assert first + second == 2 * 9 - 1, cases  # 9 cases stand: 2 baselines, 2 × 3 built-in, 1 plug-in


def test_report_is_rebuilt_without_torch(small_run: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(small_run.folder, folder)
    for name in ("report.html", "claims.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "tables")
    code = (
        "import sys; from bench.cli import main; code = main(['report', sys.argv[1]]);"
        "assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, timeout=120)
    for name in ("tables/latency.csv", "tables/accuracy.csv", "claims.json"):
        assert (folder / name).read_bytes() == (small_run.folder / name).read_bytes(), name


def test_resume_of_a_finished_run_measures_nothing_again(small_run: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(small_run.folder, folder)
    before = (folder / "records.jsonl").read_bytes()
    done = command("run", "--resume", str(folder), "--quiet")
    assert done.returncode == 1, done.stderr
    assert (folder / "records.jsonl").read_bytes() == before


def test_a_killed_run_is_resumed_to_the_same_records(small_run: Finished, tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text(SMALL)
    folder = tmp_path / "run"
    line = [
        "run",
        "--config",
        str(config),
        "--out",
        str(folder),
        "--quiet",
        "--strategies",
        "copy_shift",
        "--seeds",
        "1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_bench.py"), *line],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    journal = folder / "records.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.exists() and b'"kind":"latency"' in journal.read_bytes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with journal.open("ab") as torn:
        torn.write(b'{"schema_version":1,"id":"latency/half')
    done = command("run", "--resume", str(folder), "--quiet")
    assert done.returncode == 0, done.stderr
    ids = [record.id for record in read_records(folder)]
    assert len(ids) == len(set(ids))
    seeds = [i for i in ids if i.startswith("accuracy/")]
    replicates = {i.rsplit("/", 1)[1] for i in ids if i.startswith("latency/")}
    assert len(seeds) == 3
    assert replicates == {"r0", "r1"}
    assert sum(i.startswith("latency/") for i in ids) == 2 * (2 + 3)


def test_every_number_leads_to_its_records(small_run: Finished) -> None:
    tables = small_run.folder / "tables"
    samples = pd.read_csv(tables / "samples.csv")
    ids = {record.id for record in read_records(small_run.folder)}
    assert set(samples.record) <= ids and samples.record.is_unique
    for name, value in (("latency", "overhead_pct"), ("accuracy", "joint_pct")):
        table = pd.read_csv(tables / f"{name}.csv")
        column = "overhead_pct" if name == "latency" else "joint_mean_pct"
        for row in table[table.status == "ok"].to_dict("records"):
            behind = samples.loc[samples.records == row["records"], value]
            assert behind.mean() == pytest.approx(row[column], abs=1e-9)


def test_compare_a_run_with_itself(small_run: Finished, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(small_run.folder, tmp_path / name)
    done = command("compare", str(tmp_path / "a"), str(tmp_path / "b"))
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "compare-a-b" / "comparison.csv")
    assert (table.difference == 0).all()
    assert not table.differs.any()
    assert (tmp_path / "compare-a-b" / "comparison.png").stat().st_size > 0
    trends = json.loads((tmp_path / "compare-a-b" / "claims.json").read_text())
    assert {trend["id"] for trend in trends} == {
        f"trend-devices/{name} residual bidirectional" for name in ("copy_shift", "buffer_shift")
    }
    for trend in trends:
        assert trend["verdict"] != "not measured" and "A " in trend["why"] and "B " in trend["why"]


def test_compare_refuses_what_is_not_comparable(small_run: Finished, tmp_path: Path) -> None:
    shutil.copytree(small_run.folder, tmp_path / "other")
    header = json.loads((tmp_path / "other" / "run.json").read_text())
    header["sweep"]["recipe"]["epochs"] = 99
    (tmp_path / "other" / "run.json").write_text(json.dumps(header))
    records = [
        record.model_copy(update={"case": {**record.case, "size": 64}}) if "size" in record.case else record
        for record in read_records(tmp_path / "other")
    ]
    (tmp_path / "other" / "records.jsonl").write_bytes(b"".join(map(seal, records)))
    done = command("compare", str(small_run.folder), str(tmp_path / "other"))
    assert done.returncode == 2
    assert "no case in common" in done.stderr
    assert "the recipes differ in epochs" in done.stderr


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("name", "pictures"), [("explore_run", 2), ("why_the_shift_costs", 1), ("write_a_strategy", 1)]
)
def test_notebooks_run_from_a_clean_kernel(
    name: str, pictures: int, small_run: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIFTBENCH_RUN", str(small_run.folder))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=400, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "notebooks")}}
    )
    client.execute()
    drawn = [
        o
        for cell in notebook.cells
        if cell.cell_type == "code"
        for o in cell.outputs
        if "image/png" in o.get("data", {})
    ]
    assert len(drawn) >= pictures
