"""A fresh process that builds the cases of one panel and counts (``static``) or times (``timed``) them.

Events: ``enter`` (before the code of a case runs for the first time), ``static``, ``skipped`` and ``failed`` (a case
and why), ``ready`` (all cases are built and warm), ``superblock`` (its slots and what disturbed it), ``device_lost``.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.measure.latency import timing
from bench.measure.latency.builder import PanelBuilder
from bench.measure.latency.devices import Call, Device, device_for
from bench.models.runtimes import INSPECTED, executed
from bench.plugins.discovery import load_class
from bench.plugins.side_effects import LeftRunning
from bench.spec.axes import EAGER
from bench.spec.cases import Case
from bench.spec.panel import Panel
from bench.strategy import CannotStream, Strategy
from bench.system import workers

_RUNS_BEFORE_COUNTING = 2  # the second sees what the first may have left behind


def answer(job: dict[str, Any], emit: workers.Emit, device_for: Callable[[str], Device] = device_for) -> None:
    """Do what the job says (``static``, ``timed``, or tell whether the device is ``present``) while it is there."""
    panel = Panel.from_json(job["panel"])
    device = device_for(panel.device)
    if job["mode"] == "present":
        emit({"event": "present", "present": device.present()})
        return
    try:
        builder = PanelBuilder(panel, device, job["seed"])
        with torch.inference_mode():
            _work(job, emit, builder)
    except RuntimeError as error:
        if device.present():
            raise
        emit({"event": "device_lost", "reason": workers.one_line(error)})


def _work(job: dict[str, Any], emit: workers.Emit, builder: PanelBuilder) -> None:
    """Build every case, then count or time it; a case that fails costs itself."""
    panel, device, timed = builder.panel, builder.device, job["mode"] == "timed"
    # what is counted is the network, operator by operator; a captured graph would show none of them
    runtime, runs = (panel.runtime, 1) if timed else (EAGER, _RUNS_BEFORE_COUNTING)
    files = [Path(file) for file in job["files"]]
    calls: dict[int, Call] = {}
    for index, data in job["cases"]:
        emit({"event": "enter", "case": index})
        case = Case.from_json(data)
        variant, export = case.variant, _export_path(job["exports"], case)
        try:
            cls = load_class(variant.strategy, files)
            strategy = cls(float(variant.fraction), variant.placement, variant.direction)  # type: ignore[arg-type]
            if reason := _why_skipped(strategy, panel):
                emit({"event": "skipped", "case": index, "reason": reason})
                continue
            model, call = builder.build(strategy, runtime, export, runs=runs, prove=job["prove"])
            if timed:
                calls[index] = call
            else:
                samples = builder.count(model, call) | {"fallbacks": strategy.fallbacks}
                if panel.runtime in INSPECTED:
                    samples["executed"] = executed(panel.runtime, model, builder.frames, export)
                emit({"event": "static", "case": index, "samples": samples})
        except CannotStream as reason:
            emit({"event": "skipped", "case": index, "reason": str(reason)})
        except LeftRunning:  # it cannot be stopped: this process ends, and the others are measured without it
            raise
        except Exception as error:  # a stranger's code: whatever it raises is the reason
            if not device.present():
                raise RuntimeError(workers.one_line(error)) from error
            emit({"event": "failed", "case": index, "reason": workers.one_line(error)})
    if timed:
        warm_up = device.warm_up(list(calls.values()))
        emit({"event": "ready", "backend": builder.backend, "warm_up_seconds": warm_up})
        timing.measure(calls, emit, timing.Order(**job["order"]), device)


def _why_skipped(strategy: Strategy, panel: Panel) -> str | None:
    """A sentence that says why this strategy is not measured in this panel; None: it is."""
    if panel.device not in strategy.devices:
        return f"{strategy.name} is made for {' and '.join(strategy.devices)}, not for {panel.device}"
    return strategy.skip(panel.backbone, panel.frames)


def _export_path(folder: str | None, case: Case) -> Path | None:
    """Where a case's export is kept: the same file for all runtimes of one dtype, and for the baseline's twin."""
    panel = case.panel
    name = f"{panel.backbone}-{panel.frames}x{panel.size}-b{panel.batch}-{panel.dtype}-{case.variant.label}"
    return None if folder is None else Path(folder) / f"{re.sub('[/:]', 'of', name)}.onnx"


if __name__ == "__main__":
    workers.serve(answer)
