"""What ``run.json`` keeps of a plan is enough to make it again, and to refuse where something changed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.measure import plan
from bench.plugins import discovery
from bench.spec.axes import ValueNotAllowed
from bench.spec.cases import Chosen, StrategyInfo
from bench.spec.settings import Settings, validate
from bench.store.records import FolderError

SETTINGS = {
    "latency": {"backbones": ["resnet18"], "groups": [{"strategies": ["copy_shift"], "fractions": ["1/8", "1"]}]},
    "accuracy": {"groups": [{"strategies": ["copy_shift"]}], "seeds": 1},
    "detection": {"groups": [{"strategies": ["copy_shift"]}], "seeds": 1},
}


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> plan.Plan:
    infos = []
    for name in ("no_shift", "copy_shift", "broken"):
        (tmp_path / f"{name}.py").write_text(f"# {name}\n")
        error = "it is broken" if name == "broken" else None
        sides = {"placements": ("residual", "inplace"), "directions": ("bidirectional", "unidirectional")}
        infos.append(StrategyInfo(name, str(tmp_path / f"{name}.py"), builtin=True, error=error, **sides))
    monkeypatch.setattr(discovery, "describe", lambda files, limits: (infos, ["cpu"]))
    settings: Settings = validate(SETTINGS, "a test")
    return plan.prepare(settings, Chosen(), None)


def header_of(prepared: plan.Plan) -> dict[str, Any]:
    """As it comes back from the disk."""
    header: dict[str, Any] = json.loads(json.dumps(plan.new_header(prepared, "a test", "run")))
    return header


def test_a_plan_comes_back_from_its_header(prepared: plan.Plan) -> None:
    header = header_of(prepared)
    assert plan.prepare_again(header) == prepared
    assert [path.stem for path in prepared.files] == ["no_shift", "copy_shift"]
    assert list(header["sweep"]["trainings"]) == ["accuracy", "detection"]
    assert len(header["sweep"]["trainings"]["accuracy"]["trials"]) == 2
    assert list(header["sweep"]["strategy_code"]) == ["no_shift", "copy_shift"]
    assert (header["devices"], header["cores"]) == (["cpu"], prepared.machine.cores)


def test_what_changed_since_is_named(prepared: plan.Plan) -> None:
    header = header_of(prepared)
    header["sweep"]["trainings"]["accuracy"]["recipe"]["epochs"] = 99
    header["sweep"]["measuring_code"] = "another"
    with pytest.raises(FolderError, match="its measuring code and accuracy recipe changed since; start a new run"):
        plan.prepare_again(header)
    header = header_of(prepared)
    Path(prepared.infos[1].file).write_text("# changed\n")
    with pytest.raises(FolderError, match="its strategy code changed since"):
        plan.prepare_again(header)


def test_a_run_goes_on_with_the_weights_that_it_began_with(prepared: plan.Plan, tmp_path: Path) -> None:
    file = tmp_path / "my.pth"
    file.write_bytes(b"these")
    with_weights = replace(prepared, settings=prepared.settings.model_copy(update={"weights": str(file)}))
    header = header_of(with_weights)
    assert plan.prepare_again(header) == with_weights
    for change in (lambda: file.write_bytes(b"others"), file.unlink):
        change()
        with pytest.raises(FolderError, match="its weights changed since; start a new run"):
            plan.prepare_again(header)


@pytest.mark.parametrize("lost", ["settings", "chosen", "sweep", "devices"])
def test_a_header_that_lacks_something_is_refused(lost: str, prepared: plan.Plan) -> None:
    header = {key: value for key, value in header_of(prepared).items() if key != lost}
    with pytest.raises(FolderError, match=r"run\.json is not complete, the run cannot be resumed"):
        plan.prepare_again(header)


def test_the_code_that_measures_is_all_but_what_explains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_BENCH", tmp_path)
    files = ["strategy.py", "measure/latency/timing.py", "ops/kernel.cpp", "new_layer/a.py"]
    explaining = [
        "__init__.py",
        "cli/app.py",
        "report/html.py",
        "analysis/claims.py",
        "validation/words.py",
        "spec/a.toml",
    ]
    for name in (*files, *explaining):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    before = plan.measuring_code()
    for name in explaining:
        (tmp_path / name).write_text("2")
    assert plan.measuring_code() == before
    for name in files:
        (tmp_path / name).write_text("2")
        assert plan.measuring_code() != before
        (tmp_path / name).write_text("1")


@pytest.fixture
def of_videos(prepared: plan.Plan, tmp_path: Path) -> plan.Plan:
    """With a section of videos, none of which is read."""
    for name in ("open", "close"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / "videos" / name / f"{number}.mp4").touch()
    video = {"data": {"path": str(tmp_path / "videos")}, "seeds": 1}
    return plan.prepare(validate(SETTINGS | {"video": video}, "a test"), Chosen(), None)


def test_a_run_goes_on_with_the_videos_that_it_began_with(of_videos: plan.Plan, tmp_path: Path) -> None:
    header = header_of(of_videos)
    assert plan.prepare_again(header) == of_videos
    video = tmp_path / "videos" / "open" / "0.mp4"
    video.write_text("longer than it was")
    with pytest.raises(FolderError, match="its video files changed since; start a new run"):
        plan.prepare_again(header)
    (tmp_path / "videos").rename(tmp_path / "elsewhere")
    with pytest.raises(FolderError, match="the run cannot be resumed: there is no folder and no list of videos"):
        plan.prepare_again(header)


@pytest.mark.parametrize("question", [{"classes": ["shut"]}, {"name": "arrow", "task": "arrow", "classes": ["shut"]}])
def test_a_mistake_in_a_list_of_videos_is_told_before_anything_is_measured(
    of_videos: plan.Plan, question: dict[str, Any]
) -> None:
    data = of_videos.settings.video.data.model_dump(mode="json") | {"questions": [question]}
    with pytest.raises(ValueNotAllowed, match=r"unknown class of the question .*'shut'; there are: close, open"):
        plan.prepare(validate(SETTINGS | {"video": {"data": data}}, "a test"), Chosen(), None)
