"""A user's mistakes: one line that names the value and lists what is allowed, exit code 2, nothing written."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet18

from bench.cli import session
from bench.cli.app import main
from bench.cli.report import show, write_report
from bench.plugins import discovery
from bench.spec.settings import preset_names
from tests.conftest import LEAKY, SMALL, TWO_BACK
from tests.report.conftest import PUBLISHED

MISTAKES = {
    "unknown strategy": (
        ["run", "--strategies", "foo_shift"],
        ["'foo_shift'", "buffer_shift, concat_shift, copy_shift"],
    ),
    "fraction outside": (["run", "--fractions", "1/8,2"], ["'2'", "0 to 1"]),
    "negative fraction": (["run", "--fractions=-1/8"], ["'-1/8'", "0 to 1"]),
    "fraction by zero": (["run", "--fractions", "1/0"], ["'1/0'", "0 to 1"]),
    "fraction nan": (["run", "--fractions", "nan"], ["'nan'", "0 to 1"]),
    "unknown backbone": (["run", "--backbone", "vgg16"], ["'vgg16'", "resnet50"]),
    "unknown preset": (["run", "--preset", "huge"], ["'huge'", "paper", "smoke, standard"]),
    "unknown study": (["run", "--preset", "paper", "--studies", "nonsense"], ["'nonsense'", "main"]),
    "pause without a unit": (["run", "--pause-after", "soon"], ["'soon'", "90s, 10m"]),
    "unknown placement": (["run", "--placements", "sideways"], ["'sideways'", "residual, inplace"]),
    "unknown device": (["run", "--device", "tpu"], ["'tpu'", "cpu"]),
    "unknown runtime": (["run", "--runtimes", "tvm"], ["'tvm'", "eager"]),
    "unknown section": (["run", "--only", "lunch"], ["'lunch'", "latency, accuracy"]),
    "online, looking ahead": (
        ["run", "--only", "online", "--directions", "bidirectional"],
        ["no next frame", "direction unidirectional"],
    ),
    "online in 3-D": (["run", "--only", "online", "--backbone", "s3d"], ["'s3d'", "resnet18, resnet34, resnet50"]),
    "stream of no file": (["stream", "--source", "/nowhere.mp4"], ["no video file /nowhere.mp4"]),
    "stream of nothing": (["stream"], ["--source"]),
    "unknown executor": (["run", "--executor", "cloud"], ["'cloud'", "local"]),
    "too many threads": (["run", "--threads", "4096"], ["4096", "allowed: 1 to"]),
    "no threads": (["run", "--threads", "0"], ["'0'", "from 1"]),
    "seeds in words": (["run", "--seeds", "many"], ["'many'", "whole number"]),
    "budget in words": (["run", "--budget", "soon"], ["'soon'", "10m"]),
    "value of no parameter": (["run", "--strategies", "copy_shift[kernel=3]"], ["no parameter 'kernel'", "none"]),
    "unclosed bracket": (["run", "--strategies", "copy_shift[kernel=3"], ["'copy_shift[kernel=3'", "tam[kernel=3,5]"]),
    "check of no value": (["check", "copy_shift[kernel=3]"], ["no parameter 'kernel'", "none"]),
    "empty list": (["run", "--strategies", ","], ["--strategies", "a,b"]),
    "preset and config": (["run", "--preset", "smoke", "--config", "x.toml"], ["exclude each other"]),
    "no such config": (["run", "--config", "/nowhere/x.toml"], ["/nowhere/x.toml", "No such file"]),
    "no such plug-in folder": (["run", "--strategies-dir", "/nowhere"], ["/nowhere", "not a folder"]),
    "resume and more": (["run", "--resume", "/nowhere", "--seeds", "3"], ["--resume", "alone"]),
    "resume of no run": (["run", "--resume", "/nowhere"], ["/nowhere", "not a run"]),
    "unwritable folder": (["run", "--preset", "smoke", "--out", "/proc/shiftbench"], ["/proc/shiftbench"]),
    "unknown option": (["run", "--fast"], ["--fast"]),
    "unknown command": (["fly"], ["fly"]),
    "report of no run": (["report", "/nowhere"], ["/nowhere", "not a run"]),
    "list of nothing": (["list", "dreams"], ["'dreams'", "strategies, backbones, presets, claims"]),
    "check of nobody": (["check", "foo_shift"], ["'foo_shift'", "copy_shift"]),
    "check of no file": (["check", "nowhere.py"], ["nowhere.py"]),
    "check with weights of nothing": (["check", "copy_shift", "--weights", "imagenet"], ["--backbone"]),
    "check in a 3-D network": (["check", "copy_shift", "--backbone", "s3d"], ["'s3d'", "resnet18"]),
    "weights that are not there": (["run", "--weights", "my.pth"], ["no file my.pth", "imagenet"]),
    "weights that nothing takes": (
        ["run", "--preset", "smoke", "--only", "accuracy", "--weights", "imagenet"],
        ["--weights", "latency, online and video"],
    ),
    "new with a bad name": (["new", "two back"], ["'two back'", "letters"]),
    "new with a name in use": (["new", "copy_shift"], ["copy_shift.py", "exists"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line(
    mistake: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments, mentioned = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert [word for word in mentioned if word not in error] == [], error
    assert list(tmp_path.iterdir()) == []


CONFIGS = {
    "unknown key": ("[latency]\nbudgets = '10m'\n", ["budgets", "budget"]),
    "unknown section": ("[latnecy]\n", ["latnecy", "latency"]),
    "wrong type": ("[accuracy]\nseeds = 'three'\n", ["accuracy.seeds", "'three'", "integer"]),
    "bad fraction": ("[[latency.groups]]\nfractions = ['9/8']\n", ["'9/8'", "0 to 1"]),
    "unknown strategy": ("[[latency.groups]]\nstrategies = ['nobody']\n", ["'nobody'", "copy_shift"]),
    "not TOML": ("latency = [", ["not TOML"]),
}


@pytest.mark.parametrize("mistake", CONFIGS)
def test_a_mistake_in_a_config(mistake: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text, mentioned = CONFIGS[mistake]
    config = tmp_path / "mine.toml"
    config.write_text(text)
    assert main(["run", "--config", str(config), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert [word for word in mentioned if word not in error] == [], error
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_a_run_is_left_alone(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("irreplaceable")
    assert main(["run", "--out", str(tmp_path)]) == 2
    assert "not a run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_help_imports_nothing_heavy() -> None:
    """What makes --help answer at once: none of the slow packages is imported for it."""
    heavy = "{'torch', 'pandas', 'scipy', 'matplotlib', 'numpy', 'pydantic'}"
    code = f"import sys; from bench.cli.app import main; main(['--help']); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().endswith("[]"), done.stdout


@pytest.mark.parametrize("more", [[], ["--learnable"]])
def test_new_makes_a_strategy_that_passes_check(
    more: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["new", "my_shift", *more, "--to", str(tmp_path / "mine")]) == 0
    assert f"--strategies-dir {tmp_path / 'mine'}" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "mine" / "my_shift.py")]) == 0
    assert "all hold" in capsys.readouterr().out


def test_check_proves_values_of_parameters_and_all_of_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["new", "my_gate", "--learnable", "--to", str(tmp_path)]) == 0
    in_folder = ["--strategies-dir", str(tmp_path)]
    assert main(["check", "my_gate[kernel=3,5]", *in_folder]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("my_gate")] == ["my_gate", "my_gate[kernel=5]"]
    assert "        kernel=5 of 3, 5: frames that the gate looks at" in lines
    assert main(["check", "my_gate[kernel=4]", *in_folder]) == 2
    assert capsys.readouterr().err == "error: kernel of my_gate cannot be '4'; there are: 3, 5\n"
    (tmp_path / "two.py").write_text(TWO_BACK + LEAKY)
    assert main(["check", str(tmp_path / "two.py")]) == 1
    shown = capsys.readouterr().out
    assert "two_back: Each moved" in shown and "<b>leaky</b>: Overwrites" in shown and "FAILED  shortcut_exact" in shown


def test_check_says_which_places_of_a_network_are_left_as_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["new", "my_gate", "--learnable", "--to", str(tmp_path)]) == 0
    file = tmp_path / "my_gate.py"
    file.write_text(file.read_text().replace("channels < 8", "channels < 24").replace("8 channels", "24 channels"))
    assert main(["check", str(file), "--backbone", "digits_resnet"]) == 0
    assert "places of digits_resnet are left as they are: it gates 24 channels at least" in capsys.readouterr().out


def test_in_a_checkout_strategies_and_results_are_its_own() -> None:
    assert session.strategies() == session.BUILTIN and (session.BUILTIN / "no_shift.py").is_file()
    assert session.results() == session.BUILTIN.parent / "results"


def test_an_installed_package_writes_below_the_working_directory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing goes into the folder that it is installed in, which holds no run_bench.py."""
    installed, here = tmp_path / "site-packages", tmp_path / "here"
    (installed / "strategies").mkdir(parents=True)
    here.mkdir()
    monkeypatch.setattr(session, "_ROOT", installed)
    monkeypatch.setattr(session, "BUILTIN", installed / "strategies")
    monkeypatch.chdir(here)
    (here / "small.toml").write_text(SMALL)
    monkeypatch.setattr("bench.measure.runner.start", lambda plan, folder, *_: pytest.fail(f"into {folder}"))
    with pytest.raises(pytest.fail.Exception, match=f"into {here}/results/.*-small$"):
        main(["run", "--config", "small.toml"])
    assert main(["new", "my_shift"]) == 0
    assert "--strategies-dir" in capsys.readouterr().out  # where it lies is not looked at without being asked for
    assert [path.name for path in (here / "strategies").iterdir()] == ["my_shift.py"]
    assert [path for path in installed.rglob("*") if path.is_file()] == []


