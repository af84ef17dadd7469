"""A synthetic run: about what a 2-core Xeon shows, without measuring anything."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HOSTILE = "<img src=x onerror=alert(1)>"

PANEL = {
    "backbone": "resnet50",
    "device": "cpu",
    "runtime": "eager",
    "dtype": "fp32",
    "memory_format": "nchw",
    "threads": 2,
    "frames": 8,
    "size": 224,
    "batch": 1,
}
FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1.0)
N_MB = 179.8
OVERHEADS: dict[tuple[str, str], tuple[float, ...]] = {
    ("copy_shift", "residual"): (11.0, 11.3, 11.2, 11.4),
    ("concat_shift", "residual"): (9.4, 10.8, 11.6, 12.9),
    ("buffer_shift", "residual"): (1.1, 1.4, 2.1, 3.2),
    ("buffer_shift", "inplace"): (1.0, 0.9, 1.3, 1.8),
}
TRAFFIC: dict[str, Callable[[float], float]] = {
    "copy_shift": lambda f: 3.0,
    "concat_shift": lambda f: 2 + 4 * f,
    "buffer_shift": lambda f: 4 * f,
}
ACCURACIES = {
    ("residual", 1 / 8): (90.7, 95.5, 87.1),
    ("residual", 1 / 4): (90.8, 89.9, 82.1),
    ("residual", 1 / 2): (86.1, 77.6, 66.5),
    ("residual", 1.0): (81.5, 77.6, 63.4),
    ("inplace", 1 / 8): (89.6, 89.2, 80.4),
    ("inplace", 1 / 4): (88.4, 92.9, 82.9),
    ("inplace", 1 / 2): (76.5, 94.6, 73.0),
    ("inplace", 1.0): (84.6, 42.7, 36.1),
}
BASELINE_ACCURACY = (94.8, 25.0, 23.7)
VERDICTS = ("reproduced", "not reproduced", "direction only", "inconclusive", "not measured", "invalid")


@dataclass(frozen=True)
class FakeTables:
    """The shape of ``bench.analysis.Tables``."""

    folder: Path
    header: dict[str, Any] = field(default_factory=dict)
    latency: pd.DataFrame = field(default_factory=pd.DataFrame)
    accuracy: pd.DataFrame = field(default_factory=pd.DataFrame)
    slopes: pd.DataFrame = field(default_factory=pd.DataFrame)
    superblocks: pd.DataFrame = field(default_factory=pd.DataFrame)
    failures: pd.DataFrame = field(default_factory=pd.DataFrame)
    claims: list[dict[str, Any]] = field(default_factory=list)
    suspect: str | None = None


def case(
    strategy: str, placement: str, fraction: float, overhead: float, half: float = 0.6, **more: Any
) -> dict[str, Any]:
    """One row of the latency table."""
    aa = more.pop("aa", False)
    base = strategy == "no_shift"
    traffic = 0.0 if base else N_MB * TRAFFIC.get(strategy, lambda f: 2 + f)(fraction)
    known = not (base and not aa)
    row = {
        **PANEL,
        "strategy": strategy,
        "placement": placement,
        "fraction": fraction,
        "direction": "bidirectional",
        "latency_ms": 372.4 * (1 + overhead / 100),
        "overhead_pct": overhead,
        "overhead_ci_low_pct": overhead - half if known else 0.0,
        "overhead_ci_high_pct": overhead + half if known else 0.0,
        "half_width_pct": half if known else 0.0,
        "median_overhead_pct": overhead + 0.05,
        "detectable_pct": 1.4 * half,
        "extra_traffic_mb": traffic,
        "predicted_overhead_pct": traffic / N_MB * 3.4,
        "peak_memory_mb": 812.0 + traffic / 10,
        "params": 23_508_032,
        "flops": 33.0e9,
        "replicates": 8,
        "blocks": 80,
        "status": "ok",
        "flags": "aa" if aa else "",
        "reason": "",
        "aa": aa,
    }
    return row | more


def latency_rows(**panel: Any) -> list[dict[str, Any]]:
    """A whole panel: baseline, twin and the cases."""
    rng = np.random.default_rng(7)
    rows = [case("no_shift", "residual", 0.0, 0.0), case("no_shift", "residual", 0.0, 0.08, 0.35, aa=True)]
    for (strategy, placement), overheads in OVERHEADS.items():
        for fraction, overhead in zip(FRACTIONS, overheads, strict=True):
            rows.append(case(strategy, placement, fraction, overhead, float(rng.uniform(0.3, 0.7))))
    return [row | panel for row in rows]


def arm(
    placement: str, fraction: float, means: tuple[float, ...], seeds: int = 5, strategy: str = "copy_shift"
) -> dict[str, Any]:
    """One row of the accuracy table."""
    half = {1: float("nan")}.get(seeds, 1.3)
    row: dict[str, Any] = {
        "strategy": strategy,
        "placement": placement,
        "fraction": fraction,
        "direction": "bidirectional",
        "dataset": "ring_digits",
        "backbone": "digits_resnet",
        "seeds": seeds,
        "params": 78_000,
        "flops": 9.1e6,
        "train_seconds": 61.0,
        "status": "ok",
        "reason": "",
        "also_holds_for": "buffer_shift,concat_shift" if strategy == "copy_shift" else "",
    }
    for part, mean, base in zip(("spatial", "temporal", "joint"), means, BASELINE_ACCURACY, strict=True):
        delta = float("nan") if strategy == "no_shift" else mean - base
        row |= {
            f"{part}_mean_pct": mean,
            f"{part}_ci_low_pct": mean - half,
            f"{part}_ci_high_pct": mean + half,
            f"{part}_delta_pct": delta,
            f"{part}_delta_ci_low_pct": delta - 1.2 * half,
            f"{part}_delta_ci_high_pct": delta + 1.2 * half,
        }
    return row


def accuracy_rows(seeds: int = 5) -> list[dict[str, Any]]:
    """Baseline and all arms."""
    rows = [arm("residual", 0.0, BASELINE_ACCURACY, seeds, "no_shift")]
    return rows + [arm(placement, fraction, means, seeds) for (placement, fraction), means in ACCURACIES.items()]


def slope_rows() -> list[dict[str, Any]]:
    """The trend of each mechanism."""
    slopes = {
        ("copy_shift", "residual"): (0.3, -0.5, 1.1),
        ("concat_shift", "residual"): (3.7, 2.9, 4.5),
        ("buffer_shift", "residual"): (2.4, 1.8, 3.0),
        ("buffer_shift", "inplace"): (1.0, 0.3, 1.7),
    }
    return [
        {
            **PANEL,
            "strategy": strategy,
            "placement": placement,
            "direction": "bidirectional",
            "slope_pct": slope,
            "slope_ci_low_pct": low,
            "slope_ci_high_pct": high,
            "fractions": 4,
        }
        for (strategy, placement), (slope, low, high) in slopes.items()
    ]


def superblock_rows() -> list[dict[str, Any]]:
    """The twin's raw noise: 8 replicates of 10 superblocks."""
    rng = np.random.default_rng(3)
    return [
        {
            "label": "resnet50-8x224-b1-cpu-eager-fp32-nchw-2t/no_shift-residual-0-bidirectional+aa",
            "strategy": "no_shift",
            "placement": "residual",
            "fraction": 0.0,
            "aa": True,
            "replicate": replicate,
            "superblock": block,
            "overhead_pct": float(shift + rng.standard_t(4) * 1.2),
        }
        for replicate, shift in enumerate(rng.normal(0.08, 0.3, 8))
        for block in range(10)
    ]


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
        "settings": {"latency": {"target_half_width_points": 0.5, "budget": 600.0, "min_replicates": 5}},
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
        pd.DataFrame([*latency_rows(), failed]),
        pd.DataFrame(accuracy_rows()),
        pd.DataFrame(slope_rows()),
        pd.DataFrame(superblock_rows()),
        pd.DataFrame(failures),
        claim_rows(),
    )
