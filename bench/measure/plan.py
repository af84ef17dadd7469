"""A plan: what will be measured, resolved before anything is written; and how ``run.json`` keeps it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.data.video_clips import ClipReader
from bench.measure.jobs import jobs_of
from bench.measure.training.video_cache import all_videos, video_sets
from bench.plugins import discovery
from bench.spec.axes import IMAGENET, ValueNotAllowed
from bench.spec.cases import Chosen, StrategyInfo, Sweep, Training
from bench.spec.expansion import Machine, expand, with_parameters
from bench.spec.settings import Settings
from bench.spec.videos import Videos
from bench.store.migrations import SCHEMA
from bench.store.records import FolderError
from bench.system import environment

_BENCH = Path(__file__).parent.parent
_NOT_MEASURING = ("__init__.py", "cli", "report", "analysis", "validation")
"""Parts of ``bench`` that may change before a run is resumed."""
_CONFORMANCE_SECONDS = 12.0  # expected: the import of torch and about two seconds a strategy


@dataclass(frozen=True)
class Plan:
    """What will be measured, resolved for ``machine``; nothing is written yet."""

    settings: Settings
    chosen: Chosen
    strategies_dir: Path | None
    infos: tuple[StrategyInfo, ...]
    machine: Machine
    sweep: Sweep

    @property
    def files(self) -> list[Path]:
        """The files that can be loaded."""
        return list(dict.fromkeys(Path(info.file) for info in self.infos if info.error is None))

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed: cases, trainings, the code that measures and is measured."""
        files = {info.name: Path(info.file) for info in self.infos if info.name in self.sweep.strategies}
        versions = environment.versions()
        return {
            "cases": [case.label for case in self.sweep.cases],
            "trainings": {
                training.section: {
                    "trials": [trial.label for trial in training.trials],
                    "recipe": training.recipe.model_dump(mode="json"),
                    "data": training.data.model_dump(mode="json"),
                    **_files(training),
                }
                for training in self.sweep.trainings
            },
            "strategy_code": {name: _hash([file, *discovery.helpers_of(file)]) for name, file in files.items()},
            "measuring_code": measuring_code(),
            "weights": _content(self.settings.weights),
            "software": {name: versions[name] for name in ("shiftbench", "torch", "torchvision", "numpy")},
        }


def _files(training: Training) -> dict[str, str]:
    """A key of the videos that a training reads, as they lie on the disk."""
    if not isinstance(training.data, Videos):
        return {}
    return {"files": ClipReader(training.data).version(all_videos(video_sets(training.data)))}


def measuring_code() -> str:
    """A hash of the layers that a measurement or a training runs through."""
    parts = [part for part in sorted(_BENCH.iterdir()) if part.name not in _NOT_MEASURING]
    files = [file for part in parts for file in ([part] if part.is_file() else sorted(part.rglob("*.*")))]
    return _hash([file for file in files if file.suffix in (".py", ".cpp")])


def _hash(files: Sequence[Path]) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def expected_seconds(plan: Plan, folder: Path) -> dict[str, float]:
    """{section: what it should take}, in order; ``conformance`` first. folder: the run's."""
    expected = {"conformance": _CONFORMANCE_SECONDS}
    for name, settings in plan.settings.timed.items():
        if plan.sweep.panels_of(name):
            expected[name] = settings.budget
    for training in plan.sweep.trainings:
        jobs = jobs_of(training, training.trials, plan.files, folder)
        expected[training.section] = sum(job.work for job in jobs) / environment.usable_cores()
    return expected


def _content(weights: str | None) -> str | None:
    """A hash of a file with weights; ``imagenet``, and a file that is no longer there, by its name."""
    if weights is None or weights == IMAGENET or not (file := Path(weights)).is_file():
        return weights
    return _hash([file])


def prepare(settings: Settings, chosen: Chosen, strategies_dir: Path | None, machine: Machine | None = None) -> Plan:
    """Discover and resolve, on this machine by default. Raises ValueNotAllowed for what is not there."""
    infos, devices = discovery.describe(discovery.strategy_files(strategies_dir), settings.limits)
    return _resolve(settings, chosen, strategies_dir, infos, machine or _here(devices))


def expected_here(presets: Mapping[str, Settings], strategies_dir: Path | None = None) -> dict[str, float | str]:
    """{preset: seconds that a run of it should take on this machine, or in words why it does not run as it is}."""
    infos, devices = discovery.describe(discovery.strategy_files(strategies_dir))
    found: dict[str, float | str] = {}
    for name, settings in presets.items():
        try:
            plan = _resolve(settings, Chosen(), strategies_dir, infos, _here(devices))
            found[name] = sum(expected_seconds(plan, Path()).values())
        except ValueNotAllowed as error:
            found[name] = str(error)
    return found


def _here(devices: Sequence[str]) -> Machine:
    return Machine(tuple(devices), environment.usable_cores(), environment.cpu_bf16())


def _resolve(
    settings: Settings, chosen: Chosen, strategies_dir: Path | None, infos: list[StrategyInfo], machine: Machine
) -> Plan:
    infos = with_parameters(infos, settings, chosen)
    sweep = expand(settings, infos, chosen, machine)
    for training in sweep.trainings:
        if isinstance(training.data, Videos):
            video_sets(training.data)  # a mistake in the data is told before anything is measured
    return Plan(settings, chosen, strategies_dir, tuple(infos), machine, sweep)


def prepare_again(header: dict[str, Any]) -> Plan:
    """The plan of a run that is resumed, resolved for the machine on which it began.

    Raises FolderError where the header lacks something, or what must be the same is not.
    """
    try:
        directory = Path(header["strategies_dir"]) if header["strategies_dir"] else None
        settings, chosen = Settings.model_validate(header["settings"]), Chosen.model_validate(header["chosen"])
        machine = Machine(tuple(header["devices"]), header["cores"], header.get("cpu_bf16", True))
        plan = prepare(settings, chosen, directory, machine)
        now, before = _flat(plan.fingerprint()), _flat(header["sweep"])
        changed = [name for name, value in now.items() if value != before.get(name)]
    except ValueNotAllowed as error:
        raise FolderError(f"the run cannot be resumed: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FolderError(f"run.json is not complete, the run cannot be resumed: {error}") from None
    if changed:
        raise FolderError(f"the run cannot be resumed: its {' and '.join(changed)} changed since; start a new run")
    return plan


def _flat(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """What may have changed, by the name that users read: ``measuring code``, ``accuracy recipe``."""
    flat = {name.replace("_", " "): value for name, value in fingerprint.items() if name != "trainings"}
    for section, training in fingerprint["trainings"].items():
        flat |= {f"{section} {name}": value for name, value in training.items()}
    return flat


def new_header(plan: Plan, preset: str, command: str) -> dict[str, Any]:
    """``run.json`` as it stands when a run begins."""
    return {
        "schema_version": SCHEMA,
        "title": plan.settings.title,
        "preset": preset,
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "status": "running",
        "seed": plan.settings.seed,
        "settings": plan.settings.model_dump(mode="json"),
        "chosen": plan.chosen.model_dump(mode="json"),
        "strategies_dir": str(plan.strategies_dir.resolve()) if plan.strategies_dir else None,
        "strategies": [{**asdict(i), "file": Path(i.file).name} for i in plan.infos if i.name in plan.sweep.strategies],
        "sweep": plan.fingerprint(),
        **asdict(plan.machine),
        "machine_id": environment.machine_id(),
        "environment": environment.describe_machine(),
        "disturbance": None,  # what others did to the machine when the run began
        "wall_seconds": {},
        "sections_done": [],
    }
