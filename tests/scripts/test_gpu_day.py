"""The day with a GPU, without one: it fits into its time, and is rehearsed from the first line to the page."""

import json
import os
import re
import subprocess
import tarfile
import time
from collections.abc import Iterator
from importlib.metadata import requires, version
from itertools import product
from pathlib import Path

import pytest
import torch

from bench.cli.app import main
from bench.spec.settings import load_config
from tests.conftest import ROOT
from tests.gpu_day import probes
from tests.measure.latency.simulated_gpu import SimulatedGpu

SCRIPT = ROOT / "tests" / "gpu_day.sh"
MOST = 540  # seconds
STEPS = ("proof", "probes", "latency", "deployed", "faults", "blame")  # the most important first; then training


def test_the_steps_stand_in_their_order_and_their_limits_fit_into_nine_minutes() -> None:
    limits = dict(re.findall(r"^step (\w+) (\d+) ", SCRIPT.read_text(), re.MULTILINE))
    assert tuple(limits) == STEPS
    assert sum(map(int, limits.values())) <= MOST
    assert load_config(ROOT / "tests/gpu_day/latency.toml").latency.budget < int(limits["latency"]) - 45
    assert subprocess.run(["bash", "-n", str(SCRIPT)], timeout=20).returncode == 0


def test_what_is_carried_as_wheels_fits_together() -> None:
    """A machine without the network has none of it: all that pydantic needs, its core in the very version."""
    carried = SCRIPT.read_text().partition("pip download")[2].partition("DATA=")[0].split()
    for line in requires("pydantic") or []:
        needed, _, extra = line.partition(";")
        if f"pydantic=={version('pydantic')}" in carried and "extra" not in extra:
            name = re.split("[><=!~]", needed)[0]
            assert (needed if "==" in needed else name) in carried, needed
    assert any(name.startswith("pydantic==") for name in carried)


def test_every_case_of_the_run_is_proven_before() -> None:
    groups = load_config(ROOT / "tests/gpu_day/latency.toml").latency.groups
    timed = {(name, float(fraction)) for group in groups for name in group.strategies for fraction in group.fractions}
    assert {case for case in timed if case[0] != "copy_shift"} <= set(probes.PROVEN)


@pytest.fixture
def _settings() -> Iterator[None]:
    """A step has a process of its own; here what it sets is put back."""
    precision, benchmark = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    yield
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.benchmark = benchmark


@pytest.mark.usefixtures("_settings")
def test_launches_copies_and_settings_are_asked_for_on_the_simulated_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MIB", (1, 2))
    told = dict(probes.probes(probes.REHEARSAL, SimulatedGpu()))
    assert told["copies"].keys() == {1, 2}
    for times in (1, 20):
        assert told[f"baseline, {times} replays, cudnn.benchmark True"] > 0
    assert told["backend"]["device_name"] == "Simulated GPU"


@pytest.mark.usefixtures("_settings")
def test_folded_networks_stand_beside_those_that_are_not_while_there_is_time() -> None:
    backbones = {"resnet50", "mobilenet_v2", probes.LITE}
    assert set(probes.DEPLOYED) == set(product({*backbones, *(f"folded:{name}" for name in backbones)}, (1, 8, 32)))
    networks = [("resnet18", 1), ("folded:resnet18", 1)]
    plain, folded = dict(probes.replays(probes.REHEARSAL, SimulatedGpu(), networks, time.monotonic() + 60)).values()
    assert all(folded[arm] < plain[arm] for arm in probes.ARMS)
    assert folded["copy_shift"] / folded["no_shift"] > plain["copy_shift"] / plain["no_shift"] > 1
    late = dict(probes.deployed(probes.REHEARSAL, SimulatedGpu(), 0.0))
    assert set(late.values()) == {"no time was left"} and len(late) == 2 + 2 * len(probes.ARMS)


def test_a_fault_that_was_blamed_on_somebody_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("")
    with pytest.raises(SystemExit, match="somebody else was blamed"):
        list(probes.faults(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif("REHEARSE" not in os.environ, reason="a quarter of an hour: REHEARSE=1 asks for it")
def test_the_day_is_rehearsed_whole(tmp_path: Path) -> None:
    env = {**os.environ, "REHEARSE": "1", "OUT": str(tmp_path / "day")}
    done = subprocess.run(["bash", str(SCRIPT)], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=1500)
    print(done.stdout[-5000:])
    found = {path.name for path in (tmp_path / "day").iterdir()}
    assert done.returncode == 0 and len(found) <= 8
    archives = {f"{name}.tar.gz" for name in ("latency", "faults")}
    assert found >= {"log.txt", "proof.json", "probes.json", "deployed.json", "faults.json", *archives}
    assert not re.search(r"exit code [1-9]", done.stdout.replace("faults: exit code 1", ""))  # it records failures
    proven = json.loads((tmp_path / "day" / "proof.json").read_text())
    assert len(proven) == 2 * len(probes.PROVEN) and all(text.startswith("proven") for text, _ in proven.values())
    with tarfile.open(tmp_path / "day" / "latency.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    assert main(["report", str(tmp_path / "latency")]) == 0
    assert "placed_shift" in (tmp_path / "latency" / "report.html").read_text()
