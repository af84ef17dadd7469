"""Shared by all tests: the one small run that several files look at, made by the command line itself."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from bench.system import workers

ROOT = Path(__file__).resolve().parent.parent

os.environ |= workers._bytecode_cache()  # most processes that tests start import torch, which takes seconds without

TWO_BACK = '''
from bench.strategy import Strategy

class TwoBack(Strategy):
    """Each moved channel comes from two frames earlier."""
    name = "two_back"

    def shift(self, clip):                       # [N, T, C, H, W] -> the same shape
        moved = int(clip.shape[2] * self.fraction)
        out = clip.clone()
        out[:, 2:, :moved] = clip[:, :-2, :moved]
        out[:, :2, :moved] = 0
        return out
'''

LEAKY = '''
from bench.strategy import Strategy

class Leaky(Strategy):
    """Overwrites its input, and so the shortcut."""
    name = "<b>leaky</b>"

    def shift(self, clip):
        clip[:, 1:, :2] = clip[:, :-1, :2].clone()
        return clip
'''


SMALL_NETWORK = '''
from torch import nn
from torchvision.models.resnet import BasicBlock

def small():
    """Has weights of its own, one place for a shift, and draws random numbers while it learns."""
    stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(8, 5)
    return nn.Sequential(*stem, BasicBlock(8, 8), *head)
'''

EXPENSIVE = ("small_run", "described_once", "pretrained", "pretrained_detector", "experiments", "good")
"""Fixtures that take many seconds to make, the dearest first."""

BROKEN = "raise RuntimeError('this file is broken')\n"

SMALL = """
title = "A sweep that a test can wait for"
[latency]
backbones = ["resnet18"]
frames = [4]
sizes = [32]
threads = [1]
budget = "120s"
largest_copy_mib = 1
target_half_width_pp = 0.01
min_replicates = 2
max_replicates = 2
max_superblocks = 4
[[latency.groups]]
strategies = ["copy_shift", "buffer_shift"]
fractions = ["1/8", "1/4", "1"]
[latency.plugins]
fractions = ["1/4"]
[online]
sizes = [32]
frames = 2
threads = [1]
budget = "60s"
largest_copy_mib = 1
min_replicates = 1
max_replicates = 1
max_superblocks = 2
[[online.panels]]
backbones = ["resnet18"]
[[online.panels]]
backbones = ["digits_fcos"]
sizes = [64]
[[online.groups]]
strategies = ["buffer_shift"]
fractions = ["1/8"]
directions = ["unidirectional"]
[accuracy]
seeds = 2
[[accuracy.groups]]
strategies = ["copy_shift"]
[accuracy.recipe]
pretrain_frames = 256
pretrain_epochs_easy = 1
pretrain_epochs_hard = 1
clips = 32
epochs = 1
test_clips = 20
[detection]
seeds = 2
[[detection.groups]]
strategies = ["copy_shift"]
fractions = ["1/8"]
directions = ["unidirectional"]
[detection.plugins]
fractions = []
[detection.recipe]
pretrain_frames = 64
pretrain_epochs = 1
clips = 8
epochs = 1
test_clips = 8
"""
"""All sections, each as small as it can be and still have intervals. A process waits up to a tenth of the budget for a
quiet machine, which there is none of beside other tests."""


@dataclass(frozen=True)
class Finished:
    """A finished command: its folder, exit code and what it printed."""

    folder: Path
    code: int
    stdout: str
    stderr: str


def command(*arguments: str, cwd: Path = ROOT, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    line = [sys.executable, str(ROOT / "run_bench.py"), *arguments]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=timeout)


@pytest.hookimpl(tryfirst=True)  # before the workers read the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share what is expensive to make stay on one worker; all others go where there is room."""
    for item in items:
        shared = [name for name in EXPENSIVE if name in getattr(item, "fixturenames", ())]
        if shared:  # one group each: two names would make a third group, which may go to the other worker
            item.add_marker(pytest.mark.xdist_group(shared[0]))


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """On tensors as small as the tests', a second thread gains nothing and waits for a core where others are busy."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """All sections once, with two mechanisms, a plug-in, a leaky one and a broken file."""
    base = tmp_path_factory.mktemp("small")
    plugins = base / "plugins"
    plugins.mkdir()
    (plugins / "two_back.py").write_text(TWO_BACK)
    (plugins / "leaky.py").write_text(LEAKY)
    (plugins / "broken.py").write_text(BROKEN)
    (base / "small.toml").write_text(SMALL)
    done = command(
        "run", "--config", str(base / "small.toml"), "--strategies-dir", str(plugins), "--out", str(base / "run")
    )
    return Finished(base / "run", done.returncode, done.stdout, done.stderr)
