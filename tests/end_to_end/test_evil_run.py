"""A whole sweep over a folder of plug-ins that do each thing that a stranger's code might do, at each stage."""

from pathlib import Path

import pandas as pd
import pytest

from bench.store.journal import read_records
from bench.store.records import CheckedRecord, Record, TimedRecord, TrainedRecord
from tests.conftest import SMALL, command

EVIL = '''
import ctypes, os, subprocess, sys, threading, time
import torch
from bench.strategy import Strategy

STAGE = sys.modules["__main__"].__spec__.name


class Evil(Strategy):
    """{name}: {deed}"""

    name = "{name}"
    calls = 0

    def shift(self, clip):
        Evil.calls += 1
        out = clip.clone()
        if STAGE == "{stage}" and (Evil.calls == 1 or "{name}".startswith("turns")):
            {deed}
        return out
'''
DEEDS = {
    "raises": ("raise ValueError('out of luck')", "ValueError: out of luck"),
    "turns_nan": ("out = out * float('nan')", ""),
    "exits": ("os._exit(0)", "exited with code 0 before it was done"),
    "crashes": ("ctypes.string_at(0)", "SIGSEGV"),
    "hangs": ("time.sleep(1000)", "no sign of life for 60 s"),
    "hoards": ("Evil.hoard = [bytearray(1 << 28) for _ in range(40)]", "MemoryError"),
    "forks": ("os.fork()", "left a process running"),
    "spawns": ("subprocess.Popen(['sleep', '1000'])", "left a process running"),
    "lingers": ("threading.Thread(target=time.sleep, args=(999,)).start()", "left a thread running"),
    "meddles": ("torch.set_num_threads(7)", "changed a setting that holds for all"),
}
PROCESSES = {
    "latency": "bench.measure.latency.worker",
    "conformance": "bench.plugins.conformance",
    "accuracy": "bench.measure.training.worker",
}
SOME = {"latency": ("raises", "crashes"), "conformance": ("meddles",)}
ALL = {"latency": tuple(DEEDS), "conformance": ("crashes", "meddles"), "accuracy": ("turns_nan", "exits", "hoards")}
LIMITS = "[limits]\nsilence = 60\nmemory_gib = 3\n"


@pytest.mark.parametrize("stages", [SOME, pytest.param(ALL, marks=pytest.mark.slow)], ids=["some", "all"])
def test_every_evil_costs_itself_only(stages: dict[str, tuple[str, ...]], tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    expected = {}
    for stage, deeds in stages.items():
        for name in deeds:
            deed, reason = DEEDS[name]
            label = f"{name}_in_{stage}"
            expected[label] = reason
            (plugins / f"{label}.py").write_text(EVIL.format(name=label, deed=deed, stage=PROCESSES[stage]))
    noisy = EVIL.format(name="noisy", deed="pass", stage="nowhere")
    (plugins / "noisy.py").write_text(noisy.replace("        out = ", "        print('?' * 9999)\n        out = "))
    (tmp_path / "evil.toml").write_text(SMALL + LIMITS)
    folder = tmp_path / "run"
    line = ["--config", str(tmp_path / "evil.toml"), "--strategies-dir", str(plugins), "--out", str(folder)]
    sections = [section for section in ("latency", "accuracy") if section in stages]
    done = command("run", *line, "--only", ",".join(sections), "--seeds", "1", "--fractions", "1/4", timeout=900)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    reasons: dict[str, str] = {}
    for record in read_records(folder):
        if record.status == "failed":
            reasons.setdefault(strategy_of(record), record.reason or "")
    assert set(reasons) == set(expected)
    assert [(name, reasons[name]) for name, reason in expected.items() if reason not in reasons[name]] == []
    page = (folder / "report.html").read_text()
    assert "failed: " in done.stdout and all(name in page for name in expected)
    latency = pd.read_csv(folder / "tables/latency.csv")
    honest = {"no_shift", "copy_shift", "noisy"}
    later = {name for name in expected if name.endswith("accuracy")}  # nothing was wrong with them until then
    assert set(latency[latency.status == "ok"].strategy) == honest | later | {"buffer_shift"}
    assert (latency[latency.status == "ok"].replicates == 2).all()
    if "accuracy" in sections:
        accuracy = pd.read_csv(folder / "tables/accuracy.csv")
        assert set(accuracy[accuracy.status == "ok"].strategy) == honest


def strategy_of(record: Record) -> str:
    match record:
        case CheckedRecord():
            return record.strategy
        case TimedRecord():
            return record.case.variant.strategy
        case TrainedRecord():
            return record.trial.variant.strategy
    raise AssertionError(f"{record.kind} records do not fail")
