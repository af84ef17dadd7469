"""The journal: whole lines, no doubles, one writer, torn lines set aside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.analysis import run_tables
from bench.spec.cases import Arm, Condition, Variant
from bench.store.journal import Run, read_records
from bench.store.records import SCHEMA, FolderError, Kind, Record, Status, read_header
from tests.conftest import ROOT


def record(name: str, kind: Kind = "static", status: Status = "ok") -> Record:
    return Record(id=name, kind=kind, status=status, samples={"seconds": [0.1, 0.25]}, flags=("aa",))


def test_append_and_reload(tmp_path: Path) -> None:
    with Run(tmp_path / "run") as run:
        run.append(record("a"))
        run.append(record("b"))
    assert list(read_records(tmp_path / "run")) == [record("a"), record("b")]
    with Run(tmp_path / "run") as run:
        assert run.ids == {"a", "b"}
        with pytest.raises(ValueError, match="twice"):
            run.append(record("a"))


def test_a_torn_last_line_is_set_aside(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.append(record("a"))
    whole = (tmp_path / "records.jsonl").read_bytes()
    torn = record("b").model_dump_json().encode()
    for cut in (1, len(torn) // 2, len(torn)):
        (tmp_path / "records.jsonl").write_bytes(whole + torn[:cut])
        assert [r.id for r in read_records(tmp_path)] == ["a"]
        with Run(tmp_path) as run:
            assert run.ids == {"a"}
        assert (tmp_path / "records.jsonl").read_bytes() == whole
    assert torn in (tmp_path / "records.torn").read_bytes()


def test_half_a_replicate_is_set_aside(tmp_path: Path) -> None:
    """Killed between two lines of one replicate: its cases must be measured again together."""
    whole = [record("r0a", "latency"), record("r0b", "latency"), record("r0", "replicate")]
    with Run(tmp_path) as run:
        run.append(*whole)
        run.append(record("r1f", "latency", "failed"), record("r1a", "latency"), record("r1b", "latency"))
    with Run(tmp_path) as run:
        assert run.ids == {"r0a", "r0b", "r0", "r1f"}
        run.append(record("r1a", "latency"), record("r1", "replicate"))
    with Run(tmp_path) as run:
        assert [r.id for r in read_records(tmp_path)] == ["r0a", "r0b", "r0", "r1f", "r1a", "r1"]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.append(record("a"))
    with (tmp_path / "records.jsonl").open("ab") as journal:
        journal.write(b"{}\n" + record("c").model_dump_json().encode() + b"\n")
    with pytest.raises(FolderError, match="line 2 is damaged: it is not a record"):
        list(read_records(tmp_path))


def test_two_runs_cannot_write_one_folder(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from bench.journal import Run; Run(Path({str(tmp_path)!r})).__enter__()"
    with Run(tmp_path):
        other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "another run is writing" in other.stderr
    with Run(tmp_path):  # and the lock is free again
        pass


def test_headers(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="is not a run"):
        read_header(tmp_path)
    with Run(tmp_path) as run:
        run.write_header({"schema_version": SCHEMA, "title": "ä"})
    assert read_header(tmp_path)["title"] == "ä"
    (tmp_path / "run.json").write_text(json.dumps({"schema_version": SCHEMA + 1}))
    with pytest.raises(FolderError, match="newer version"):
        read_header(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(FolderError, match="cannot read"):
        read_header(tmp_path)


def test_records_of_version_1_are_brought_up_to_date(tmp_path: Path) -> None:
    """One copy size, no counters at slots' edges, traffic in one sum: what version 1 knew."""
    old = {"schema_version": 1, "status": "ok", "case": {}}
    replicate = {"copy_bytes": 2 << 26, "copy_seconds": [[0.01, 0.03], [0.02, 0.04]], "wall": [1.0, 1.0]}
    lines = [
        {**old, "id": "r", "kind": "replicate", "samples": replicate},
        {**old, "id": "s", "kind": "static", "samples": {"bytes_moved": 1000, "flops": 5}},
        {**old, "id": "l", "kind": "latency", "samples": {"seconds": [0.1]}},
    ]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    records = {record.id: record for record in read_records(tmp_path)}
    assert {record.schema_version for record in records.values()} == {SCHEMA}
    assert records["r"].samples["copies"] == {"64": pytest.approx([0.02, 0.03])}
    assert records["s"].samples["operations"] == {"1000": 1}
    assert records["l"].samples == {"seconds": [0.1]}


def test_accuracy_records_of_version_2_say_how_they_were_trained(tmp_path: Path) -> None:
    """In the one way there was; their ids are those that a resumed run would give them."""
    variant = {"strategy": "copy_shift", "fraction": "1/4", "placement": "residual", "direction": "bidirectional"}
    case = {**variant, "dataset": "ring_digits", "backbone": "digits_resnet"}
    label = "ring_digits-digits_resnet/copy_shift-residual-1/4-bidirectional/seed"
    lines = [
        {"schema_version": 2, "kind": "accuracy", "case": case, "seed": seed, "id": f"accuracy/{label}{seed}", **more}
        for seed, more in enumerate(
            (
                {"status": "ok", "samples": {"joint_accuracy": 0.9}},
                {"status": "failed", "reason": "Diverged", "samples": {}},
            )
        )
    ]
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    good, bad = read_records(tmp_path)
    for record in (good, bad):
        assert record.seed is not None
        arm = Arm(Variant.from_json(record.case), Condition.from_json(record.case), record.seed)
        assert (arm.condition, arm.to_json(), f"accuracy/{arm.label}") == (Condition(), record.case, record.id)
    assert good.samples == {"joint_accuracy": 0.9, "spatial_classes": 10, "temporal_classes": 4}
    assert bad.samples == {}


def test_half_a_replicate_of_streams_is_set_aside_too(tmp_path: Path) -> None:
    with Run(tmp_path) as run:
        run.append(record("r0a", "online"), record("r0", "replicate"), record("r1a", "online"))
    with Run(tmp_path) as run:
        assert run.ids == {"r0a", "r0"}


def test_records_of_version_3_are_as_they_were(tmp_path: Path) -> None:
    """They know nothing of streams, nor of what an arm knew early."""
    old = {"schema_version": 3, "id": "a", "kind": "accuracy", "status": "ok", "samples": {"joint_accuracy": 0.5}}
    (tmp_path / "records.jsonl").write_text(json.dumps(old) + "\n")
    (read,) = read_records(tmp_path)
    assert (read.schema_version, read.samples) == (SCHEMA, {"joint_accuracy": 0.5})


def test_the_published_runs_can_still_be_read() -> None:
    for folder in sorted((ROOT / "results" / "reference").glob("*/claims.json")):
        tables = run_tables.load(folder.parent)
        published = json.loads((folder.parent / "claims.json").read_text())
        now = {claim["id"]: claim["verdict"] for claim in tables.claims}
        assert {claim["id"]: claim["verdict"] for claim in published}.items() <= now.items(), folder
        measured = tables.latency[tables.latency["status"] == "ok"]
        if measured.empty:  # a run on accuracy alone
            continue
        assert measured["predicted_overhead_pct"].notna().all(), folder
        assert (measured["overhead_all_pct"] - measured["overhead_pct"]).abs().max() < 5, folder
