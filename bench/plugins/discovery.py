"""``strategies/*.py`` -> strategies, or the reason why not.

A file that cannot be loaded costs itself only. ``describe`` looks at files in a process of its own, so that a file
that hangs or kills its process is survived too. As a module this file is that process.
"""

import ast
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.spec.axes import DEVICES, DIRECTIONS, PLACEMENTS, ValueNotAllowed, parse_fraction
from bench.spec.cases import StrategyInfo
from bench.spec.schema import USUAL_LIMITS, ProcessLimits
from bench.spec.settings import preset_strategies
from bench.strategy import Strategy
from bench.system import workers

BUILTIN = Path(__file__).resolve().parent.parent.parent / "strategies"


class LoadError(Exception):
    """A strategy file that cannot be used; the message says why."""


def strategy_files(extra: Path | None = None) -> list[Path]:
    """The built-in files, then those of ``extra``. Files whose name starts with ``_`` are not strategies."""
    folders = [BUILTIN] + ([extra] if extra else [])
    return [path for folder in folders for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]


def is_builtin(path: Path, name: str) -> bool:
    """A strategy of the suite's own, which the presets name; others, wherever they lie, were dropped in and join."""
    return path.resolve().parent == BUILTIN and name in preset_strategies()


def load_file(path: Path) -> type[Strategy]:
    """The one strategy that ``path`` defines. Raises LoadError."""
    module_name = f"shiftbench_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a stranger's code: whatever it raises is the reason
        raise LoadError(f"cannot be loaded: {workers.one_line(error)}") from error
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Strategy)]
    found = [cls for cls in classes if cls.__module__ == module_name and not cls.__name__.startswith("_")]
    if len(found) != 1:
        raise LoadError(f"must define exactly one subclass of Strategy, defines {len(found)}")
    _require_declared(found[0])
    return found[0]


def _require_declared(cls: type[Strategy]) -> None:
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not name.strip() or any(mark in name for mark in ",\n\r"):
        raise LoadError(f"{cls.__name__}.name must be a text without commas or line breaks, is {name!r}")
    for what, allowed in (("placements", PLACEMENTS), ("directions", DIRECTIONS), ("devices", DEVICES)):
        declared = getattr(cls, what)
        if not isinstance(declared, tuple | list) or not declared or any(value not in allowed for value in declared):
            raise LoadError(f"{cls.__name__}.{what} must be a tuple of {', '.join(allowed)}, is {declared!r}")
    if cls.fractions is not None:
        if not isinstance(cls.fractions, tuple | list) or not cls.fractions:
            raise LoadError(f"{cls.__name__}.fractions must be None or a tuple of numbers, is {cls.fractions!r}")
        try:
            [parse_fraction(fraction) for fraction in cls.fractions]
        except ValueNotAllowed as error:
            raise LoadError(f"{cls.__name__}.fractions: {error}") from None
    if cls.same_function_as == name:
        raise LoadError(f"{cls.__name__}.same_function_as names the strategy itself")
    if cls.shift is Strategy.shift and cls.wrap is Strategy.wrap:
        raise LoadError(f"{cls.__name__} defines neither shift nor wrap")


def load_class(name: str, files: Sequence[Path]) -> type[Strategy]:
    """The strategy called ``name`` among ``files``; the first file that takes a name keeps it. Raises LoadError."""
    for path in files:
        try:
            cls = load_file(path)
        except LoadError:
            continue
        if cls.name == name:
            return cls
    raise LoadError(f"no file among {len(files)} defines the strategy {name!r}")


def static_metadata(path: Path) -> tuple[str, str]:
    """(the name of the strategy in ``path``, the first line of its docstring), read without running a line of it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        return path.stem, f"NOT READ: {workers.one_line(error)}"
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for line in node.body:
            match line:
                case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(name))):
                    return name, next(iter((ast.get_docstring(node) or "").splitlines()), "")
    return path.stem, "defines no strategy with a name"


def info_of(path: Path) -> StrategyInfo:
    """What a file says of its strategy; a file that cannot be loaded gets its stem as name and the reason."""
    try:
        cls = load_file(path)
        fractions = None if cls.fractions is None else tuple(float(f) for f in cls.fractions)
        return StrategyInfo(
            name=cls.name,
            file=str(path),
            builtin=is_builtin(path, cls.name),
            summary=cls.summary(),
            source=cls.source,
            fractions=fractions,
            placements=tuple(cls.placements),
            directions=tuple(cls.directions),
            same_function_as=cls.same_function_as,
            owns_layer=cls.owns_layer,
        )
    except LoadError as error:
        return StrategyInfo(path.stem, str(path), is_builtin(path, path.stem), error=str(error))


def settle_names(infos: Sequence[StrategyInfo]) -> list[StrategyInfo]:
    """A name belongs to the first file that takes it; a later file with the same name fails, under its own label."""
    owner: dict[str, StrategyInfo] = {}
    settled = []
    for info in infos:
        if info.name in owner:
            first, file = Path(owner[info.name].file), Path(info.file)
            why = info.error or f"the name {info.name!r} is taken by {first.parent.name}/{first.name}"
            label = f"{info.name} ({file.parent.name}/{file.name})"
            info = StrategyInfo(name=label, file=info.file, builtin=info.builtin, error=why)
        owner.setdefault(info.name, info)
        settled.append(info)
    return settled


def describe(files: Sequence[Path], limits: ProcessLimits = USUAL_LIMITS) -> tuple[list[StrategyInfo], list[str]]:
    """(what each file says of its strategy, the devices of this machine), found out in a process of its own."""
    infos: dict[str, StrategyInfo] = {}
    devices = ["cpu"]
    waiting = [str(path) for path in files]
    while True:
        entered = ""
        try:
            for event in workers.stream(
                "bench.plugins.discovery",
                {"files": waiting},
                silence_limit=limits.silence,
                memory_gib=limits.memory_gib,
            ):
                match event["event"]:
                    case "devices":
                        devices = event["devices"]
                    case "enter":
                        entered = event["file"]
                    case "strategy":
                        infos[event["info"]["file"]] = StrategyInfo.from_json(event["info"])
            break
        except workers.WorkerDied as death:
            if not entered or entered in infos:
                raise  # no file is to blame
            stem = Path(entered).stem
            infos[entered] = StrategyInfo(stem, entered, is_builtin(Path(entered), stem), error=f"loading it {death}")
            waiting = [path for path in waiting if path not in infos]
    return settle_names([infos[str(path)] for path in files]), devices


def devices_here() -> list[str]:
    """The devices that PyTorch finds on this machine."""
    import torch

    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def _answer(job: dict[str, Any], emit: workers.Emit) -> None:
    emit({"event": "devices", "devices": devices_here()})
    for file in job["files"]:
        emit({"event": "enter", "file": file})
        emit({"event": "strategy", "info": asdict(info_of(Path(file)))})


if __name__ == "__main__":
    workers.serve(_answer)
