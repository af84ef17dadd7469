"""Expendable processes: whatever a plug-in does, the parent hears one reason and goes on."""

from pathlib import Path

import pytest

from bench.plugins import discovery
from bench.plugins.discovery import describe, strategy_files
from bench.spec.schema import ProcessLimits
from bench.system import workers

CLASS = "from bench.strategy import Strategy\nclass A(Strategy):\n    def shift(self, clip): return clip\n"
EVIL = {
    "raises": ("raise RuntimeError('broken\\nover two lines')", "RuntimeError: broken over two lines"),
    "syntax": ("def (", "SyntaxError"),
    "exits": ("import sys; sys.exit(0)", "SystemExit"),
    "dies": ("import os; os._exit(0)", "exited with code 0 before it was done"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
    "nameless": (CLASS, "A.name must be"),
    "empty": ("", "exactly one subclass"),
    "hollow": ("from bench.strategy import Strategy\nclass A(Strategy):\n    name = 'a'", "neither shift nor wrap"),
    "taken": (CLASS + "    name = 'copy_shift'", "is taken by"),
    "fraction": (CLASS + "    name = 'a'\n    fractions = 'all'", "must be None or a tuple"),
    "placement": (CLASS + "    name = 'a'\n    placements = ('residual')", "must be a tuple of residual, inplace"),
    "device": (CLASS + "    name = 'a'\n    devices = ('tpu',)", "must be a tuple of cpu, cuda"),
    "range": (CLASS + "    name = 'a'\n    fractions = (1.5,)", "outside 0…1"),
    "mirror": (CLASS + "    name = 'a'\n    same_function_as = 'a'", "names the strategy itself"),
    "lingers": (
        CLASS + "    name = 'b'\nimport threading as t, time\nt.Thread(target=time.sleep, args=(999,)).start()",
        None,
    ),
    "prints": ('print(\'{"event": "done"}\')\n' + CLASS + "    name = 'a'", None),
}


def test_evil_files_cost_themselves_only(tmp_path: Path) -> None:
    for name, (code, _) in EVIL.items():
        (tmp_path / f"{name}.py").write_text(code)
    infos, devices = describe(strategy_files(tmp_path))
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
    found = {info.name: info.builtin for info in map(discovery.info_of, strategy_files())}
    assert found == {"copy_shift": True, "mine": False, "broken": False}


def test_a_file_that_hangs_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text("import time; time.sleep(1000)")
    infos, _ = describe(strategy_files(tmp_path), ProcessLimits(silence=12.0))
    errors = {Path(info.file).stem: info.error for info in infos}
    assert "no sign of life" in (errors["hangs"] or "")
    assert errors["copy_shift"] is None


def test_leaving_early_kills_the_worker() -> None:
    job = {"files": [str(path) for path in strategy_files()]}
    for _ in workers.stream("bench.plugins.discovery", job, silence_limit=60):
        break
    assert not workers._alive
