"""Records and headers of older versions, brought up to date as plain JSON. ``records`` tells the schema's history."""

from collections.abc import Callable
from typing import Any

SCHEMA = 10

Json = dict[str, Any]


def _from_1(record: Json) -> Json:
    """What version 2 asks for, as far as version 1 knows it."""
    samples = record["samples"]
    if record["kind"] == "replicate" and samples:
        seconds = [sum(pair) / len(pair) for pair in samples.pop("copy_seconds")]
        mebibytes = samples.pop("copy_bytes") // 2 >> 20
        samples |= {"copies": {str(mebibytes): seconds}, "waited": [], "page_seconds": [], "sensors": []}
        samples |= {"backend": {}, "warm_up_seconds": 0.0}
    elif record["kind"] == "static":
        samples["operations"] = {str(samples["bytes_moved"]): 1}
    return record


def _from_2(record: Json) -> Json:
    """There was one data set, ring_digits; the resident peak was measured in a way that means nothing."""
    if record["kind"] == "accuracy" and record["status"] == "ok":
        record["samples"] |= {"spatial_classes": 10, "temporal_classes": 4}
    record["samples"].pop("peak_resident_bytes", None)
    return record


_KINDS = {
    "latency": "timed",
    "online": "timed",
    "replicate": "process",
    "static": "static",
    "accuracy": "trained",
    "detection": "trained",
    "conformance": "checked",
}


def _from_6(record: Json) -> Json:
    """Kinds get their names of today, and only the fields that they have."""
    old = record["kind"]
    kind = record["kind"] = _KINDS[old]
    case, seed, replicate = record.pop("case", {}), record.pop("seed", None), record.pop("replicate", None)
    if kind in ("timed", "static"):
        record["case"] = case
    if kind == "process":
        record["panel"] = case
    if kind in ("timed", "process"):
        record["replicate"] = replicate
    if kind == "trained":
        record["trial"] = {"section": old, "seed": seed, **case}
    if kind == "checked":
        record["strategy"] = case["strategy"]
        record.pop("samples", None)
    elif not record.get("samples"):
        record.pop("samples", None)
    return record


_STEPS: dict[int, Callable[[Json], Json]] = {1: _from_1, 2: _from_2, 6: _from_6}
"""The last version that each step is for; versions 3 to 5 and 8 to 10 only added."""


def up_to_date(record: Json) -> Json:
    """The record as this version would have written it, as far as it knew."""
    first = record.get("schema_version", 1)
    for version, step in _STEPS.items():
        if first <= version:
            record = step(record)
    return record | {"schema_version": SCHEMA}


def header_up_to_date(header: Json) -> Json:
    """``run.json`` as this version would have written it; trainings were told apart by keys of their own."""
    sweep = header.get("sweep")
    if header["schema_version"] < 7 and isinstance(sweep, dict) and "trainings" not in sweep:
        sweep = dict(sweep)
        trainings = {"accuracy": {key: sweep.pop(key) for key in ("arms", "recipe", "data") if key in sweep}}
        if "detection" in sweep:
            trainings["detection"] = sweep.pop("detection")
        for training in trainings.values():
            training["trials"] = training.pop("arms", [])
        trainings = {section: training for section, training in trainings.items() if training["trials"]}
        header = {**header, "sweep": {**sweep, "trainings": trainings}}
    return header
