"""What tells machines apart: from the words of lscpu, sysctl and ioreg, and on this machine."""

import json
import os
import platform
from pathlib import Path

import pytest

from bench.system import cgroups, environment

LSCPU = """Vendor ID:               AuthenticAMD
  Model name:            AMD EPYC
  CPU family:            26
  Model:                 2
  Stepping:              1
Hypervisor vendor:       KVM
L1d cache:               96 KiB (2 instances)
L3 cache:                32 MiB (1 instance)
"""
SYSCTL = """machdep.cpu.vendor: GenuineIntel
machdep.cpu.family: 6
machdep.cpu.microcode_version: 222
kern.hv_vmm_present: 0
hw.l2cachesize: 262144
"""


def test_facts_of_a_processor_in_the_words_of_two_systems() -> None:
    assert environment.processor_facts(LSCPU) == {
        **{"vendor": "AuthenticAMD", "family": "26", "model": "2", "stepping": "1", "hypervisor": "KVM"},
        **{"l1d_cache": "96 KiB (2 instances)", "l3_cache": "32 MiB (1 instance)"},
    }
    apple = {"vendor": "GenuineIntel", "family": "6", "microcode": "222", "hypervisor": "0", "l2_cache": "262144"}
    assert environment.processor_facts(SYSCTL) == apple
    assert environment.processor_facts("") == {}


def test_the_id_that_macos_gives_a_machine() -> None:
    assert environment.platform_uuid('  "IOPlatformUUID" = "0A1B-2C"\n  "IOPlatformSerialNumber" = "X"') == "0A1B-2C"
    assert environment.platform_uuid("") is None


@pytest.mark.parametrize("change", ["processor", "own", "gpus", "memory"])
def test_a_machine_that_differs_in_one_thing_is_another(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    facts = environment.machine_facts()
    named = environment.machine_id.__wrapped__()
    assert environment.machine_id.__wrapped__() == named
    if change == "memory":
        monkeypatch.setattr(environment.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 2**50}))
    else:
        another = [{"name": "NVIDIA H200", "uuid": None}] if change == "gpus" else "another"
        monkeypatch.setattr(environment, "machine_facts", lambda: facts | {change: another})
    assert environment.machine_id.__wrapped__() != named
    assert ("NVIDIA H200" in environment.machine_id.__wrapped__()) == (change == "gpus")


def test_the_host_name_is_no_part_of_it_and_what_is_published_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    named = environment.machine_id.__wrapped__()
    monkeypatch.setattr(platform, "node", lambda: "another")
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    assert environment.machine_id.__wrapped__() == named
    own = environment.read_text(environment.ROOT / "etc/machine-id")
    assert own is None or own not in json.dumps(environment.describe_machine())


QUOTAS = {  # cpu.max of a group and of the one around it, cores that the process may run on -> those that it may use
    "none": (("max 100000", "max 100000"), 8, 8),
    "two of eight": (("200000 100000", "max 100000"), 8, 2),
    "one and a half": (("150000 100000", "max 100000"), 8, 1),
    "less than one": (("20000 100000", "max 100000"), 8, 1),
    "around it": (("max 100000", "300000 100000"), 8, 3),
    "more than it may run on": (("800000 100000", "max 100000"), 2, 2),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_no_more_threads_than_a_quota_gives(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (inner, outer), cores, usable = QUOTAS[name]
    group = tmp_path / "sys/fs/cgroup/pod/container"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod/container\n")
    (group / "cpu.max").write_text(f"{inner}\n")
    (group.parent / "cpu.max").write_text(f"{outer}\n")
    monkeypatch.setattr(environment.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert environment.usable_cores(tmp_path) == usable


def test_a_quota_is_on_record_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.os, "cpu_count", lambda: 32)
    for cores, told in ((2.0, "2 cores of 32"), (float("inf"), None)):
        monkeypatch.setattr(cgroups, "cpu_quota", lambda root=None, cores=cores: cgroups.Quota(cores))
        assert environment.describe_machine()["cpu_quota"] == told


def test_users_without_a_home_have_a_place_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert environment.cache_folder() == Path("/elsewhere/shiftbench")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert str(os.getuid()) in environment.cache_folder().name
