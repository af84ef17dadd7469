"""One small run, made by the command line in a process of its own, looked at from all sides."""

import json
import math
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis.claims import load_claims
from bench.cli.app import main
from bench.store.journal import read_records, seal
from bench.store.records import StaticRecord, TimedRecord, read_header
from tests.conftest import ROOT, Finished


def table(run: Finished, name: str) -> pd.DataFrame:
    return pd.read_csv(run.folder / "tables" / f"{name}.csv")


def timed(run: Finished) -> list[TimedRecord]:
    records = read_records(run.folder)
    return [record for record in records if isinstance(record, TimedRecord) and record.status == "ok"]


# --- the run ----------------------------------------------------------------------------------------------------------


def test_a_run_with_failures_exits_with_1_and_lists_them(small_run: Finished) -> None:
    assert small_run.code == 1, small_run.stderr
    assert "Traceback" not in small_run.stderr
    assert "this file is broken" in small_run.stdout
    assert "check shortcut_exact" in (small_run.folder / "report.html").read_text()
    assert str(small_run.folder / "report.html") in small_run.stdout


def test_the_files_of_the_contract_are_there(small_run: Finished) -> None:
    tables = ("latency", "accuracy", "online", "detection", "early", "claims")
    figures = ("latency_overhead", "accuracy_by_fraction", "data_movement", "measurement_noise")
    names = ["run.json", "records.jsonl", "claims.json", "report.html"]
    names += [f"tables/{name}.{kind}" for name in tables for kind in ("csv", "md")]
    names += [f"figures/{name}.{kind}" for name in figures for kind in ("svg", "png")]
    names += [f"figures/{name}.{kind}" for name in ("online_frame_times", "detection") for kind in ("svg", "png")]
    assert [name for name in names if not (small_run.folder / name).stat().st_size] == []
    assert read_header(small_run.folder)["status"] == "finished"


