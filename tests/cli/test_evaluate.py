"""A checkpoint on a dozen videos: one table over strategies and runtimes; what cannot be asked for is one line."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.cli.app import main
from bench.models import runtimes
from bench.store.records import read_header
from tests.measure.making_evaluations import COLOURS, EACH, MISLABELLED, network, videos

CLIPS = len(COLOURS) * EACH
RUNTIMES = ["eager", *(name for name in ("onnxruntime", "openvino") if not runtimes.why_not(name, "cpu"))]


@dataclass(frozen=True)
class Given:
    """A folder with a network, its weights and videos, and the options that name them."""

    folder: Path
    options: tuple[str, ...]

    def evaluate(self, *more: str) -> int:
        return main(["evaluate", *self.options, "--frames", "4", "--size", "32", *more])


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    folder = tmp_path_factory.mktemp("evaluate")
    backbone, weights = network(folder)
    listed = videos(folder, "letter.mp4,green\n")
    (folder / "letter.mp4").write_text("Dear reader, " * 50)
    return Given(folder, ("--backbone", backbone, "--weights", str(weights), "--data", str(listed)))


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="module")
def told(given: Given) -> dict[str, Any]:
    """All runtimes at once. A video that cannot be read makes it 1."""
    import contextlib
    import io

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as shown:
        patch.setenv("XDG_CACHE_HOME", str(given.folder / "cache"))
        asked = ("--strategies", "copy_shift,concat_shift", "--runtimes", ",".join(RUNTIMES), "--part", "all")
        assert given.evaluate(*asked, "--out", str(given.folder / "out"), "--json") == 1
    return json.loads(shown.getvalue())  # type: ignore[no-any-return]


def test_strategies_and_runtimes_stand_in_one_table(told: dict[str, Any]) -> None:
    rows = told["rows"]
    strategies = ["copy_shift", "concat_shift", "no_shift"]
    assert [(row["runtime"], row["strategy"]) for row in rows] == [(r, s) for r in RUNTIMES for s in strategies]
    assert told["clips"] == CLIPS and told["classes"] == list(COLOURS)
    for row in rows:
        assert (row["status"], row["clips"], row["unlike_eager"]) == ("ok", CLIPS, 0)
        assert row["top1_pct"] == pytest.approx(100 * (CLIPS - MISLABELLED) / CLIPS)
        assert 0 < row["top1_ci_low_pct"] < row["top1_pct"] < row["top1_ci_high_pct"] < 100
        assert row["deviation"] <= 1e-4 and row["overhead_pct"] is None
    assert [row["delta_pct"] for row in rows] == [None, *[0.0] * (len(rows) - 1)]
    assert rows[1]["unlike_same_function"] == 0 and told["faults"] == []


def test_a_video_that_cannot_be_read_is_named_and_left_out(told: dict[str, Any], given: Given) -> None:
    assert list(told["unreadable"]) == [str(given.folder / "letter.mp4")]
    assert len(pd.read_csv(given.folder / "out" / "evaluation" / "unreadable.csv")) == 1


def test_classes_and_predictions_are_files(told: dict[str, Any], given: Given) -> None:
    classes, clips = (
        pd.read_csv(given.folder / "out" / "evaluation" / f"{name}.csv") for name in ("classes", "predictions")
    )
    assert len(clips) == CLIPS * len(told["rows"]) and len(classes) == len(COLOURS) * len(told["rows"])
    first = classes.iloc[: len(COLOURS)].set_index("class")
    assert first["right"].to_dict() == {"blue": EACH - MISLABELLED, "green": EACH, "red": EACH}
    wrong = clips[(clips["label"] != clips["predicted"]) & (clips["strategy"] == "no_shift")]
    assert {Path(clip).stem for clip in wrong["clip"]} == {"blue0", "blue1"}


@pytest.mark.skipif(bool(runtimes.why_not("onnxruntime", "cpu", "int8")), reason="needs the extra: runtimes")
def test_eight_bits_are_learnt_from_videos(given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Off by what eight bits cost, and still right: colours lie far apart. What cannot be read is not learnt from."""
    asked = ("--strategies", "copy_shift", "--runtimes", "onnxruntime", "--dtypes", "int8", "--part", "all")
    assert given.evaluate(*asked, "--out", str(tmp_path / "out"), "--json") == 1  # a video that cannot be read
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["runtime"], row["dtype"]) for row in rows] == [("eager", "fp32")] * 2 + [("onnxruntime", "int8")] * 2
    for row in rows[2:]:
        assert (row["status"], row["unlike_eager"], row["top1_pct"]) == ("ok", 0, rows[0]["top1_pct"])
        assert 1e-4 < row["deviation"] < 0.1


