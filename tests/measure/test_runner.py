"""What a resumed run still has of its budget."""

from dataclasses import replace

import pytest

from bench.measure.runner import beyond_processes
from bench.store.records import ProcessRecord
from tests.measure.latency.test_section import KEPT

STREAM = replace(KEPT, streams=1)


@pytest.mark.parametrize(
    ("used", "charged"),
    [(100.0, 30.0), (70.0, 0.0), (50.0, 0.0), (0.0, 0.0)],
    ids=["counting", "none", "killed", "again"],
)
def test_a_resume_pays_for_what_no_process_on_record_stands_for(used: float, charged: float) -> None:
    panels = (KEPT, KEPT, STREAM)
    known = [ProcessRecord(id=f"process/{n}", panel=panel, wall_seconds=35.0) for n, panel in enumerate(panels)]
    assert {panel.section for panel in panels} == {"latency", "online"}
    assert beyond_processes("latency", used, known) == charged
