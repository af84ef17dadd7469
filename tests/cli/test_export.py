"""An exported file runs where there is no torch and gives the same answer; what cannot be exported is one line."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import resnet18

from bench import models
from bench.cli.app import main
from bench.cli.export import LOOPS
from bench.models import runtimes
from bench.plugins.discovery import load_class, strategy_files
from bench.system import allocators
from tests.conftest import ROOT
from tests.models.runtimes.small import BRANCHES, FROZEN

pytestmark = pytest.mark.skipif(bool(runtimes.why_not("onnxruntime", "cpu")), reason="needs the extra: runtimes")

ASK = ["--backbone", "resnet18", "--frames", "2", "--size", "32"]


def export(strategy: str, runtime: str, out: Path, *more: str) -> int:
    return main(["export", strategy, "--runtime", runtime, "--out", str(out), *ASK, *more])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_printed_loader_runs_the_file_without_torch(
    runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if reason := runtimes.why_not(runtime, "cpu"):
        pytest.skip(reason)
    out, weights = tmp_path / "network.onnx", tmp_path / "TSM_few_RGB_resnet18_shift8_block_avg_segment2_e50.pth"
    torch.save(resnet18(num_classes=5).state_dict(), weights)
    assert export("split_input_shift", runtime, out, "--weights", str(weights)) == 0
    printed, warning = capsys.readouterr()
    assert warning.count("\n") == 1 and "trained with placement inplace, as its name says" in warning
    assert (allocators.advice() or "wrote") in printed
    loader = printed[printed.index("import numpy") :]
    more = f"import sys\nassert 'torch' not in sys.modules\nnumpy.save({str(tmp_path / 'logits.npy')!r}, logits)\n"
    done = subprocess.run([sys.executable, "-c", loader + more], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    given = np.random.default_rng(0).standard_normal((4, 3, 32, 32), dtype="float32")
    network = models.insert(load_class("copy_shift", strategy_files())(0.25), models.build("resnet18", 2, str(weights)))
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(given)).numpy()
    answer = np.load(tmp_path / "logits.npy")
    assert answer.shape == (2, 5)
    assert np.abs(answer - expected).max() <= 1e-4 * np.abs(expected).max()
    assert list(tmp_path.glob("*.onnx")) == [out]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(out.stat().st_mode) == 0o666 & ~mask, "readable as everything else that its owner makes"


STREAM_FILES = {"onnxruntime": "stream.onnx", "openvino": "stream.xml"}


@pytest.mark.parametrize("runtime", STREAM_FILES)
def test_the_printed_loop_runs_streams_without_torch(
    runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight frames of two streams, of which the first begins anew before the fifth, against clips of eight and four."""
    if reason := runtimes.why_not(runtime, "cpu"):
        pytest.skip(reason)
    out = tmp_path / STREAM_FILES[runtime]
    ask = ["--online", "--streams", "2", "--backbone", "resnet18", "--size", "32", "--fraction", "1/4"]
    assert main(["export", "parted_shift", "--runtime", runtime, "--out", str(out), *ask]) == 0
    printed = capsys.readouterr().out
    assert "in: frames [2, 3, 32, 32]; out: logits [2, 1000]" in printed
    assert sum(line.startswith("  layer") for line in printed.splitlines()) == 8 and " MB a stream" in printed
    loop = printed[printed.index("import numpy") :]
    assert loop.strip() == LOOPS[runtime].format(file=str(out), streams=2, size=32).strip()
    kept = str(tmp_path / "logits.npy")
    loop += f"import sys\nassert 'torch' not in sys.modules\nnumpy.save({kept!r}, logits)\n"
    done = subprocess.run([sys.executable, "-c", loop], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    given = torch.from_numpy(np.random.default_rng(0).standard_normal((8, 2, 3, 32, 32), dtype="float32"))
    answer, copied = np.load(kept), load_class("copy_shift", strategy_files())
    for stream, began in ((0, 4), (1, 0)):
        network = models.build("resnet18", 8 - began)
        network = models.insert(copied(0.25, "residual", "unidirectional"), network).eval()
        with torch.inference_mode():
            expected = network.trunk(given[began:, stream])[-1].numpy()
        assert np.abs(answer[stream] - expected).max() <= 1e-4 * np.abs(expected).max()
    assert {file.name for file in tmp_path.iterdir()} <= {out.name, "stream.bin", "logits.npy"}


@pytest.mark.parametrize("runtime", STREAM_FILES)
def test_the_loop_of_the_docs_is_the_printed_one(runtime: str) -> None:
    loop = LOOPS[runtime].format(file=STREAM_FILES[runtime], streams=1, size=224)
    assert f"```python\n{loop}```" in (ROOT / "docs" / "networks.md").read_text()


@pytest.mark.parametrize(
    ("code", "name", "words"), [(BRANCHES, "branches", "cannot be exported"), (FROZEN, "frozen", "")]
)
def test_what_cannot_be_exported_leaves_no_file(
    code: str, name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{name}.py").write_text(code)
    out = tmp_path / "network.onnx"
    assert export(name, "onnxruntime", out, "--strategies-dir", str(tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {name} was not exported: ") and error.count("\n") == 1
    assert words in error
    assert not list(tmp_path.glob("*.onnx"))


MISTAKES = {
    "copy_shift --runtime tvm": ["'tvm'", "onnxruntime, openvino"],
    "copy_shift --runtime eager": ["'eager'", "onnxruntime, openvino"],
    "nobody --runtime onnxruntime": ["'nobody'", "copy_shift"],
    "copy_shift --runtime onnxruntime --backbone vgg16": ["'vgg16'", "resnet50"],
    "copy_shift --runtime onnxruntime --fraction 2": ["'2'", "0 to 1"],
    "copy_shift --runtime onnxruntime --fraction 0": ["fraction 0", "no_shift"],
    "copy_shift --runtime onnxruntime --direction up": ["'up'", "bidirectional, unidirectional"],
    "no_shift --runtime onnxruntime": ["no_shift does not exist at fraction 1/4", "0"],
    "split_input_shift --runtime onnxruntime --placement inplace": ["'inplace'", "residual"],
    "inner_shift --runtime onnxruntime --backbone resnet18": ["resnet18 has no bottleneck"],
    "buffer_shift --runtime onnxruntime": ["made for eager"],
    "concat_shift --runtime onnxruntime --backbone resnet18 --online --direction bidirectional": [
        "bidirectional: it reads the next frame"
    ],
    "split_input_shift --runtime onnxruntime --online --backbone resnet18": ["how they run frame by frame"],
    "concat_shift --runtime onnxruntime --online --frames 8": ["frames come one by one"],
    "concat_shift --runtime onnxruntime --streams 2": ["--streams needs --online"],
    "concat_shift --runtime openvino --online": ["FILE.xml"],
    "copy_shift --runtime onnxruntime --backbone resnet18 --weights nowhere.pth": ["there is no file nowhere.pth"],
}


@pytest.mark.parametrize("line", MISTAKES)
def test_what_cannot_be_asked_for_is_one_line(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *line.split(), "--out", str(tmp_path / "x.onnx")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert all(text in error for text in MISTAKES[line]), error


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("copy_shift", "onnxruntime", tmp_path / "nowhere" / "x.onnx") == 2
    assert "cannot be written" in capsys.readouterr().err
