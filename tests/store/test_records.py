"""Records and headers: what is written comes back, what is older is brought up to date, what is newer is refused."""

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Condition, Trial, Variant
from bench.spec.panel import Panel
from bench.store.journal import Run, read_records
from bench.store.records import RECORD, SCHEMA, FolderError, Record, read_header, refuse_used
from bench.store.samples import pack, unpack
from tests.store.synthetic import (
    DETECTOR,
    PANEL,
    SHIFT,
    STREAM,
    TWIN,
    checked,
    detection,
    failed_training,
    process,
    recognition,
    shift,
    static,
    timed,
    trained,
    unmeasured,
    video,
)

EVERY_KIND = {
    "timed": timed(TWIN, 3, faults=[1.0, 2.0], mhz=[2000.0, 1990.0]),
    "a stream": timed(Case(shift(direction="unidirectional"), STREAM), 0, frame_seconds=[[0.1] * 4, [0.2] * 4]),
    "another allocator": timed(Case(BASELINE_VARIANT, replace(PANEL, allocator="retained"))),
    "a case that failed": unmeasured(),
    "a case that was skipped": unmeasured(status="skipped", reason="no bottleneck"),
    "process": process(blocks=2, copies={64: [0.1, 0.2]}, backend={"threads": 2}),
    "static": static(
        operations={1 << 20: 3}, executed={"Conv": (53, None), "Slice": (3, 0.1)}, inputs={"conv1": [[8, 4, 4]]}
    ),
    "recognition": trained(recognition(early={"joint": [0.1, 0.2]}), shift(fraction="1/3"), 7),
    "detection": trained(detection(map_fast=None, by_class=[None, 0.5]), shift(), 7),
    "video": trained(video(top5_accuracy=0.9, early=[0.1, 0.2], left_out={"8.mp4": "no frames"}), shift(), 7),
    "a training that failed": failed_training(shift(), 1, "it diverged"),
    "checked": checked(flags=("memory_format",)),
    "a strategy that failed": checked("leaky", status="failed", reason="it leaks"),
}


@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_kind_comes_back_as_it_was(name: str) -> None:
    record = EVERY_KIND[name]
    assert RECORD.validate_json(record.model_dump_json()) == record
    assert record.schema_version == SCHEMA


@pytest.mark.parametrize(
    "change",
    [{"kind": "latency"}, {"status": "fine"}, {"nonsense": 1}, {"case": {}}, {"samples": {"speed": [1]}}, {"id": None}],
)
def test_what_is_no_record_is_refused(change: dict[str, Any]) -> None:
    plain = timed().model_dump(mode="json")
    with pytest.raises((ValidationError, KeyError)):
        RECORD.validate_python({**plain, **change})


AXES = {"backbone": "resnet50", "device": "cpu", "runtime": "eager", "dtype": "fp32", "memory_format": "nchw"}
OLD_PANEL = {**AXES, "threads": 2, "frames": 8, "size": 224, "batch": 1}
OLD_VARIANT = {"strategy": "copy_shift", "fraction": "1/4", "placement": "residual", "direction": "bidirectional"}
OLD_CASE = {**OLD_VARIANT, **OLD_PANEL, "aa": False}
OLD_ARM = {**OLD_VARIANT, "dataset": "ring_digits", "backbone": "digits_resnet"}
LABEL = "ring_digits-digits_resnet/copy_shift-residual-1/4-bidirectional"
SLOTS = {"superblock": [0, 0], "position": [0, 1], "seconds": [0.1, 0.25]}
FRAMES = {"frame_seconds": [[0.1, 0.2], [0.1, 0.2]]}
COUNTS = {"bytes_moved": 1000, "flops": 5, "params": 1, "peak_live_bytes": 4}
READINGS = {"wall": [1.0, 1.0], "disturbance": [{"steal": 0.1}, {}], "startup_seconds": 7.0}
COPIES = {"copy_bytes": 2 << 26, "copy_seconds": [[0.01, 0.03], [0.02, 0.04]]}
FAILED = {"status": "failed", "reason": "it diverged"}


def old(version: int, kind: str, case: dict[str, Any], samples: Any, **more: Any) -> dict[str, Any]:
    """A line as versions before 7 wrote it."""
    return {"schema_version": version, "kind": kind, "case": case, "samples": samples, "replicate": None, **more}


def without(samples: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in samples.model_dump(mode="json").items() if name not in names}


