"""Counters of the system, where there are some and where there are none."""

import math
from functools import partial
from pathlib import Path

import pytest

from bench.stats import exclusion
from bench.system import counters
from bench.system.counters import Counters, Disturbance, Others


def test_a_machine_without_proc_still_gives_counters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "_PROC_STAT", tmp_path / "nothing")
    monkeypatch.setattr(counters, "pressure", partial(counters.pressure, root=tmp_path))
    before = Disturbance.now()
    assert sum(range(200_000)) > 0
    spent = Disturbance.now().since(before)
    assert spent["own"] >= 0 and spent["wall"] > 0
    assert all(math.isnan(spent[f"pressure_{what}"]) for what in ("cpu", "memory", "io"))
    assert exclusion.reasons(spent, spent["wall"]) in ((), ("foreign CPU",))


def test_what_others_do_is_seen_and_said_with_their_names() -> None:
    seen = counters.look(0.2)
    assert seen.foreign >= 0 and len(seen.busiest) <= 3
    busy = Others(1.02, 0.01, (("miner\n", 4711, 0.98), ("cc1", 12, 0.04)))
    assert busy.disturb and str(busy) == "1.0 cores busy with miner (4711), cc1 (12)"
    assert str(Others(0.0, 0.5)) == "0.5 cores taken by the hypervisor"
    assert "not visible from here and 0.2 cores taken" in str(Others(1.0, 0.2))
    assert not Others(counters.DISTURBED_CORES, 0.0).disturb


@pytest.mark.parametrize(("cores", "busy"), [(1, 0.08), (2, 0.08), (64, 2.56)])
def test_a_large_machine_may_keep_more_cores_busy(cores: int, busy: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "usable_cores", lambda: cores)
    assert not Others(busy, 0.0).disturb and Others(busy + 0.001, 0.0).disturb


def test_foreign_time_is_what_others_used() -> None:
    earlier, later = Counters(1.0, 10.0, 0.0, 5, 100), Counters(3.0, 12.5, 0.1, 9, 150)
    spent = later.since(earlier)
    assert (spent["own"], spent["foreign"], spent["switches"], spent["faults"]) == (2.0, 0.5, 4, 50)
    assert Counters(3.0, 1.0, 0.0, 0, 0).since(Counters(1.0, 0.0, 0.0, 0, 0))["foreign"] == 0.0
