"""The detection section as the command line runs it: from a config to a table, figures, verdicts and a page."""

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import Finished, command

CONFIG = """
title = "Detectors, as quickly as a test wants them"
sections = ["detection"]
[online]
budget = "40s"
largest_copy_mib = 1
min_replicates = 1
max_replicates = 1
max_superblocks = 2
frames = 2
threads = [1]
[[online.panels]]
backbones = ["digits_fcos"]
sizes = [64]
[[online.groups]]
strategies = ["buffer_shift"]
fractions = ["1/8"]
directions = ["unidirectional"]
[detection]
seeds = 2
[[detection.groups]]
strategies = ["copy_shift"]
fractions = ["1/8"]
directions = ["unidirectional"]
[[detection.groups]]
strategies = ["copy_shift"]
fractions = ["1/4"]
[detection.recipe]
pretrain_frames = 64
pretrain_epochs = 1
clips = 8
epochs = 1
test_clips = 8
"""


@pytest.fixture(scope="module")
def detection_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    base = tmp_path_factory.mktemp("detection")
    (base / "detection.toml").write_text(CONFIG)
    done = command("run", "--config", str(base / "detection.toml"), "--out", str(base / "run"))
    return Finished(base / "run", done.returncode, done.stdout, done.stderr)


def test_its_table(detection_run: Finished) -> None:
    assert detection_run.code == 0, detection_run.stderr
    table = pd.read_csv(detection_run.folder / "tables/detection.csv")
    assert list(table.form) == ["frame by frame", "online", "offline", "online"]
    assert list(table.strategy) == ["no_shift", "copy_shift", "copy_shift", "buffer_shift"]
    assert list(table.seeds) == [2, 2, 2, 0]
    assert table.map_pct[:3].between(0, 100).all() and table.map_delta_pct[1:3].notna().all()
    assert table.overhead_pct.notna().tolist() == [True, False, False, True]
    assert table.also_holds_for[1] == "buffer_shift"


def test_its_page_verdicts_and_figures(detection_run: Finished) -> None:
    assert "Does a running detector find more?" in detection_run.stdout
    page = (detection_run.folder / "report.html").read_text()
    assert "Detection, every form" in page and "detection/cluttered_digits-digits_fcos/" in page
    assert (detection_run.folder / "figures/detection.png").stat().st_size
    verdicts = {
        claim["claim"]: claim["verdict"] for claim in json.loads((detection_run.folder / "claims.json").read_text())
    }
    assert verdicts["detection-gain"] != "not measured" and verdicts["detection-fast"] != "not measured"


def test_candidates_of_a_recipe_are_told_apart(tmp_path: Path) -> None:
    recipe = (
        "[detection]\nseeds = 1\nlength_factors = [1, 2]\n[detection.recipe]" + CONFIG.split("[detection.recipe]")[1]
    )
    asked = 'sections = ["detection"]\n' + recipe.replace("test_clips = 8", 'test_clips = 8\njudged_on = "validation"')
    asked += '[[detection.groups]]\nstrategies = ["copy_shift"]\nfractions = ["1/8"]\ndirections = ["unidirectional"]\n'
    (tmp_path / "candidates.toml").write_text(asked)
    done = command("run", "--config", str(tmp_path / "candidates.toml"), "--out", str(tmp_path / "run"))
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "run/tables/detection.csv")
    assert sorted(zip(table.form, table.length_factor, strict=True)) == [
        ("frame by frame", 1.0),
        ("frame by frame", 2.0),
        ("online", 1.0),
        ("online", 2.0),
    ]
    verdicts = {claim["id"]: claim["verdict"] for claim in json.loads((tmp_path / "run/claims.json").read_text())}
    assert verdicts["detection-gain"] == "not measured"  # a search judges no finding


def test_a_finished_run_trains_nothing_again(detection_run: Finished) -> None:
    before = (detection_run.folder / "records.jsonl").read_bytes()
    done = command("run", "--resume", str(detection_run.folder))
    assert done.returncode == 0, done.stderr
    assert (detection_run.folder / "records.jsonl").read_bytes() == before
