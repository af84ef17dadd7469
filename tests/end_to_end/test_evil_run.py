"""A whole sweep over a folder of plug-ins that do each thing that a stranger's code might do, at each stage."""

from pathlib import Path

import pandas as pd

from bench.store.journal import read_records
from tests.conftest import SMALL, TWO_BACK, command

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
        if STAGE == "bench.{stage}" and (Evil.calls == 1 or "{name}".startswith("turns")):
            {deed}
        return out
'''
DEEDS = {
    "raises": ("raise ValueError('out of luck')", "ValueError: out of luck"),
    "turns_nan": ("out = out * float('nan')", ""),
    "exits": ("os._exit(0)", "exited with code 0 before it was done"),
    "crashes": ("ctypes.string_at(0)", "SIGSEGV"),
    "hangs": ("time.sleep(1000)", "no sign of life for 20 s"),
    "hoards": ("Evil.hoard = [bytearray(1 << 28) for _ in range(40)]", "MemoryError"),
    "forks": ("os.fork()", "left a process running"),
    "spawns": ("subprocess.Popen(['sleep', '1000'])", "left a process running"),
    "lingers": ("threading.Thread(target=time.sleep, args=(999,)).start()", "left a thread running"),
    "meddles": ("torch.set_num_threads(7)", "changed a setting of PyTorch"),
}
STAGES = {
    "latency.worker": tuple(DEEDS),
    "conformance": ("crashes", "meddles"),
    "accuracy.worker": ("turns_nan", "exits", "hoards"),
}
CONFIG = SMALL.replace('title = "A sweep that a test can wait for"', "[limits]\nsilence = 20\nmemory_gib = 3\n")


def test_every_evil_costs_itself_only(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    names = {}
    for stage, deeds in STAGES.items():
        for deed in deeds:
            name = f"{deed}_in_{stage.split('.')[0]}"
            names[name] = DEEDS[deed][1]
            (plugins / f"{name}.py").write_text(EVIL.format(name=name, deed=DEEDS[deed][0], stage=stage))
    (plugins / "two_back.py").write_text(TWO_BACK)
    (plugins / "noisy.py").write_text(
        EVIL.format(name="noisy", deed="pass", stage="nowhere").replace(
            "        out = ", "        print('?' * 9999)\n        out = "
        )
    )
    (tmp_path / "evil.toml").write_text(CONFIG)
    folder = tmp_path / "run"
    line = ["--config", str(tmp_path / "evil.toml"), "--strategies-dir", str(plugins), "--out", str(folder)]
    done = command("run", *line, "--seeds", "1", timeout=900)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    reasons: dict[str, str] = {}
    for record in read_records(folder):
        if record.status == "failed":
            reasons.setdefault(record.case["strategy"], record.reason or "")
    assert set(reasons) == set(names)
    assert [(name, reasons[name]) for name, reason in names.items() if reason not in reasons[name]] == []
    assert all(name in done.stdout for name in names)
    latency = pd.read_csv(folder / "tables/latency.csv")
    accuracy = pd.read_csv(folder / "tables/accuracy.csv")
    honest = {"no_shift", "copy_shift", "two_back", "noisy"}
    later = {name for name in names if name.endswith("accuracy")}  # nothing was wrong with them until then
    assert set(latency[latency.status == "ok"].strategy) == honest | later | {"buffer_shift"}
    assert (latency[latency.status == "ok"].replicates == 2).all()
    assert set(accuracy[accuracy.status == "ok"].strategy) == honest