def test_weights_of_another_network_are_told_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(resnet18().state_dict(), "other.pth")
    arguments = ["--preset", "smoke", "--only", "latency", "--backbone", "resnet34", "--weights", "other.pth"]
    assert main(["run", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f"{tmp_path / 'other.pth'} is of another network than resnet34: it lacks" in error
    assert [path.name for path in tmp_path.iterdir()] == ["other.pth"]


TWENTY = '''
from bench.strategy import Strategy

class Twenty(Strategy):
    """Has room for 20 channels, which is enough for the blocks of conformance."""
    name = "twenty"
    fractions, placements, directions = (0.125,), ("residual",), ("unidirectional",)
    same_function_as = "copy_shift"

    def shift(self, clip):
        moved, out = min(20, self.channels_each_way(clip.shape[2])), clip.clone()
        out[:, 1:, :moved], out[:, :1, :moved] = clip[:, :-1, :moved], 0
        return out
'''


def test_check_proves_in_a_network_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "twenty.py").write_text(TWENTY)
    assert main(["check", str(tmp_path / "twenty.py")]) == 0
    torch.save(resnet18(num_classes=5).state_dict(), tmp_path / "my.pth")
    of_network = ["--backbone", "resnet18", "--weights", str(tmp_path / "my.pth")]
    assert main(["check", str(tmp_path / "twenty.py"), *of_network]) == 1
    shown = capsys.readouterr().out
    assert "FAILED  equal_in_network" in shown and "18 checks each in resnet18: 1 broken" in shown


def test_check_names_the_broken_property(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "leaky.py").write_text(LEAKY)
    (tmp_path / "two_back.py").write_text(TWO_BACK)
    assert main(["check", str(tmp_path / "leaky.py")]) == 1
    shown = capsys.readouterr().out
    assert "FAILED  shortcut_exact" in shown and "channel" in shown
    assert main(["check", str(tmp_path / "two_back.py")]) == 0


@pytest.mark.parametrize("what", ["strategies", "backbones", "claims", "--no-load"])
def test_lists(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", what]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_presets_say_how_long_they_take(capsys: pytest.CaptureFixture[str]) -> None:
    """On this machine, as a dry run expects it; without running strategy files what the budgets say."""
    assert main(["list", "presets"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    takes = {line.split()[0]: line[head.index("preset") + 17 : head.index("what for")].strip() for line in lines}
    assert head.split() == ["preset", "takes", "what", "for"] and takes.keys() == {*preset_names()}
    assert takes["mechanisms"] == "30 min" and takes["volumetric"] == "10 min"
    assert takes["video"] == "-" and any("videos of your own" in line for line in lines)
    hours, minutes = map(int, re.findall(r"\d+", takes["paper"]))
    assert 60 * hours + minutes > 106  # its budgets; the trainings come on top
    assert main(["list", "presets", "--no-load"]) == 0
    (paper,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("paper "))
    assert "1 h 46 min + training  " in paper


def test_help_has_groups_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"─ {group} ─" in told for group in ("Measure", "Strategies", "Your network"))
    assert all(f" {example}" in told for example in ("run --preset smoke:", "run: ", "advise --backbone "))


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["--preset", "s"], ["smoke", "standard"]),
        (["--only", "latency,on"], ["latency,online"]),
        (["--dtypes", "fp32,b"], ["fp32,bf16"]),
        (["--backbone", "mobilenet"], ["mobilenet_v2"]),
        (["--seeds", "1"], []),
    ],
)
def test_a_shell_completes_values(typed: list[str], offered: list[str]) -> None:
    program, words = Path(sys.executable).with_name("shiftbench"), ["shiftbench", "run", *typed]
    asked = {"_SHIFTBENCH_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": f"{len(words) - 1}"}
    told = subprocess.run([program], env=os.environ | asked, capture_output=True, text=True, check=True)
    assert told.stdout.split() == offered


