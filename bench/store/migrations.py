"""Records of older versions, brought up to date step by step. The history of the schema stands in ``records``."""

from typing import Any

from bench.store.records import Record


def _from_1(record: Record) -> dict[str, Any]:
    """What changes in a version-1 record, as far as it knows what version 2 says."""
    samples = dict(record.samples)
    if record.kind == "replicate":
        seconds = [sum(pair) / len(pair) for pair in samples.pop("copy_seconds")]
        mebibytes = samples.pop("copy_bytes") // 2 >> 20
        unknown: dict[str, Any] = {
            "waited": [],
            "page_seconds": [],
            "sensors": [],
            "backend": {},
            "warm_up_seconds": 0.0,
        }
        samples |= {"copies": {str(mebibytes): seconds}, **unknown}
    elif record.kind == "static":
        samples["operations"] = {str(samples["bytes_moved"]): 1}
    return {"samples": samples}


_ONLY_CONDITION_OF_2 = {
    "objective": "both",
    "view": "clip",
    "lr_factor": 1.0,
    "length_factor": 1.0,
    "cohort": "main",
}
_ONLY_CLASSES_OF_2 = {"spatial_classes": 10, "temporal_classes": 4}  # there was one data set, ring_digits


def _from_2(record: Record) -> dict[str, Any]:
    """What changes in a version-2 record: arms were trained in one way only, which their case now says."""
    if record.kind != "accuracy":
        return {}
    samples = record.samples | _ONLY_CLASSES_OF_2 if record.status == "ok" else record.samples
    return {"case": record.case | _ONLY_CONDITION_OF_2, "samples": samples}


def _from_3(record: Record) -> dict[str, Any]:
    """Nothing changes: there was no online section, and what an arm knew early was not asked."""
    return {}


def _from_4(record: Record) -> dict[str, Any]:
    """Nothing changes: lines had no checksum, and nothing depended on the machine that trained."""
    return {}


def _from_5(record: Record) -> dict[str, Any]:
    """Nothing changes: there was no detection section."""
    return {}


_STEPS = {1: _from_1, 2: _from_2, 3: _from_3, 4: _from_4, 5: _from_5}


def brought_up_to_date(record: Record) -> Record:
    """The record as this version would have written it, as far as it knew."""
    while record.schema_version in _STEPS:
        changes = _STEPS[record.schema_version](record)
        record = record.model_copy(update={**changes, "schema_version": record.schema_version + 1})
    return record
