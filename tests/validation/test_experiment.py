"""How a budget is divided; fresh processes, one after the other: what dies costs itself, what was measured is kept."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from bench.spec.axes import ValueNotAllowed
from bench.store.records import FolderError
from bench.system import workers
from bench.system.progress import Reporter
from bench.validation.experiment import PAIRS_WANTED, Design, Experiment, plan
from bench.validation.findings import findings
from bench.validation.results import validate
from tests.conftest import ROOT
from tests.validation import obedient_worker

DESIGN = Design()
SMALL = Design(
    **{"base": 20, "half": 10, "effects": (21,), "pairs": 1, "network_pairs": 2, "group_size": 2, "threads": 1},
    **{"gate_share": 0.0, "busy_least": 1, "most_groups": 1, "most_networks": 2, "most_busy": 1, "most_superblocks": 3},
)
AMPLE = 600.0  # seconds: SMALL ends by its counts, so that a slow machine fails no test
GONE_WITHIN = 20.0  # seconds


@pytest.mark.parametrize(("startup", "superblock"), [(2.5, 0.4), (4.0, 0.6), (5.5, 0.7)])
def test_ten_minutes_give_sixty_pairs_and_fit(startup: float, superblock: float) -> None:
    found = plan(DESIGN, 600, startup, superblock, used=6)
    assert found.quiet / DESIGN.group_size * DESIGN.pairs >= PAIRS_WANTED
    assert found.networks * DESIGN.network_pairs >= PAIRS_WANTED
    assert found.network_seconds / found.networks >= 1.5 * startup
    assert (594 - found.busy_seconds - found.network_seconds) / found.quiet >= startup + 2 * superblock
    assert found.busy >= 3 and 0.1 * 600 < found.busy_seconds < 0.15 * 600


def test_a_small_budget_is_scaled_down_to_one_group_of_five() -> None:
    found = [plan(DESIGN, seconds, 4.0, 0.5) for seconds in (60, 120, 300, 600, 3600)]
    assert (found[0].quiet, found[0].networks, found[0].busy) == (5, 0, 3)
    sizes = [own.quiet for own in found]
    assert sizes == sorted(sizes) and sizes[-1] > 200 and all(size % 5 == 0 for size in sizes)


def test_too_small_a_budget_is_refused_with_one_that_is_enough() -> None:
    with pytest.raises(ValueNotAllowed, match=r"budget of 30 s is too small .* at least (\d+) s") as refused:
        plan(DESIGN, 30, 4.0, 0.5, used=5)
    enough = int(str(refused.value).split("at least ")[1].split(" s")[0])
    assert plan(DESIGN, enough, 4.0, 0.5, used=5).quiet == 5


def test_calls_of_a_process() -> None:
    calls = DESIGN.calls
    assert [call.layers for call in calls[:7]] == [200, 100, 201, 202, 206, 220, 200]
    assert [call.name for call in calls if call.burns] == ["burn"]
    assert [calls[call].name for call in DESIGN.busy_calls] == ["base", "206 layers"]
    twins = [index for pair in range(DESIGN.pairs) for index in sorted(DESIGN.twins(pair))]
    assert twins == list(range(7, len(calls))) and {calls[index].layers for index in twins} == {200}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the processes of the obedient worker do, in turn; the first is the pilot."""
    monkeypatch.setenv(obedient_worker.FOLDER, str(tmp_path))
    return tmp_path / "script"


def experiment(design: Design = SMALL) -> Experiment:
    return Experiment(
        design, AMPLE, Reporter(quiet=True), stacks=obedient_worker.__name__, others=obedient_worker.__name__
    )


def test_the_real_thing_end_to_end(tmp_path: Path) -> None:
    """Stacks and networks in real processes, one of them beside a busy one: files and structure, not times."""
    lines = validate(AMPLE, tmp_path, Reporter(quiet=True), SMALL)
    content = json.loads((tmp_path / "validation.json").read_text())
    assert content["text"] == lines and len(lines) > 5
    phases = [(process["phase"], len(process["blocks"])) for process in content["processes"]]
    assert phases == [(phase, 3) for phase in ("quiet", "quiet", "networks", "networks", "busy")]
    for process in content["processes"][2:4]:
        assert all(sorted(block["build_order"]) == [0, 1, 2, 3] for block in process["blocks"])
        assert all(
            len(block["slots"]) == 8 and min(slot[2] for slot in block["slots"]) > 0 for block in process["blocks"]
        )
    slots = content["processes"][0]["blocks"][0]["slots"]
    calls = [slot[0] for slot in slots]
    assert calls == calls[::-1] and sorted(set(calls)) == list(range(len(SMALL.calls)))
    assert all(len(slot) == len(content["slot_columns"]) and slot[2] > 0 for slot in slots)
    assert content["machine"]["cores"] >= 1 and content["schema_version"] == 4
    assert content["results"]["flagged_busy"]["total"] == 3 and content["checks"]["alarms"] in (True, False)
    table = pd.read_csv(tmp_path / "validation.csv")
    assert list(table["kind"]) == ["effect", "group", "effect", "group", "aa", *["networks"] * 3]
    assert list(table["name"]) == [row["name"] for row in content["results"]["table"]]
    assert (table.set_index("name").loc["burn", "truth_pct"] > 0).all()
    assert "![validation](figures/validation.svg)" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "figures" / "validation.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures" / "validation.svg").exists()


def test_a_process_that_dies_is_repeated_and_told_of(script: Path) -> None:
    script.write_text("ok ok die fail")
    measured = experiment().run()
    assert [process.number for process in measured.phase("quiet")] == [0, 3]
    assert "exited with code 3" in measured.notes[0]
    assert "failed in quiet call 0: the output is not finite" in measured.notes[1]
    assert findings(measured).notes == measured.notes


def test_processes_that_all_die_end_it(script: Path) -> None:
    script.write_text("ok ok die die die")
    measured = experiment().run()
    assert not measured.enough and len(measured.processes) == 1
    assert len(measured.notes) == 3


@pytest.mark.parametrize(("turns", "enough"), [("ok ok interrupt", False), ("ok ok ok interrupt", True)])
def test_an_interruption_keeps_what_was_measured(script: Path, turns: str, enough: bool) -> None:
    script.write_text(turns)
    measured = experiment().run()
    assert measured.interrupted and measured.enough == enough
    assert len(measured.processes) == turns.count("ok") - 1


def test_too_small_a_budget_leaves_an_earlier_validation_alone(tmp_path: Path) -> None:
    (tmp_path / "validation.json").write_text("earlier")
    with pytest.raises(ValueNotAllowed, match="too small"):
        validate(5, tmp_path, Reporter(quiet=True))
    assert (tmp_path / "validation.json").read_text() == "earlier"


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(FolderError, match="cannot write"):
        validate(AMPLE, tmp_path / "taken", Reporter(quiet=True))


def test_the_busy_process_uses_a_core_until_it_is_left() -> None:
    events = workers.stream("bench.validation.experiment", {"seconds": 60}, silence_limit=60)
    assert next(events) == {"event": "ready"}
    (child,) = workers._alive
    patience = time.monotonic() + GONE_WITHIN
    while psutil.Process(child.pid).cpu_times().user < 1.0 and time.monotonic() < patience:
        time.sleep(0.05)
    assert time.monotonic() < patience
    events.close()
    assert not workers._alive and not psutil.pid_exists(child.pid)


def test_the_parent_imports_no_torch() -> None:
    code = "import sys, bench.validation.results; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
