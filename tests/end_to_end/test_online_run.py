"""The online section as the command line runs it, in one process a panel: from a config to verdicts and a page."""

import json

import pandas as pd
import pytest

from tests.conftest import TWO_BACK, Finished, command

CONFIG = """
title = "Frame by frame, as quickly as a test wants it"
sections = ["online"]
[online]
backbones = ["resnet18"]
sizes = [32]
frames = 2
threads = [1]
budget = "60s"
largest_copy_mib = 1
min_replicates = 1
max_replicates = 1
max_superblocks = 2
[[online.groups]]
strategies = ["buffer_shift"]
fractions = ["1/8"]
directions = ["unidirectional"]
"""


@pytest.fixture(scope="module")
def online_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    base = tmp_path_factory.mktemp("online")
    (base / "plugins").mkdir()
    (base / "plugins" / "two_back.py").write_text(TWO_BACK)
    (base / "online.toml").write_text(CONFIG)
    plugins = ("--strategies-dir", str(base / "plugins"))
    done = command("run", "--config", str(base / "online.toml"), *plugins, "--out", str(base / "run"))
    return Finished(base / "run", done.returncode, done.stdout, done.stderr)


def test_its_table(online_run: Finished) -> None:
    assert online_run.code == 0, online_run.stderr
    table = pd.read_csv(online_run.folder / "tables/online.csv")
    measured = table[table.status == "ok"]
    assert list(measured.strategy) == ["no_shift", "no_shift", "buffer_shift"] and set(measured.streams) == {1}
    assert (measured.frame_ms <= measured.p95_ms).all() and (measured.replicates == 1).all()
    assert list(measured.cache_mb > 0) == [False, False, True]
    assert measured.missed_deadline_pct.between(0, 100).all() and (measured.fps > 0).all()


def test_what_cannot_stream_is_skipped_with_the_reason(online_run: Finished) -> None:
    table = pd.read_csv(online_run.folder / "tables/online.csv")
    (two_back,) = table[table.strategy == "two_back"].itertuples()
    assert two_back.status == "skipped" and "does not compute frame by frame" in two_back.reason


def test_its_page_and_verdicts(online_run: Finished) -> None:
    assert "What does it cost a running video?" in online_run.stdout
    assert "Frame by frame, every case" in (online_run.folder / "report.html").read_text()
    assert (online_run.folder / "figures/online_frame_times.png").stat().st_size
    verdicts = {v["claim"]: v["why"] for v in json.loads((online_run.folder / "claims.json").read_text())}
    assert "ResNet-50" in verdicts["online-latency"] and "ResNet-50" in verdicts["cache-size"]


def test_what_was_measured_is_not_measured_again(online_run: Finished) -> None:
    before = (online_run.folder / "records.jsonl").read_bytes()
    assert command("run", "--resume", str(online_run.folder)).returncode == 0
    assert (online_run.folder / "records.jsonl").read_bytes() == before
