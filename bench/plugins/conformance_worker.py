"""The process that proves strategies before a run measures them, each over the variants that the run will measure."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from bench.plugins.conformance import CheckResult, conformance, reference_of
from bench.plugins.discovery import LoadError, load_file
from bench.spec.cases import Variant
from bench.system import workers


def answer(job: dict[str, Any], emit: workers.Emit) -> None:
    """job: ``files``, ``devices`` and ``strategies``, each with its name, file and variants.

    Events: ``enter`` before a strategy's code runs; ``checked`` with the first check that failed, or None, and flags.
    """
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # its rounding, 1e-3, would hide or fake differences between mechanisms
    files = [Path(file) for file in job["files"]]
    for entry in job["strategies"]:
        emit({"event": "enter", "strategy": entry["name"]})
        failed, flags = None, set()
        for result, where in _results(entry, files, job["devices"]):
            if result.ok is None:
                flags.add(result.check)
            if result.ok is False:
                failed = f"check {result.check} ({where}): {result.detail}"
                break
        emit({"event": "checked", "strategy": entry["name"], "failed": failed, "flags": sorted(flags)})


def _results(entry: dict[str, Any], files: Sequence[Path], devices: Sequence[str]) -> Iterator[tuple[CheckResult, str]]:
    """(a check's result, on which variant and device)."""
    try:
        cls = load_file(Path(entry["file"]))
        reference = reference_of(cls, files)
    except LoadError as error:
        yield CheckResult("load", "the file loads", False, str(error)), "loading"
        return
    for variant in map(Variant.from_json, entry["variants"]):
        for device in devices:
            for result in conformance(cls, variant, reference, device):
                yield result, f"{variant.placement} {variant.fraction} {variant.direction} on {device}"


if __name__ == "__main__":
    workers.serve(answer)
