"""From the command line and config files to settings: what an option replaces, and one line for every mistake."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bench.cli.run import Request
from bench.spec.axes import ValueNotAllowed, parse_fraction
from bench.spec.panel import PANEL_AXES, Panel
from bench.spec.schema import parse_duration
from bench.spec.settings import Settings, load_config, validate


def test_an_option_holds_for_every_panel_of_every_section_that_can_run_it() -> None:
    asked = Request("standard", axes={"threads": "1,2", "sizes": "64", "allocators": "default,retained"}).settings()
    for section in asked.timed.values():
        assert (section.threads, section.sizes, section.allocators) == ((1, 2), (64,), ("default", "retained"))
        assert {(panel.threads, panel.sizes, panel.allocators) for panel in section.panels} == {(None,) * 3}


@pytest.mark.parametrize(
    ("axes", "latency", "online"),
    [
        ({"backbones": "resnet18,s3d"}, ("resnet18", "s3d"), ("resnet18",)),
        ({"backbones": "s3d"}, ("s3d",), ()),  # nothing that can run frame by frame: nothing is measured there
        ({"runtimes": "compile", "backbones": "resnet18"}, ("resnet18",), ()),
        ({"backbones": "resnet18", "runtimes": "eager,openvino"}, ("resnet18",), ("resnet18",)),
        ({"batches": "4", "frames": "16", "streams": "2,4"}, ("resnet50",), ("resnet50",)),
    ],
)
def test_what_a_section_cannot_run_is_left_out_of_it(
    axes: dict[str, str], latency: tuple[str, ...], online: tuple[str, ...]
) -> None:
    asked = Request("standard", axes=axes).settings()
    assert (asked.latency.backbones, asked.online.backbones) == (latency, online)
    assert asked.latency.streams == (0,) and asked.online.batches == (1,)  # meant for the other section
    assert asked.online.frames == (4,)  # of a slot, not of a clip
    if "streams" in axes:
        assert (asked.latency.batches, asked.latency.frames, asked.online.streams) == ((4,), (16,), (2, 4))


def test_single_options_reach_the_sections_that_they_are_about() -> None:
    asked = Request("standard", only="latency,accuracy", seeds="7", budget="90s", device="cpu").settings()
    assert asked.sections == ("latency", "accuracy")
    assert (asked.latency.budget, asked.online.budget) == (90.0, 120.0)
    assert (asked.accuracy.seeds, asked.detection.seeds) == (7, 7)
    assert {study.seeds for study in Request("paper", seeds="7").settings().accuracy.studies} == {None}
    assert {section.device for section in asked.timed.values()} == {"cpu"}
    assert {(panel.device, panel.batches) for panel in asked.latency.panels if panel.batches} == {("cuda", (32,))}
    alone = Request("standard", only="online", budget="90s").settings()
    assert (alone.latency.budget, alone.online.budget) == (840.0, 90.0)
    assert Request("online", budget="90s").settings().online.budget == 90.0  # that preset times nothing else


def test_weights_are_found_from_wherever_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file by its absolute path, of the command line before that of the config file."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.pth", "b.pth"):
        (tmp_path / name).touch()
    (tmp_path / "mine.toml").write_text('weights = "a.pth"')
    mine = Path("mine.toml")
    assert Request(config=mine).settings().weights == str(tmp_path / "a.pth")
    assert Request(config=mine, weights="b.pth").settings().weights == str(tmp_path / "b.pth")
    assert Request(config=mine, weights="imagenet").settings().weights == "imagenet"
    assert Request("smoke").settings().weights is None


def test_videos_take_the_place_of_the_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("videos", "a.csv", "b.csv"):
        (tmp_path / name).mkdir() if name == "videos" else (tmp_path / name).touch()
    asked = Request("standard", data="videos", task="arrow", seeds="3").settings()
    assert asked.sections == ("latency", "online", "video")
    assert asked.video.data.path == str(tmp_path / "videos") and asked.video.seeds == 3
    assert [(question.name, question.task) for question in asked.video.data.questions] == [("arrow", "arrow")]
    assert Request("video", data="videos").settings().sections == ("latency", "video")
    assert Request("standard", data="videos", only="video").settings().sections == ("video",)
    lists = Request("standard", data="train=a.csv,test=b.csv").settings().video.data.path
    assert lists == f"train={tmp_path}/a.csv,test={tmp_path}/b.csv"
    (tmp_path / "mine.toml").write_text('[video.data]\npath = "videos"\ncache = "kept"')
    data = Request(config=Path("mine.toml")).settings().video.data
    assert (data.path, data.cache) == (str(tmp_path / "videos"), str(tmp_path / "kept"))


def test_axes_of_a_panel_hold_for_videos_where_they_have_one_value() -> None:
    axes = {"frames": "16", "sizes": "96", "backbones": "s3d,mobilenet_v2"}
    video = Request("standard", data="x.csv", axes=axes).settings().video
    assert (video.data.frames, video.data.size, video.backbone) == (16, 96, "mobilenet_v2")
    several = Request("standard", data="x.csv", axes={"frames": "8,16", "backbones": "s3d"}).settings().video
    assert (several.data.frames, several.backbone) == (8, "timm:tf_efficientnet_lite0")


def test_a_task_leaves_the_questions_and_studies_that_are_of_it() -> None:
    both = Request("utd-mhad", data="clips.csv").settings().video
    assert [study.name for study in both.all_studies] == ["main", "fractions", "rate", "length"]
    arrow, label = (Request("utd-mhad", data="clips.csv", task=task).settings().video for task in ("arrow", "label"))
    assert [question.name for question in arrow.data.questions] == ["arrow"]
    assert [study.name for study in arrow.all_studies] == ["main"]
    assert [question.name for question in label.data.questions] == ["pairs", "actions"]
    assert label.studies == both.studies


def test_what_is_chosen() -> None:
    chosen = Request(strategies="a, b,a", fractions="1/8,0.5", placements="inplace", studies="main").chosen()
    assert (chosen.strategies, chosen.studies) == (("a", "b"), ("main",))
    assert chosen.fractions == (Fraction(1, 8), Fraction(1, 2))
    assert (chosen.placements, chosen.directions) == (("inplace",), None)


def test_a_sweep_is_named_after_its_preset_or_file(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('title = "mine"\nsections = ["latency"]')
    assert Request(config=tmp_path / "mine.toml").settings().title == "mine"
    names = [Request().name, Request("smoke").name, Request(config=tmp_path / "mine.toml").name]
    assert names == ["standard", "smoke", "mine"]


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (Request("fast"), r"unknown preset 'fast'; there are: axes, .*smoke, standard"),
        (Request("smoke", Path("x.toml")), "exclude each other"),
        (Request(config=Path("nowhere.toml")), "cannot read config nowhere.toml: No such file or directory"),
        (Request(strategies_dir=Path("nowhere")), "--strategies-dir nowhere is not a folder"),
        (Request(only="speed"), r"unknown section 'speed'; there are: latency, accuracy, online, detection"),
        (Request(strategies=","), "--strategies is empty; write one value or several: a,b"),
        (Request(fractions="2"), "fraction '2' is outside 0…1; a fraction is a number from 0 to 1, written like 1/8"),
        (Request(fractions="a"), "fraction 'a' is not a number"),
        (Request(placements="outside"), "unknown placement 'outside'; there are: residual, inplace"),
        (Request(directions="up"), "unknown direction 'up'; there are: bidirectional, unidirectional"),
        (Request(task="arrow"), "--task asks something of videos; give them with --data"),
        (Request(data="x.csv", task="sort"), "unknown task 'sort'; there are: label, arrow"),
        (Request(weights="my.pth"), "there is no file my.pth with weights; --weights takes a file, or imagenet"),
        (Request(seeds="few"), "--seeds 'few' is not a whole number from 1"),
        (Request(budget="soon"), "duration 'soon' is not a positive time"),
        (Request(device="tpu"), "latency.device = 'tpu': input should be 'cpu', 'cuda' or 'auto'"),
        (Request(axes={"backbones": "vgg"}), "unknown backbone 'vgg'; there are: resnet18"),
        (Request(axes={"threads": "0"}), "--threads '0' is not a whole number from 1"),
        (Request(axes={"sizes": "3"}), "latency.sizes.0 = 3: input should be greater than or equal to 32"),
        (Request(axes={"dtypes": "int4"}), r"dtypes.0 = 'int4': input should be 'fp32', 'bf16', 'fp16' or 'int8'"),
        (
            Request(only="online", axes={"dtypes": "int8"}),
            "unknown dtype of the online section 'int8'; there are: fp32",
        ),
        (
            Request(axes={"allocators": "mine"}),
            "unknown allocator 'mine'; there are: default, retained, huge, jemalloc, mimalloc",
        ),
        (Request(axes={"runtimes": "tvm"}), "unknown runtime 'tvm'; there are: eager, compile"),
        (Request(only="online", axes={"backbones": "s3d"}), "unknown backbone of the online section 's3d'"),
        (Request(only="online", axes={"runtimes": "compile"}), "unknown runtime of the online section 'compile'"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_would_be_right(request_: Request, complaint: str) -> None:
    with pytest.raises(ValueNotAllowed, match=complaint) as caught:
        (request_.chosen(), request_.settings())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        ({"nonsense": 1}, "unknown key 'nonsense'; allowed here: title, sections"),
        ({"latency": {"panels": [{"speed": 1}]}}, "unknown key 'latency.panels.0.speed'; allowed here: device"),
        ({"latency": {"streams": [4]}}, "unknown streams 4; there are: 0"),
        ({"online": {"streams": [0]}}, "streams of the online section = 0"),
        ({"online": {"panels": [{"streams": [0]}]}}, "streams of the online section = 0"),
        ({"online": {"panels": [{"batches": [2]}]}}, "unknown batch of the online section 2; there are: 1"),
        ({"latency": {"min_replicates": 9}}, "min_replicates = 9 is more than max_replicates = 8"),
        ({"latency": {"groups": [{"fractions": ["2"]}]}}, "fraction '2' is outside"),
        ({"accuracy": {"studies": [{"name": "main"}]}}, "two studies are called 'main'"),
        ({"video": {"studies": [{"name": "a", "datasets": ["b"]}]}}, "unknown question 'b'; there are: label"),
        ({"video": {"studies": [{"name": "a", "backbones": ["s3d"]}]}}, "unknown backbone of the video section 's3d'"),
        ({"video": {"backbone": "s3d"}}, "unknown backbone of the video section 's3d'; there are: resnet18"),
        ({"video": {"recipe": {"norm_momentum": 0}}}, "greater than 0"),
        ({"accuracy": {"studies": [{"name": "a", "backbones": ["s3d"]}]}}, "unknown backbone of the accuracy section"),
        ({"accuracy": {"studies": [{"name": "a", "objectives": ["taste"]}]}}, "objectives"),
        ({"accuracy": {"studies": [{"name": "a", "lr_factors": [0]}]}}, "greater than 0"),
        ({"accuracy": {"studies": [{"name": "a", "seeds": 0}]}}, "greater than or equal to 1"),
        ({"accuracy": {"studies": [{"name": "a", "speed": 1}]}}, "unknown key 'accuracy.studies.0.speed'"),
        ({"accuracy": {"recipe": {"train_share": 0.8, "validation_share": 0.2}}}, "leave no images for the test"),
        ({"detection": {"recipe": {"validation_share": 0}}}, "greater than 0"),
        ({"accuracy": {"recipe": {"judged_on": "training"}}}, "judged_on"),
        ({"detection": {"recipe": {"device": "tpu"}}}, "device"),
        *(
            ({"accuracy": {"data": {"ring_digits": {name: value}}}}, name)
            for name, value in (("noise", -0.1), ("noise", 2), ("jitter", 9), ("band", 17), ("lowest_contrast", 0))
        ),
    ],
)
def test_a_config_that_makes_no_sense_is_one_line(data: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueNotAllowed, match=complaint) as caught:
        validate(data, "mine.toml")
    assert str(caught.value).startswith("mine.toml: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"title = ", b"\xff\xfe"])
def test_a_file_that_is_no_config(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    with pytest.raises(ValueNotAllowed, match=r"(is not TOML|cannot read config)"):
        load_config(tmp_path / "mine.toml")


def test_older_config_files_are_understood() -> None:
    """Percentage points were called points; an axis with one value needs no list."""
    old = {"target_half_width_points": 0.25, "frames": 4}
    settings = validate({"latency": old, "online": old}, "a test")
    assert [section.target_half_width_pp for section in settings.timed.values()] == [0.25, 0.25]
    assert [section.frames for section in settings.timed.values()] == [(4,), (4,)]


def test_settings_survive_the_journey_through_json() -> None:
    settings = Request("paper", axes={"threads": "1"}).settings()
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (45, 45)])
def test_durations(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0s", "10 minutes", "nan"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueNotAllowed, match=r"write 90s, 10m or 1\.5h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "fraction"), [("1/8", (1, 8)), ("0.125", (1, 8)), (0.125, (1, 8)), (" 1 ", (1, 1)), ("0.3333333", (1, 3))]
)
def test_fractions(text: str | float, fraction: tuple[int, int]) -> None:
    assert parse_fraction(text) == Fraction(*fraction)


@pytest.mark.parametrize("text", ["", "1/0", "-1/8", "nan", "inf", "½"])
def test_bad_fractions(text: str) -> None:
    with pytest.raises(ValueNotAllowed, match="a fraction is a number from 0 to 1, written like"):
        parse_fraction(text)


def test_every_axis_of_a_panel_is_an_option_a_setting_and_a_column() -> None:
    """But for the device, which is asked for once for all panels."""
    assert {axis.name for axis in PANEL_AXES.values()} == set(Panel.COLUMNS) - {"device"}
    assert {axis.flag for axis in PANEL_AXES.values()} >= {"--backbone", "--memory-formats", "--streams"}
    panel = Panel("resnet50", "cpu", "eager", "fp32", "nchw", 2, 8, 224, 1, streams=0, allocator="retained")
    assert panel.label == "resnet50-8x224-b1-cpu-eager-fp32-nchw-2t-retained"
    assert (panel.section, panel.images) == ("latency", 8)
