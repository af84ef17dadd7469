"""``python -m bench.measure.training.worker``: one pre-training or one trial, in a process of its own.

Job: {"section": of ``TASKS``, "stage": "pretrain" | "fine_tune", "recipe": {…}, "data": {…}, "condition": {…},
"seed": int, "checkpoint": path; missing where nothing is pre-trained}; to fine-tune also {"variant": {…},
"strategy_files": [path, …], "examples": int, "weights": path or null: where the trained weights are kept,
"epoch_state": path or null: where the state after each epoch is}. Events: {"event": "progress", "share": 0…1},
{"event": "alive"}, {"event": "note", "message": str}, and last {"event": "result", "samples": {…}} or {"event":
"skipped", "reason": str}. Whatever goes wrong ends the process with a traceback whose last line is the reason.
"""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from bench.measure.training import TASKS, checkpoint, harness
from bench.measure.training.checkpoint import State
from bench.measure.training.harness import Fit, Kept, Report, Task
from bench.plugins.discovery import load_class
from bench.spec.cases import Condition, Variant
from bench.strategy import NotTaken
from bench.system.workers import Emit, Event, progress, serve


def handle(job: Event, emit: Emit) -> None:
    """Do the job and emit its result. Raises Diverged, LoadError, or what the task or the strategy raised."""
    implementation: type[Task] = resolve_name(TASKS[job["section"]].implementation)
    task = implementation.open(job["recipe"], job["data"], Condition.from_json(job["condition"]), job["seed"])
    if job["stage"] == "pretrain":
        _, fit = _pretrained(job, task, emit, progress(emit))
        emit({"event": "result", "samples": {"reused": fit is None, **(asdict(fit) if fit else {})}})
    else:
        alive = partial(emit, {"event": "alive"})
        _fine_tune(job, replace(task, examples=job.get("examples", 0), alive=alive), emit)


def _pretrained(job: Event, task: Task, emit: Emit, report: Report) -> tuple[State, Fit | None]:
    """The weights from their file, or made and kept there: they come out the same. The fit is None for the former."""
    path = Path(job["checkpoint"])
    key = checkpoint.key_of(task.recipe, task.condition.dataset, task.data_version, task.form, task.seed)
    stored = _stored(path, key, emit, "pre-training again")
    if stored is not None:
        return stored, None
    state, fit = harness.pretrain(task, report)
    checkpoint.save(path, key, state)
    return state, fit


def _stored(path: Path, key: str, emit: Emit, otherwise: str) -> dict[str, Any] | None:
    """What is in a file, or None where nothing is that can be used. otherwise: what is done then, for a note."""
    try:
        return checkpoint.load(path, key)
    except checkpoint.Unusable as why:
        emit({"event": "note", "message": f"{otherwise}: {why}"})
    except FileNotFoundError:
        pass
    return None


def _fine_tune(job: Event, task: Task, emit: Emit) -> None:
    variant = Variant.from_json(job["variant"])
    strategy_class = load_class(variant.strategy, [Path(path) for path in job["strategy_files"]])
    strategy = strategy_class(float(variant.fraction), variant.placement, variant.direction)  # type: ignore[arg-type]
    if reason := strategy.skip(task.condition.backbone, task.segments):
        emit({"event": "skipped", "reason": reason})
        return
    state = _pretrained(job, task, emit, lambda share: None)[0] if "checkpoint" in job else None
    try:
        samples, trained = harness.fine_tune(task, strategy, state, progress(emit), _kept(job, task, emit))
    except NotTaken as reason:
        emit({"event": "skipped", "reason": str(reason)})
        return
    if job.get("weights"):
        checkpoint.save(Path(job["weights"]), variant.label, trained)
    emit({"event": "result", "samples": samples.model_dump(mode="json")})


def _kept(job: Event, task: Task, emit: Emit) -> Kept | None:
    if not job.get("epoch_state"):
        return None
    path, whose = Path(job["epoch_state"]), [job[name] for name in ("variant", "condition", "seed", "recipe", "data")]
    key = json.dumps([*whose, task.data_version], sort_keys=True)
    return Kept(_stored(path, key, emit, "training again from the first epoch"), partial(checkpoint.save, path, key))


if __name__ == "__main__":
    serve(handle)
