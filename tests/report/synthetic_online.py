"""The online half of a synthetic run: frames of a ResNet-50 and a MobileNetV2, without measuring anything."""

from typing import Any

import numpy as np

SETTING = {
    "device": "cpu",
    "runtime": "eager",
    "dtype": "fp32",
    "memory_format": "nchw",
    "threads": 2,
    "size": 224,
}
MEDIANS = {"resnet50": 41.0, "mobilenet_v2": 11.0}
OVERHEADS = {
    ("copy_shift", "residual"): 9.1,
    ("concat_shift", "residual"): 5.2,
    ("buffer_shift", "residual"): 1.9,
    ("buffer_shift", "inplace"): 1.1,
}
CACHE_MB = {"resnet50": 2.81, "mobilenet_v2": 0.31}


def frame_case(strategy: str, placement: str, overhead: float, **more: Any) -> dict[str, Any]:
    """One row of the online table."""
    backbone, streams, aa = more.get("backbone", "resnet50"), more.get("streams", 1), more.get("aa", False)
    base = strategy == "no_shift"
    median = MEDIANS[backbone] * streams**0.9 * (1 + overhead / 100)
    half = 0.0 if base and not aa else 0.6
    times = {"frame": median, "p95": 1.2 * median, "p99": 1.5 * median}
    row = {
        **SETTING,
        "strategy": strategy,
        "placement": placement,
        "fraction": 0.0 if base else 0.125,
        "direction": "bidirectional" if base else "unidirectional",
        "backbone": backbone,
        "streams": streams,
        "aa": aa,
        **{f"{name}_ms": value for name, value in times.items()},
        **{f"{name}_ci_low_ms": 0.98 * value for name, value in times.items()},
        **{f"{name}_ci_high_ms": 1.02 * value for name, value in times.items()},
        "overhead_pct": overhead,
        "overhead_ci_low_pct": overhead - half,
        "overhead_ci_high_pct": overhead + half,
        "half_width_pct": half,
        "detectable_pct": 1.4 * half,
        "fps": 1e3 * streams / median,
        "arrival_fps": 30.0,
        "missed_deadline_pct": 100.0 if median > 33 else 1.5,
        "load_fps": 800 / MEDIANS[backbone],
        "missed_at_load_pct": 2.0 + overhead,
        "cache_mb": 0.0 if base else CACHE_MB[backbone],
        "extra_traffic_mb": 4.0 * overhead,
        "replicates": 12,
        "blocks": 60,
        "excluded": 3,
        "disturbed_pct": 6.0,
        "status": "ok",
        "flags": "aa" if aa else "",
        "reason": "",
    }
    return row | more


def online_rows() -> list[dict[str, Any]]:
    """Two networks; ResNet-50 with 1, 2, 4 and 8 streams."""
    settings = [("resnet50", streams) for streams in (1, 2, 4, 8)] + [("mobilenet_v2", 1)]
    found = []
    for backbone, streams in settings:
        where = {"backbone": backbone, "streams": streams}
        found += [frame_case("no_shift", "residual", 0.0, **where)]
        found += [frame_case("no_shift", "residual", 0.2, aa=True, **where)]
        found += [frame_case(s, p, o / streams**0.3, **where) for (s, p), o in OVERHEADS.items()]
    return found


def quantile_rows() -> list[dict[str, Any]]:
    """The distribution of frame times for every case: a log-normal tail."""
    keys = (*SETTING, "strategy", "placement", "fraction", "direction", "backbone", "streams", "aa")
    quantiles = (*range(100), 99.5, 99.9, 100)
    drawn = np.sort(np.random.default_rng(3).lognormal(0.0, 0.12, 4000))
    return [
        {
            **{key: row[key] for key in keys},
            "quantile_pct": q,
            "frame_ms": row["frame_ms"] * float(np.percentile(drawn, q)),
        }
        for row in online_rows()
        for q in quantiles
    ]


def early_rows(condition: dict[str, Any]) -> list[dict[str, Any]]:
    """The causal arm and the network without a shift after each of 8 frames; condition: the columns of one."""
    found = []
    for strategy, fraction, direction, end in (
        ("no_shift", 0.0, "bidirectional", {"joint": 25.0, "spatial": 99.0, "temporal": 25.0}),
        ("copy_shift", 0.125, "unidirectional", {"joint": 95.0, "spatial": 98.5, "temporal": 96.0}),
    ):
        for frame in range(1, 9):
            row = {**condition, "strategy": strategy, "placement": "residual", "fraction": fraction}
            row |= {"direction": direction, "seeds": 3, "frame": frame, "seen_pct": 12.5 * frame}
            for part, value in end.items():
                mean = value * (1 - 0.6**frame)
                row |= {f"{part}_mean_pct": mean, f"{part}_ci_low_pct": mean - 2, f"{part}_ci_high_pct": mean + 2}
                row |= {f"{part}_delta_pct": mean - 20, f"{part}_delta_ci_low_pct": mean - 23}
                row |= {f"{part}_delta_ci_high_pct": mean - 17}
            found.append(row)
    return found
