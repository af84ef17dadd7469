"""The detection part of a synthetic run: three forms of a detector, and frames in which they differ."""

import base64
import zlib
from typing import Any

import numpy as np

LEVELS = {
    ("no_shift", 0.0, "bidirectional", "frame by frame"): (66.0, 60.0, 55.0, 52.0),
    ("copy_shift", 0.125, "unidirectional", "online"): (68.1, 61.0, 57.2, 55.6),
    ("copy_shift", 0.25, "bidirectional", "offline"): (69.4, 62.1, 58.8, 57.0),
}
MEASURES = ("map", "map_slow", "map_medium", "map_fast")


def detection_rows() -> list[dict[str, Any]]:
    """Trained forms, and one mechanism that was only timed."""
    base, rows = next(iter(LEVELS.values())), []
    for (strategy, fraction, direction, form), levels in LEVELS.items():
        row: dict[str, Any] = axes(strategy, fraction, direction, form) | {"seeds": 6, "params": 6e5}
        for measure, level, plain in zip(MEASURES, levels, base, strict=True):
            row |= estimate(measure, level, 1.1)
            if strategy != "no_shift":
                row |= estimate(f"{measure}_delta", level - plain, 0.9) | {f"{measure}_delta_detectable_pct": 1.3}
        if direction == "unidirectional":
            row |= estimate("overhead", 4.4, 0.6) | {"frame_ms": 3.1, "replicates": 12}
            row["also_holds_for"] = "buffer_shift"
        rows.append(row)
    timed = axes("buffer_shift", 0.125, "unidirectional", "online") | {"seeds": 0}
    return [*rows, timed | estimate("overhead", 1.6, 0.7) | {"frame_ms": 3.0, "replicates": 12}]


def axes(strategy: str, fraction: float, direction: str, form: str) -> dict[str, Any]:
    """What names a row."""
    named = {"strategy": strategy, "placement": "residual", "fraction": fraction, "direction": direction}
    return named | {"detector": "digits_fcos", "form": form, "status": "ok", "reason": "", "also_holds_for": ""}


def estimate(stem: str, value: float, half: float) -> dict[str, float]:
    """A value with its interval."""
    return {f"{stem}_pct": value, f"{stem}_ci_low_pct": value - half, f"{stem}_ci_high_pct": value + half}


def detection_examples() -> list[dict[str, Any]]:
    """Two frames: online finds an object of the first that frame by frame misses, and the other way round."""
    boxes = [[10.0, 12.0, 22.0, 27.0], [40.0, 30.0, 51.0, 44.0]]
    grey = np.random.default_rng(0).integers(0, 120, (2, 64, 64)).astype(np.uint8)
    truth = [{"boxes": boxes, "labels": [3, 7], "speeds": [0, 2]}] * 2
    one = {"boxes": boxes[:1], "labels": [3], "scores": [0.8]}
    both = {"boxes": boxes, "labels": [3, 7], "scores": [0.9, 0.6]}
    found = {"frame by frame": [one, both], "online": [both, one]}
    packed = base64.b85encode(zlib.compress(grey.tobytes())).decode()
    return [
        {
            "form": form,
            "strategy": "no_shift" if form == "frame by frame" else "copy_shift",
            "fraction": 0.0 if form == "frame by frame" else 0.125,
            "seed": 4000,
            "examples": {"shape": [2, 64, 64], "grey": packed, "truth": truth, "found": own},
        }
        for form, own in found.items()
    ]
