"""Allocators do what they promise: a fresh process writes large tensors again and again, and its page faults tell."""

import os
import platform
import subprocess
import sys

import pytest

from bench.spec.panel import _ALLOCATORS
from bench.system import allocators

WRITES = """
import resource
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def write():
    for megabytes in (24, 40):
        bytearray(b"1") * (megabytes << 20)
write()
before = faults()
for _ in range(5):
    write()
print(faults() - before)
"""
KEPT = 500  # faults; 5 x 64 MiB are 81,920 pages of 4 KiB


def faults(name: str) -> int:
    changed = {**os.environ, **allocators.variables(name)}
    environ = {name: value for name, value in changed.items() if value is not None}
    return int(subprocess.run([sys.executable, "-c", WRITES], env=environ, capture_output=True, check=True).stdout)


def test_every_value_of_the_axis_has_its_variables() -> None:
    assert all(allocators.variables(name) is not None for name in _ALLOCATORS)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own behaviour")
def test_glibc_as_it_comes_pays_for_every_page() -> None:
    assert faults("default") > 50 * KEPT


@pytest.mark.parametrize("name", [name for name in _ALLOCATORS if name != "default"])
def test_an_allocator_that_keeps_its_memory_pays_for_none(name: str) -> None:
    if reason := allocators.why_not(name):
        pytest.skip(reason)
    assert faults(name) < KEPT * (10 if name == "huge" else 1)  # huge pages are given back, but are few


@pytest.mark.parametrize("name", [name for name in _ALLOCATORS if name != "default"])
def test_why_one_cannot_be_had(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "pool" in (allocators.why_not(name, "cuda") or "")
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "1.9"))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    assert allocators.why_not(name)
    assert "LD_PRELOAD" not in allocators.variables(name)
    assert allocators.why_not("default", "cuda") is None


def test_what_the_shell_says_of_allocators_is_taken_back_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=2:glibc.cpu.x86_rep_movsb_threshold=4096")
    monkeypatch.setenv("LD_PRELOAD", "/usr/lib/libtcmalloc.so.4:/usr/lib/libfaketime.so")
    assert set(allocators.in_force()) == {"MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "LD_PRELOAD"}
    kept = {"GLIBC_TUNABLES": "glibc.cpu.x86_rep_movsb_threshold=4096", "LD_PRELOAD": "/usr/lib/libfaketime.so"}
    assert allocators.variables("default") == {"MALLOC_ARENA_MAX": None, **kept}
    huge = allocators.variables("huge")["GLIBC_TUNABLES"]
    assert huge == f"glibc.malloc.hugetlb=1:{kept['GLIBC_TUNABLES']}"
    for name, value in allocators.variables("default").items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    assert not allocators.in_force() and not allocators.variables("default").keys() - kept.keys()


def test_the_advice_is_given_until_it_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    advice = allocators.advice()
    assert advice and all(f"{name}={value}" in advice for name, value in allocators.variables("retained").items())
    for name, value in allocators.variables("retained").items():
        monkeypatch.setenv(name, value)
    assert allocators.advice() is None
