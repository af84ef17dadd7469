"""``run --dry-run`` says what would be measured, in words and as data, and measures nothing."""

import json
from pathlib import Path

import pytest

from bench.cli.app import main

SWEEP = """
title = "Two panels of unlike weight, and a few trainings"
sections = ["latency", "accuracy"]
[latency]
device = "cpu"
threads = [1]
budget = "100s"
[[latency.panels]]
backbones = ["resnet18"]
[[latency.panels]]
backbones = ["resnet34"]
weight = 3
[[latency.groups]]
strategies = ["copy_shift"]
fractions = ["1/8", "1"]
[latency.plugins]
fractions = []
[accuracy]
seeds = 3
[[accuracy.groups]]
strategies = ["copy_shift"]
[accuracy.plugins]
fractions = []
"""
PANEL = "{}-8x224-b1-cpu-eager-fp32-nchw-1t"


def dry_run(folder: Path, *options: str) -> Path:
    (folder / "sweep.toml").write_text(SWEEP)
    out = folder / "run"
    assert main(["run", "--config", str(folder / "sweep.toml"), "--out", str(out), "--dry-run", *options]) == 0
    assert not out.exists()
    return out


def test_a_dry_run_as_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = dry_run(tmp_path, "--json")
    told = json.loads(capsys.readouterr().out)
    latency, accuracy = told["sections"]["latency"], told["sections"]["accuracy"]
    assert latency["panels"] == [
        {"panel": PANEL.format("resnet18"), "cases": 4, "turn": 1, "seconds": 25.0},
        {"panel": PANEL.format("resnet34"), "cases": 4, "turn": 1, "seconds": 75.0},
    ]
    assert (accuracy["trainings"], accuracy["arms"], accuracy["seeds"]) == (6, 2, 3)
    assert told["strategies"] == ["no_shift", "copy_shift"] and told["folder"] == str(out)
    assert told["total_seconds"] == sum(section["seconds"] for section in told["sections"].values())
    assert min(section["seconds"] for section in told["sections"].values()) > 0


def test_a_dry_run_in_words(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = dry_run(tmp_path)
    shown = capsys.readouterr().out
    for text in (
        f"latency: 1 min 40 s\n  {PANEL.format('resnet18')}: 4 cases, 25 s\n",
        f"  {PANEL.format('resnet34')}: 4 cases, 1 min 15 s\n",
        "6 trainings (2 arms, 3 seeds)\n",
        "2 strategies: no_shift, copy_shift\n",
        f", into {out}\n",
    ):
        assert text in shown