def test_a_finished_run_measures_nothing_again(small_run: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    shutil.copytree(small_run.folder, folder)
    before = (folder / "records.jsonl").read_bytes()
    assert main(["run", "--resume", str(folder), "--quiet"]) == 1
    assert (folder / "records.jsonl").read_bytes() == before


def test_report_is_rebuilt_without_torch(small_run: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(small_run.folder, folder)
    for name in ("report.html", "claims.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "tables")
    code = (
        "import sys; from bench.cli.app import main; code = main(['report', sys.argv[1]]);"
        "assert 'torch' not in sys.modules, 'torch was imported'; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, check=True, timeout=120)
    for path in (*small_run.folder.glob("tables/*"), small_run.folder / "claims.json"):
        assert (folder / path.relative_to(small_run.folder)).read_bytes() == path.read_bytes(), path.name


# --- its tables -------------------------------------------------------------------------------------------------------


def test_latency_table(small_run: Finished) -> None:
    latency = table(small_run, "latency")
    contract = (
        "strategy placement fraction direction backbone device runtime dtype memory_format allocator threads frames "
        "size batch streams latency_ms overhead_pct overhead_ci_low_pct overhead_ci_high_pct extra_traffic_mb "
        "predicted_overhead_pct page_faults peak_memory_mb replicates blocks status flags"
    )
    assert set(contract.split()) <= set(latency.columns)
    measured = latency[latency.status == "ok"]
    assert set(measured.strategy) == {"no_shift", "copy_shift", "buffer_shift", "two_back"}
    assert (measured.latency_ms > 0).all()
    assert (measured.overhead_ci_low_pct <= measured.overhead_pct).all()
    assert (measured.overhead_pct <= measured.overhead_ci_high_pct).all()
    assert (measured.replicates == 2).all()
    twin = measured[measured["flags"].str.contains("aa", na=False)]
    assert list(twin.strategy) == ["no_shift"]
    failed = latency[latency.status == "failed"]
    assert set(failed.strategy) == {"broken", "<b>leaky</b>"}


def test_online_table(small_run: Finished) -> None:
    online = table(small_run, "online")
    measured = online[online.status == "ok"]
    for _, panel in measured.groupby("backbone"):
        assert list(panel.strategy) == ["no_shift", "no_shift", "buffer_shift"] and set(panel.streams) == {1}
        assert list(panel.cache_mb > 0) == [False, False, True]
    assert set(measured.backbone) == {"resnet18", "digits_fcos"}
    assert (measured.frame_ms <= measured.p95_ms).all() and (measured.replicates == 1).all()
    assert measured.missed_deadline_pct.between(0, 100).all() and (measured.fps > 0).all()
    looks_ahead = online[online.strategy == "two_back"]
    assert (looks_ahead.status == "skipped").all()
    assert looks_ahead.reason.str.contains("does not compute frame by frame").all()


def test_accuracy_table(small_run: Finished) -> None:
    accuracy = table(small_run, "accuracy")
    baseline = accuracy[accuracy.strategy == "no_shift"].iloc[0]
    assert baseline.temporal_mean_pct == 25.0  # exactly chance: single frames tell nothing
    assert pd.isna(baseline.temporal_ci_low_pct) and baseline.note == "no interval with fewer than 5 seeds"
    measured = accuracy[accuracy.status == "ok"]
    assert set(measured.strategy) == {"no_shift", "copy_shift", "two_back"}
    assert (measured.seeds == 2).all()
    assert (measured.params == baseline.params).all()


def test_detection_table(small_run: Finished) -> None:
    detection = table(small_run, "detection")
    detection = detection[detection.status == "ok"]
    assert list(detection.form) == ["frame by frame", "online", "online"]
    assert list(detection.strategy) == ["no_shift", "copy_shift", "buffer_shift"]
    assert list(detection.seeds) == [2, 2, 0]
    assert detection.map_pct[:2].between(0, 100).all() and detection.map_delta_pct.notna().tolist()[1]
    assert detection.overhead_pct.notna().tolist() == [True, False, True]
    assert detection.equivalents.tolist()[1] == "buffer_shift"


def test_every_claim_has_a_verdict_and_a_reason(small_run: Finished) -> None:
    verdicts = json.loads((small_run.folder / "claims.json").read_text())
    assert {v["claim"] for v in verdicts} == {claim.id for claim in load_claims()}
    assert len({v["id"] for v in verdicts}) == len(verdicts)
    assert all(v["verdict"] and v["why"] for v in verdicts)
    judged = [v for v in verdicts if v["verdict"] not in ("not measured", "invalid")]
    assert {"zero-cost", "trend-devices", "detection-gain", "detection-fast"} <= {v["claim"] for v in judged}
    with_interval = {v["claim"] for v in judged if v["ci_low"] is not None}
    assert "trend-devices" in with_interval
    assert not {"zero-cost", "detection-gain", "detection-fast"} & with_interval  # counted; two seeds


def test_a_dropped_in_strategy_is_everywhere(small_run: Finished) -> None:
    for name in ("tables/latency.csv", "tables/accuracy.csv", "figures/latency_overhead.svg", "report.html"):
        assert "two_back" in (small_run.folder / name).read_text(), name
    page = (small_run.folder / "report.html").read_text()
    assert "<b>leaky</b>" not in page
    assert "&lt;b&gt;leaky" in page


# --- from samples to numbers ------------------------------------------------------------------------------------------


def test_raw_samples_lead_to_the_table(small_run: Finished) -> None:
    """By hand, without the suite's estimators: each superblock's ratio, then medians, agree with the table."""
    seconds = {
        (record.case.variant.strategy, record.case.variant.fraction, record.replicate): record.samples.seconds
        for record in timed(small_run)
        if not record.case.panel.streams and not record.case.aa
    }
    latency = table(small_run, "latency")
    row = latency[(latency.strategy == "copy_shift") & (latency.fraction == 1.0)].iloc[0]
    ratios = []
    for replicate in (0, 1):
        own, base = seconds["copy_shift", Fraction(1), replicate], seconds["no_shift", Fraction(0), replicate]
        slots = zip(own[::2], own[1::2], base[::2], base[1::2], strict=True)
        ratios += [math.sqrt(a * b / (c * d)) for a, b, c, d in slots]
    assert len(ratios) == row.blocks + row.excluded  # where something ran beside the test, some are left out
    assert min(ratios) - 1 <= row.overhead_pct / 100 <= max(ratios) - 1


def test_every_superblock_is_mirrored(small_run: Finished) -> None:
    """Of n cases, the one in place p stands in place 2n - 1 - p too."""
    together = defaultdict(list)
    for record in timed(small_run):
        together[record.case.panel, record.replicate].append(record.samples)
    assert sorted(map(len, together.values())) == [3, 3, 9, 9]
    for cases in together.values():
        for slots in cases:
            places = defaultdict(list)
            for block, place in zip(slots.superblock, slots.position, strict=True):
                places[block].append(place)
            assert all(sum(pair) == 2 * len(cases) - 1 and len(pair) == 2 for pair in places.values())


def test_every_number_leads_to_its_records(small_run: Finished) -> None:
    samples = table(small_run, "samples")
    assert set(samples.record) <= {record.id for record in read_records(small_run.folder)} and samples.record.is_unique
    for name, column, value in (
        ("latency", "overhead_pct", "overhead_pct"),
        ("online", "overhead_pct", "overhead_pct"),
        ("accuracy", "joint_mean_pct", "joint_pct"),
    ):
        rows = table(small_run, name)
        for row in rows[rows.status == "ok"].to_dict("records"):
            own = samples.loc[samples.records == row["records"], value]
            assert own.mean() == pytest.approx(row[column], abs=1e-9)


# --- beside another run -----------------------------------------------------------------------------------------------


def test_compare_a_run_with_itself(small_run: Finished, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(small_run.folder, tmp_path / name)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    compared = pd.read_csv(tmp_path / "compare-a-b" / "comparison.csv")
    assert (compared.difference == 0).all()
    assert not compared.differs.any()
    assert (tmp_path / "compare-a-b" / "comparison.png").stat().st_size > 0
    trends = json.loads((tmp_path / "compare-a-b" / "claims.json").read_text())
    assert {trend["id"] for trend in trends} == {
        f"trend-devices/{name} residual bidirectional" for name in ("copy_shift", "buffer_shift")
    }
    for trend in trends:
        assert trend["verdict"] != "not measured" and "A " in trend["why"] and "B " in trend["why"]


def test_compare_refuses_what_is_not_comparable(
    small_run: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    header = json.loads((small_run.folder / "run.json").read_text())
    header["sweep"]["trainings"]["accuracy"]["recipe"]["epochs"] = 99
    (other / "run.json").write_text(json.dumps(header))
    lines = []
    for record in read_records(small_run.folder):
        if isinstance(record, TimedRecord | StaticRecord):
            larger = replace(record.case, panel=replace(record.case.panel, size=96))
            record = record.model_copy(update={"case": larger})
        lines.append(seal(record))
    (other / "records.jsonl").write_bytes(b"".join(lines))
    assert main(["compare", str(small_run.folder), str(other)]) == 2
    error = capsys.readouterr().err
    assert "no case in common" in error
    assert "the recipes differ in epochs" in error
