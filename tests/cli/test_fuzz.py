"""Thousands of command lines, configs and journals that nobody would write: one line or work done, no traceback."""

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cli.app import main
from bench.measure import runner
from bench.measure.plan import Plan
from bench.measure.runner import Tally
from bench.store.journal import Run, read_records
from bench.store.records import CheckedRecord, FolderError, read_header

MANY = int(os.environ.get("FUZZ", "1000"))
HOW_OFTEN = pytest.mark.parametrize("examples", [200, pytest.param(MANY, marks=pytest.mark.slow)])


def fuzz(examples: int, **drawn: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], None]:
    """Call the decorated function so many times, with what is drawn; the same each time the tests run."""
    quiet = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    return lambda body: quiet(given(**drawn)(body))()


ODD = st.sampled_from(
    [
        *("", " ", ",", "0", "-1", "1/8", "1/0", "2", "nan", "inf", "1e9", "9" * 30, "½", "../..", "a" * 300),
        *("<b>", "copy_shift", "no_shift", "resnet50", "vgg", "cpu", "cuda", "auto", "eager", "openvino", "fp32"),
        *(
            "bf16",
            "nchw",
            "retained",
            "residual",
            "inplace",
            "unidirectional",
            "latency",
            "accuracy",
            "video",
            "arrow",
            "online",
            "smoke",
        ),
        *("paper", "10m", "0s", "1", "2", "8", "224", "31", "local", "ray", "main", "depth", "true", "null", "--help"),
        *("-x", "ä,ö"),
    ]
)
FLAGS = ("--dry-run", "--quiet", "--json")  # options without a value
OPTIONS = st.sampled_from(
    [
        *("--preset", "--only", "--strategies", "--strategies-dir", "--fractions", "--placements", "--directions"),
        *("--data", "--task", "--weights"),
        *("--backbone", "--device", "--runtimes", "--threads", "--dtypes", "--memory-formats", "--frames", "--sizes"),
        *("--batches", "--streams", "--allocators", "--seeds", "--budget", "--studies", "--pause-after", "--executor"),
        *("--config", "--resume", *FLAGS, "--nonsense"),
    ]
)
COMMANDS = st.sampled_from(["run", "run", "run", "run", "run", "report", "compare", "list", "validate", "fly", ""])
LINES = st.tuples(
    COMMANDS, st.lists(st.tuples(OPTIONS, st.one_of(ODD, st.lists(ODD, max_size=3).map(",".join))), max_size=4)
)


@pytest.fixture(scope="module", autouse=True)
def planned_only() -> Iterator[list[Plan]]:
    """What would be measured is noted, and counts as done."""
    plans: list[Plan] = []

    def start(plan: Plan, *_: Any, **__: Any) -> Tally:
        plans.append(plan)
        raise KeyboardInterrupt  # as if stopped before the first measurement

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "start", start)
        patch.setattr("bench.validation.results.validate", lambda *_: [])
        yield plans