def test_forward_or_reversed_in_words(
    given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network without a shift is right in one way of each video; the number of its classes must be two."""
    two = (given.folder / "net.py").read_text().replace("nn.Linear(16, 3)", "nn.Linear(16, 2)")
    (tmp_path / "two.py").write_text(two)
    import torch

    from bench.models.backbones import backbone

    torch.save(backbone(f"{tmp_path / 'two.py'}:small").state_dict(), tmp_path / "two.pth")
    lines = [line for line in (given.folder / "list.csv").read_text().splitlines() if "letter" not in line]
    (given.folder / "whole.csv").write_text("\n".join(lines))
    asked = ["--backbone", f"{tmp_path / 'two.py'}:small", "--weights", str(tmp_path / "two.pth")]
    asked += ["--data", str(given.folder / "whole.csv"), "--task", "arrow", "--part", "all", "--frames", "4"]
    asked += ["--size", "32", "--views", "2", "--strategies", "no_shift", "--quiet", "--out", str(tmp_path / "out")]
    assert main(["evaluate", *asked]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert f"{2 * CLIPS} clips of 2 classes, 4 frames of 32²" in shown[0]
    assert shown[1].split()[:2] == ["strategy", "top-1"]
    assert shown[2].split()[:3] == ["no_shift", "50", "[31,"]
    assert shown[3] == f"tables: {tmp_path / 'out' / 'evaluation'}"


MISTAKES = {
    "--part half": ["'half'", "test, validation, all"],
    "--task smell": ["'smell'", "label, arrow"],
    "--runtimes tvm": ["'tvm'", "eager, compile, onnxruntime"],
    "--dtypes int4": ["'int4'", "'bf16'"],
    "--dtypes int8": ["int8 exists in the runtimes onnxruntime and openvino", "not in eager"],
    "--strategies nobody": ["'nobody'", "copy_shift"],
    "--strategies split_input_shift --placements inplace": [
        "split_input_shift takes none of the fractions, placements"
    ],
    "--fractions 2": ["'2'", "0…1"],
    "--weights nowhere.pth": ["there is no file nowhere.pth"],
    "--data nowhere": ["nowhere"],
    "--config nowhere.toml": ["nowhere.toml"],
    "--strategies-dir nowhere": ["nowhere is not a folder"],
    "--budget soon": ["'soon'", "10m"],
    "--task arrow": ["tells 3 classes apart", "list.csv has 2: forward, reversed"],
    "--backbone resnet18": ["weights.pth is of another network"],
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line(
    line: str, given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert given.evaluate("--out", str(tmp_path / "out"), *line.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    assert [word for word in MISTAKES[line] if word not in error] == [], error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_latency_of_the_same_cases_stands_beside(
    given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert given.evaluate("--strategies", "copy_shift", "--part", "all", "--budget", "60s", "--out", str(out)) == 1
    table = pd.read_csv(out / "evaluation" / "accuracy.csv")
    assert table["latency_ms"].gt(0).all() and (out / "report.html").exists()
    assert read_header(out)["settings"]["weights"].endswith("weights.pth")
    assert "latency [%]" in capsys.readouterr().out
