"""What the runner writes down itself, conformance and trainings, and how many records ended how."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.spec.cases import Arm, Case, Panel, panel_from_json
from bench.store.records import TIMED, Record, Status


@dataclass
class Tally:
    """How a run ended: counts of records by status."""

    ok: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, record: Record) -> None:
        """Count one record."""
        setattr(self, record.status, getattr(self, record.status) + 1)


def in_panel(record: Record, panel: Panel) -> bool:
    """True for what was measured in ``panel``."""
    if record.kind == "replicate":
        return panel_from_json(record.case) == panel
    return record.kind in (*TIMED, "static") and Case.from_json(record.case).panel == panel


def conformance_record(name: str, reason: str | None, flags: Sequence[str]) -> Record:
    """One strategy, proven or not; reason: the check that failed."""
    return Record(
        id=f"conformance/{name}",
        kind="conformance",
        status="failed" if reason else "ok",
        reason=reason,
        flags=tuple(flags),
        case={"strategy": name},
    )


def training_record(
    key: str, arm: Arm, status: Status, reason: str | None, samples: dict[str, Any] | None = None, wall: float = 0.0
) -> Record:
    """How one arm and seed ended; key: ``SECTION/arm``."""
    return Record(
        id=key,
        kind="detection" if key.startswith("detection/") else "accuracy",
        status=status,
        reason=reason,
        case=arm.to_json(),
        seed=arm.seed,
        samples=samples or {},
        wall_seconds=wall,
    )
