"""``strategies/*.py`` -> strategies, or the reason why not.

A file holds one strategy or several: each class whose own body sets ``name``. Files beside it whose names begin with an
underscore hold none; it may import them: ``from ._family import Gate``. What cannot be loaded costs its file only, and
``describe`` looks at files in a process of its own, so that one that hangs or kills its process is survived too. As a
module this file is that process.
"""

import ast
import importlib.util
import re
import sys
import zlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.plugins.side_effects import SideEffectError, no_side_effects
from bench.spec.axes import DEVICES, DIRECTIONS, PLACEMENTS, ValueNotAllowed, parse_fraction
from bench.spec.cases import StrategyInfo
from bench.spec.parameters import plain, spelled_out, values_of
from bench.spec.schema import USUAL_LIMITS, ProcessLimits
from bench.spec.settings import preset_strategies
from bench.strategy import Strategy
from bench.system import workers

BUILTIN = Path(__file__).resolve().parent.parent.parent / "strategies"
_PACKAGE = "shiftbench_plugins_"  # what the package of a folder's files is called, with a key of the folder
_RESERVED = {*dir(Strategy), *vars(Strategy())}  # what a parameter must not be called


class LoadError(Exception):
    """A strategy file that cannot be used; the message says why."""


def strategy_files(extra: Path | None = None) -> list[Path]:
    """The built-in files, then those of ``extra``. Files whose name starts with ``_`` are not strategies."""
    folders = [BUILTIN] + ([extra] if extra else [])
    return [path for folder in folders for path in sorted(folder.glob("*.py")) if not path.name.startswith("_")]


def is_builtin(path: Path, name: str) -> bool:
    """A strategy of the suite's own, which the presets name; others, wherever they lie, were dropped in and join."""
    return path.resolve().parent == BUILTIN and name in preset_strategies()


def helpers_of(path: Path) -> list[Path]:
    """The files beside ``path`` that it imports, and those that they do; what cannot be read imports nothing."""
    found: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        try:
            tree = ast.parse(waiting.pop().read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module] if node.module else [alias.name for alias in node.names]
                beside = [path.with_name(f"{name}.py") for name in names]
                new = [file for file in beside if file.is_file() and file not in (path, *found)]
                found |= dict.fromkeys(new)
                waiting += new
    return list(found)


def load_classes(path: Path) -> list[type[Strategy]]:
    """The strategies that ``path`` defines, in its order. Raises LoadError."""
    package = f"{_PACKAGE}{zlib.crc32(str(path.resolve().parent).encode()):08x}"
    if package not in sys.modules:  # of this folder alone: two folders may hold helpers of one name
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(path.resolve().parent)]
    module_name = f"{package}.{path.stem.replace('.', '_')}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise LoadError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        with no_side_effects():
            spec.loader.exec_module(module)
    except SideEffectError as error:
        raise LoadError(f"while it was loaded, {error}") from error
    except (Exception, SystemExit) as error:  # a stranger's code: whatever it raises is the reason
        raise LoadError(f"cannot be loaded: {workers.one_line(error)}{_hint(error, path)}") from error
    classes = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Strategy)]
    own = [cls for cls in dict.fromkeys(classes) if cls.__module__ == module_name]
    found = [cls for cls in own if "name" in vars(cls)]
    if not found:
        nameless = f": {own[0].__name__}.name must be set in its body" if own else ""
        raise LoadError(f"defines no strategy, which is a subclass of Strategy with a name{nameless}")
    for number, cls in enumerate(found):
        _require_declared(cls)
        if twin := [one for one in found[:number] if one.name == cls.name]:
            raise LoadError(f"{twin[0].__name__} and {cls.__name__} have one name, {cls.name!r}")
    return found


def _hint(error: BaseException, path: Path) -> str:
    """How a file beside ``path`` is imported, where one was looked for in vain."""
    missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
    package, _, helper = missing.rpartition(".")
    if package.startswith(_PACKAGE):
        return f"; there is no {helper}.py beside it"
    beside = helper and not package and path.with_name(f"{helper}.py").is_file()
    return f"; write: from .{helper} import …" if beside else ""


def configured(cls: type[Strategy], name: str) -> type[Strategy]:
    """``cls`` with the values of ``name`` for its parameters' defaults, under that name. Raises ValueNotAllowed."""
    declared = cls.parameters()
    values = values_of(name, declared)
    if not values:
        return cls
    own = {parameter: replace(declared[parameter], default=value) for parameter, value in values.items()}
    (spelled,) = spelled_out(name, declared)
    made: type[Strategy] = type(cls.__name__, (cls,), {**own, "name": spelled, "__module__": cls.__module__})
    return made


