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
    environ = {**os.environ, **allocators.variables(name)}
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


def test_the_advice_is_given_until_it_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    advice = allocators.advice()
    assert advice and all(f"{name}={value}" in advice for name, value in allocators.variables("retained").items())
    for name, value in allocators.variables("retained").items():
        monkeypatch.setenv(name, value)
    assert allocators.advice() is None
