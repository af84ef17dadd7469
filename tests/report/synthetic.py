"""A synthetic run, whole: what its folder holds, with the rows of ``synthetic_latency`` and ``synthetic_accuracy``."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bench.spec.cases import Condition
from tests.report.synthetic_accuracy import accuracy_rows, control_rows, curve_rows, study_rows
from tests.report.synthetic_detection import detection_examples, detection_rows
from tests.report.synthetic_latency import (
    bandwidth_rows,
    case,
    contest_rows,
    latency_rows,
    quality_row,
    slope_rows,
    superblock_rows,
)
from tests.report.synthetic_online import early_rows, online_rows, quantile_rows

HOSTILE = "<img src=x onerror=alert(1)>"
VERDICTS = ("reproduced", "not reproduced", "direction only", "inconclusive", "not measured", "invalid")


@dataclass(frozen=True)
class FakeTables:
    """The shape of ``bench.analysis.Tables``."""

    folder: Path
    header: dict[str, Any] = field(default_factory=dict)
    latency: pd.DataFrame = field(default_factory=pd.DataFrame)
    accuracy: pd.DataFrame = field(default_factory=pd.DataFrame)
    curves: pd.DataFrame = field(default_factory=pd.DataFrame)
    controls: pd.DataFrame = field(default_factory=pd.DataFrame)
    slopes: pd.DataFrame = field(default_factory=pd.DataFrame)
    superblocks: pd.DataFrame = field(default_factory=pd.DataFrame)
    contests: pd.DataFrame = field(default_factory=pd.DataFrame)
    quality: pd.DataFrame = field(default_factory=pd.DataFrame)
    bandwidth: pd.DataFrame = field(default_factory=pd.DataFrame)
    graphs: pd.DataFrame = field(default_factory=pd.DataFrame)
    online: pd.DataFrame = field(default_factory=pd.DataFrame)
    frames: pd.DataFrame = field(default_factory=pd.DataFrame)
    early: pd.DataFrame = field(default_factory=pd.DataFrame)
    samples: pd.DataFrame = field(default_factory=pd.DataFrame)
    detection: pd.DataFrame = field(default_factory=pd.DataFrame)
    detection_examples: list[dict[str, Any]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    failures: pd.DataFrame = field(default_factory=pd.DataFrame)
    claims: list[dict[str, Any]] = field(default_factory=list)
    suspect: str | None = None
    online_suspect: str | None = None


def claim_rows() -> list[dict[str, Any]]:
    """One claim for each verdict."""
    ids = ("naive-cpu", "trend-devices", "partial-cpu", "peak-quarter", "naive-gpu", "online-latency")
    return [
        {
            "id": name,
            "finding": f"the finding called {name}, in one sentence that is long enough to wrap",
            "source": "arXiv 1811.08383, section 3.2",
            "paper": 13.7 if index == 0 else "<= 3 %",
            "measured": None if verdict in ("not measured", "invalid") else 11.4,
            "ci_low": None if verdict in ("not measured", "invalid") else 10.8,
            "ci_high": None if verdict in ("not measured", "invalid") else 12.0,
            "verdict": verdict,
            "why": "this run has no GPU" if verdict == "not measured" else "the interval lies where it lies",
            "unit": "%",
        }
        for index, (name, verdict) in enumerate(zip(ids, VERDICTS, strict=True))
    ]


def header() -> dict[str, Any]:
    """``run.json``."""
    same = {"buffer_shift": "copy_shift", "concat_shift": "copy_shift"}
    return {
        "schema_version": 1,
        "title": "ResNet-50 on a CPU & mini-training",
        "preset": "standard",
        "command": "run_bench.py run --preset standard --out results/demo",
        "status": "finished",
        "created": "2026-01-12T10:00:00+00:00",
        "environment": {
            "cpu": "Intel(R) Xeon(R) Platinum 8481C",
            "cores": 2,
            "memory_gb": 15.6,
            "os": "Linux 6.1",
            "python": "3.11.7",
            "versions": {"torch": "2.11.0", "torchvision": "0.26.0"},
        },
        "strategies": [
            {"name": name, "file": f"strategies/{name}.py", "builtin": True, "same_function_as": same.get(name)}
            for name in ("no_shift", "copy_shift", "concat_shift", "buffer_shift")
        ],
        "settings": {
            "latency": {"target_half_width_points": 0.5, "budget": 600.0, "min_replicates": 5},
            "accuracy": {"recipe": {"train_share": 0.6, "validation_share": 0.15, "judged_on": "test"}},
        },
        "wall_seconds": {"latency": 596.2, "accuracy": 1833.0},
    }


def full_tables(folder: Path) -> FakeTables:
    """Both sections, every verdict, one failed and one skipped case."""
    failed = case(
        "concat_shift", "inplace", 0.25, float("nan"), status="failed", flags="", reason="RuntimeError: no room"
    )
    failures = [
        {"kind": "latency", "id": "concat_shift-inplace-1/4", "status": "failed", "reason": "RuntimeError: no room"},
        {"kind": "conformance", "id": "late_shift", "status": "skipped", "reason": "needs CUDA"},
    ]
    return FakeTables(
        folder,
        header(),
        latency=pd.DataFrame([*latency_rows(), failed]),
        accuracy=pd.DataFrame(accuracy_rows() + study_rows()),
        curves=pd.DataFrame(curve_rows()),
        controls=pd.DataFrame(control_rows()),
        slopes=pd.DataFrame(slope_rows()),
        superblocks=pd.DataFrame(superblock_rows()),
        contests=pd.DataFrame(contest_rows(latency_rows())),
        quality=pd.DataFrame([quality_row()]),
        bandwidth=pd.DataFrame(bandwidth_rows()),
        online=pd.DataFrame(online_rows()),
        frames=pd.DataFrame(quantile_rows()),
        early=pd.DataFrame(early_rows(asdict(Condition()))),
        detection=pd.DataFrame(detection_rows()),
        detection_examples=detection_examples(),
        failures=pd.DataFrame(failures),
        claims=claim_rows(),
    )