def one_of(classes: Sequence[type[Strategy]], name: str) -> type[Strategy]:
    """That of ``classes`` which is called ``name``, with its values. Raises LoadError, ValueNotAllowed."""
    for cls in classes:
        if cls.name in (name, plain(name)):
            return configured(cls, name)
    raise LoadError(f"defines no strategy {name!r}; there are: {', '.join(cls.name for cls in classes)}")


def _require_declared(cls: type[Strategy]) -> None:
    name = cls.name
    if not isinstance(name, str) or not name.strip() or any(mark in name for mark in ",[]\n\r"):
        raise LoadError(f"{cls.__name__}.name must be a text without commas, brackets or line breaks, is {name!r}")
    if taken := [parameter for parameter in cls.parameters() if parameter in _RESERVED]:
        raise LoadError(f"{cls.__name__}.{taken[0]} is a parameter, and every strategy has a {taken[0]}: rename it")
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
    """The strategy called ``name`` among ``files``, with its values; the first file that takes a name keeps it.

    Files that say the name in so many words come first: no line of the others is run where one of those defines it.
    Raises LoadError, and ValueNotAllowed for a value that it does not take.
    """
    reason = f"no file among {len(files)} defines the strategy {name!r}"
    for path in sorted(files, key=lambda path: not says(path, plain(name))):
        try:
            classes = load_classes(path)
        except LoadError as error:
            if says(path, plain(name)):
                reason = f"{path.name} {error}"
            continue
        if any(cls.name in (name, plain(name)) for cls in classes):
            return one_of(classes, name)
    raise LoadError(reason)


def says(path: Path, name: str) -> bool:
    """Whether a file holds a line ``name = "…"`` with this name, read without running it."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(rf"""^\s+name\b.*=\s*['"]{re.escape(name)}['"]""", text, flags=re.MULTILINE) is not None


def static_metadata(path: Path) -> list[tuple[str, str]]:
    """(name, first line of the docstring) of each strategy in ``path``, read without running a line of it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        return [(path.stem, f"NOT READ: {workers.one_line(error)}")]
    found = []
    for node in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for line in node.body:
            match line:
                case ast.Assign(targets=[ast.Name(id="name")], value=ast.Constant(value=str(name))):
                    found.append((name, next(iter((ast.get_docstring(node) or "").splitlines()), "")))
    return found or [(path.stem, "defines no strategy with a name")]


def infos_of(path: Path) -> list[StrategyInfo]:
    """What a file says of its strategies; one that cannot be loaded gets its stem as name and the reason."""
    try:
        return [_info(cls, path) for cls in load_classes(path)]
    except LoadError as error:
        return [StrategyInfo(path.stem, str(path), is_builtin(path, path.stem), error=str(error))]


def _info(cls: type[Strategy], path: Path) -> StrategyInfo:
    return StrategyInfo(
        name=cls.name,
        file=str(path),
        builtin=is_builtin(path, cls.name),
        summary=cls.summary(),
        source=cls.source,
        fractions=None if cls.fractions is None else tuple(float(f) for f in cls.fractions),
        placements=tuple(cls.placements),
        directions=tuple(cls.directions),
        same_function_as=cls.same_function_as,
        owns_layer=cls.owns_layer,
        parameters=cls.parameters(),
    )


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
    """(what each file says of its strategies, the devices of this machine), found out in a process of its own."""
    infos: dict[str, list[StrategyInfo]] = {}
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
                    case "strategies":
                        infos[event["file"]] = [StrategyInfo.from_json(info) for info in event["infos"]]
            break
        except workers.WorkerDied as death:
            if not entered or entered in infos:
                raise  # no file is to blame
            stem = Path(entered).stem
            infos[entered] = [StrategyInfo(stem, entered, is_builtin(Path(entered), stem), error=f"loading it {death}")]
            waiting = [path for path in waiting if path not in infos]
    return settle_names([info for path in files for info in infos[str(path)]]), devices


def devices_here() -> list[str]:
    """The devices that PyTorch finds on this machine."""
    import torch

    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def _answer(job: dict[str, Any], emit: workers.Emit) -> None:
    emit({"event": "devices", "devices": devices_here()})
    for file in job["files"]:
        emit({"event": "enter", "file": file})
        infos = [asdict(info) for info in infos_of(Path(file))]
        emit({"event": "strategies", "file": file, "infos": infos})


if __name__ == "__main__":
    workers.serve(_answer)
