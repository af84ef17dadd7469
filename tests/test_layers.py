"""The layers of the package, read from its files: who may import whom, what stands where, and how much of it."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import bench
from tests.conftest import ROOT

BENCH = ROOT / "bench"
FILES = {str(path.relative_to(ROOT)): path for path in sorted(BENCH.rglob("*.py"))}

LAYERS = (
    *("cli", "validation", "measure", "plugins", "models", "data", "ops", "strategy", "sites"),  # these know torch
    *("report", "analysis", "store", "stats", "system", "spec"),  # these do not
)
"""From the top to the bottom: imports go downwards only."""
TORCH_FREE = LAYERS[LAYERS.index("sites") + 1 :]
STRANGERS_CODE = (  # where a plug-in is loaded, and where a case is run
    "bench/models/backbones.py",
    "bench/models/residual_blocks.py",
    "bench/models/runtimes/cudagraph.py",
    "bench/plugins/discovery.py",
    "bench/plugins/conformance.py",
    "bench/measure/latency/timing.py",
    "bench/measure/latency/worker.py",
)
LONGEST = 350


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All of a file, but for what only type checkers see."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from nodes(child)


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in the file."""
    found = set[str]()
    for node in nodes(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or layer(path) == "strategies", f"{path} imports relatively"
            found |= {f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names}
    return found


def layers_of(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("bench.")}


def layer(path: Path) -> str:
    """Of a file in ``bench``; of any other, its folder."""
    return path.relative_to(BENCH).parts[0].removesuffix(".py") if path.is_relative_to(BENCH) else path.parent.name


def above(path: Path) -> set[str]:
    """The layers above a file's own that it imports."""
    return layers_of(imports(path)) & set(LAYERS[: LAYERS.index(layer(path))])


def test_imports_go_downwards_only() -> None:
    upwards = {name: above(path) for name, path in FILES.items() if name != "bench/__init__.py"}
    assert not {name: layers for name, layers in upwards.items() if layers}


def test_every_package_has_its_layer() -> None:
    assert {layer(path) for path in FILES.values()} == {"__init__", *LAYERS}


def test_what_measures_does_not_know_the_report() -> None:
    knowing = {layer(path) for path in FILES.values() if "report" in layers_of(imports(path))} - {"report"}
    assert knowing <= {"cli", "validation"}


def test_times_and_trainings_do_not_know_each_other() -> None:
    for own, other in (("latency", "training"), ("training", "latency")):
        for path in (BENCH / "measure" / own).rglob("*.py"):
            assert not [name for name in imports(path) if name.startswith(f"bench.measure.{other}")], path


def test_strategies_import_the_contract_and_torch_only() -> None:
    allowed = ("bench.strategy.", "bench.ops.", "torch", "._")  # and what they share beside them
    for path in (ROOT / "strategies").glob("*.py"):
        foreign = {name for name in imports(path) if not name.startswith(allowed)}
        foreign = {name for name in foreign if name.split(".")[0] not in sys.stdlib_module_names}
        assert not foreign, f"{path.name} imports {foreign}"


def test_no_module_names_a_strategy_file() -> None:
    naming = [name for name, path in FILES.items() if any(n.startswith("strategies") for n in imports(path))]
    assert not naming


def test_what_explains_needs_neither_torch_nor_a_plug_in() -> None:
    """One process for all of their modules, and for the commands that only explain."""
    files = [path for path in FILES.values() if layer(path) in TORCH_FREE]
    files += [BENCH / "cli" / f"{name}.py" for name in ("app", "report", "compare")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        "    plugins = [module for module in sys.modules if module.startswith(('shiftbench_plugin', 'strategies'))]\n"
        "    if 'torch' in sys.modules or plugins: sys.exit(f'{name} imports torch or a plug-in')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_estimators_stand_alone() -> None:
    assert not layers_of(imports(BENCH / "stats" / "estimators.py"))


def catches_all(node: ast.AST) -> bool:
    """And does not raise it again."""
    if not isinstance(node, ast.ExceptHandler) or ast.unparse(node.body[-1]) == "raise":
        return False
    return node.type is None or bool({"Exception", "BaseException"} & set(re.findall(r"\w+", ast.unparse(node.type))))


def test_except_exception_stands_where_strangers_code_runs_and_nowhere_else() -> None:
    places = {name for name, path in FILES.items() if any(map(catches_all, ast.walk(tree(path))))}
    assert places <= set(STRANGERS_CODE)


def test_no_duration_is_taken_from_the_clock_on_the_wall() -> None:
    """It may jump back while something is measured: seconds come from monotonic clocks."""
    wall = {
        name
        for name, path in FILES.items()
        if "time.time()" in path.read_text() or "from time import" in path.read_text()
    }
    assert not wall


def test_files_stay_small() -> None:
    lengths = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert not {name: length for name, length in lengths.items() if length > LONGEST}
    assert {path.name for path in BENCH.glob("*.py")} == {"__init__.py", "sites.py", "strategy.py"}


def test_the_map_names_every_package_and_its_way_leads_through_files_that_exist() -> None:
    assert len((BENCH / "__init__.py").read_text().splitlines()) <= 50
    doc = bench.__doc__ or ""
    assert set(LAYERS) <= set(re.findall(r"^``(\w+)``", doc, flags=re.M))
    way = re.findall(r"^ *\d+\. .* (\S+)$", doc, flags=re.M)
    assert way and not [step for step in way if step not in FILES]
