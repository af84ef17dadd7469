"""Videos as users have them, on the command line: decoded, trained on, killed, resumed, judged."""

import json
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from bench.store.journal import read_records
from bench.store.records import TrainedRecord
from bench.store.samples import VideoRecognition
from tests.conftest import ROOT, SMALL_NETWORK, command
from tests.data.making_videos import bar, folder_of_videos, write
from tests.measure.training.conftest import repeatable

CONFIG = """
title = "Videos of one's own"
sections = ["video"]
[video]
seeds = 1
[[video.groups]]
strategies = ["copy_shift"]
[video.recipe]
epochs = 2
batch = 4
device = "cpu"
[video.data]
kept = 8
margin = 4
cache = "cache"
"""


def asked(folder: Path, videos: Path) -> list[str]:
    """A command without its folder, to be run in ``folder``."""
    (folder / "network.py").write_text(SMALL_NETWORK)
    (folder / "mine.toml").write_text(CONFIG)
    line = ["run", "--config", "mine.toml", "--data", str(videos), "--backbone", "network.py:small", "--quiet"]
    return [*line, "--frames", "4", "--sizes", "32", "--strategies", "copy_shift"]


def samples_of(run: Path) -> dict[str, VideoRecognition]:
    """By arm and seed; all must have ended well."""
    records = [record for record in read_records(run) if isinstance(record, TrainedRecord)]
    assert {(record.status, record.reason) for record in records} == {("ok", None)}
    found = {record.id: record.samples for record in records}
    assert len(found) == len(records) == 2
    return {key: samples for key, samples in found.items() if isinstance(samples, VideoRecognition)}


def test_a_run_on_videos(tmp_path: Path) -> None:
    for name, way in (("coming", 1), ("going", -1)):
        for number in range(6):
            write(tmp_path / "videos" / name / f"{number}.mp4", paint=partial(bar, way=way))
    line = asked(tmp_path, Path("videos"))
    done = command(*line, "--task", "arrow", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    flat, shifted = samples_of(tmp_path / "run").values()
    assert flat.top1_accuracy == flat.shuffled_accuracy == 0.5 and flat.params == shifted.params
    assert not list((tmp_path / "run" / "training").iterdir()) and list((tmp_path / "cache").iterdir())
    (weights,) = (tmp_path / "run" / "trained").glob("*copy_shift-residual*")
    judged = ["evaluate", "--weights", str(weights), "--config", "mine.toml", "--data", "videos", "--task", "arrow"]
    judged += ["--backbone", "network.py:small", "--frames", "4", "--size", "32", "--strategies", "copy_shift"]
    told = command(*judged, "--json", "--out", "judged", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    moved = next(row for row in json.loads(told.stdout)["rows"] if row["strategy"] == "copy_shift")
    assert moved["top1_pct"] == pytest.approx(100 * shifted.top1_accuracy)
    wrong = command(*line, "--only", "video", "--data", "nowhere", "--out", "other", cwd=tmp_path)
    assert wrong.returncode == 2 and wrong.stderr == "error: there is no folder and no list of videos nowhere\n"


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_left_in_peace(tmp_path: Path) -> None:
    """On 40 files of several codecs: turned, torn, short, with a header that lies, at a variable rate."""
    videos = folder_of_videos(tmp_path / "videos")
    line = asked(tmp_path, videos)
    calm = command(*line, "--out", "calm", cwd=tmp_path)
    assert calm.returncode == 0, calm.stderr
    wild = tmp_path / "wild"
    process = subprocess.Popen([sys.executable, str(ROOT / "run_bench.py"), *line, "--out", "wild"], cwd=tmp_path)
    patience = time.monotonic() + 120
    while not list(wild.glob("training/*.pt")) and time.monotonic() < patience:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(wild.glob("training/*.pt")), "it was not killed between two epochs"
    resumed = command("run", "--resume", str(wild), "--quiet", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    one, other = samples_of(tmp_path / "calm"), samples_of(wild)
    assert one.keys() == other.keys()  # two are trained side by side, so either may end first
    for key, samples in one.items():
        assert repeatable(samples.model_dump()) == repeatable(other[key].model_dump())
        assert list(samples.left_out) == ["going/letter.mp4"]
        assert samples.train_clips + samples.validation_clips + samples.test_clips == 39
