"""What one process measured -> its records: a ``latency`` record for each case, closed by one ``replicate`` record."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.spec.cases import Case, Panel
from bench.store.records import Record

_SLOT_COLUMNS = ("position", "seconds", "cpu_seconds", "switches", "faults", "steal", "foreign", "mhz", "frame_seconds")
"""Those of ``sampling.Slot.row`` after the case."""


def replicate_records(
    panel: Panel,
    cases: Sequence[tuple[int, Case]],
    number: int,
    blocks: Sequence[dict[str, Any]],
    ready: dict[str, Any],
    started: str,
    wall: float,
) -> list[Record]:
    """cases: (index in the events, case). blocks, ready: the ``superblock`` and ``ready`` events of the process."""
    kind: Any = panel.kind
    records = [
        Record(
            id=f"{kind}/{case.label}/r{number}",
            kind=kind,
            status="ok",
            case=case.to_json(),
            replicate=number,
            samples=_slots(index, blocks),
            started=started,
        )
        for index, case in cases
    ]
    samples = {
        "wall": [block["wall"] for block in blocks],
        "waited": [block["waited"] for block in blocks],
        "disturbance": [block["disturbance"] for block in blocks],
        "sensors": [block["sensors"] for block in blocks],
        "copies": {size: [block["copies"][size] for block in blocks] for size in blocks[0]["copies"]},
        "page_seconds": [block["page_seconds"] for block in blocks],
        "startup_seconds": ready["startup_seconds"],
        "warm_up_seconds": ready["warm_up_seconds"],
        "backend": ready["backend"],
    }
    closing = Record(
        id=f"replicate/{panel.label}/r{number}",
        kind="replicate",
        status="ok",
        case=asdict(panel),
        replicate=number,
        samples=samples,
        started=started,
        wall_seconds=wall,
    )
    return [*records, closing]


def _slots(index: int, blocks: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """One list for each column, over the case's slots in all superblocks; a column that is unknown is left out."""
    rows = [[b, *row[1:]] for b, block in enumerate(blocks) for row in block["slots"] if row[0] == index]
    columns = dict(zip(("superblock", *_SLOT_COLUMNS), map(list, zip(*rows, strict=True)), strict=True))
    return {name: values for name, values in columns.items() if None not in values}
