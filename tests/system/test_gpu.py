"""What a driver says, from a fake one: units, what it cannot tell, which device is asked, and reasons in words."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.system.gpu import Gpu, GpuState, gpu_states, known_gpus, reason_names, visible_gpu


class Driver:
    """Stands in for the module ``pynvml``: answers by function, called where callable. No answer: not supported."""

    class NVMLError(Exception):
        pass

    class NVMLError_LibraryNotFound(NVMLError):
        pass

    class NVMLError_DriverNotLoaded(NVMLError):
        pass

    def __init__(self, **answers: object) -> None:
        self.answers = {"Init": None, "Count": 1, "HandleByIndex": "handle", **answers}

    def __getattr__(self, name: str) -> object:
        if not name.startswith("nvml"):
            raise AttributeError(name)
        value = self.answers.get(name.removeprefix("nvml").removeprefix("DeviceGet"), Driver.NVMLError("no"))

        def answer(*arguments: object) -> object:
            found = value(*arguments) if callable(value) else value
            if isinstance(found, Exception):
                raise found
            return found

        return answer


SENSORS = {
    "ClockInfo": lambda _, kind: {1: 2000, 2: 1593}[kind],
    "PowerUsage": 350_000,
    "Temperature": 61,
    "CurrentClocksEventReasons": 0x40,
    "SystemGetDriverVersion": "590.01",
}


def test_all_sensors_are_read_in_their_units() -> None:
    gpu = visible_gpu(nvml=Driver(**SENSORS))
    assert gpu.sensors() == {
        "sm_mhz": 2000,
        "memory_mhz": 1593,
        "power_w": 350.0,
        "temperature_c": 61,
        "throttle_reasons": 0x40,
        "throttled": 1,
    }
    assert gpu.driver == "590.01"


@pytest.mark.parametrize(
    ("missing", "more", "unknown"),
    [
        ("PowerUsage", {}, {"power_w"}),
        ("ClockInfo", {}, {"sm_mhz", "memory_mhz"}),
        ("CurrentClocksEventReasons", {"CurrentClocksThrottleReasons": 0x40}, set()),  # before driver 535
        ("CurrentClocksEventReasons", {}, {"throttle_reasons", "throttled"}),
    ],
)
def test_what_a_driver_cannot_tell_is_nan(missing: str, more: dict[str, int], unknown: set[str]) -> None:
    answers = {name: value for name, value in SENSORS.items() if name != missing} | more
    sensors = visible_gpu(nvml=Driver(**answers)).sensors()
    assert {name for name, value in sensors.items() if math.isnan(value)} == unknown
    assert "throttled" in unknown or sensors["throttled"] == 1


def test_without_package_or_driver_nothing_is_known_and_nothing_raised() -> None:
    for gpu in (Gpu(), visible_gpu(nvml=Driver(Init=Driver.NVMLError("no")))):
        assert (gpu.sensors(), gpu.driver) == ({}, "") and math.isnan(gpu.sm_mhz())
    assert isinstance(visible_gpu().sensors(), dict)  # whatever this machine has


@pytest.mark.parametrize(
    ("uuid", "uuids", "found"),
    [
        ("b", ["GPU-a", "GPU-b"], "GPU-b"),
        ("m", ["GPU-a", "MIG-m"], "MIG-m"),
        ("x", ["GPU-a", "GPU-b"], None),  # another device's clock is worse than none
        (None, ["GPU-a", "GPU-b"], None),
        (None, ["GPU-a"], "GPU-a"),
    ],
)
def test_the_driver_is_asked_for_the_device_that_torch_uses(
    uuid: str | None, uuids: list[str], found: str | None
) -> None:
    asked = []
    driver = Driver(
        Count=len(uuids),
        HandleByIndex=uuids.__getitem__,
        HandleByUUID=lambda name: name if name in uuids else Driver.NVMLError("not found"),
        PowerUsage=asked.append,
    )
    visible_gpu(uuid, driver).sensors()
    assert asked == ([found] if found else [])


def test_reasons_in_words_and_which_of_them_disturb() -> None:
    assert reason_names(0) == () and reason_names(0x806) == ("application clocks", "software power cap", "bit 11")
    drivers = {bits: Driver(CurrentClocksEventReasons=bits) for bits in (0x001, 0x006, 0x024, 0x048, 0x080, 0x800)}
    throttled = {bits for bits, driver in drivers.items() if visible_gpu(nvml=driver).sensors()["throttled"]}
    assert throttled == {0x024, 0x048, 0x080}


def test_settings_and_use_are_read_into_plain_values() -> None:
    driver = Driver(
        Name="NVIDIA H200",
        PersistenceMode=0,
        ComputeRunningProcesses=[SimpleNamespace(pid=1)],
        SystemGetProcessName="/usr/bin/trainer",
        UtilizationRates=SimpleNamespace(gpu=77),
        ComputeMode=3,
        CurrentClocksThrottleReasons=0x1 | 0x4 | 0x20,
        ApplicationsClock=1980,
        DefaultApplicationsClock=1700,
        MigMode=[1, 1],
        UUID="GPU-1",
    )
    throttled = ("software power cap", "software thermal slowdown")
    state = GpuState("NVIDIA H200", False, ("trainer",), 77, "exclusive process", throttled, 1980, 1700, True, "GPU-1")
    assert gpu_states(driver) == ((state,), "")


@pytest.mark.parametrize(
    ("answers", "states", "problem"),
    [
        ({}, (GpuState("NVIDIA GPU"),), ""),
        ({"Init": Driver.NVMLError_LibraryNotFound("no library")}, (), ""),
        ({"Init": Driver.NVMLError_DriverNotLoaded("no driver")}, (), ""),
        ({"Init": Driver.NVMLError("version mismatch")}, (), "NVML says: version mismatch"),
        ({"HandleByIndex": Driver.NVMLError("GPU is lost")}, (), "NVML says: GPU is lost"),
    ],
)
def test_a_driver_that_fails_is_a_problem_and_none_is_none(
    answers: dict[str, object], states: tuple[GpuState, ...], problem: str
) -> None:
    assert gpu_states(Driver(**answers)) == (states, problem)


def test_gpus_are_known_by_the_drivers_files_where_the_library_is_not(tmp_path: Path) -> None:
    """So that a machine is not taken for itself after another GPU was put into it."""
    for name, uuid in (("NVIDIA H100 80GB HBM3", "GPU-1"), ("NVIDIA H200", "")):
        folder = tmp_path / "gpus" / name
        folder.mkdir(parents=True)
        (folder / "information").write_text(
            f"Model: \t\t {name}\nIRQ:   \t\t 0\nGPU UUID: \t {uuid}\nDMA Size: \t 52 bits\n"
        )
    driver = Driver(Count=0)
    assert known_gpus(driver, tmp_path) == [("NVIDIA H100 80GB HBM3", "GPU-1"), ("NVIDIA H200", None)]
    assert known_gpus(Driver(Name="A", UUID="GPU-2"), tmp_path) == [("A", "GPU-2")]
    assert known_gpus(driver, tmp_path / "nowhere") == []