def call(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def hold(code: int, out: str, err: str, plans: list[Plan]) -> None:
    """0 with something said, 130 with something to measure, or 2 with one line."""
    assert code in (0, 2, 130), (code, err)
    assert "Traceback" not in err + out
    if code == 2:
        assert err.startswith("error: ") and err.count("\n") == 1 and len(err) < 4000, err
        assert not out
    if code == 0:
        assert out
    if code == 130:
        assert plans and (plans[-1].sweep.cases or plans[-1].sweep.trials)


@HOW_OFTEN
def test_command_lines(planned_only: list[Plan], examples: int) -> None:
    @fuzz(examples, line=LINES)
    def each(line: tuple[str, list[tuple[str, str]]]) -> None:
        name, options = line
        arguments = [name]
        for option, value in options:
            if name != "run":  # others take places, not options
                arguments.append(value)
            else:
                arguments += [option] if option in FLAGS else [option, value]
        if name == "run" and "--resume" not in arguments:
            arguments += ["--out", str(Path(tempfile.gettempdir()) / "shiftbench-is-never-made")]
        planned_only.clear()
        hold(*call(arguments), planned_only)


KEYS = st.sampled_from(["title", "latency", "accuracy", "name", "budget", "x y", "é"])
VALUES = st.one_of(ODD, st.integers(-3, 300), st.floats(allow_nan=True), st.booleans(), st.lists(ODD, max_size=3))
TREES = st.recursive(
    VALUES,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=8,
)


def some(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A few keys that exist, with values that fit or do not; now and then one that does not exist."""
    mixed = {key: st.one_of(value, value, TREES) for key, value in known.items()}
    odd = st.one_of(st.just({}), st.just({}), st.just({}), st.dictionaries(KEYS, TREES, max_size=1))
    return st.tuples(st.fixed_dictionaries({}, optional=mixed), odd).map(lambda pair: pair[1] | pair[0])


def lists(*values: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.one_of(st.sampled_from(values), st.sampled_from(values), ODD), max_size=2)


AXES = {
    "backbones": lists("resnet18", "resnet50", "mobilenet_v2", "s3d"),
    "dtypes": lists("fp32", "bf16"),
    "runtimes": lists("eager", "openvino"),
    "memory_formats": lists("nchw", "channels_last"),
    "allocators": lists("default", "retained", "huge", "jemalloc", "mimalloc"),
    "threads": lists(1, 2, 0),
    "frames": lists(1, 8),
    "sizes": lists(32, 224, 31),
}
GROUPS = st.lists(
    some(
        strategies=lists("copy_shift", "buffer_shift", "no_shift", "temporal_conv"),
        fractions=lists("1/8", "1", "0"),
        placements=lists("residual", "inplace"),
        directions=lists("bidirectional", "unidirectional"),
    ),
    max_size=2,
)
TIMES = {
    "budget": st.sampled_from(["1s", "10m", "0s", "-1m"]),
    "min_replicates": st.integers(0, 9),
    "max_replicates": st.integers(0, 9),
    "groups": GROUPS,
}
RECIPE = some(clips=st.integers(0, 9), lr=st.floats(-1, 1), train_share=st.floats(0, 1), device=lists("cpu"))
STUDY = some(name=st.sampled_from(["main", "a", "B", "depth"]), seeds=st.integers(0, 3), groups=GROUPS)
CONFIGS = some(
    title=ODD,
    sections=lists("latency", "online", "accuracy"),
    seed=st.integers(-1, 9),
    limits=some(silence=st.sampled_from(["1s", "x"]), memory_gib=st.floats(-1, 9)),
    latency=some(**AXES, **TIMES, panels=st.lists(some(**AXES, weight=st.floats(-1, 2)), max_size=2)),
    online=some(**TIMES, backbones=AXES["backbones"], streams=lists(1, 8), arrival_fps=st.floats(-1, 60)),
    accuracy=some(seeds=st.integers(0, 3), groups=GROUPS, recipe=RECIPE, studies=st.lists(STUDY, max_size=2)),
)


def toml(value: Any) -> str:
    """A value as TOML, as well as it goes: what comes out need not be valid, which is one more case."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value) if isinstance(value, str) else str(value)


@HOW_OFTEN
def test_configs(planned_only: list[Plan], examples: int) -> None:
    @fuzz(examples, tree=CONFIGS, rubbish=st.binary(max_size=30), spoilt=st.sampled_from([False] * 9 + [True]))
    def each(tree: dict[str, Any], rubbish: bytes, spoilt: bool) -> None:
        text = "\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in tree.items()).encode("utf-8", "replace")
        with tempfile.TemporaryDirectory() as name:
            config = Path(name) / "odd.toml"
            config.write_bytes(text + rubbish if spoilt else text)
            planned_only.clear()
            hold(*call(["run", "--config", str(config), "--out", str(Path(name) / "out")]), planned_only)
            assert not (Path(name) / "out").exists()


WHOLE = [CheckedRecord(id=f"conformance/{n}", strategy=f"s{n}") for n in range(5)]


@HOW_OFTEN
def test_journals(examples: int) -> None:
    """Cut out, doubled, overwritten: what is whole stays, what is not is named or set aside."""

    @fuzz(examples, data=st.data())
    def each(data: st.DataObject) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with Run(folder) as run:
                run.append(*WHOLE)
            path = folder / "records.jsonl"
            content = path.read_bytes()
            start = data.draw(st.integers(0, len(content)))
            end = data.draw(st.integers(start, min(len(content), start + 200)))
            path.write_bytes(content[:start] + data.draw(st.binary(max_size=40)) + content[end:])
            with contextlib.suppress(FolderError):
                assert all(record in WHOLE for record in read_records(folder))
            with Run(folder) as run:
                left = list(read_records(folder))
                assert run.ids == {record.id for record in left} <= {record.id for record in WHOLE}
                run.append(*(record for record in WHOLE if record.id not in run.ids))
            assert sorted(read_records(folder), key=lambda record: record.id) == WHOLE


@HOW_OFTEN
def test_headers(examples: int) -> None:
    trees = st.dictionaries(KEYS, TREES, max_size=4).map(lambda tree: json.dumps(tree).encode())

    @fuzz(examples, content=st.one_of(st.binary(max_size=60), trees))
    def each(content: bytes) -> None:
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "run.json").write_bytes(content)
            with pytest.raises(FolderError):
                read_header(Path(name))
            code, out, err = call(["run", "--resume", name])
            assert (code, out, err.count("\n")) == (2, "", 1), err
