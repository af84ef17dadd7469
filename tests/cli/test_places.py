"""The command line in odd places: paths, locales, homes and terminals that somebody has, and that most do not."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.cli import session
from tests.conftest import ROOT
from tests.report.conftest import PUBLISHED

NOWHERE = "/dev/null/home"  # not even the system's administrator can write there
PLACES = {
    "a locale without signs": {"PYTHONIOENCODING": "ascii"},
    "the locale C": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "a home that cannot be written": {"HOME": NOWHERE, "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": NOWHERE},
}


def run(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, str(ROOT / "run_bench.py"), *arguments]
    return subprocess.run(line, cwd=cwd, env=os.environ | env, capture_output=True, timeout=300)


def test_a_report_in_a_folder_with_an_odd_name_and_everything_else_odd_too(tmp_path: Path) -> None:
    folder = tmp_path / "a run #1 [50%] ü"
    shutil.copytree(PUBLISHED, folder, ignore=shutil.ignore_patterns("figures", "tables", "report.html"))
    everything = {name: value for place in PLACES.values() for name, value in place.items()}
    done = run("report", folder.name, cwd=tmp_path, **everything)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr and done.stdout
    assert (folder / "report.html").stat().st_size > 100_000


@pytest.mark.parametrize("command", ["doctor", "list"])
@pytest.mark.parametrize("place", PLACES)
def test_commands_that_say_much(command: str, place: str) -> None:
    done = run(command, **PLACES[place])
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr and done.stdout


def test_native_kernels_without_a_place_say_so_in_a_line() -> None:
    code = "from bench.ops.native import why_not\nprint(why_not())"
    env = os.environ | PLACES["a home that cannot be written"]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and "native kernels" in done.stdout


def kill_oneself(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)  # it may be another thread that is told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_closed_terminal_ends_a_run_in_order_as_ctrl_c_does(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), session.stopping_in_order():
        kill_oneself(number)
    assert signal.getsignal(number) is before


def test_who_ignores_the_end_of_the_terminal_goes_on() -> None:
    """As nohup does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with session.stopping_in_order():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_whose_terminal_is_closed_is_interrupted_and_says_so_in_its_folder(tmp_path: Path) -> None:
    """On a terminal of its own, which then goes away: nothing can be written to it any more."""
    code = f"""
import os, pty, sys, time
from pathlib import Path
pid, terminal = pty.fork()
if not pid:
    os.execv(sys.executable, [sys.executable, "-c", '''
import time
from pathlib import Path
from bench.cli import session
place = Path({str(tmp_path)!r})
try:
    with session.stopping_in_order():
        (place / "began").touch()
        time.sleep(100)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    (place / "ended").touch()
'''])
while not Path({str(tmp_path / "began")!r}).exists():
    time.sleep(0.02)
os.close(terminal)
os.waitpid(pid, 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "ended").exists()
