"""A plan: what will be measured, resolved before anything is written; and how ``run.json`` keeps it."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.plugins import discovery
from bench.spec.axes import parse_fraction
from bench.spec.cases import Chosen, StrategyInfo, Sweep
from bench.spec.expansion import resolve
from bench.spec.settings import Settings
from bench.store.records import SCHEMA, FolderError
from bench.system import environment

_MEASURING = ("measure", "plugins", "models", "data", "ops", "system", "stats", "spec", "strategy.py")


@dataclass(frozen=True)
class Plan:
    """What will be measured, resolved; nothing is written yet.

    cores: those that the sweep was resolved for; cpu_bf16: whether their processor computes in bf16.
    """

    settings: Settings
    chosen: Chosen
    strategies_dir: Path | None
    infos: tuple[StrategyInfo, ...]
    devices: tuple[str, ...]
    cores: int
    cpu_bf16: bool
    sweep: Sweep

    @property
    def files(self) -> list[Path]:
        """The files that can be loaded."""
        return [Path(info.file) for info in self.infos if info.error is None]

    def fingerprint(self) -> dict[str, Any]:
        """What must be the same for a run to be resumed: cases, recipe, the code that measures and is measured."""
        files = {info.name: Path(info.file) for info in self.infos if info.name in self.sweep.strategies}
        code = {name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for name, file in files.items()}
        versions = environment.versions()
        return {
            "cases": [case.label for case in self.sweep.cases],
            "arms": [arm.label for arm in self.sweep.arms],
            "recipe": self.sweep.recipe.model_dump(mode="json"),
            "data": self.sweep.data.model_dump(mode="json"),
            **self._detecting(),
            "strategy_code": code,
            "measuring_code": _measuring_code(),
            "software": {name: versions[name] for name in ("shiftbench", "torch", "torchvision", "numpy")},
        }

    def _detecting(self) -> dict[str, Any]:
        """The same of the detection section, where there is one."""
        detection = self.sweep.detection
        if detection is None:
            return {}
        plain = {"recipe": detection.recipe.model_dump(mode="json"), "data": detection.data.model_dump(mode="json")}
        return {"detection": {"arms": [arm.label for arm in detection.arms], **plain}}


def _measuring_code() -> str:
    """A hash of the code that a measurement or a training runs through; words and figures may change meanwhile."""
    digest = hashlib.sha256()
    for part in _MEASURING:
        path = Path(__file__).parent.parent / part
        for file in sorted(path.rglob("*.*")) if path.is_dir() else [path]:
            if file.suffix in (".py", ".cpp"):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def prepare(settings: Settings, chosen: Chosen, strategies_dir: Path | None) -> Plan:
    """Discover and resolve on this machine. Raises ValueNotAllowed for what is not there."""
    infos, devices = discovery.describe(discovery.strategy_files(strategies_dir), settings.limits)
    return _resolved(
        settings, chosen, strategies_dir, infos, devices, environment.usable_cores(), environment.cpu_bf16()
    )


def prepare_again(header: dict[str, Any]) -> Plan:
    """The plan of a run that is resumed, resolved for the machine on which it began. Raises FolderError."""
    try:
        directory = Path(header["strategies_dir"]) if header["strategies_dir"] else None
        settings, chosen = Settings.model_validate(header["settings"]), chosen_from_json(header["chosen"])
        infos, _ = discovery.describe(discovery.strategy_files(directory), settings.limits)
        plan = _resolved(
            settings, chosen, directory, infos, header["devices"], header["cores"], header.get("cpu_bf16", True)
        )
        now = plan.fingerprint()
        known = {"measuring_code": now["measuring_code"], **header["sweep"]}  # runs of schema 4 did not say
        before = {key: known[key] for key in now}
    except (KeyError, TypeError, ValueError) as error:
        raise FolderError(f"run.json is not complete, the run cannot be resumed: {error}") from None
    changed = [key.replace("_", " ") for key, value in now.items() if value != before[key]]
    if changed:
        raise FolderError(f"the run cannot be resumed: its {' and '.join(changed)} changed since; start a new run")
    return plan


def _resolved(
    settings: Settings,
    chosen: Chosen,
    strategies_dir: Path | None,
    infos: Sequence[StrategyInfo],
    devices: Sequence[str],
    cores: int,
    cpu_bf16: bool,
) -> Plan:
    sweep = resolve(settings, infos, chosen, devices, cores, cpu_bf16)
    return Plan(settings, chosen, strategies_dir, tuple(infos), tuple(devices), cores, cpu_bf16, sweep)


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
        "chosen": chosen_to_json(plan.chosen),
        "strategies_dir": str(plan.strategies_dir.resolve()) if plan.strategies_dir else None,
        "strategies": [{**asdict(i), "file": Path(i.file).name} for i in plan.infos if i.name in plan.sweep.strategies],
        "sweep": plan.fingerprint(),
        "devices": list(plan.devices),
        "cores": plan.cores,
        "cpu_bf16": plan.cpu_bf16,
        "machine_id": environment.machine_id(),
        "environment": environment.describe_machine(),
        "wall_seconds": {},
        "sections_done": [],
    }


def chosen_to_json(chosen: Chosen) -> dict[str, Any]:
    """Plain values; ``chosen_from_json`` is the inverse."""
    fractions = None if chosen.fractions is None else [str(fraction) for fraction in chosen.fractions]
    return {**asdict(chosen), "fractions": fractions}


def chosen_from_json(data: dict[str, Any]) -> Chosen:
    """What the command line of the first run had chosen."""
    values = {key: None if value is None else tuple(value) for key, value in data.items()}
    if values["fractions"] is not None:
        values["fractions"] = tuple(parse_fraction(fraction) for fraction in values["fractions"])
    return Chosen(**values)
