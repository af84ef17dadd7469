"""What strategies must leave as they found it: hundreds of files in one process; each fails alone, or passes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from bench.plugins.discovery import LoadError, load_class, load_classes
from bench.plugins.side_effects import SideEffectError, no_side_effects
from bench.system import workers
from tests.conftest import ROOT, TWO_BACK
from tests.plugins.meddlers import Plugin, harmless, meddlers, plugin

LEFT = ("the priority", "settings of torch.compile")  # cannot be put back, or hurt nobody
PROVING = """
import torch
from pathlib import Path
from fractions import Fraction
from bench.plugins import conformance
from bench.plugins.discovery import LoadError, load_classes
from bench.plugins.side_effects import PROCESS, PYTORCH
from bench.spec.cases import Variant

torch.set_num_threads(1)
conformance.CHECKS = (conformance.keeps_to_itself,)
guarded = {name: get for name, (get, _) in (PYTORCH | PROCESS).items() if name not in %r}
for file in sorted(Path(%r).glob("*.py")):
    variant = Variant(file.stem, Fraction(1, 4), "residual", "bidirectional")
    torch.manual_seed(0)
    before = {name: get() for name, get in guarded.items()}
    event = {"event": "proven", "name": file.stem, "load": None, "ok": None, "detail": ""}
    try:
        (result,) = conformance.conformance(load_classes(file)[0], variant, None)
        event |= {"ok": result.ok, "detail": result.detail}
    except LoadError as error:
        event["load"] = str(error)
    emit(event | {"changed": [name for name, get in guarded.items() if get() != before[name]]})
"""


def proven(plugins: list[Plugin], folder: Path) -> dict[str, dict[str, Any]]:
    """What loading and the check of side effects say of each file, in one process that goes on from file to file."""
    for one in plugins:
        (folder / f"{one.name}.py").write_text(one.code)
    job = {"code": PROVING % (LEFT, str(folder))}
    events = workers.stream("tests.system.scripted_worker", job, silence_limit=120.0)
    return {event["name"]: event for event in events if event["event"] == "proven"}


def test_whatever_is_meddled_with_is_seen_where_it_happens_and_put_back(tmp_path: Path) -> None:
    plugins = list(meddlers(200))
    told = proven(plugins, tmp_path)
    assert len(told) == 200
    unseen = [
        (one.what, one.stage, told[one.name])
        for one in plugins
        if not (told[one.name]["load"] if one.stage == "load" else told[one.name]["ok"] is False)
    ]
    assert not unseen
    reasons = [(one, told[one.name]["load"] or told[one.name]["detail"]) for one in plugins]
    said = ("it changed", "it left", "meta tensor")  # what is built on another device cannot be moved from there
    assert not [(one.what, why) for one, why in reasons if not any(words in why for words in said)]
    assert not [(one.what, told[one.name]["changed"]) for one in plugins if told[one.name]["changed"]]
    assert {one.stage for one, why in reasons if why.startswith("while it was loaded, it ")} == {"load"}


def test_what_is_harmless_is_no_alarm(tmp_path: Path) -> None:
    plugins = list(harmless(200))
    told = proven(plugins, tmp_path)
    assert [(one.what, one.stage, told[one.name]) for one in plugins if told[one.name]["ok"] is not True] == []


def test_a_file_that_meddles_while_it_is_loaded_says_what_it_changed_and_costs_itself(tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    (tmp_path / "a.py").write_text(plugin("a", f"torch.set_num_threads({threads + 1})", "load", "threads").code)
    (tmp_path / "two_back.py").write_text(TWO_BACK)
    why = rf"while it was loaded, it changed .*the number of threads \({threads} became {threads + 1}\)"
    with pytest.raises(LoadError, match=why):
        load_classes(tmp_path / "a.py")
    assert torch.get_num_threads() == threads
    assert load_classes(tmp_path / "two_back.py")[0].name == "two_back"


def test_only_the_file_that_says_a_name_is_run_for_it(tmp_path: Path) -> None:
    (tmp_path / "a_trap.py").write_text("raise SystemExit('run')\n" + TWO_BACK.replace("two_back", "trap"))
    (tmp_path / "two_back.py").write_text(TWO_BACK)
    ran = tmp_path / "ran"
    (tmp_path / "b_spy.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    files = sorted(tmp_path.glob("*.py"))
    assert load_class("two_back", files).name == "two_back"
    assert not ran.exists()
    with pytest.raises(LoadError, match=r"a_trap.py cannot be loaded: SystemExit: run"):
        load_class("trap", files)


def test_a_compiler_may_have_processes_and_settings_of_its_own_but_none_of_pytorchs() -> None:
    with no_side_effects(compiling=True):
        helper = subprocess.Popen(["sleep", "1000"])
    assert psutil.pid_exists(helper.pid)
    helper.kill()
    helper.wait()
    with pytest.raises(SideEffectError, match="the default dtype"), no_side_effects(compiling=True):
        torch.set_default_dtype(torch.float64)
    assert torch.get_default_dtype() is torch.float32


COMPILED = """
import torch
from bench.plugins.side_effects import SideEffectError, no_side_effects
shift = torch.compile(lambda clip: clip * 1.0)
try:
    with no_side_effects():
        shift(torch.zeros(1, 2, 4, 2, 2))
except SideEffectError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("helpers", ["1", "2"])
def test_a_compiled_shift_is_told_where_it_can_be_measured(helpers: str) -> None:
    """Whether the compiler starts helpers or works in the process itself, and whether its cache knows the graph."""
    line, env = [sys.executable, "-c", COMPILED], {**os.environ, "TORCHINDUCTOR_COMPILE_THREADS": helpers}
    for _ in range(2):
        done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
        assert "it compiles itself (torch.compile)" in done.stdout and "--runtimes compile" in done.stdout, done.stderr
