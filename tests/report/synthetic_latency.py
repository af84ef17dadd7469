"""The latency half of a synthetic run: about what a 2-core Xeon shows, without measuring anything."""

from collections.abc import Callable
from typing import Any

import numpy as np

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
    ("concat_shift", "residual"): (9.4, 10.8, 13.6, 17.9),
    ("buffer_shift", "residual"): (1.1, 1.4, 2.1, 3.2),
    ("buffer_shift", "inplace"): (1.0, 0.9, 1.3, 1.8),
}
TRAFFIC: dict[str, Callable[[float], float]] = {
    "copy_shift": lambda f: 3.0,
    "concat_shift": lambda f: 2 + 4 * f,
    "buffer_shift": lambda f: 4 * f,
}
FAULTS: dict[str, Callable[[float], float]] = {
    "copy_shift": lambda f: 5.6,
    "concat_shift": lambda f: 2.4 + 0.4 * f,
    "buffer_shift": lambda f: 0.0,
}
EXACT = ("copy_shift", "concat_shift", "buffer_shift")
COPY_GB_PER_S = {1: 21.0, 2: 20.2, 4: 19.1, 8: 16.4, 16: 13.0, 32: 11.1, 64: 10.4, 128: 10.1, 256: 10.0, 512: 9.9}


def case(
    strategy: str, placement: str, fraction: float, overhead: float, half: float = 0.6, **more: Any
) -> dict[str, Any]:
    """One row of the latency table."""
    aa = more.pop("aa", False)
    base = strategy == "no_shift"
    traffic = 0.0 if base else N_MB * TRAFFIC.get(strategy, lambda f: 2 + f)(fraction)
    faults = 0.0 if base else FAULTS.get(strategy, lambda f: 1.0)(fraction)
    predicted = traffic / N_MB * 1.1 + faults
    known = not (base and not aa)
    nan = float("nan")
    flags = ["aa"] if aa else []
    if not base and not predicted / 2 <= overhead <= predicted * 2:
        flags.append("prediction_off")
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
        "predicted_traffic_pct": traffic / N_MB * 1.1,
        "predicted_faults_pct": faults,
        "predicted_overhead_pct": predicted,
        "extra_faults": round(faults * 1800),
        "overhead_all_pct": overhead + 0.1,
        "overhead_all_ci_low_pct": overhead + 0.1 - 1.2 * half if known else 0.0,
        "overhead_all_ci_high_pct": overhead + 0.1 + 1.2 * half if known else 0.0,
        "excluded": 7,
        "disturbed_pct": 8.75,
        "peak_memory_mb": 812.0 + traffic / 10,
        "peak_rss_mb": 431.0 + traffic / 8,
        "sm_mhz": nan,
        "overhead_cycles_pct": nan,
        "overhead_cycles_ci_low_pct": nan,
        "overhead_cycles_ci_high_pct": nan,
        "params": 23_508_032,
        "flops": 33.0e9,
        "replicates": 8,
        "blocks": 80,
        "status": "ok",
        "flags": ";".join(flags),
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


def on_gpu(rows: list[dict[str, Any]], milliseconds: float = 6.1) -> list[dict[str, Any]]:
    """The same cases on a GPU: other times, clocks, and the overhead in cycles."""
    cycles = {f"overhead_cycles{end}_pct": f"overhead{end}_pct" for end in ("", "_ci_low", "_ci_high")}
    return [
        {
            **row,
            "device": "cuda",
            "threads": 1,
            "latency_ms": row["latency_ms"] / 372.4 * milliseconds,
            "sm_mhz": 1755.0 + 3 * (row["strategy"] == "no_shift"),
            "peak_rss_mb": float("nan"),
            "predicted_faults_pct": 0.0,
            "predicted_overhead_pct": row["predicted_traffic_pct"],
            "extra_faults": 0,
            **{cycle: row[time] - 0.2 for cycle, time in cycles.items()},
        }
        for row in rows
    ]


def swept_rows() -> list[dict[str, Any]]:
    """Panels beside the usual one: number formats, threads, batches and runtimes, each swept on its own."""
    changes: list[tuple[dict[str, Any], float, float]] = [  # panel, its latency and its overheads against the usual
        ({}, 1.0, 1.0),
        ({"dtype": "bf16"}, 0.32, 2.4),
        ({"threads": 1}, 1.85, 0.6),
        ({"batch": 2}, 1.97, 1.02),
        ({"batch": 4}, 3.9, 1.08),
        ({"memory_format": "channels_last"}, 0.75, 1.6),
        ({"runtime": "onnxruntime"}, 0.55, 6.0),
        ({"runtime": "openvino"}, 0.56, 4.0),
    ]
    scaled = ("overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct")
    return [
        row | panel | {"latency_ms": row["latency_ms"] * time} | {name: row[name] * factor for name in scaled}
        for panel, time, factor in changes
        for row in latency_rows()
    ]


def contest_rows(latency: list[dict[str, Any]], half: float = 0.5) -> list[dict[str, Any]]:
    """The exact mechanisms of each panel, fraction, placement and direction against the least of them."""
    names = (*PANEL, "fraction", "placement", "direction")
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in latency:
        if row["strategy"] in EXACT and row["status"] == "ok":
            groups.setdefault(tuple(row[name] for name in names), []).append(row)
    found = []
    for key, group in groups.items():
        group.sort(key=lambda row: row["overhead_pct"])
        for rank, row in enumerate(group):
            behind, reach = row["overhead_pct"] - group[0]["overhead_pct"], half if rank else 0.0
            found.append(
                {
                    **dict(zip(names, key, strict=True)),
                    "strategy": row["strategy"],
                    "overhead_pct": row["overhead_pct"],
                    "rank": rank,
                    "behind_pct": behind,
                    "behind_ci_low_pct": behind - reach,
                    "behind_ci_high_pct": behind + reach,
                    "detectable_pct": 1.5 * half if rank else 0.0,
                }
            )
    return found


def quality_row(**more: Any) -> dict[str, Any]:
    """How one panel was measured."""
    row = {
        **PANEL,
        "replicates": 8,
        "superblocks": 80,
        "disturbed_pct": 8.75,
        "excluded": 7,
        "waited_seconds": 12.5,
        "reasons": "foreign CPU in 5, steal in 3",
        "between_sd_pct": 0.31,
        "within_sd_pct": 1.24,
        "autocorrelation": 1,
        "trend": 0,
        "page_microseconds": 0.26,
        "backend": "threads 2, mkldnn True, cpu_capability AVX512",
        "sensors": "",
    }
    return row | more


def bandwidth_rows(scale: float = 1.0, **panel: Any) -> list[dict[str, Any]]:
    """The copy-bandwidth curve of one panel."""
    return [
        {
            **PANEL,
            **panel,
            "mebibytes": size,
            "gb_per_s": scale * speed,
            "gb_per_s_low": 0.93 * scale * speed,
            "gb_per_s_high": 1.04 * scale * speed,
        }
        for size, speed in COPY_GB_PER_S.items()
    ]


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
            "detectable_pct": 0.7 * (high - low),
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
            "disturbed": (replicate + 3 * block) % 11 == 0,
            "excluded": (replicate + 3 * block) % 22 == 0,
        }
        for replicate, shift in enumerate(rng.normal(0.08, 0.3, 8))
        for block in range(10)
    ]
