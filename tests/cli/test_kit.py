"""A kit measures where there is neither torch nor this suite, and what it brings home is a run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pandas as pd
import pytest

from bench.cli.app import main
from bench.models import runtimes
from bench.store.records import read_header

pytestmark = pytest.mark.skipif(bool(runtimes.why_not("onnxruntime", "cpu")), reason="needs the extra: runtimes")

SMALL = ["--backbone", "resnet18", "--frames", "2", "--size", "32"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """A Python outside of this environment, and how it finds ONNX Runtime and numpy, and nothing else."""
    folder, packages = tmp_path_factory.mktemp("alone"), Path(numpy.__file__).parent.parent
    for name in ("numpy", "numpy.libs", "onnxruntime"):
        if (packages / name).exists():
            (folder / name).symlink_to(packages / name)
    python = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    absent = subprocess.run([python, "-c", "import torch"], env=environ, capture_output=True, text=True, timeout=60)
    assert "No module named 'torch'" in absent.stderr
    return python, environ


@pytest.mark.parametrize(
    ("more", "table", "strategy"), [((), "latency", "split_input_shift"), (("--online",), "online", "parted_shift")]
)
def test_what_it_measures_alone_is_a_run(
    more: tuple[str, ...], table: str, strategy: str, alone: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    kit, (python, environ) = tmp_path / "kit", alone
    assert main(["kit", strategy, "--out", str(kit), *SMALL, *more]) == 0
    assert {file.name for file in kit.iterdir()} == {"measure.py", "kit.json", "no_shift.onnx", f"{strategy}.onnx"}
    ask = [python, str(kit / "measure.py"), "--threads", "1", "--processes", "5", "--superblocks", "2"]
    done = subprocess.run(ask, env=environ, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = kit / "results"
    assert main(["report", str(results)]) == 0
    rows = pd.read_csv(results / "tables" / f"{table}.csv")
    assert list(rows["strategy"]) == ["no_shift", "no_shift", strategy]
    assert (rows["status"] == "ok").all() and (rows["replicates"] == 5).all() and (rows["threads"] == 1).all()
    assert rows["overhead_ci_high_pct"].iloc[-1] > rows["overhead_ci_low_pct"].iloc[-1]
    assert "onnxruntime" in read_header(results)["environment"]["versions"]
    again = subprocess.run(ask, env=environ, capture_output=True, text=True, timeout=60)
    assert again.returncode == 1 and "take it away first" in again.stderr


MISTAKES = {
    "nobody": ["'nobody'", "copy_shift"],
    "no_shift": ["is in every kit"],
    "buffer_shift": ["made for eager"],
    "concat_shift --fraction 2": ["'2'", "0 to 1"],
    "concat_shift --backbone vgg16": ["'vgg16'", "resnet50"],
}


@pytest.mark.parametrize("line", MISTAKES)
def test_what_cannot_be_asked_for_is_one_line(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kit", *line.split(), "--out", str(tmp_path / "kit")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert all(text in error for text in MISTAKES[line]), error
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kit", "concat_shift", "--out", str(tmp_path)]) == 2
    assert "must be a new folder" in capsys.readouterr().err
