"""Where native code can be had, and what is said where it cannot."""

from pathlib import Path

import pytest

from bench.ops import native
from tests.ops import needs_compiler


@pytest.fixture
def nothing_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache folder, and nothing remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "operators", native.operators.__wrapped__)
    return tmp_path


def told() -> str:
    with pytest.raises(native.Unavailable) as raised:
        native.operators()
    return str(raised.value)


def test_no_compiler_is_one_line(nothing_loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(nothing_loaded))
    assert "C++ compiler" in told()
    assert not list(nothing_loaded.rglob("*.so"))


def test_a_compiler_that_complains_is_quoted(nothing_loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = nothing_loaded / "c++"
    broken.write_text("#!/bin/sh\necho 'x.cpp:1: error: no such header' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    assert told().endswith("x.cpp:1: error: no such header")
    assert not list(nothing_loaded.rglob("*.so"))


def test_a_compiler_that_is_not_there_is_one_line(nothing_loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", str(nothing_loaded / "missing"))
    assert "missing" in told() and "\n" not in told()


def test_a_cache_that_cannot_be_written_is_one_line(nothing_loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nothing_loaded / "shiftbench").write_text("a file, where a folder is needed")
    assert "\n" not in told()


@needs_compiler
def test_another_system_has_no_native_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "operators", native.operators.__wrapped__)
    monkeypatch.setattr("platform.system", lambda: "Windows")
    assert "Windows" in told()