def test_a_command_leaves_signals_as_it_found_them(tmp_path: Path) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    assert main(["run", "--preset", "no such", "--out", str(tmp_path / "x")]) == 2
    assert main(["validate", "--budget", "1s", "--out", str(tmp_path / "y")]) == 2
    assert [signal.getsignal(number) for number in numbers] == before


def test_the_last_screen_of_a_report(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As text, as data, and in a terminal that has only ASCII."""
    folder = tmp_path / "run"
    shutil.copytree(PUBLISHED, folder)
    assert main(["report", str(folder)]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) <= 15 and rows[0].startswith("Control ") and rows[-1] == f"report: {folder / 'report.html'}"
    assert main(["report", str(folder), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["report"] == str(folder / "report.html") and " ".join(rows[:2]).startswith(data["first_line"][:60])
    with io.TextIOWrapper(io.BytesIO(), encoding="ascii") as terminal, contextlib.redirect_stdout(terminal):
        show(folder, *write_report(folder), json_output=False)
        terminal.flush()
        written = terminal.buffer.getvalue().decode()  # type: ignore[attr-defined]
    assert written.splitlines()[1] == rows[1].replace("−", "-")


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would pass")
def test_check_proves_on_every_device(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU other kernels run than on the processor. Here there is none, so that nothing holds there."""
    monkeypatch.setattr(discovery, "devices_here", lambda: ["cpu", "cuda"])
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # put back afterwards
    assert main(["check", "triton_shift"]) == 1
    shown = capsys.readouterr().out
    assert "FAILED  shape" in shown and "bidirectional on cuda: raised" in shown
