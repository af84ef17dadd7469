"""Worker processes: whatever a plug-in does, the parent gets one reason and goes on."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.plugins import discovery
from bench.plugins.discovery import describe, strategy_files
from bench.spec.schema import ProcessLimits
from bench.system import workers
from bench.system.workers import Event, WorkerDied
from tests.conftest import ROOT

GONE_WITHIN = 20.0  # seconds
MODULE = "tests.system.scripted_worker"
CLASS = "from bench.strategy import Strategy\nclass A(Strategy):\n    def shift(self, clip): return clip\n"
EVIL = {
    "raises": ("raise RuntimeError('broken\\nover two lines')", "RuntimeError: broken over two lines"),
    "syntax": ("def (", "SyntaxError"),
    "exits": ("import sys; sys.exit(0)", "SystemExit"),
    "dies": ("import os; os._exit(0)", "exited with code 0 before it was done"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
    "hangs": ("import time; time.sleep(1000)", "no sign of life"),
    "nameless": (CLASS, "A.name must be"),
    "empty": ("", "defines no strategy"),
    "twins": (CLASS + "    name = 'x'\nclass B(A):\n    name = 'x'", "A and B have one name, 'x'"),
    "hollow": ("from bench.strategy import Strategy\nclass A(Strategy):\n    name = 'a'", "neither shift nor wrap"),
    "taken": (CLASS + "    name = 'copy_shift'", "is taken by"),
    "fraction": (CLASS + "    name = 'a'\n    fractions = 'all'", "must be None or a tuple"),
    "placement": (CLASS + "    name = 'a'\n    placements = ('residual')", "must be a tuple of residual, inplace"),
    "device": (CLASS + "    name = 'a'\n    devices = ('tpu',)", "must be a tuple of cpu, cuda"),
    "range": (CLASS + "    name = 'a'\n    fractions = (1.5,)", "outside 0…1"),
    "mirror": (CLASS + "    name = 'a'\n    same_function_as = 'a'", "names the strategy itself"),
    "lingers": (
        CLASS + "    name = 'b'\nimport threading as t, time\nt.Thread(target=time.sleep, args=(999,)).start()",
        "while it was loaded, it left a thread running",
    ),
    "meddles": (CLASS + "    name = 'c'\nimport torch\ntorch.set_num_threads(99)", "while it was loaded, it changed"),
    "prints": ('print(\'{"event": "done"}\')\n' + CLASS + "    name = 'a'", None),
}


def test_evil_files_cost_themselves_only(tmp_path: Path) -> None:
    for name, (code, _) in EVIL.items():
        (tmp_path / f"{name}.py").write_text(code)
    infos, devices = describe(strategy_files(tmp_path), ProcessLimits(silence=12.0))
    assert "cpu" in devices
    by_file = {Path(info.file).stem: info for info in infos if not info.builtin}
    for name, (_, reason) in EVIL.items():
        error = by_file[name].error
        assert (error is None) if reason is None else (error is not None and reason in error), (name, error)
    assert all(info.error is None for info in infos if info.builtin)


def test_a_file_dropped_beside_the_suites_own_is_no_builtin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it joins every preset without being named, as one in --strategies-dir does."""
    own = discovery.BUILTIN / "copy_shift.py"
    (tmp_path / "copy_shift.py").write_bytes(own.read_bytes())
    (tmp_path / "mine.py").write_text(CLASS + "    name = 'mine'")
    (tmp_path / "broken.py").write_text("import nothing_of_that_name")
    monkeypatch.setattr(discovery, "BUILTIN", tmp_path)
    found = {info.name: info.builtin for file in strategy_files() for info in discovery.infos_of(file)}
    assert found == {"copy_shift": True, "mine": False, "broken": False}


def run(code: str, **limits: Any) -> list[Event]:
    return list(workers.stream(MODULE, {"code": code}, **{"silence_limit": 60.0, **limits}))


@pytest.mark.parametrize(
    ("code", "reason", "fatal"),
    [
        ("raise ValueError('broken')", "exited with code 1 before it was done: ValueError: broken", False),
        ("import os\nos.abort()", "was killed by SIGABRT", True),
        ("import os\nprint('bye', flush=True)\nos._exit(0)", "exited with code 0 before it was done: bye", True),
        ("emit([1])", "wrote something else into the pipe", True),
        ("import os\nif not os.fork(): emit({'event': 'forged'})\nos.wait()\nos._exit(3)", "exited with code 3", True),
        ("bytearray(3 * 2**30)", "MemoryError", False),
    ],
)
def test_a_worker_that_dies_says_how(code: str, reason: str, fatal: bool) -> None:
    with pytest.raises(WorkerDied) as died:
        run(code, memory_gib=2.0)
    assert reason in str(died.value) and died.value.fatal == fatal