FIRST_PROCESS = process(blocks=2, **READINGS, waited=[], sensors=[], copies={64: [0.02, 0.03]}, warm_up_seconds=0.0)
FIRST_ARM = without(recognition(), "spatial_classes", "temporal_classes", "early", "curve", "shuffled_clips")
AGAIN = Condition(lr_factor=0.5, cohort="replication")
OLD_LINES: dict[str, tuple[dict[str, Any], Record]] = {
    "one copy size, no counters": (old(1, "replicate", OLD_PANEL, READINGS | COPIES, replicate=0), FIRST_PROCESS),
    "traffic in one sum": (old(1, "static", OLD_CASE, COUNTS), static(**COUNTS, operations={1000: 1})),
    "a strategy": (old(1, "conformance", {"strategy": "copy_shift"}, {}), checked()),
    "a peak that meant nothing": (
        old(2, "static", OLD_CASE, {**COUNTS, "operations": {"8": 1}, "peak_resident_bytes": 9}),
        static(**COUNTS, operations={8: 1}),
    ),
    "one way to train": (old(2, "accuracy", OLD_ARM, FIRST_ARM, seed=4), trained(recognition(), shift(), 4)),
    "a failed training": (
        old(2, "accuracy", OLD_ARM, {}, seed=4, **FAILED),
        failed_training(shift(), 4, "it diverged"),
    ),
    "a condition": (
        old(3, "accuracy", OLD_ARM | vars(AGAIN), without(recognition(), "early"), seed=0),
        trained(recognition(), shift(), 0, AGAIN),
    ),
    "a stream": (
        old(4, "online", OLD_CASE | {"frames": 4, "streams": 1}, SLOTS | FRAMES, replicate=0),
        timed(Case(shift(), STREAM), **FRAMES),
    ),
    "a failed case": (old(5, "latency", OLD_CASE, {}, **FAILED), unmeasured(reason="it diverged")),
    "a detector": (
        old(6, "detection", {**OLD_VARIANT, **vars(DETECTOR)}, without(detection()), seed=7),
        trained(detection(), shift(), 7),
    ),
    "whole clips": (old(6, "latency", OLD_CASE, SLOTS, replicate=2), timed(SHIFT, 2)),
    "as it is": (timed(SHIFT, 2).model_dump(mode="json"), timed(SHIFT, 2)),
}


@pytest.mark.parametrize("name", OLD_LINES)
def test_records_of_every_version_are_brought_up_to_date(name: str, tmp_path: Path) -> None:
    """The id stays, so that a resumed run measures nothing twice; what a version did not know stays unknown."""
    old, expected = OLD_LINES[name]
    body = json.dumps({"id": expected.id, "status": "ok", "reason": None, "flags": [], **old})
    sealed = old.get("schema_version", 1) >= 5
    check = f',"check":"{zlib.crc32(body.encode()):08x}"}}' if sealed else "}"
    (tmp_path / "records.jsonl").write_text(f"{body[:-1]}{check}\n")
    assert list(read_records(tmp_path)) == [expected]


@pytest.mark.parametrize("count", [1, 8, 13])
def test_packed_booleans_come_back(count: int) -> None:
    booleans = np.random.default_rng(count).random(count) < 0.5
    assert (unpack(pack(booleans), count) == booleans).all()


def test_ids_begin_with_the_keys_of_what_was_measured() -> None:
    variant = Variant.from_json(OLD_ARM)
    assert Trial("accuracy", variant, Condition.from_json(OLD_ARM), 4).key == f"accuracy/{LABEL}/seed4"
    assert Case.from_json(OLD_CASE).key.startswith("latency/resnet50-8x224-b1-cpu-eager-fp32-nchw-2t/copy_shift-")
    assert Panel.from_json({**OLD_PANEL, "streams": 1}).section == "online"
    assert variant.fraction == parse_fraction("1/4")


def test_headers(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="is not a run"):
        read_header(tmp_path)
    with Run(tmp_path) as run:
        run.write_header({"schema_version": SCHEMA, "title": "ä"})
    assert read_header(tmp_path)["title"] == "ä"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (f'{{"schema_version": {SCHEMA + 1}}}', "newer version"),
        ("{", "cannot read"),
        ("[]", "no schema_version"),
        ('{"schema_version": "7"}', "no schema_version"),
    ],
)
def test_what_is_no_header(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(FolderError, match=complaint):
        read_header(tmp_path)


def test_headers_of_version_6_named_their_trainings_one_by_one(tmp_path: Path) -> None:
    sweep = {"panels": [], "arms": [{"seed": 1}], "recipe": {"lr": 1}, "data": {}}
    sweep["detection"] = {"arms": [{"seed": 2}], "recipe": {"lr": 2}, "data": {}}
    (tmp_path / "run.json").write_text(json.dumps({"schema_version": 6, "sweep": sweep}))
    assert read_header(tmp_path)["sweep"] == {
        "panels": [],
        "trainings": {
            "accuracy": {"trials": [{"seed": 1}], "recipe": {"lr": 1}, "data": {}},
            "detection": {"trials": [{"seed": 2}], "recipe": {"lr": 2}, "data": {}},
        },
    }
    (tmp_path / "run.json").write_text(json.dumps({"schema_version": 3, "sweep": {"arms": [], "recipe": {}}}))
    assert read_header(tmp_path)["sweep"] == {"trainings": {}}


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({}, None),
        ({".lock": "", "records.jsonl": "", "run.json.new": "{"}, None),  # killed before it had begun
        ({"records.jsonl": "{}\n"}, "exists and is not a run; choose another --out"),
        ({"run.json": "{}"}, "exists and is a run; continue it with --resume"),
        ({"holiday.jpg": ""}, "exists and is not a run"),
    ],
)
def test_a_new_run_needs_a_new_folder(tmp_path: Path, files: dict[str, str], complaint: str | None) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if complaint is None:
        refuse_used(tmp_path)
    else:
        with pytest.raises(FolderError, match=complaint):
            refuse_used(tmp_path)
