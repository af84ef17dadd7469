"""Who may import whom, read from the imports themselves."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODULES = sorted((ROOT / "bench").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names of all that a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def touches(path: Path, package: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for name in imports(path))


def test_strategies_import_the_contract_and_torch_only() -> None:
    for path in (ROOT / "strategies").glob("*.py"):
        allowed = ("bench.strategy", "bench.ops", "torch")
        foreign = [
            n for n in imports(path) if not n.startswith(allowed) and n.split(".")[0] not in sys.stdlib_module_names
        ]
        assert not foreign, f"{path.name} imports {foreign}"


SECTION_ROOMS = ("latency", "accuracy", "streaming", "detection")


@pytest.mark.parametrize("room", SECTION_ROOMS)
def test_sections_do_not_know_each_other(room: str) -> None:
    for path in (ROOT / "bench" / room).glob("*.py"):
        assert not [other for other in SECTION_ROOMS if other != room and touches(path, f"bench.{other}")], path
        assert not touches(path, "strategies"), path


def test_no_module_names_a_strategy_file() -> None:
    for path in MODULES:
        assert not touches(path, "strategies"), path


TORCH_FREE = [
    "records",
    "statistics",
    "sweep",
    "settings",
    "axes",
    "estimates",
    "analysis",
    "claims",
    "evidence",
    "online_evidence",
    "tables.online",
    "tables.early",
    "tables.detection",
    "detections",
    "detection_evidence",
    "images.digits",
    "report",
    "comparison",
    "interference",
    "disturbance",
    "arms",
    "bits",
    "jobs",
    "resampling",
    "resolution",
    "tables.latency",
    "tables.controls",
    "validation.findings",
    "validation.words",
    "doctor",
    "cli",
]


def test_right_of_the_record_there_is_no_torch() -> None:
    """One process for all of them: starting one takes longer than the imports."""
    code = (
        "import importlib, sys\n"
        f"for name in {TORCH_FREE}:\n"
        "    importlib.import_module(f'bench.{name}')\n"
        "    plugins = [m for m in sys.modules if m.startswith('shiftbench_plugin')]\n"
        "    if 'torch' in sys.modules or plugins: sys.exit(f'bench.{name} imports torch or a plug-in')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_statistics_stand_alone() -> None:
    assert not touches(ROOT / "bench" / "statistics.py", "bench")


def test_except_exception_stands_where_strangers_code_runs_and_nowhere_else() -> None:
    places = {
        str(path.relative_to(ROOT / "bench"))
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and node.type is not None
        and "Exception" in ast.unparse(node.type).replace("(", " ").replace(",", " ").split()
    }
    assert places <= {"discovery.py", "conformance.py", "latency/sampling.py", "latency/worker.py"}


def test_the_map_names_every_room() -> None:
    import bench

    rooms = {path.stem for path in (ROOT / "bench").iterdir()} - {"__init__", "__pycache__"}
    unnamed = {room for room in rooms if f"``{room}" not in (bench.__doc__ or "")}
    assert not unnamed


def test_files_stay_small() -> None:
    long = {str(p.relative_to(ROOT)): n for p in MODULES if (n := len(p.read_text().splitlines())) > 350}
    assert not long