def test_a_silent_worker_is_killed() -> None:
    with pytest.raises(WorkerDied, match="no sign of life for 3 s"):
        run("import time\nemit({'event': 'awake'})\ntime.sleep(1000)", silence_limit=3.0)


def test_a_worker_that_shows_life_in_another_way_may_be_silent_for_longer(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    sign.touch()
    code = f"""
import time
emit({{"event": "awake"}})
for beat in range(5):
    time.sleep(1)
    open({str(sign)!r}, "a").write("x")
"""
    limits: dict[str, Any] = {"silence_limit": 3.0, "alive": sign.read_bytes}
    assert len(run(code, **limits)) == 2 and sign.read_text() == "x" * 5
    with pytest.raises(WorkerDied, match="no sign of life") as died:
        run(code + "time.sleep(1000)", **limits)
    assert died.value.silent


def test_leaving_early_kills_the_worker() -> None:
    for event in workers.stream(MODULE, {"code": "while True: emit({'event': 'on'})"}, silence_limit=60.0):
        assert event == {"event": "on"}
        break
    assert not workers._alive


def lives(pid: int) -> bool:
    """One that has ended stays in the list until its parent, which may be this process by now, has asked how."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_worker_dies_with_its_parent() -> None:
    job = {"code": "import os, time\nemit({'event': 'pid', 'pid': os.getpid()})\ntime.sleep(1000)"}
    parent = (
        "import os\nfrom bench.system import workers\n"
        f"for event in workers.stream({MODULE!r}, {job!r}, silence_limit=60):\n"
        "    print(event['pid'], flush=True)\n    os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", parent], cwd=ROOT, capture_output=True, text=True, timeout=60)
    pid, patience = int(done.stdout), time.monotonic() + GONE_WITHIN
    while lives(pid) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not lives(pid)


LEAVING = {
    "in the same session": "subprocess.Popen(['sleep', '1000'])",
    "in a session of its own": "subprocess.Popen(['sleep', '1000'], start_new_session=True)",
    "as an orphan": "subprocess.run(['sh', '-c', 'setsid sleep 1000 >/dev/null 2>&1 &'])",
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no system gives orphans to who asks for them")
@pytest.mark.parametrize("ending", ["pass", "os.kill(os.getpid(), 9)"])
@pytest.mark.parametrize("way", LEAVING)
def test_whatever_a_worker_started_ends_with_it(way: str, ending: str) -> None:
    code = f"""
import os, subprocess
import psutil

def mine(process):
    try:
        return process.cmdline() == ["sleep", "1000"] and process.environ().get("SHIFTBENCH_WORKER") == mark
    except psutil.Error:
        return False

started, mark, pids = {LEAVING[way]}, os.environ["SHIFTBENCH_WORKER"], []
while not pids:
    pids = [process.pid for process in psutil.process_iter() if mine(process)]
emit({{"event": "started", "pids": pids}})
{ending}
"""
    pids, died = list[int](), ""
    try:
        for event in workers.stream(MODULE, {"code": code}, silence_limit=60.0):
            pids += event.get("pids", [])
    except WorkerDied as death:
        died = str(death)
    assert ("SIGKILL" in died) == ("kill" in ending)
    assert len(pids) == 1 and not psutil.pid_exists(pids[0])


@pytest.mark.parametrize("name", ["bench", "random", "torch", "strategies", "typing"])
def test_files_in_the_working_directory_hide_no_module(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    monkeypatch.chdir(tmp_path)
    code = f"import bench.system.environment, importlib, random\nimportlib.import_module({name!r})"
    assert run(code) == [{"event": "done"}]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_parent_that_was_stopped_does_not_take_its_worker_for_dead() -> None:
    """Both are stopped for longer than the limit of silence, as on a laptop that is closed."""
    job = {"code": "import os, time\nemit({'event': 'pid', 'pid': os.getpid()})\ntime.sleep(5)"}
    parent = (
        "from bench.system import workers\n"
        f"for event in workers.stream({MODULE!r}, {job!r}, silence_limit=6.0):\n"
        "    print(event.get('pid', event['event']), flush=True)\n"
    )
    line = [sys.executable, "-c", parent]
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = psutil.Process(int(process.stdout.readline()))
        worker.suspend()
        psutil.Process(process.pid).suspend()
        time.sleep(7.5)
        psutil.Process(process.pid).resume()
        time.sleep(0.3)  # it finds its deadline passed
        worker.resume()
        out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "done\n"), error
